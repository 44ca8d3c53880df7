"""Tests of `fracture_core/ui`."""
