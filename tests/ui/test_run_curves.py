"""The curves of runs, from metrics logs as the trainers write them and as they did before."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fracture_core.demo import write_demo
from fracture_core.runs import RunFolder
from fracture_core.ui.train.run_curves import as_csv, panels_of, read_logged
from fracture_core.ui.widgets.curve_chart import Panel
from tests.support.metrics_logs import LOGGED, PLACE, lines_of
from tests.support.yolo_trainings import SEGMENT
from trainers.running import make_run, train_run


def made_run(folder: Path, lines: Sequence[dict[str, object]], **config: object) -> RunFolder:
    folder.mkdir()
    run = RunFolder(path=folder)
    run.config.write_text(json.dumps({"monitor": "ap", **config}))
    run.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


def drawn(panels: Sequence[Panel]) -> dict[str, list[str]]:
    return {panel.title: [curve.name for curve in panel.curves] for panel in panels}


@pytest.mark.parametrize("family", LOGGED)
def test_everything_that_is_logged_is_drawn(family: str, tmp_path: Path) -> None:
    parts, metrics, rates = LOGGED[family]
    panels = panels_of([read_logged(made_run(tmp_path / "run", lines_of(*LOGGED[family])))])
    curves = [curve for panel in panels for curve in panel.curves]
    trained, validated = len({"loss", *parts}), len({"loss", *parts, *metrics})
    # The watched one has a panel of its own beside that of its kind.
    watched = "ap" in metrics
    assert len(curves) == trained + validated + len(rates) + watched
    assert {tuple(curve.x) for curve in curves} == {(0, 1, 2, 3), (1, 2, 3)}
    # Where there are both, the dash tells validation, which begins at epoch 0.
    assert all(curve.x[0] == 0 for curve in curves if curve.dash == "dot")
    assert len([curve for curve in curves if curve.dash == "dot"]) == trained


def test_the_panels_of_a_segmenting_yolo(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", lines_of(*LOGGED["yolo-seg"]), monitor="mask_ap")
    both = ["training", "validation"]
    assert drawn(panels_of([read_logged(run)])) == {
        "Loss": both,
        "Mask AP50-95": ["validation"],
        "Box loss": both,
        "Class loss": both,
        "DFL loss": both,
        "Mask loss": both,
        "Precision, recall, F1": ["Precision", "Recall", "F1"],
        "AP": ["AP50", "AP50-95"],
        "Precision, recall, F1 of masks": ["Mask precision", "Mask recall", "Mask F1"],
        "AP of masks": ["Mask AP50", "Mask AP50-95"],
        "Learning rate": ["All others", "Norms", "Biases"],
    }


def test_accuracies_of_training_and_validation_share_a_panel(tmp_path: Path) -> None:
    panels = panels_of([read_logged(made_run(tmp_path / "run", lines_of(*LOGGED["classifier"])))])
    names = ["Accuracy, training", "Accuracy, validation", "Balanced accuracy"]
    assert drawn(panels)["Accuracy"] == names


def test_the_best_epoch_is_marked_and_the_curves_can_end_there(tmp_path: Path) -> None:
    logged = read_logged(made_run(tmp_path / "run", lines_of(*LOGGED["detr"])))
    assert logged.best == 2
    for cut, last in ((False, 3), (True, 2)):
        panels = panels_of([logged], cut=cut)
        assert all([(line.x, line.run) for line in panel.lines] == [(2, 0)] for panel in panels)
        assert {curve.x[-1] for panel in panels for curve in panel.curves} == {last}


@pytest.mark.parametrize("monitor", ["loss", "ar100", "found_breaks", "l1"])
def test_the_watched_metric_comes_right_after_the_loss(monitor: str, tmp_path: Path) -> None:
    lines = [{**line, "val_found_breaks": 0.5} for line in lines_of(*LOGGED["detr"])]
    panels = panels_of([read_logged(made_run(tmp_path / "run", lines, monitor=monitor))])
    titles = {"ar100": "AR, 100 boxes", "found_breaks": "Found breaks", "l1": "L1 loss"}
    second = titles.get(monitor, "Class loss")
    assert [panel.title for panel in panels][:2] == ["Loss", second]
    assert len({panel.title for panel in panels}) == len(panels)


def test_of_several_runs_each_metric_has_its_panel(tmp_path: Path) -> None:
    runs = [
        read_logged(made_run(tmp_path / name, lines_of(*LOGGED[family], best=best)))
        for name, family, best in (("one", "yolo", 1), ("two", "detr", 3))
    ]
    panels = {panel.title: panel for panel in panels_of(runs)}
    recall = panels["Recall"]
    assert [(curve.name, curve.run) for curve in recall.curves] == [
        ("one, validation", 0),
        ("two, validation", 1),
    ]
    assert [(line.x, line.run) for line in recall.lines] == [(1, 0), (3, 1)]
    of_one = panels["DFL loss"]
    assert [curve.name for curve in of_one.curves] == ["one, training", "one, validation"]
    assert [(line.x, line.run) for line in of_one.lines] == [(1, 0)]
    cut = {panel.title: panel for panel in panels_of(runs, cut=True)}
    assert [curve.x[-1] for curve in cut["Recall"].curves] == [1, 3]


def test_a_second_phase_is_counted_on(tmp_path: Path) -> None:
    lines = lines_of(*LOGGED["detr"])
    second = [{**line, "phase": 2, "best": line["epoch"] == 1} for line in lines[1:3]]
    logged = read_logged(made_run(tmp_path / "run", [*lines, *second]))
    assert logged.places == [0, 1, 2, 3, 4, 5]
    assert logged.best == 4


def test_a_log_of_before_still_draws(tmp_path: Path) -> None:
    old = [
        {**PLACE, "epoch": n, "loss": 1 / n, "val_loss": 2 / n, "ap": 0.1 * n, "lr": 0.1}
        for n in (1, 2)
    ]
    panels = panels_of([read_logged(made_run(tmp_path / "run", old))])
    assert drawn(panels) == {
        "Loss": ["training", "validation"],
        "AP50-95": ["validation"],
        "Learning rate": ["training"],
    }
    assert all(list(curve.x) == [1, 2] for panel in panels for curve in panel.curves)
    assert all(not panel.lines for panel in panels)


def test_before_the_first_epoch_ends_there_are_its_steps(tmp_path: Path) -> None:
    start = lines_of(*LOGGED["yolo"])[0]
    steps = [
        {**PLACE, "kind": "step", "epoch": 1, "step": n, "steps": 4, "loss": 1.0, "box": 0.5}
        for n in (1, 3)
    ]
    panels = {
        panel.title: panel
        for panel in panels_of([read_logged(made_run(tmp_path / "run", [start, *steps]))])
    }
    assert [list(curve.x) for curve in panels["Box loss"].curves] == [[0.25, 0.75], [0]]


def test_a_loss_that_the_network_lacks_has_no_panel(tmp_path: Path) -> None:
    lines = [{**line, "semantic": 0.0} for line in lines_of(*LOGGED["yolo-seg"])]
    titles = drawn(panels_of([read_logged(made_run(tmp_path / "run", lines))]))
    assert "Semantic loss" not in titles
    assert "Mask loss" in titles


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    lines = lines_of(*LOGGED["yolo"])
    lines[2] |= {"val_loss": None, "val_ap": "much"}
    run = made_run(tmp_path / "run", lines)
    run.config.write_text("{nonsense")
    panels = {panel.title: panel for panel in panels_of([read_logged(run)])}
    assert [list(curve.x) for curve in panels["Loss"].curves] == [[1, 2, 3], [0, 1, 3]]


def test_without_anything_logged_there_is_an_empty_panel(tmp_path: Path) -> None:
    logged = read_logged(RunFolder(path=tmp_path / "none"))
    assert drawn(panels_of([logged])) == {"Loss": []}
    assert as_csv([logged]).decode("utf-8-sig").split() == ["run,number,best"]


def test_all_numbers_go_into_the_csv(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", lines_of(*LOGGED["yolo"]))
    text = as_csv([read_logged(run)]).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["run"], row["number"], row["best"]) for row in rows] == [
        ("run", "0", "False"),
        ("run", "1", "False"),
        ("run", "2", "True"),
        ("run", "3", "False"),
    ]
    assert [row["box"] for row in rows] == ["", "1.0", "0.5", str(1 / 3)]
    assert {"val_dfl", "val_f1", "lr_bias", "validation_seconds"} < rows[0].keys()


TRAINED = {
    "r5-yolo-segment": SEGMENT,
    "r3-detr-scratch": {
        "backbone": "resnet18",
        "backbone_width": 8,
        "width": 16,
        "head_count": 2,
        "feedforward_width": 16,
        "encoder_depth": 1,
        "decoder_depth": 1,
    },
}
LOSSES = {
    "r5-yolo-segment": {"Box loss", "Class loss", "DFL loss", "Mask loss"},
    "r3-detr-scratch": {"Class loss", "L1 loss", "GIoU loss"},
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TRAINED)
def test_a_real_training_has_every_curve(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.running.finalise", lambda *_: None)
    demo = write_demo(tmp_path / "set", count=12, seed=1, format="yolo", size=(160, 192))
    asked = {"start": "", "input_size": 96, "epochs": 2, "device": "cpu", "batch": 4}
    # Precision is undefined where nothing is shown.
    asked["shown_confidence"] = 0.01
    network = {f"network.{name}": value for name, value in TRAINED[recipe].items()}
    run = make_run(tmp_path / "run", recipe, str(demo), {**asked, **network})
    train_run(run)
    logged = read_logged(run)
    assert logged.places == [0, 1, 2]
    found = drawn(panels_of([logged]))
    for title in ("Loss", *LOSSES[recipe]):
        assert found[title] == ["training", "validation"], title
    assert found["Precision, recall, F1"] == ["Precision", "Recall", "F1"]
    assert {"AP50", "AP50-95"} <= set(found["AP"])
    assert len(found["Learning rate"]) > 1
    if "yolo" in recipe:
        assert found["AP of masks"] == ["Mask AP50", "Mask AP50-95"]
