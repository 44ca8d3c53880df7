"""Local jobs: every state, every verb and what goes wrong, with a trainer that takes no time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from fracture_core import jobs
from fracture_core.errors import ConfigError
from fracture_core.jobs import State
from fracture_core.jobs.locks import is_held, queue_lock, take_lock
from fracture_core.jobs.processes import find_leader, find_trainers, kill_wrapper
from fracture_core.settings import settings
from tests.support.job_runs import fake_command, make_run, processes_of, submit_fake

PATIENCE_SECONDS = 90


@pytest.fixture(autouse=True)
def nothing_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One device, a short grace, and after the test not one process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("FRACTURE_STOP_SECONDS", "5")
    settings.cache_clear()
    yield
    # The wrapper's own end takes a moment.
    wait_until(lambda: not processes_of(home) or _kill_all(home))
    settings.cache_clear()


def _kill_all(home: Path) -> bool:
    for job in jobs.list_jobs():
        kill_wrapper(job.run.path)
        for process in find_trainers(job.run.path):
            process.kill()
    return False


def wait_until(is_so: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def state_of(path: Path) -> State:
    return jobs.find_job(path).state


def finish(path: Path) -> jobs.Job:
    return jobs.wait_for_end(path, timeout_seconds=PATIENCE_SECONDS)


def wait_for_steps(path: Path, count: int = 3) -> None:
    wait_until(lambda: steps_of(path) >= count)


def steps_of(path: Path) -> int:
    last = path / "checkpoints" / "last.pt"
    return int(last.read_text()) if last.is_file() else 0


def trainer_of(path: Path) -> psutil.Process:
    leader = find_leader(find_trainers(path))
    assert leader is not None
    return leader


def is_wrapper(process: psutil.Process) -> bool:
    return "fracture_core.jobs.wrapper" in process.cmdline()


def test_a_job_runs_to_its_end_and_the_next_one_starts_by_itself():
    first, second = submit_fake("first"), submit_fake("second")
    assert [job.state for job in jobs.list_jobs()] == [State.RUNNING, State.QUEUED]
    # Nobody tends: the wrapper of the first one starts the second.
    wait_until(lambda: jobs.find_job(second).settled)
    for path in (first, second):
        job = jobs.find_job(path)
        assert (job.state, job.exit_code, job.device) == (State.SUCCEEDED, 0, "cpu")
        assert job.submitted <= job.started <= job.ended
        assert jobs.logs(path) == "from step 0\n"
    assert jobs.find_job(first).ended <= jobs.find_job(second).started


def test_every_gpu_has_a_job_and_sees_no_other(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 3")
    code = "import os, sys, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.5)"
    paths = [make_run(name) for name in "abc"]
    for path in paths:
        jobs.submit(path, command=[sys.executable, "-c", code, str(path)])
    assert [job.state for job in jobs.list_jobs()] == [State.RUNNING, State.RUNNING, State.QUEUED]
    ended = [finish(path) for path in paths]
    assert [job.device for job in ended[:2]] == ["0", "3"]
    assert ended[2].device in ("0", "3")
    assert [jobs.logs(path).strip() for path in paths] == [job.device for job in ended]


def test_stopping_leaves_a_checkpoint_and_no_process_and_resuming_goes_on():
    path = submit_fake("run", steps=200)
    wait_for_steps(path)
    assert jobs.stop(path).state is State.STOPPING
    assert jobs.stop(path).state in (State.STOPPING, State.STOPPED)
    job = finish(path)
    assert (job.state, job.detail, job.exit_code) == (State.STOPPED, "", 0)
    assert find_trainers(path) == []
    done = steps_of(path)
    assert 3 <= done < 200
    (path / "config.json").write_text(json.dumps({"steps": done + 5}))
    jobs.resume(path)
    assert finish(path).state is State.SUCCEEDED
    assert jobs.logs(path) == f"from step 0\nfrom step {done}\n"
    (before,) = jobs.find_job(path).attempts
    assert before.state == "stopped"


def test_a_paused_job_lets_the_next_one_go_first_and_goes_on_by_itself():
    path, other = submit_fake("run", steps=200), submit_fake("other", steps=3)
    wait_for_steps(path)
    assert jobs.pause(path).state is State.STOPPING
    assert finish(other).state is State.SUCCEEDED
    wait_until(lambda: jobs.find_job(path).attempts)
    done = steps_of(path)
    assert 3 <= done < 200
    (path / "config.json").write_text(json.dumps({"steps": done + 5}))
    job = finish(path)
    assert (job.state, job.retries) == (State.SUCCEEDED, 0)
    assert jobs.logs(path).startswith("from step 0\nfrom step ")
    assert jobs.find_job(other).started <= job.started
    assert not (path / "pausing").exists()


def test_a_job_that_is_stopped_while_it_pauses_stays_stopped():
    path = submit_fake("run", steps=200)
    wait_for_steps(path)
    jobs.pause(path)
    jobs.stop(path)
    assert finish(path).state is State.STOPPED
    jobs.tend()
    assert state_of(path) is State.STOPPED


def test_only_a_running_job_can_be_paused():
    submit_fake("running", steps=10_000)
    waiting = submit_fake("waiting")
    with pytest.raises(ConfigError, match=r"expected a running job .*found one that is queued"):
        jobs.pause(waiting)


EVALUATE = """
import pathlib, sys, time
time.sleep(0.5)
(pathlib.Path(sys.argv[1]) / "evaluation.json").write_text("{}")
"""


def submit_evaluation(name: str) -> Path:
    path = make_run(name, kind="evaluation")
    jobs.submit(path, command=[sys.executable, "-c", EVALUATE, str(path)])
    return path


def test_an_evaluation_passes_a_training_that_leaves_it_room(monkeypatch):
    monkeypatch.setenv("FRACTURE_SHARE_GB", "0")
    settings.cache_clear()
    training, second = submit_fake("training", steps=10_000), submit_fake("second")
    one, two = submit_evaluation("one"), submit_evaluation("two")
    # Of each kind one at a time.
    states = {path.name: state_of(path) for path in (training, second, one, two)}
    assert states == {
        "training": State.RUNNING,
        "second": State.QUEUED,
        "one": State.RUNNING,
        "two": State.QUEUED,
    }
    assert finish(two).state is State.SUCCEEDED
    assert (state_of(training), state_of(second)) == (State.RUNNING, State.QUEUED)


def test_an_evaluation_waits_where_memory_is_short(monkeypatch):
    monkeypatch.setenv("FRACTURE_SHARE_GB", "1000000")
    settings.cache_clear()
    training = submit_fake("training", steps=10_000)
    evaluation = submit_evaluation("evaluation")
    assert (state_of(training), state_of(evaluation)) == (State.RUNNING, State.QUEUED)
    assert [each.name for each in jobs.ahead_of(jobs.find_job(evaluation))] == ["training"]
    jobs.stop(training)
    assert finish(evaluation).state is State.SUCCEEDED


def test_what_does_not_stop_is_killed_after_the_grace_time(monkeypatch):
    monkeypatch.setenv("FRACTURE_STOP_SECONDS", "1")
    settings.cache_clear()
    path = submit_fake("deaf", steps=10_000, deaf=True, strays=["child", "session"])
    wait_for_steps(path)
    asked = time.monotonic()
    jobs.stop(path)
    job = finish(path)
    assert time.monotonic() - asked > 1
    assert (job.state, job.exit_code) == (State.STOPPED, -signal.SIGKILL)
    assert "goes on from the last one" in job.detail
    assert "Not stopped after 1 s: killed." in jobs.logs(path)


@pytest.mark.parametrize("strays", [["child", "session"], ["nameless"]])
def test_no_child_outlives_its_job(strays):
    path = submit_fake("run", steps=30, strays=strays)
    wait_for_steps(path)
    left = trainer_of(path).children()
    assert len(left) == len(strays)
    assert finish(path).state is State.SUCCEEDED
    wait_until(lambda: not any(stray.is_running() for stray in left), seconds=5)


def test_a_waiting_job_that_is_stopped_never_ran():
    first, second = submit_fake("first", steps=40), submit_fake("second")
    assert jobs.stop(second).state is State.STOPPED
    finish(first)
    assert not (second / "log.txt").exists()
    jobs.resume(second)
    assert finish(second).state is State.SUCCEEDED


def test_bad_input_fails_with_its_sentence_and_is_not_tried_again():
    path = submit_fake("run", exit=2)
    job = finish(path)
    assert (job.state, job.exit_code, job.retries) == (State.FAILED, 2, 0)
    assert job.detail == "data: expected an image, found a potato."


def test_a_crash_is_tried_again_once_and_is_told():
    path = submit_fake("run", crash_at=5)
    # Nobody tends: its wrapper does.
    wait_until(lambda: jobs.find_job(path).state is State.SUCCEEDED)
    job = finish(path)
    assert job.retries == 1
    (crash,) = job.attempts
    assert crash.state == "failed"
    assert crash.detail.startswith("Killed by SIGKILL.")
    assert jobs.logs(path) == "from step 0\nfrom step 5\n"


def test_a_job_that_always_crashes_is_given_up():
    path = submit_fake("run", exit=1)
    job = finish(path)
    wait_until(lambda: jobs.find_job(path).retries == 1)
    job = finish(path)
    assert (job.state, job.exit_code, job.retries) == (State.FAILED, 1, 1)
    time.sleep(0.3)
    jobs.tend()
    assert state_of(path) is State.FAILED


def test_a_trainer_without_its_wrapper_goes_on_and_is_told_as_what_it_is():
    path = submit_fake("run", steps=60)
    wait_for_steps(path)
    kill_wrapper(path)
    assert state_of(path) is State.RUNNING
    job = finish(path)
    assert (job.state, job.exit_code) == (State.SUCCEEDED, None)


def test_a_trainer_without_its_wrapper_can_be_stopped():
    path = submit_fake("run", steps=10_000)
    wait_for_steps(path)
    kill_wrapper(path)
    wait_until(lambda: not is_held(path / ".wrapper.lock"))
    assert jobs.stop(path).state in (State.STOPPING, State.STOPPED)
    assert finish(path).state is State.STOPPED
    assert (path / "stopped").exists()


def test_a_job_of_which_all_processes_were_killed_is_lost_then_tried_again(monkeypatch):
    monkeypatch.setenv("FRACTURE_RETRIES", "0")
    settings.cache_clear()
    path = submit_fake("run", steps=60, strays=["child", "session"])
    wait_for_steps(path)
    strays = trainer_of(path).children()
    kill_wrapper(path)
    trainer_of(path).kill()
    wait_until(lambda: not is_held(path / ".wrapper.lock"))
    # The strays hold nothing, but they are there until somebody tends.
    wait_until(lambda: state_of(path) is State.LOST)
    job = finish(path)
    assert (job.state, job.exit_code) == (State.LOST, None)
    assert "without a word" in job.detail
    wait_until(lambda: not any(stray.is_running() for stray in strays), seconds=5)
    jobs.resume(path)
    assert finish(path).state is State.SUCCEEDED


def test_the_order_of_the_queue_can_be_changed():
    submit_fake("running", steps=10_000)
    paths = {name: submit_fake(name) for name in "abcd"}

    def order() -> str:
        return "".join(job.name for job in jobs.list_jobs() if job.state is State.QUEUED)

    assert order() == "abcd"
    jobs.move(paths["c"], "up")
    assert order() == "acbd"
    jobs.move(paths["d"], "first")
    assert order() == "dacb"
    jobs.move(paths["d"], "up")
    jobs.move(paths["a"], "down")
    assert order() == "dcab"
    jobs.move(paths["d"], "last")
    assert order() == "cabd"
    with pytest.raises(ConfigError, match="expected a waiting job, found one that is running"):
        jobs.move(settings().runs / "running", "up")
    for name in ("running", *paths):
        jobs.delete(settings().runs / name)
    assert jobs.list_jobs() == []


def test_submitting_twice_at_once_makes_one_job():
    path = make_run("run", steps=30)
    command = fake_command(path)
    threads = [
        threading.Thread(target=jobs.submit, args=(path,), kwargs={"command": command})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish(path)
    assert jobs.logs(path) == "from step 0\n"
    words = r"found a job that is over \(succeeded\)\. Make a new run"
    with pytest.raises(ConfigError, match=words):
        jobs.submit(path)
    with pytest.raises(ConfigError, match="found one that succeeded"):
        jobs.resume(path)


def test_two_apps_do_not_fight_over_one_queue(home):
    paths = [make_run(f"run{n}", steps=5) for n in range(4)]
    code = (
        "import sys; from pathlib import Path; from fracture_core import errors, jobs\n"
        "path = Path(sys.argv[1])\n"
        "try: jobs.submit(path, command=sys.argv[2:])\n"
        "except errors.ConfigError as error: assert 'is over (succeeded)' in str(error)\n"
        "for _ in range(20): jobs.tend()"
    )
    apps = [
        subprocess.Popen([sys.executable, "-c", code, str(path), *fake_command(path)])
        for path in paths
        for _ in range(2)
    ]
    assert [app.wait() for app in apps] == [0] * len(apps)
    ended = sorted((finish(path) for path in paths), key=lambda job: job.started)
    assert [job.state for job in ended] == [State.SUCCEEDED] * len(paths)
    assert [jobs.logs(path) for path in paths] == ["from step 0\n"] * len(paths)
    # One after the other.
    for before, after in pairwise(ended):
        assert before.ended <= after.started


def test_deleting_ends_everything_first(home):
    path = submit_fake("run", steps=10_000, deaf=True, strays=["child", "session"])
    wait_for_steps(path)
    jobs.delete(path)
    assert processes_of(home) == []
    assert not path.exists()
    assert jobs.list_jobs() == []
    assert [each.name for each in settings().runs.iterdir()] == [".queue.lock"]
    with pytest.raises(ConfigError, match="expected a submitted run, found no such folder"):
        jobs.delete(path)


def test_a_folder_deleted_under_the_engine_takes_its_processes_along(home):
    path = make_run("run")
    jobs.submit(path, command=[sys.executable, "-c", "import time; time.sleep(300)", str(path)])
    other = submit_fake("other")
    wait_until(lambda: find_trainers(path))
    path.rename(home / "elsewhere")
    assert [job.name for job in jobs.list_jobs()] == ["other"]
    wait_until(lambda: processes_of(path) == [])
    wait_until(lambda: jobs.find_job(other).state is State.SUCCEEDED)


def test_a_run_that_lies_elsewhere_is_linked(tmp_path):
    path = make_run("far", folder=tmp_path)
    jobs.submit(path, command=fake_command(path))
    assert [job.name for job in jobs.list_jobs()] == ["far"]
    assert finish(path).state is State.SUCCEEDED
    other = make_run("far", folder=tmp_path / "more")
    with pytest.raises(ConfigError, match="a name that no other job has"):
        jobs.submit(other)
    jobs.delete(path)
    assert not path.exists()
    assert jobs.list_jobs() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runner": 7}', '{"x": 1}', "\xff", "null"])
def test_a_record_edited_into_nonsense_is_a_sentence(text):
    path = submit_fake("run")
    finish(path)
    (path / "job.json").write_text(text, encoding="latin-1")
    (job,) = jobs.list_jobs()
    assert job.state is State.FAILED
    assert job.detail.startswith("job.json: expected the record of a job, found ")
    jobs.tend()
    jobs.delete(path)


def test_a_running_job_with_a_nonsense_record_still_runs_and_can_be_deleted(home):
    path = submit_fake("run", steps=10_000)
    wait_for_steps(path)
    (path / "job.json").write_text("{")
    other = submit_fake("other")
    assert [job.state for job in jobs.list_jobs()] == [State.RUNNING, State.QUEUED]
    jobs.delete(path)
    assert finish(other).state is State.SUCCEEDED


def test_an_unknown_runner_in_a_record_is_a_sentence():
    path = submit_fake("run")
    finish(path)
    record = json.loads((path / "job.json").read_text()) | {"runner": "slurm"}
    (path / "job.json").write_text(json.dumps(record))
    (path / "exit_code").unlink()
    (job,) = jobs.list_jobs()
    assert (job.state, job.detail) == (
        State.FAILED,
        "runner: expected one of local, inline, ray, found 'slurm'.",
    )


def test_a_command_that_cannot_be_started_fails_with_a_sentence():
    path = make_run("run")
    jobs.submit(path, command=["/no/such/program"])
    wait_until(lambda: jobs.find_job(path).retries == 1)
    job = finish(path)
    assert job.state is State.FAILED
    assert "cannot be started" in job.detail


def test_what_is_no_run_cannot_be_submitted(tmp_path):
    with pytest.raises(ConfigError, match="expected a run folder, found no such folder"):
        jobs.submit(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="expected a submitted run"):
        jobs.find_job(make_run("run"))


def test_runs_of_elsewhere_are_listed_with_what_they_came_to(home):
    finished, stopped, made = (make_run(name) for name in ("finished", "stopped", "made"))
    (finished / "card.json").touch()
    (stopped / "stopped").touch()
    assert {job.name: job.state for job in jobs.list_jobs()} == {
        "finished": State.SUCCEEDED,
        "stopped": State.STOPPED,
    }
    assert jobs.find_job(stopped).detail == "Not of the queue: trained by hand or copied."
    with pytest.raises(ConfigError, match="one that was not"):
        jobs.find_job(made)
    with pytest.raises(ConfigError, match="one that succeeded"):
        jobs.resume(finished)
    jobs.delete(stopped)
    assert [job.name for job in jobs.list_jobs()] == ["finished"]


def test_a_run_trained_by_hand_is_not_the_queues(home):
    path = submit_fake("run", steps=10_000)
    wait_for_steps(path)
    jobs.stop(path)
    finish(path)
    by_hand = subprocess.Popen(fake_command(path))
    wait_until(lambda: is_held(path / ".lock"))
    assert state_of(path) is State.RUNNING
    with pytest.raises(ConfigError, match="started by hand"):
        jobs.delete(path)
    with pytest.raises(ConfigError, match="started by hand"):
        jobs.stop(path)
    by_hand.terminate()
    by_hand.wait()
    assert state_of(path) is State.STOPPED


def test_a_signal_to_the_wrapper_is_a_wish_to_stop():
    path = submit_fake("run", steps=10_000)
    wait_for_steps(path)
    (wrapper,) = [each for each in processes_of(path) if is_wrapper(each)]
    wrapper.terminate()
    assert finish(path).state is State.STOPPED
    assert (path / "stopped").exists()


def test_a_full_disk_is_a_sentence(monkeypatch):
    path = make_run("run")

    def no_room(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_room)
    with pytest.raises(ConfigError, match=r"found a full disk\. Make room"):
        jobs.submit(path, command=fake_command(path))
    assert jobs.list_jobs() == []


def test_a_lock_dies_with_its_last_holder(tmp_path):
    path = tmp_path / "lock"
    assert not is_held(path)
    descriptor = take_lock(path)
    assert is_held(path)
    assert take_lock(path) is None
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=(descriptor,),
    ) as child:
        os.close(descriptor)
        assert is_held(path)
        child.kill()
    assert not is_held(path)


def test_the_queue_is_changed_by_one_at_a_time():
    with queue_lock():
        assert is_held(settings().runs / ".queue.lock")
    assert not is_held(settings().runs / ".queue.lock")


def test_a_thousand_finished_runs_are_listed_fast():
    finished = submit_fake("run")
    finish(finished)
    record = (finished / "job.json").read_bytes()
    for n in range(1000):
        path = make_run(f"old{n}")
        (path / "job.json").write_bytes(record)
        (path / "card.json").write_text("{}")
        (path / "exit_code").write_text("0")
    assert len(jobs.list_jobs()) == 1001
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jobs.list_jobs()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1, times
