"""Tests of `fracture_core/nets`."""
