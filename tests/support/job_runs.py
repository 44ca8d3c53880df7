"""Runs for the job tests: folders that the fake trainer works in."""

import json
import os
import sys
from pathlib import Path

import psutil

from fracture_core import jobs
from fracture_core.jobs.processes import TRAINER_MARK, WRAPPER_MARK
from fracture_core.settings import settings

FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")


def make_run(name: str, *, folder: Path | None = None, **config: object) -> Path:
    path = (folder or settings().runs) / name
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"steps": 20, **config}))
    return path


def fake_command(path: Path) -> list[str]:
    return [sys.executable, str(FAKE_TRAINER), str(path)]


def submit_fake(name: str, **config: object) -> Path:
    path = make_run(name, **config)
    jobs.submit(path, command=fake_command(path))
    return path


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every live process that carries the mark of a job under the folder, or runs its files."""
    return [each for each in psutil.process_iter() if _belongs(each, str(folder))]


def _belongs(process: psutil.Process, folder: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment, arguments = process.environ(), process.cmdline()
    except psutil.Error:
        return False
    marks = [environment.get(TRAINER_MARK, ""), environment.get(WRAPPER_MARK, "")]
    return any(text.startswith(folder) for text in (*marks, *arguments))
