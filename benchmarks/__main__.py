"""Run the quick benchmarks, or those named, and print their tables: python -m benchmarks [NAME …].

A name may be followed by arguments of the benchmark after colons, such as training:R1:small.
"""

import importlib
import os
import platform
import sys

from benchmarks.rows import Row

BENCHMARKS = (
    "startup",
    "viewer_drag",
    "overhead",
    "data_path",
    "jobs_page",
    "dial",
    "evaluations",
    "figures",
)
ON_REQUEST = ("accuracy", "fusion", "training", "learning", "health", "leakage", "service")


def _print(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    for row in rows:
        metric = f"{row.value:10.3f} {row.unit:<8}"
        print(f"{row.name:<{width}}  {metric}  {row.goal:<12}  {row.verdict}".rstrip(), flush=True)


def main() -> None:
    """Print the machine, and the rows of each benchmark when it is done.

    Exits with a message for an unknown benchmark and, at the end, where goals were missed.
    """
    chosen = sys.argv[1:] or BENCHMARKS
    known = (*BENCHMARKS, *ON_REQUEST)
    if unknown := {each.partition(":")[0] for each in chosen} - set(known):
        sys.exit(f"unknown benchmarks: {', '.join(unknown)}; there are {', '.join(known)}")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    missed = 0
    for asked in chosen:
        name, *parts = asked.split(":")
        rows = importlib.import_module(f"benchmarks.{name}").main(*parts)
        print(f"\n{asked}")
        _print(rows)
        missed += sum(row.verdict == "MISSED" for row in rows)
    if missed:
        sys.exit(f"\n{missed} goals missed")


if __name__ == "__main__":
    main()
