import fcntl
import subprocess
import sys
import threading

import pytest

from fracture_core.errors import ConfigError
from fracture_core.jobs.locks import is_held
from fracture_core.runs import new_run, open_run
from trainers.metrics_log import MetricsLog


def test_a_new_run_is_an_empty_folder(tmp_path):
    run = new_run(tmp_path / "a" / "first")
    assert run.name == "first"
    assert list(run.path.iterdir()) == []
    assert run.read_metrics() == []


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"new or empty, found files in it\. Nothing was written"):
        new_run(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["-x", "a b", "ü" * 3, "x" * 101])
def test_a_name_must_be_a_model_id(name, tmp_path):
    with pytest.raises(ConfigError, match="run folder: expected a name"):
        new_run(tmp_path / name)


def test_what_is_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json in it\. Make one with: python -m"):
        open_run(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        open_run(tmp_path / "gone")


def test_a_run_held_by_another_process_is_refused_until_that_dies(tmp_path):
    run = new_run(tmp_path / "run")
    code = (
        "import sys, pathlib; from fracture_core.runs import RunFolder\n"
        "with RunFolder(path=pathlib.Path(sys.argv[1])).claim():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        words = "nobody is working on, found a live process"
        with pytest.raises(ConfigError, match=words), run.claim():
            pass
        holder.kill()
    with run.claim():
        pass


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path):
    run = new_run(tmp_path / "run")
    MetricsLog(run).write({"kind": "note", "text": "whole"})
    with run.metrics.open("a") as file:
        file.write('{"kind": "ste')
    assert [line["text"] for line in run.read_metrics()] == ["whole"]


def test_a_cut_off_line_that_was_written_on_is_left_out(tmp_path):
    run = new_run(tmp_path / "run")
    run.metrics.write_text('{"kind": "ste{"kind": "note"}\n7\n{"kind": "epoch"}\n')
    assert run.read_metrics() == [{"kind": "epoch"}]


def test_a_look_at_the_lock_does_not_keep_a_training_from_starting(tmp_path):
    run = new_run(tmp_path / "run")
    with run.claim():
        pass
    with run.trainer_lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with run.claim():
            assert is_held(run.trainer_lock)
    assert not is_held(run.trainer_lock)


def test_rewinding_forgets_what_will_happen_again(tmp_path):
    run = new_run(tmp_path / "run")
    log = MetricsLog(run)
    for epoch in (1, 2):
        for step in (1, 2):
            log.write({"kind": "step", "phase": 1, "epoch": epoch, "step": step})
        log.write({"kind": "epoch", "phase": 1, "epoch": epoch, "step": 2})
    log.write({"kind": "note", "text": "kept"})
    log.rewind(phase=1, epoch=2, step=1)
    kept = [(line["kind"], line.get("epoch"), line.get("step")) for line in run.read_metrics()]
    assert kept == [
        ("step", 1, 1),
        ("step", 1, 2),
        ("epoch", 1, 2),
        ("step", 2, 1),
        ("note", None, None),
    ]
