"""Tests of `fracture_core/imaging`."""
