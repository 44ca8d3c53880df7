"""Tests of `fracture_core/evaluations`."""
