"""Tests of `fracture_core/conversion`."""
