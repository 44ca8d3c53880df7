"""A benchmark is not charged with the memory of the process that started it."""

import subprocess
import sys
from pathlib import Path

from benchmarks.memory import peak_bytes

ROOT = Path(__file__).parents[1]
MEASURE = "from benchmarks.memory import peak_bytes; {act}; print(peak_bytes())"


def measured(act: str) -> int:
    script = MEASURE.format(act=act)
    return int(subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True))


def test_the_memory_of_the_parent_does_not_count() -> None:
    ballast = bytearray(b"1") * 300_000_000
    assert peak_bytes() > len(ballast)
    assert measured("pass") < 100_000_000


def test_its_own_peak_counts_also_when_it_is_past() -> None:
    assert measured("bytearray(b'1') * 300_000_000") > 300_000_000
