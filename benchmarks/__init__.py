"""Benchmarks: speed, memory and accuracy, measured on request by `python -m benchmarks`.

Each module has a `main` that returns rows of a table (`benchmarks.rows`), which say where a goal is
missed. `make bench` runs the quick ones.
"""
