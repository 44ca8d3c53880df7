"""An evaluation as a job beside the trainings."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import jobs
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.evaluations import (
    EvaluateConfig,
    list_evaluations,
    load_evaluation,
    new_evaluation,
)
from fracture_core.jobs import State
from fracture_core.jobs.job import read_record
from fracture_core.runs import RunFolder
from fracture_core.settings import settings

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


@pytest.fixture
def run(demo) -> RunFolder:
    return new_evaluation(EvaluateConfig(model="fake", data=str(demo), split="train"))


@pytest.fixture
def waiting(monkeypatch) -> None:
    """Nothing is started: what is submitted waits."""
    monkeypatch.setattr(jobs, "tend", lambda: None)
    monkeypatch.setattr("fracture_core.jobs.verbs.tend", lambda: None)


@pytest.fixture
def inline(monkeypatch) -> None:
    monkeypatch.setenv("FRACTURE_RUNNER", "inline")
    settings.cache_clear()


def test_it_runs_to_its_end_and_is_a_success(run, inline):
    job = jobs.submit(run.path)
    assert (job.state, job.kind, job.detail) == (State.SUCCEEDED, "evaluation", "")
    assert job.run.path == settings().runs / run.name
    assert "COCO, boxes" in jobs.logs(run.path)
    assert load_evaluation(run.path).about.model_id == "fake"
    for name in ("report.json", "report.csv", "figures/froc.svg"):
        assert (run.path / name).is_file()
    progress = jobs.read_progress(job.run)
    assert progress.done == progress.of == len(load_evaluation(run.path))
    with pytest.raises(ConfigError, match="Make a new evaluation to ask again"):
        jobs.resume(run.path)
    jobs.delete(run.path)
    assert list_evaluations() == []
    assert jobs.list_jobs() == []
    assert list(settings().evaluations.iterdir()) == []


def test_bad_input_is_the_word_of_a_failed_job(demo, inline):
    run = new_evaluation(EvaluateConfig(model="fake", data=str(demo), split="night"))
    job = jobs.submit(run.path)
    assert job.state is State.FAILED
    assert "expected a split (train, val, test, all), found 'night'" in job.detail
    assert job.retries == 0


def test_a_card_is_no_success_of_an_evaluation(run, waiting):
    jobs.submit(run.path)
    record = json.loads(run.job.read_text())
    assert record["result"] == "evaluation.json"
    assert record["command"][1:] == [
        *("-m", "fracture_core", "evaluate", "--resume"),
        str(settings().runs / run.name),
    ]
    run.job.write_text(json.dumps({**record, "queued": False}))
    run.exit_code.write_text("0")
    run.card.write_text("{}")
    job = jobs.find_job(run.path)
    assert (job.state, job.detail) == (
        State.FAILED,
        "Ended as if all were well, but there is no evaluation.json.",
    )
    run.evaluation.write_text("{}")
    assert jobs.find_job(run.path).state is State.SUCCEEDED
    run.evaluation.unlink()
    assert jobs.find_job(run.path).state is State.FAILED


def test_records_written_before_are_of_trainings(tmp_path):
    path = tmp_path / "job.json"
    path.write_text('{"runner": "local", "command": ["true"], "submitted": 1.0}')
    assert read_record(path).result == "card.json"
    path.write_text(
        '{"runner": "local", "command": ["true"], "submitted": 1.0, "result": "../../x"}'
    )
    with pytest.raises(ConfigError, match="result"):
        read_record(path)


def test_an_unreadable_record_is_written_anew_for_what_the_run_is(run, waiting):
    jobs.submit(run.path)
    run.job.write_text("no JSON")
    job = jobs.find_job(run.path)
    assert (job.state, job.kind) == (State.FAILED, "evaluation")
    jobs.resume(run.path)
    assert read_record(run.job).result == "evaluation.json"
    assert "evaluate" in read_record(run.job).command


def open_jobs() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    return app.switch_page("pages/train/jobs.py").run()


def by_label(elements, label):
    return next(each for each in elements if each.label == label)


def test_the_page_of_jobs_shows_it_without_what_belongs_to_trainings(run, waiting):
    jobs.submit(run.path)
    lines = [{"kind": "progress", "done": n, "of": 14, "time": float(n)} for n in (0, 7)]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    app = open_jobs()
    assert not app.exception
    table = app.dataframe[0].value
    assert table[["Run", "Kind", "State", "Done"]].values.tolist() == [
        [run.name, "Evaluation", "queued", 0.5]
    ]
    assert any("7 of 14 images" in each.value for each in app.markdown)
    assert not app.tabs
    by_label(app.button, "Stop").click().run()
    assert app.dataframe[0].value["State"].tolist() == ["stopped"]
    assert "Add to the library" not in [each.label for each in app.button]
    by_label(app.button, "Resume").click().run()
    assert app.dataframe[0].value["State"].tolist() == ["queued"]
    by_label(app.button, "Delete for good").click().run()
    assert not app.exception
    assert list_evaluations() == []
