"""DETR of transformers with an unfrozen backbone on a CPU: oneDNN once ended the process.

With channels last its backward pass frees memory twice (exit code 134 or 139) at an input of 256,
in one thread as in two, with two batches of four; at 64 and 128 it does not.
`HfDetrTrainee.channels_last_on_cpu` is why the product never gets there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fracture_core.demo import write_demo
from fracture_core.runs import RunFolder
from trainers.running import make_run

ASKED = {
    "network.name": "detr:tiny",
    "frozen_stages": 0,
    "precision": "float32",
    "channels_last": True,
    "start": "",
    "device": "cpu",
    "merge_classes": "fracture",
    "epochs": 1,
    "batch": 4,
    "limit": 8,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data") / "set", count=24, size=(256, 256))


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_an_unfrozen_backbone_trains_to_its_end(attempt: int, data: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / f"run{attempt}", "r1-detr", str(data), ASKED)
    threads = {"OMP_NUM_THREADS": str(1 + attempt % 2)}
    command = [sys.executable, "-m", "trainers", "train", str(run.path)]
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    assert run.card.is_file()
    notes = [line["text"] for line in RunFolder(path=run.path).read_metrics() if "text" in line]
    assert any("channels_last is not used" in str(note) for note in notes)
