"""Metrics and Errors: what a stored evaluation shows."""
