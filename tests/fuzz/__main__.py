"""Try damaged files: python -m tests.fuzz [FORMAT …] [--mutants N] [--seed N] [--only NUMBER].

Ends with 1 where one crashed its reader, kept it busy, filled its memory, left something in the
library or opened as other contents in spite of check sums; such files are kept and named.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from tests.fuzz.all_formats import ALL_FORMATS
from tests.fuzz.running import FAULTS, Trial, try_mutants

_MUTANTS = 3_000


def main() -> None:
    """Try every format in turn and print a line for each."""
    asked = _arguments()
    work = Path(tempfile.mkdtemp(prefix="fuzz-"))
    home = work / "home"
    (home / "models").mkdir(parents=True)
    os.environ["FRACTURE_HOME"] = str(home)
    warnings.simplefilter("ignore")
    each = -(-asked.mutants // len(asked.formats))
    numbers = range(each) if asked.only is None else range(asked.only, asked.only + 1)
    faults = 0
    for name in asked.formats:
        faults += _try(name, numbers, asked.seed, work, home / "models")
    if faults:
        sys.exit(f"{faults} faults; the files are under {work}")


def _try(name: str, numbers: range, seed: int, work: Path, watched: Path) -> int:
    start, counts = time.monotonic(), Counter[str]()
    for trial in try_mutants(ALL_FORMATS[name], name, numbers, seed, work / name, watched):
        counts[trial.verdict] += 1
        if trial.verdict in FAULTS:
            _tell(name, trial)
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"{name:<22} {len(numbers):5}  {listed}  ({time.monotonic() - start:.0f} s)", flush=True)
    return sum(counts[verdict] for verdict in FAULTS)


def _tell(name: str, trial: Trial) -> None:
    last = trial.said.strip().splitlines()[-1:] or [""]
    print(f"{name} --only {trial.number}: {trial.verdict}: {last[0][:300]}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("formats", nargs="*", choices=[*ALL_FORMATS, []], metavar="FORMAT")
    parser.add_argument("--mutants", type=int, default=_MUTANTS, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the mutant of this number alone")
    asked = parser.parse_args()
    asked.formats = asked.formats or list(ALL_FORMATS)
    return asked


if __name__ == "__main__":
    main()
