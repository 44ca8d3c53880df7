"""The pages that launch trainings and show the queue."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import jobs
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError, StorageError
from fracture_core.files import hash_file
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.library import list_cards
from fracture_core.settings import settings
from tests.dial_evaluations import simulated
from tests.stored_evaluations import store
from trainers.config import read_config
from trainers.recipes import find_recipe
from trainers.running import make_run

APP = Path(__file__).parents[1] / "streamlit_app.py"
PAGES = Path(__file__).parents[1] / "pages" / "train"
OLD_RUNS = Path(__file__).parent / "old_runs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


@pytest.fixture
def no_trainer(monkeypatch):
    """Nothing is started: what is submitted waits."""
    monkeypatch.setattr(jobs, "tend", lambda: None)
    monkeypatch.setattr("fracture_core.jobs.verbs.tend", lambda: None)


def finished_run(name: str, demo: Path) -> Path:
    """A run that succeeded, with weights of a few bytes."""
    folder = settings().runs / name
    make_run(folder, "r3-detr-scratch", str(demo), {})
    lines = [
        {"kind": "epoch", "phase": 1, "epoch": n, "of": 2, "step": 1, "steps": 1, "loss": 1.0 / n}
        for n in (1, 2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    jobs.submit(folder)
    record = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**record, "queued": False}))
    (folder / "weights.safetensors").write_bytes(b"weights")
    card = ModelCard(
        model_id=name,
        title=name,
        family="scratch_detr",
        task="detect",
        classes=("fracture",),
        input_size=64,
        needs_nms=False,
        weights_file="weights.safetensors",
        weights_sha256=hash_file(folder / "weights.safetensors"),
    )
    write_card(card, folder)
    (folder / "exit_code").write_text("0")
    return folder


def open_jobs() -> AppTest:
    """Through the site map, which its links need."""
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    return app.switch_page("pages/train/jobs.py").run()


def by_label(elements, label):
    return next(each for each in elements if each.label == label)


def test_without_runs_the_page_says_where_to_begin():
    app = open_jobs()
    assert not app.exception
    assert "Nothing has been trained or evaluated yet" in app.info[0].value


def test_a_finished_run_is_listed_and_can_be_added_to_the_library(demo, no_trainer):
    finished_run("first", demo)
    app = open_jobs()
    assert not app.exception
    table = app.dataframe[0].value
    assert table[["Run", "State", "Done"]].values.tolist() == [["first", "succeeded", 1.0]]
    by_label(app.button, "Add to the library").click().run()
    assert not app.exception
    assert "first" in [card.model_id for card in list_cards()]


def test_a_waiting_run_can_be_stopped_resumed_and_deleted(demo, no_trainer):
    folder = settings().runs / "waiting"
    make_run(folder, "r3-detr-scratch", str(demo), {})
    jobs.submit(folder)
    app = open_jobs()
    assert app.dataframe[0].value["State"].tolist() == ["queued"]
    by_label(app.button, "Stop").click().run()
    assert app.dataframe[0].value["State"].tolist() == ["stopped"]
    by_label(app.button, "Resume").click().run()
    assert app.dataframe[0].value["State"].tolist() == ["queued"]
    by_label(app.button, "Delete for good").click().run()
    assert not folder.exists()
    assert not app.exception


def test_a_run_folder_deleted_under_the_page_is_gone_from_it(demo, no_trainer):
    for name in ("one", "two"):
        finished_run(name, demo)
    app = open_jobs()
    app.selectbox[0].select("one").run()
    shutil.rmtree(settings().runs / "one")
    app.run()
    assert not app.exception
    assert app.dataframe[0].value["Run"].tolist() == ["two"]


def test_a_config_edited_into_nonsense_leaves_the_page_up(demo, no_trainer):
    folder = finished_run("edited", demo)
    (folder / "config.json").write_text("{nonsense")
    app = open_jobs()
    assert not app.exception
    assert app.dataframe[0].value["State"].tolist() == ["succeeded"]


def test_a_job_record_edited_into_nonsense_is_a_word_in_its_row(demo, no_trainer):
    folder = finished_run("edited", demo)
    (folder / "job.json").write_text("{nonsense")
    app = open_jobs()
    assert not app.exception
    assert "job.json" in app.dataframe[0].value["Word"].tolist()[0]


def test_a_disk_that_is_full_is_said_and_the_page_stays_up(demo, no_trainer, monkeypatch):
    finished_run("first", demo)

    def fill() -> None:
        place = str(settings().runs / "first" / "job.json")
        raise StorageError(place, expected="room on the disk", found="a full disk")

    monkeypatch.setattr(jobs, "tend", fill)
    app = open_jobs()
    assert not app.exception
    assert "expected room on the disk" in app.error[0].value
    assert app.dataframe[0].value["State"].tolist() == ["succeeded"]


def open_launch(demo: Path) -> AppTest:
    app = AppTest.from_file(str(PAGES / "launch.py"), default_timeout=60)
    app.session_state["path"] = app.session_state["path_agreed"] = str(demo)
    app.session_state["recipe"] = "r3-detr-scratch"
    return app.run()


def test_the_dials_begin_where_the_recipe_does(demo):
    app = open_launch(demo)
    assert not app.exception
    assert by_label(app.number_input, "epochs").value == 100
    assert by_label(app.text_input, "lr").value == "0.0001"
    assert by_label(app.text_input, "scale").value == "[0.6, 1.0]"
    assert by_label(app.button, "Start training").disabled


def test_every_setting_has_a_dial_with_its_help(demo):
    from trainers.config import TrainConfig

    app = open_launch(demo)
    shown = [*app.number_input, *app.text_input, *app.selectbox, *app.toggle]
    labels = {each.label for each in shown}
    hidden = {"recipe", "family", "data", "classes", "augment", "second_phase", "start"}
    wanted = {name.replace("_", " ") for name in set(TrainConfig.model_fields) - hidden}
    assert wanted <= labels
    assert by_label(app.number_input, "patience").help


def test_a_setting_that_cannot_be_is_said_at_once(demo):
    app = open_launch(demo)
    by_label(app.text_input, "monitor").set_value("auc").run()
    assert "monitor" in app.error[0].value
    assert not [each for each in app.button if each.label == "Start training"]


@pytest.fixture
def went(monkeypatch):
    """Where the page led to; its checks find nothing wrong."""
    from fracture_core.ui import launching

    found = {"findings": [], "parameters": 1, "step_seconds": 1, "seconds": 1, "memory_bytes": 1}
    monkeypatch.setattr(launching, "_preflight", lambda *_: {**found, "device": "CPU"})
    pages = []
    monkeypatch.setattr(launching.st, "switch_page", pages.append)
    return pages


def test_a_start_makes_one_run_with_the_settings_of_the_page(demo, no_trainer, went):
    app = open_launch(demo)
    by_label(app.number_input, "epochs").set_value(7).run()
    by_label(app.button, "Check before the start").click().run()
    by_label(app.button, "Start training").click().run()
    assert not app.exception
    (run,) = settings().runs.glob("r3*")
    config = read_config(run / "config.json")
    assert (config.epochs, config.batch) == (7, find_recipe("r3-detr-scratch").config("", {}).batch)
    assert [job.name for job in jobs.list_jobs()] == [run.name]
    assert went == ["pages/train/jobs.py"]
    # A second click, a moment later, means the same run.
    by_label(app.button, "Start training").click().run()
    assert [job.name for job in jobs.list_jobs()] == [run.name]
    assert went == ["pages/train/jobs.py"] * 2
    # What was checked is not what is asked for any more.
    by_label(app.number_input, "epochs").set_value(8).run()
    assert by_label(app.button, "Start training").disabled


def test_what_was_typed_last_counts_though_start_is_clicked_at_once(demo, no_trainer, went):
    app = open_launch(demo)
    by_label(app.button, "Check before the start").click().run()
    by_label(app.number_input, "epochs").set_value(8)
    by_label(app.button, "Start training").click().run()
    # It was checked with other settings.
    assert not list(settings().runs.glob("r3*"))
    assert went == []
    by_label(app.button, "Check before the start").click().run()
    by_label(app.text_input, "Name of the run").set_value("mine")
    by_label(app.button, "Start training").click().run()
    assert not app.exception
    assert read_config(settings().runs / "mine" / "config.json").epochs == 8
    assert [job.name for job in jobs.list_jobs()] == ["mine"]


def test_a_start_that_the_queue_refused_can_be_tried_again(demo, no_trainer, went, monkeypatch):
    def refuse(_):
        raise ConfigError("queue", expected="room", found="none")

    app = open_launch(demo)
    by_label(app.button, "Check before the start").click().run()
    with monkeypatch.context() as full:
        full.setattr(jobs, "submit", refuse)
        by_label(app.button, "Start training").click().run()
        assert "expected room" in app.error[0].value
        assert went == []
    by_label(app.button, "Start training").click().run()
    assert not app.exception
    (job,) = jobs.list_jobs()
    assert [path.name for path in settings().runs.glob("r3*")] == [job.name]


def test_a_run_is_made_among_the_others_only(demo, no_trainer, went, tmp_path):
    app = open_launch(demo)
    by_label(app.button, "Check before the start").click().run()
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "", ".."):
        by_label(app.text_input, "Name of the run").set_value(name)
        by_label(app.button, "Start training").click().run()
        assert not app.exception
        assert "expected a name" in app.error[0].value, name
    assert went == []
    assert not (tmp_path / "elsewhere").exists()
    assert not (settings().runs.parent / "elsewhere").exists()


def test_a_finished_training_leads_to_its_metrics(demo, no_trainer):
    folder = finished_run("first", demo)
    for name, split in (("validation", "val"), ("test", "test")):
        made = simulated(8, 4)
        about = made.about.model_copy(update={"split": split})
        store(replace(made, about=about), name, folder / "evaluations")
    app = open_jobs()
    assert not app.exception
    links = [each.proto for each in app.get("page_link")]
    assert [(each.label, each.query_string) for each in links] == [
        ("Show its figures on val", "evaluation=first%2Fvalidation"),
        ("Show its figures on test", "evaluation=first%2Ftest"),
    ]
    app.query_params["evaluation"] = "first/validation"
    app.switch_page("pages/evaluate/metrics.py").run()
    assert not app.exception
    assert app.selectbox(key="evaluation").value == "first/validation"


def test_a_training_of_before_tells_what_it_came_to(demo, no_trainer):
    folder = finished_run("first", demo)
    shutil.copy(OLD_RUNS / "gate" / "evaluation.json", folder)
    app = open_jobs()
    assert not app.exception
    said = [each.value.replace("\\", "") for each in app.caption]
    assert any(each.startswith("On 2 images of test: accuracy 0.500, bal") for each in said)
    (folder / "evaluation.json").write_text("{}")
    app.run()
    assert "expected what a training came to" in app.error[0].value
