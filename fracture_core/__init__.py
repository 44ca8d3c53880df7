"""Shared core of the fracture workbench."""
