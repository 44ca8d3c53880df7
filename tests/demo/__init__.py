"""Tests of `fracture_core/demo`."""
