"""Data sets as they are written, a file a format."""
