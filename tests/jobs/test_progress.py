"""How far a run is, from hand-written lines."""

import json
from pathlib import Path

import pytest

from fracture_core.jobs import read_progress
from fracture_core.jobs.job import last_line, read_tail
from fracture_core.runs import RunFolder

EPOCH = {"kind": "epoch", "phase": 1, "of": 4, "steps": 10, "step": 10}
STEP = {"kind": "step", "phase": 1, "of": 4, "steps": 10}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (tmp_path / "config.json").write_text('{"epochs": 4, "second_phase": null}')
    return RunFolder(path=tmp_path)


def write(run: RunFolder, *lines: object) -> None:
    run.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_nothing_is_known_before_the_first_step(run):
    assert read_progress(run) is None
    write(run, {"kind": "note", "text": "hello", "time": 1.0})
    assert read_progress(run) is None


def test_the_time_left_follows_from_the_steps_of_the_first_epoch(run):
    # Eight steps in 8 s are 0.8 epochs; 3.1 are left at 10 s each.
    write(
        run,
        {**STEP, "epoch": 1, "step": 1, "time": 100.0},
        {**STEP, "epoch": 1, "step": 9, "time": 108.0, "loss": 0.5, "lr": 0.01},
    )
    progress = read_progress(run)
    assert (progress.epoch, progress.epochs, progress.step, progress.steps) == (1, 4, 9, 10)
    assert progress.share == pytest.approx(0.225)
    assert progress.seconds_left == pytest.approx(31.0)
    assert progress.latest == {"loss": 0.5, "lr": 0.01}


def test_a_whole_epoch_counts_with_its_validation(run):
    write(
        run,
        {**EPOCH, "epoch": 1, "seconds": 20.0, "validation_seconds": 5.0, "time": 25.0},
        {**STEP, "epoch": 2, "step": 5, "time": 40.0},
    )
    # 2.5 epochs at 25 s.
    assert read_progress(run).seconds_left == pytest.approx(62.5)


def test_the_validation_before_the_first_step_is_no_progress(run):
    start = {**EPOCH, "epoch": 0, "step": 0, "steps": 0, "validation_seconds": 5.0, "time": 5.0}
    write(run, start)
    assert read_progress(run) is None
    write(run, start, *({**STEP, "epoch": 1, "step": n, "time": 10.0 + n} for n in (1, 6)))
    # Half an epoch in 5 s; 3.4 are left.
    assert read_progress(run).seconds_left == pytest.approx(34.0)


def test_the_pause_before_a_resumption_does_not_count(run):
    write(
        run,
        {**STEP, "epoch": 1, "step": 1, "time": 0.0},
        {**STEP, "epoch": 1, "step": 2, "time": 1.0},
        {"kind": "note", "text": "resumed in phase 1, epoch 1, step 2", "time": 9_000.0},
        {**STEP, "epoch": 1, "step": 3, "time": 9_001.0},
        {**STEP, "epoch": 1, "step": 5, "time": 9_003.0},
    )
    assert read_progress(run).seconds_left == pytest.approx(35.0)


def test_both_phases_count(run):
    run.config.write_text('{"epochs": 6, "second_phase": {"epochs": 4}}')
    write(run, {**STEP, "epoch": 4, "step": 10, "of": 6, "time": 1.0})
    assert read_progress(run).share == pytest.approx(0.4)
    write(run, {**STEP, "phase": 2, "epoch": 2, "step": 10, "of": 4, "time": 1.0})
    assert read_progress(run).share == pytest.approx(0.8)


def test_the_end_is_the_end(run):
    write(run, {**EPOCH, "epoch": 4, "seconds": 1.0, "time": 1.0})
    progress = read_progress(run)
    assert (progress.share, progress.seconds_left) == (1.0, 0.0)


@pytest.mark.parametrize("config", ["{", "7", "{}", '{"epochs": null}', '{"epochs": "x"}'])
def test_a_config_edited_into_nonsense_leaves_what_the_lines_say(run, config):
    run.config.write_text(config)
    write(run, {**STEP, "epoch": 2, "step": 10, "time": 1.0})
    assert read_progress(run).share == pytest.approx(0.5)


def test_lines_that_are_nonsense_are_left_out(run):
    run.metrics.write_text('{"kind": \nnull\n{"epoch": "x", "step": [], "of": 0, "steps": 0}\n')
    assert read_progress(run).share == 0.0


def test_the_tail_of_a_log_is_whole_lines(run):
    assert read_tail(run) == ""
    run.log.write_bytes(b"first line\nsecond\n\xff third\n\n")
    assert read_tail(run, limit=18) == "second\n\ufffd third\n\n"
    assert last_line(run) == "\ufffd third"


def test_an_evaluation_counts_images(run):
    line = {"kind": "progress", "of": 40}
    write(run, {**line, "done": 0, "time": 100.0}, {**line, "done": 10, "time": 105.0})
    progress = read_progress(run)
    assert (progress.done, progress.of, progress.share) == (10, 40, 0.25)
    assert progress.seconds_left == pytest.approx(15.0)
    assert progress.words == "10 of 40 images"


def test_the_pace_of_an_evaluation_is_that_since_it_was_resumed(run):
    line, resumed = {"kind": "progress", "of": 40}, {"kind": "note", "text": "resumed after 10"}
    before = [{**line, "done": 0, "time": 0.0}, {**line, "done": 10, "time": 1000.0}]
    write(run, *before, {**resumed, "time": 2000.0}, {**line, "done": 10, "time": 2001.0})
    assert read_progress(run).seconds_left is None
    after = [{**line, "done": 10, "time": 2001.0}, {**line, "done": 20, "time": 2003.0}]
    write(run, *before, {**resumed, "time": 2000.0}, *after)
    assert read_progress(run).seconds_left == pytest.approx(4.0)
