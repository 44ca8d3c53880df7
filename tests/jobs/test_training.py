"""A real training as a job: stopped, killed and finished, with checkpoints that can be used."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture_core import jobs
from fracture_core.demo import write_demo
from fracture_core.jobs import State, read_progress
from fracture_core.jobs.processes import find_leader, find_trainers, kill_wrapper
from fracture_core.models.cards import read_card
from fracture_core.runs import RunFolder
from fracture_core.settings import settings
from tests.support.job_runs import processes_of
from tests.trainers.test_loop import make_detector_run
from trainers.checkpoints import LAST, load_state

PATIENCE_SECONDS = 120


def wait_until(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, [(job.state, job.detail) for job in jobs.list_jobs()]
        time.sleep(0.05)


def epochs_of(run: RunFolder) -> int:
    return sum(line["kind"] == "epoch" and line["epoch"] > 0 for line in run.read_metrics())


@pytest.mark.slow
def test_a_training_is_stopped_killed_and_finished(tmp_path: Path, home, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("FRACTURE_RETRIES", "0")
    settings.cache_clear()
    demo = write_demo(tmp_path / "set", count=24, size=(160, 128))
    run = make_detector_run(demo, settings().runs / "run", epochs=16)
    assert jobs.submit(run.path).state is State.RUNNING
    wait_until(lambda: epochs_of(run) >= 2)
    assert 0 < read_progress(run).share < 1
    assert jobs.stop(run.path).state is State.STOPPING
    stopped = jobs.wait_for_end(run.path, timeout_seconds=PATIENCE_SECONDS)
    assert (stopped.state, stopped.exit_code, stopped.detail) == (State.STOPPED, 0, "")
    _, position = load_state(run.checkpoints / LAST)
    assert position.epochs_done >= 2

    jobs.resume(run.path)
    reached = epochs_of(run)
    wait_until(lambda: epochs_of(run) > reached)
    kill_wrapper(run.path)
    leader = find_leader(find_trainers(run.path))
    assert leader is not None
    leader.kill()
    lost = jobs.wait_for_end(run.path, timeout_seconds=PATIENCE_SECONDS)
    assert lost.state is State.LOST
    wait_until(lambda: not processes_of(home))

    jobs.resume(run.path)
    done = jobs.wait_for_end(run.path, timeout_seconds=PATIENCE_SECONDS)
    assert (done.state, done.exit_code) == (State.SUCCEEDED, 0)
    assert [attempt.state for attempt in done.attempts] == ["stopped", "lost"]
    assert epochs_of(run) == 16
    assert read_card(run.path).model_id == "run"
    assert read_progress(run).share == 1.0
    wait_until(lambda: not processes_of(home))
    settings.cache_clear()
