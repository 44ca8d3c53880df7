"""Tests of `fracture_core/metrics`."""
