"""Data sets of several formats behind one door."""
