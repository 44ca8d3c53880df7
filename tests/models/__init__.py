"""Tests of `fracture_core/models`."""
