"""Weights files from anywhere: what they say of themselves, read in a process of its own.

`process` starts that process and takes its answer; all other modules here run inside of it. They
need Python's own library alone, so that the process starts in a twentieth of a second, and import
nothing that a file could call. Only `process` runs them; `python -m` is never used on them.
"""
