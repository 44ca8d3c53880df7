"""Speed of the page of jobs with a thousand finished runs against the same page with ten.

The first time of each, which imports and reads everything, does not count. The page's script runs
in Streamlit's own test runner, without a browser; either way the table shows twenty runs. Both take
turns, and the median of the ratios counts.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.rows import Row

FEW, MANY = 10, 1_000
ROUNDS = 7
AT_MOST = 1.5
PAGE = Path(__file__).parents[1] / "pages" / "train" / "jobs.py"


def main() -> list[Row]:
    """Return both times in milliseconds, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        homes = {count: _home(Path(folder) / str(count), count) for count in (FEW, MANY)}
        # A process for each, as an app has one home and keeps what it has read of its runs.
        spawn = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(1, mp_context=spawn) as few,
            ProcessPoolExecutor(1, mp_context=spawn) as many,
        ):
            apps = {FEW: few, MANY: many}
            turns = [
                {count: app.submit(_seconds, homes[count]).result() for count, app in apps.items()}
                for _ in range(ROUNDS + 1)
            ][1:]
    ratio = statistics.median(turn[MANY] / turn[FEW] for turn in turns)
    rows = [
        Row(
            name=f"page of jobs, {count:,} finished runs",
            value=statistics.median(turn[count] for turn in turns) * 1_000,
            unit="ms",
        )
        for count in homes
    ]
    name = f"page of jobs, {MANY:,} runs against {FEW}"
    return [*rows, Row(name=name, value=ratio, unit="×", limit=AT_MOST)]


def _seconds(home: Path) -> float:
    from streamlit.testing.v1 import AppTest

    from fracture_core.settings import settings

    os.environ["FRACTURE_HOME"] = str(home)
    settings.cache_clear()
    app = AppTest.from_file(str(PAGE), default_timeout=60)
    start = time.perf_counter()
    app.run()
    seconds = time.perf_counter() - start
    if app.exception:
        raise RuntimeError(app.exception[0].value)
    return seconds


def _home(home: Path, count: int) -> Path:
    """A home folder with runs that succeeded, of thirty epochs each, as trainings leave them."""
    from fracture_core.jobs.job import Record, write_record

    epochs = [
        {"kind": "epoch", "phase": 1, "epoch": n, "of": 30, "step": 9, "steps": 9, "loss": 1 / n}
        for n in range(1, 31)
    ]
    lines = "".join(json.dumps({**each, "val_ap50": 0.5}) + "\n" for each in epochs)
    for number in range(count):
        run = home / "runs" / f"run-{number:04}"
        run.mkdir(parents=True)
        (run / "config.json").write_text('{"epochs": 30}')
        (run / "metrics.jsonl").write_text(lines)
        (run / "card.json").write_text("{}")
        (run / "log.txt").write_text("done\n")
        record = Record(
            runner="local",
            command=("true",),
            submitted=1.0e9 + number,
            position=1.0e9 + number,
            queued=False,
            started=1.0e9 + number,
        )
        write_record(record, run / "job.json")
        (run / "exit_code").write_text("0")
    return home
