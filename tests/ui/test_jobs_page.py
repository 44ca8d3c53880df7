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
from fracture_core.ui.train import run_curves
from fracture_core.ui.train.fields import name_of
from fracture_core.ui.train.settings import BASIC, grouped, settings_of
from tests.support.dial_evaluations import simulated
from tests.support.metrics_logs import LOGGED, lines_of
from tests.support.stored_evaluations import store
from trainers.family_configs import read_config
from trainers.recipes import RECIPES, find_recipe
from trainers.running import make_run

APP = Path(__file__).parents[2] / "streamlit_app.py"
PAGES = Path(__file__).parents[2] / "pages" / "train"
OLD_RUNS = Path(__file__).parents[1] / "old_runs"


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


@pytest.mark.parametrize("family", ["yolo-seg", "detr"])
def test_the_curves_of_a_run_are_shown_and_end_at_the_best_epoch(
    family, demo, no_trainer, monkeypatch
):
    panels, made = [], finished_run("first", demo)
    monkeypatch.setattr(run_curves, "curve_chart", lambda given, **_: panels.append(given))
    app = open_jobs()
    assert not app.exception
    assert app.toggle(key="curves-cut").disabled
    assert [panel.title for panel in panels[-1]] == ["Loss"]
    lines = lines_of(*LOGGED[family])
    (made / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    app.run()
    parts, metrics, rates = LOGGED[family]
    watched = 1
    curves = 2 * (1 + len(parts)) + len(metrics) + len(rates) + watched
    assert sum(len(panel.curves) for panel in panels[-1]) == curves
    assert {curve.x[-1] for panel in panels[-1] for curve in panel.curves} == {3}
    app.toggle(key="curves-cut").set_value(True).run()
    assert not app.exception
    assert {curve.x[-1] for panel in panels[-1] for curve in panel.curves} == {2}
    assert {line.x for panel in panels[-1] for line in panel.lines} == {2}


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


def open_launch(demo: Path, recipe: str = "r3-detr-scratch", start: str = "") -> AppTest:
    app = AppTest.from_file(str(PAGES / "launch.py"), default_timeout=60)
    app.session_state["path"] = app.session_state["path_agreed"] = str(demo)
    app.session_state["recipe"] = recipe
    if start:
        app.session_state[f"{recipe}-start"] = start
    return app.run()


def test_the_dials_begin_where_the_recipe_does(demo):
    app = open_launch(demo)
    assert not app.exception
    assert by_label(app.number_input, "Epochs").value == 100
    assert by_label(app.text_input, "Learning rate").value == "0.0001"
    assert by_label(app.text_input, "Sides of a crop (shares)").value == "[0.48, 0.75]"
    assert by_label(app.number_input, "Queries").value == 4
    assert by_label(app.button, "Start training").disabled


def dials(app: AppTest) -> set[str]:
    return {
        each.label for each in (*app.number_input, *app.text_input, *app.selectbox, *app.toggle)
    }


def headings(app: AppTest) -> list[str]:
    return [each.value.strip("*") for each in app.markdown if each.value.startswith("**")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_setting_of_the_family_stands_under_one_heading(recipe):
    config = find_recipe(recipe).config("", {})
    placed = [name for members in grouped(config).values() for name in members]
    assert len(placed) == len(set(placed))
    elsewhere = {"recipe", "family", "data", "classes", "start", *BASIC, name_of(config)}
    elsewhere |= set(config.unused) | {"second_phase"}
    assert set(placed) | elsewhere == set(settings_of(config)) | elsewhere
    assert not set(placed) & elsewhere


@pytest.mark.parametrize(
    ("recipe", "own", "foreign"),
    [
        ("r3-detr-scratch", {"No-object weight", "GIoU weight", "Queries"}, {"NMS IoU", "Mosaic"}),
        ("r5-yolo-detect", {"NMS IoU", "Mosaic", "DFL weight"}, {"No-object weight", "Fused"}),
        ("r5-resnet", {"Class multipliers", "Focal gamma (γ)"}, {"Match IoU", "L1 weight"}),
        ("r2-faster-rcnn", {"NMS IoU", "Finest anchors (px)"}, {"Focal share", "Queries"}),
        ("r1-detr", {"L1 weight", "Auxiliary losses"}, {"NMS IoU", "Class multipliers"}),
    ],
)
def test_only_what_the_recipes_family_has_is_shown(demo, recipe, own, foreign):
    app = open_launch(demo, recipe)
    assert not app.exception
    assert own <= dials(app)
    assert not foreign & dials(app)
    assert headings(app)[:2] == ["Data", "Network"]
    assert all(each.help for each in app.number_input)


def test_no_tracker_is_asked_for_until_one_is_chosen(demo, monkeypatch):
    asked, error = [], {"level": "error", "text": "none"}

    def look(_recipe, _data, changes):
        asked.append(changes)
        return {"findings": [error]}

    monkeypatch.setattr("fracture_core.ui.train.launching._preflight", look)
    app = open_launch(demo, "r5-yolo-detect")
    by_label(app.button, "Check before the start").click().run()
    by_label(app.multiselect, "Trackers").set_value(["tensorboard"]).run()
    by_label(app.button, "Check before the start").click().run()
    assert not app.exception
    assert asked == [{}, {"trackers": ["tensorboard"]}]


def test_a_setting_that_cannot_be_is_said_at_once(demo):
    app = open_launch(demo)
    by_label(app.text_input, "Scale").set_value("[2, 1]").run()
    assert "scale" in app.error[0].value
    assert not [each for each in app.button if each.label == "Start training"]


@pytest.mark.parametrize(
    ("recipe", "network", "before", "after"),
    [
        ("r3-detr-scratch", "resnet18", "IMAGENET1K_V2", "IMAGENET1K_V1"),
        ("r3-detr-scratch", "resnet101", "IMAGENET1K_V2", "IMAGENET1K_V2"),
        ("r3-detr-scratch", "mobilenet_v2", "IMAGENET1K_V2", "mobilenet_v2:IMAGENET1K"),
        ("r4-efficientnet-gate", "efficientnet_b0", "IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("r2-faster-rcnn", "fasterrcnn_light", "COCO_V1", "efficientnet_lite0:IMAGENET1K"),
        ("r5-yolo-detect", "yolo11n.yaml", "yolov8x.pt", "yolo11n.pt"),
        ("r5-yolo-segment", "yolo11s-seg.yaml", "yolov8n-seg.pt", "yolo11s-seg.pt"),
        ("r5-resnet", "resnet18", "", ""),
        ("r1-detr", "rt_detr:small", "facebook/detr-resnet-50", "mobilenet_v2:IMAGENET1K"),
    ],
)
def test_the_start_follows_the_network(demo, recipe, network, before, after):
    app = open_launch(demo, recipe)
    assert by_label(app.selectbox, "Begin from").value == before
    by_label(app.selectbox, "Network").set_value(network).run()
    assert not app.exception
    assert not app.error
    assert by_label(app.selectbox, "Begin from").value == after


def test_the_start_follows_the_recipe(demo):
    app = open_launch(demo)
    by_label(app.selectbox, "Recipe").set_value("r5-yolo-detect").run()
    assert by_label(app.selectbox, "Begin from").value == "yolov8x.pt"
    by_label(app.selectbox, "Recipe").set_value("r1-detr").run()
    assert by_label(app.selectbox, "Begin from").value == "facebook/detr-resnet-50"


def test_a_start_of_ones_own_stays_when_the_network_changes(demo):
    # What was typed in: a selectbox of AppTest takes options only.
    app = open_launch(demo, start="models/own")
    by_label(app.selectbox, "Network").set_value("resnet18").run()
    assert not app.exception
    assert by_label(app.selectbox, "Begin from").value == "models/own"


@pytest.fixture
def went(monkeypatch):
    """Where the page led to; its checks find nothing wrong."""
    from fracture_core.ui.train import launching

    found = {"findings": [], "parameters": 1, "step_seconds": 1, "seconds": 1, "memory_bytes": 1}
    monkeypatch.setattr(launching, "_preflight", lambda *_: {**found, "device": "CPU"})
    pages = []
    monkeypatch.setattr(launching.st, "switch_page", pages.append)
    return pages


def test_a_start_makes_one_run_with_the_settings_of_the_page(demo, no_trainer, went):
    app = open_launch(demo)
    by_label(app.number_input, "Epochs").set_value(7).run()
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
    by_label(app.number_input, "Epochs").set_value(8).run()
    assert by_label(app.button, "Start training").disabled


def test_what_was_typed_last_counts_though_start_is_clicked_at_once(demo, no_trainer, went):
    app = open_launch(demo)
    by_label(app.button, "Check before the start").click().run()
    by_label(app.number_input, "Epochs").set_value(8)
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


def test_what_was_tried_besides_is_chosen_beside_the_recipe(demo, no_trainer, went):
    app = open_launch(demo)
    app.multiselect(key="r3-detr-scratch-variants").set_value(["queries-50", "layers-6"]).run()
    assert by_label(app.number_input, "Queries").value == 50
    assert "a sliver at the edge" in app.expander[0].markdown[0].value
    by_label(app.button, "Check before the start").click().run()
    by_label(app.button, "Start training").click().run()
    assert not app.exception
    config = read_config(settings().runs / "r3-detr-scratch-queries-50-layers-6-1" / "config.json")
    assert config.recipe == "r3-detr-scratch+queries-50+layers-6"
    assert (config.network.query_count, config.network.decoder_depth) == (50, 6)


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
        ("Show its metrics on val", "evaluation=first%2Fvalidation"),
        ("Show its metrics on test", "evaluation=first%2Ftest"),
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
