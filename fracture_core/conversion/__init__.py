"""Data sets from one format to another, and from the raw RSNA 2022 download."""
