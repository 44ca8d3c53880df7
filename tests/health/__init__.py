"""Tests of `fracture_core/health`."""
