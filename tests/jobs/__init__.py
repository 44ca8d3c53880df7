"""Tests of `fracture_core/jobs`."""
