"""Data sets, Train and Jobs."""
