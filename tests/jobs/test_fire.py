"""Truth under fire: jobs, wrappers and apps killed at random moments; many stopped at once."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fracture_core import jobs
from fracture_core.jobs import State
from fracture_core.jobs.processes import find_leader, find_trainers, kill_wrapper
from fracture_core.settings import settings
from tests.support.job_runs import fake_command, make_run, processes_of

VICTIMS = ("trainer", "wrapper", "app")
PATIENCE_SECONDS = 90
APP = (
    "import sys, time; from pathlib import Path; from fracture_core import jobs\n"
    "while True: jobs.tend(); jobs.list_jobs(); time.sleep(0.05)"
)


@pytest.fixture(autouse=True)
def machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three devices, nothing is tried again, and no process is left."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setenv("FRACTURE_RETRIES", "0")
    settings.cache_clear()
    yield
    settings.cache_clear()
    for process in processes_of(home):
        process.kill()


class App:
    """A program that looks at the jobs all the time, as a page does; killed, another one starts."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", APP])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self._process = subprocess.Popen([sys.executable, "-c", APP])


def kill_trainer(path: Path) -> bool:
    leader = find_leader(find_trainers(path))
    if leader is None:
        return False
    leader.kill()
    return True


def fire(paths: list[Path], app: App, rng: random.Random) -> dict[str, str]:
    """Kill for every job one victim at a random moment of its life; who was hit, by job."""
    victims = {path: VICTIMS[n % len(VICTIMS)] for n, path in enumerate(paths)}
    moments: dict[Path, float] = {}
    hit: dict[str, str] = {}
    until = time.monotonic() + PATIENCE_SECONDS
    while not all(jobs.find_job(path).settled for path in paths):
        assert time.monotonic() < until, [(job.name, job.state) for job in jobs.list_jobs()]
        for path, victim in victims.items():
            now, name = time.monotonic(), path.name
            if name in hit or jobs.find_job(path).state is not State.RUNNING:
                continue
            if now < moments.setdefault(path, now + rng.uniform(0, 1.2)):
                continue
            if victim == "app":
                app.restart()
            elif victim == "wrapper":
                kill_wrapper(path)
            elif not kill_trainer(path):
                continue
            hit[name] = victim
        assert {job.name for job in jobs.list_jobs()} == {path.name for path in paths}
        time.sleep(0.02)
    return hit


def expect_truth(path: Path, victim: str | None) -> None:
    """What is said against what is there, and against what was done to it."""
    job = jobs.find_job(path)
    finished = (path / "card.json").exists()
    assert (job.state is State.SUCCEEDED) == finished, job
    if victim == "trainer":
        assert job.state in (State.FAILED, State.SUCCEEDED), job
        killed = job.exit_code == -9 and job.detail.startswith("Killed by SIGKILL.")
        assert finished or killed, job
    elif victim == "wrapper":
        # Before it had started the trainer, nothing was left.
        assert job.state in (State.LOST, State.SUCCEEDED), job
    elif not finished:
        # The app died while it was starting this one.
        assert job.state is State.LOST, job
        assert "from step" not in jobs.logs(path)


@pytest.mark.parametrize("count", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_whoever_is_killed_the_states_are_true_and_every_job_finishes(count, home):
    rng = random.Random(count)
    paths = [make_run(f"run{n}", steps=60, seconds=0.02, strays=["child"]) for n in range(count)]
    app = App()
    try:
        for path in paths:
            jobs.submit(path, command=fake_command(path))
        hit = fire(paths, app, rng)
    finally:
        app.kill()
    assert len(hit) > count * 2 / 3, hit
    assert min(Counter(hit.values())[victim] for victim in VICTIMS) > 0, hit
    wait_for_no_process(home)
    for path in paths:
        expect_truth(path, hit.get(path.name))
    unfinished = [job for job in jobs.list_jobs() if job.state.can_resume]
    assert unfinished, "nothing was killed in time"
    for job in unfinished:
        jobs.resume(job.run.path)
    for path in paths:
        job = jobs.wait_for_end(path, timeout_seconds=PATIENCE_SECONDS)
        assert job.state is State.SUCCEEDED, job
        assert (path / "checkpoints" / "last.pt").read_text() == "60"
    wait_for_no_process(home)


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_many_are_stopped_with_a_checkpoint_each_and_no_process_left(count, home, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(str(n) for n in range(count)))
    paths = [
        make_run(f"run{n}", steps=10_000, seconds=0.2, strays=["child", "session"])
        for n in range(count)
    ]
    for path in paths:
        jobs.submit(path, command=fake_command(path))
    for path in paths:
        wait_for_checkpoint(path)
    for path in paths:
        jobs.stop(path)
    ended = [jobs.wait_for_end(path, timeout_seconds=PATIENCE_SECONDS) for path in paths]
    assert [job.state for job in ended] == [State.STOPPED] * count
    assert {(job.exit_code, job.detail) for job in ended} == {(0, "")}
    wait_for_no_process(home)
    for path in paths:
        done = int((path / "checkpoints" / "last.pt").read_text())
        (path / "config.json").write_text(json.dumps({"steps": done + 2}))
        jobs.resume(path)
    for path in paths:
        assert jobs.wait_for_end(path, timeout_seconds=90).state is State.SUCCEEDED
        first, second = jobs.logs(path).split("\n")[:2]
        assert first == "from step 0"
        assert second != "from step 0"
    wait_for_no_process(home)


def wait_for_checkpoint(path: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not (path / "checkpoints" / "last.pt").exists():
        assert time.monotonic() < until, jobs.find_job(path)
        time.sleep(0.05)


def wait_for_no_process(home: Path) -> None:
    """The last of a job is written before its wrapper has gone, which looks after the queue."""
    until = time.monotonic() + 10
    while left := processes_of(home):
        assert time.monotonic() < until, [describe(process) for process in left]
        time.sleep(0.05)


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.status()} {process.cmdline()}"
    except psutil.Error as error:
        return str(error)
