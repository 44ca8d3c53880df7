"""Tests of `fracture_core/datasets`."""
