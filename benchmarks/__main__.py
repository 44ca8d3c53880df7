"""Run every benchmark, or those named, and print one table: python -m benchmarks [NAME …]."""

import importlib
import os
import platform
import sys

from benchmarks.rows import Row

BENCHMARKS = ("startup", "viewer_drag", "overhead")


def _print(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    for row in rows:
        limit = "" if row.limit is None else f"≤ {row.limit:g} {row.unit}"
        figure = f"{row.value:10.2f} {row.unit:<6}"
        print(f"{row.name:<{width}}  {figure}  {limit:<12}  {row.verdict}".rstrip(), flush=True)


def main() -> None:
    """Print the machine and the rows of each benchmark as they come."""
    chosen = sys.argv[1:] or BENCHMARKS
    if unknown := set(chosen) - set(BENCHMARKS):
        sys.exit(f"unknown benchmarks: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    missed = 0
    for name in chosen:
        rows = importlib.import_module(f"benchmarks.{name}").main()
        print(f"\n{name}")
        _print(rows)
        missed += sum(row.verdict == "MISSED" for row in rows)
    if missed:
        sys.exit(f"\n{missed} goals missed")


if __name__ == "__main__":
    main()
