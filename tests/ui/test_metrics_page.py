"""The Metrics page without a browser: what it says and offers, and what goes wrong."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import class_names, jobs
from fracture_core.demo.layouts import write_demo
from fracture_core.evaluations import (
    EvaluateConfig,
    list_evaluations,
    load_evaluation,
    measure_points,
    new_evaluation,
    report_of,
    run_evaluation,
)
from fracture_core.models.fake import CARD
from fracture_core.models.library import SHIPPED, add_folder, points_of
from fracture_core.operating_points import ANY_HIT_GRID
from fracture_core.settings import settings
from fracture_core.ui.evaluate import evaluation_form, points
from tests.support.job_runs import fake_command, make_run

APP = Path(__file__).parents[2] / "streamlit_app.py"
COMMAND = (sys.executable, "-m", "fracture_core", "evaluate", "--resume")
PAGE = "pages/evaluate/metrics.py"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    write_demo(folder, count=12, seed=1, format="coco", size=(128, 128))
    return folder


@pytest.fixture
def evaluated(demo: Path) -> str:
    """The name of an evaluation of the fake model."""
    return evaluate(demo)


def evaluate(demo: Path, model: str = "fake", **config) -> str:
    asked = EvaluateConfig(model=model, data=str(demo), **{"split": "all", **config})
    run = new_evaluation(asked)
    assert run_evaluation(run.path) is not None
    return run.name


def opened(page: str = PAGE, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(page).run()
    return checked(app)


def checked(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.info, app.warning, app.error, app.caption, app.markdown)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "")


def tab(app: AppTest, name: str) -> AppTest:
    app.session_state["evaluation_tab"] = name
    return checked(app.run())


# ---- choosing ---------------------------------------------------------------------------------


def test_without_an_evaluation_it_says_what_to_do() -> None:
    app = opened()
    assert "Nothing has been evaluated yet" in texts(app)
    assert app.selectbox(key="evaluation_model").value == "fake"


def test_one_that_waits_is_named_with_what_it_waits_for(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is started: what is submitted waits.
    for module in ("fracture_core.jobs", "fracture_core.jobs.verbs"):
        monkeypatch.setattr(f"{module}.tend", lambda: None)
    training = make_run("long-training")
    jobs.submit(training, command=fake_command(training))
    first = new_evaluation(EvaluateConfig(model="fake", data=str(demo), split="all"), "long-one")
    jobs.submit(first.path)
    run = new_evaluation(EvaluateConfig(model="fake", data=str(demo), split="val"))
    job = jobs.submit(run.path)
    # A training that only waits is no reason to.
    assert [each.name for each in jobs.ahead_of(job)] == ["long-one"]
    assert jobs.ahead_of(jobs.find_job(first.path)) == []
    for page in (PAGE, "pages/evaluate/errors.py"):
        app = opened(page)
        said = "\n".join(each.value for each in app.info).replace("\\", "")
        assert "fake · demo · val waits in the queue, behind the evaluation long-one." in said
        assert "Nothing has been evaluated yet" not in said
    assert "queued · behind the evaluation long-one" in texts(app)


def test_copied_evaluations_are_listed(demo: Path, evaluated: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "results"
    run = new_evaluation(
        EvaluateConfig(model="fake", data=str(demo), split="val"), folder=elsewhere / "one"
    )
    assert run_evaluation(run.path) is not None
    place = settings().evaluations
    shutil.copytree(elsewhere / "one", place / "one")
    shutil.copytree(elsewhere, place / "results")
    assert {each.name for each in list_evaluations()} == {evaluated, "one", "results/one"}
    assert all(each.complete for each in list_evaluations())
    assert opened(evaluation="results/one").selectbox(key="evaluation").value == "results/one"


def test_the_newest_is_shown_first_and_the_address_follows(demo: Path, evaluated: str) -> None:
    second = evaluate(demo, limit=6)
    app = opened()
    chooser = app.selectbox(key="evaluation")
    assert chooser.value == second
    assert chooser.options[0].startswith("Fake model (invents findings) · demo · all · 6 images")
    assert app.query_params["evaluation"] == second
    checked(chooser.set_value(evaluated).run())
    assert app.query_params["evaluation"] == evaluated
    assert "greedily by score, one to one" in texts(app)


def test_the_address_names_one(demo: Path, evaluated: str) -> None:
    evaluate(demo, limit=6)
    assert opened(evaluation=evaluated).selectbox(key="evaluation").value == evaluated
    app = opened(evaluation="gone")
    assert "There is no evaluation called gone." in texts(app)
    assert app.selectbox(key="evaluation").value != "gone"


def test_a_half_written_one_says_so_and_the_others_are_offered(demo: Path, evaluated: str) -> None:
    half = new_evaluation(EvaluateConfig(model="fake", data=str(demo)), name="half")
    app = opened(evaluation=half.name)
    assert "one that has not ended" in texts(app)
    assert app.selectbox(key="evaluation").options
    assert len(app.selectbox(key="evaluation").options) == 1


def test_a_broken_one_is_a_sentence(evaluated: str) -> None:
    folder = settings().home / "evaluations" / evaluated
    (folder / "answers.npz").write_bytes(b"PK\x03\x04 no more")
    app = opened()
    assert "expected stored answers" in texts(app)


def test_a_senseless_confidence_in_the_address_is_refused(evaluated: str) -> None:
    app = opened(confidence="many", unit="fp")
    assert "expected a number" in texts(app)
    assert opened(confidence="0.25").session_state["dial"].confidence == 0.25


def test_one_can_be_deleted(demo: Path, evaluated: str) -> None:
    second = evaluate(demo, limit=6)
    app = opened()
    checked(app.button(key=f"delete-evaluation-{second}").click().run())
    assert app.selectbox(key="evaluation").value == evaluated
    assert [each.name for each in list_evaluations()] == [evaluated]
    assert "no evaluation called" not in texts(app)


# ---- starting ---------------------------------------------------------------------------------


def form(demo: Path, model: str = "fake") -> AppTest:
    app = opened()
    app.text_input(key="path").set_value(str(demo)).run()
    return checked(app.selectbox(key="evaluation_model").set_value(model).run())


def test_start_makes_one_job_however_often_it_is_clicked(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[tuple[Path, tuple[str, ...]]] = []

    def submit(folder: Path, *, command: tuple[str, ...]) -> None:
        submitted.append((folder, command))
        run_evaluation(folder)

    app = form(demo)
    monkeypatch.setattr(evaluation_form.jobs, "submit", submit)
    assert app.button_group(key="evaluation_split").value == "val"
    app.number_input(key="evaluation_limit").set_value(2).run()
    checked(app.button(key="evaluation_start").click().run())
    checked(app.button(key="evaluation_start").click().run())
    (listed,) = list_evaluations()
    assert submitted == [(listed.folder, (*COMMAND, str(listed.folder)))]
    assert (listed.complete, listed.images) == (True, 2)
    assert app.selectbox(key="evaluation").value == listed.name


def test_what_was_typed_last_counts_though_start_is_clicked_at_once(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = form(demo)
    monkeypatch.setattr(evaluation_form.jobs, "submit", lambda folder, **_: run_evaluation(folder))
    # Leaving the field and clicking reach the server together.
    app.number_input(key="evaluation_limit").set_value(1)
    checked(app.button(key="evaluation_start").click().run())
    (listed,) = list_evaluations()
    assert listed.images == 1


def test_one_class_is_switched_on_where_no_name_is_shared(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_names, "_OF_THE_PACKAGE", ())
    add_folder(SHIPPED / "yolo-detect")
    app = form(demo, "yolo-detect")
    assert app.toggle(key="evaluation_one_class").value
    assert "no class name in common" in texts(app)
    assert not app.button(key="evaluation_start").disabled
    checked(app.toggle(key="evaluation_one_class").set_value(False).run())
    assert app.button(key="evaluation_start").disabled
    assert "found other classes" in texts(app)
    checked(app.selectbox(key="evaluation_model").set_value("fake").run())
    assert not app.toggle(key="evaluation_one_class").value


def test_a_split_without_truth_is_refused_before_the_start(demo: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "yolo", count=6, seed=1, format="yolo", size=(128, 128))
    for labels in (tmp_path / "yolo").rglob("*.txt"):
        labels.unlink()
    app = form(tmp_path / "yolo")
    assert app.button(key="evaluation_start").disabled
    assert "no image has a ground truth" in texts(app)


def test_a_job_that_could_not_be_submitted_says_why(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.errors import ConfigError

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("queue", expected="room", found="none")

    app = form(demo)
    monkeypatch.setattr(evaluation_form.jobs, "submit", refuse)
    checked(app.button(key="evaluation_start").click().run())
    assert "queue: expected room, found none." in texts(app)


# ---- below the dial ---------------------------------------------------------------------------


def test_operating_points_are_chosen_stored_and_applied(demo: Path, evaluated: str) -> None:
    app = opened()
    assert "No operating points are stored" in texts(app)
    frame = app.dataframe[0].value
    assert list(frame["Rule"])[:2] == ["max F1", "sensitivity ≥ 0.9"]
    assert "n = " in frame["Sensitivity per lesion"][0]
    app.selectbox(key="rule_aim").set_value("sensitivity ≥").run()
    app.number_input(key="rule_bound_sensitivity ≥").set_value(0.8).run()
    checked(next(b for b in app.button if b.label == "Add").click().run())
    assert list(app.dataframe[0].value["Rule"])[-1] == "sensitivity ≥ 0.8"
    app.selectbox(key="rule_aim").set_value("max any-hit F1").run()
    assert app.number_input(key="rule_bound_max any-hit F1").disabled
    checked(next(b for b in app.button if b.label == "Add").click().run())
    assert float(list(app.dataframe[0].value["Confidence ≥"])[-1]) in ANY_HIT_GRID
    checked(next(b for b in app.button if b.label == "Store with the model").click().run())
    stored = points_of(CARD)
    assert stored is not None
    assert [point.rule for point in stored.points[-2:]] == ["sensitivity ≥ 0.8", "max any-hit F1"]
    assert "Stored with the model" in [each.value for each in app.subheader]
    assert "images that they were not chosen on" in texts(app)
    # On other images they are applied, and what they reach can be kept.
    evaluate(demo, limit=6)
    app = opened()
    assert "Applied to demo, split all" in texts(app)
    checked(next(b for b in app.button if b.label == "Store what they reach here").click().run())
    assert points_of(CARD).points[0].applied is not None
    # The report says where they were chosen.
    frames = [frame.value for frame in tab(app, "Report").dataframe]
    chosen = next(frame for frame in frames if "Chosen on" in frame.columns)
    assert set(chosen["Chosen on"]) == {"demo, split all"}


def test_points_are_stored_as_measured_with_what_was_typed_last(evaluated: str) -> None:
    app = opened()
    # Leaving the field and clicking reach the server together.
    app.number_input(key="match").set_value(0.25)
    checked(next(b for b in app.button if b.label == "Store with the model").click().run())
    stored = points_of(CARD)
    assert stored is not None
    assert stored.match_iou == 0.25


def test_points_that_cannot_be_had_say_so(demo: Path) -> None:
    name = evaluate(demo, limit=4)
    evaluation = load_evaluation(settings().home / "evaluations" / name)
    point = (
        measure_points(evaluation)
        .points[1]
        .model_copy(update={"confidence": None, "reason": "no", "chosen": None})
    )
    row = points._row(point, "chosen")
    assert (row["Confidence ≥"], row["Sensitivity per lesion"], row["Note"]) == (
        "not met",
        "–",
        "no",
    )


def test_it_opens_with_ap_and_auc_and_the_time(demo: Path, evaluated: str) -> None:
    shown = {each.label: each for each in opened().metric}
    assert list(shown) == ["AP50 per lesion", "AP per lesion", "ROC AUC per image", "Time an image"]
    report = report_of(load_evaluation(settings().evaluations / evaluated))
    area = report.metric("COCO, boxes", "AP50", "lesion")
    assert shown["AP50 per lesion"].value == f"{area.value:.3f}"
    assert shown["AP50 per lesion"].delta == f"{area.low:.3f}–{area.high:.3f}, n = {area.n}"
    assert shown["Time an image"].delta == "stages not told"


def test_curves_by_class_have_the_ap_of_the_report(evaluated: str) -> None:
    app = tab(opened(), "Curves by class")
    assert "its mean is AP50" in texts(app)
    assert app.button_group(key="curves_of").value == "boxes"
    app.button_group(key="curves_of").set_value("masks")
    checked(app.run())


def confusion(app: AppTest) -> pd.DataFrame:
    """The table with a row for each class, unlike the one of error types."""
    frames = [frame.value for frame in app.dataframe]
    return next(frame for frame in frames if "missed" in frame and len(frame) > 1)


def test_the_report_has_units_numbers_and_intervals(evaluated: str) -> None:
    app = tab(opened(), "Report")
    assert confusion(app).iloc[:, 1:].to_numpy(dtype=float).max() >= 1
    app.button_group(key="confusion_shares").set_value("by row")
    app = checked(app.run())
    sums = confusion(app).iloc[:, 1:].to_numpy(dtype=float, na_value=0.0).sum(axis=1)
    assert all(each in (0, pytest.approx(1)) for each in sums)
    frames = [frame.value for frame in app.dataframe]
    metrics = [frame for frame in frames if "95 % interval" in frame.columns]
    assert {unit for frame in metrics for unit in frame["Per"]} >= {"lesion", "image"}
    assert any("–" in text for frame in metrics for text in frame["95 % interval"])
    assert "chosen on these very images" in texts(app)


def test_a_classifier_has_critical_errors_and_no_match_iou(demo: Path) -> None:
    add_folder(SHIPPED / "resnet")
    evaluate(demo, "resnet", limit=4)
    app = opened()
    assert not [each for each in app.number_input if each.key == "match"]
    assert "An image shows a finding" in texts(app)
    app = tab(app, "Critical errors")
    assert "must not be read as another" in texts(app)
    assert "Name a pair to count it." in texts(app)
    app.session_state["critical_pairs:healthy|fracture:first"] = (("fracture", "healthy"),)
    del app.session_state["critical_pairs:healthy|fracture"]
    table = checked(app.run()).dataframe[-1].value
    assert list(table["True class"]) == ["fracture"]
    assert "n = " in table["Share of the true class (per image)"][0]


def test_undefined_figures_are_no_error(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, tmp_path / "healthy")
    for file in (tmp_path / "healthy" / "annotations").iterdir():
        held = json.loads(file.read_text())
        file.write_text(json.dumps({**held, "annotations": []}))
    evaluate(tmp_path / "healthy")
    app = opened()
    table = app.dataframe[0].value
    assert "F1 is undefined: there is no ground truth to find" in list(table["Note"])
    assert "undefined, n = 0" in list(table["Sensitivity per lesion"])
    app = tab(app, "Report")
    values = [
        text for frame in app.dataframe if "Value" in frame.value for text in frame.value["Value"]
    ]
    assert pd.isna(values).any()
