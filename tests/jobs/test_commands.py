"""Submitting from a terminal, and jobs inside this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from fracture_core import jobs
from fracture_core.errors import ConfigError
from fracture_core.jobs import State
from fracture_core.settings import settings
from tests.support.job_runs import fake_command, make_run


def trainers(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainers", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_RUNNER", "inline")
    settings.cache_clear()


def test_a_config_that_makes_no_sense_fails_with_its_sentence():
    run = make_run("run")
    submitted = trainers("submit", run)
    assert (submitted.returncode, submitted.stderr) == (0, "")
    assert submitted.stdout.split()[:2] == ["run", "running"]
    job = jobs.wait_for_end(run, timeout_seconds=60)
    assert (job.state, job.exit_code, job.retries) == (State.FAILED, 2, 0)
    shown = trainers("status").stdout
    assert shown.split()[:2] == ["run", "failed"]
    assert "family: expected a family that can be trained" in shown
    assert job.detail in trainers("logs", run).stdout


def test_stopping_waits_and_resuming_queues():
    run = make_run("run", steps=10_000)
    jobs.submit(run, command=fake_command(run))
    stopped = trainers("stop", run)
    assert (stopped.returncode, stopped.stdout.split()[:2]) == (0, ["run", "stopped"])
    assert trainers("resume", run).stdout.split()[:2] == ["run", "running"]
    assert trainers("status", run).stdout.split()[:2] == ["run", "running"]
    jobs.delete(run)


def test_a_run_answers_to_the_name_that_status_prints(tmp_path, monkeypatch):
    run = make_run("run", steps=10_000)
    jobs.submit(run, command=fake_command(run))
    stopped = trainers("stop", "run")
    assert (stopped.returncode, stopped.stdout.split()[:2]) == (0, ["run", "stopped"])
    assert trainers("status", "run").stdout.split()[:2] == ["run", "stopped"]
    assert trainers("logs", "run").stdout == jobs.logs(run)
    jobs.delete(run)


def test_a_run_can_be_checked_by_its_name():
    make_run("run")
    asked = trainers("check", "run")
    assert asked.returncode == 2
    assert "family: expected a family that can be trained" in asked.stderr
    mixed = trainers("check", "run", "--recipe", "r3-detr-scratch")
    assert "expected a run alone, or --recipe and --data" in mixed.stderr
    assert "expected a run, or --recipe and --data" in trainers("check").stderr


def test_what_was_not_submitted_is_one_sentence(tmp_path):
    asked = trainers("stop", tmp_path / "nothing")
    assert asked.returncode == 2
    assert asked.stderr.startswith("nothing: expected a submitted run, found no such folder.")
    assert trainers("status").stdout == ""


def test_an_unknown_runner_is_one_sentence(monkeypatch):
    run = make_run("run")
    monkeypatch.setenv("FRACTURE_RUNNER", "slurm")
    asked = trainers("submit", run)
    assert asked.returncode == 2
    assert "FRACTURE_RUNNER: expected one of local, inline, ray, found 'slurm'" in asked.stderr


@pytest.mark.usefixtures("inline")
def test_inside_this_process_the_answer_is_the_end(tmp_path):
    run = make_run("run", steps=3)
    program = tmp_path / "program.py"
    program.write_text("import sys, pathlib; print('hi', sys.argv[1:])\nsys.exit(int(sys.argv[1]))")
    failed = jobs.submit(run, command=[sys.executable, str(program), "2", str(run)])
    assert (failed.state, failed.exit_code, failed.settled) == (State.FAILED, 2, True)
    assert jobs.logs(run) == f"hi ['2', '{run}']\n"


@pytest.mark.usefixtures("inline")
def test_inside_this_process_a_bug_is_in_the_log(tmp_path):
    run = make_run("run")
    program = tmp_path / "program.py"
    program.write_text("raise KeyError('lost')")
    failed = jobs.submit(run, command=[sys.executable, str(program)])
    assert (failed.exit_code, failed.detail) == (1, "KeyError: 'lost'")
    program.write_text("import os, pathlib; pathlib.Path(os.environ['CARD']).touch()")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARD", str(run / "card.json"))
        assert jobs.resume(run).state is State.SUCCEEDED
    jobs.delete(run)
    assert jobs.list_jobs() == []


@pytest.mark.usefixtures("inline")
def test_inside_this_process_the_trainers_command_is_the_same():
    run = make_run("run")
    failed = jobs.submit(run)
    assert (failed.state, failed.exit_code) == (State.FAILED, 2)
    assert failed.detail.startswith("family: expected a family that can be trained")
    with pytest.raises(ConfigError, match="expected a waiting job"):
        jobs.move(Path(run), "up")
