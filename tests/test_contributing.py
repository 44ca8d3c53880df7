"""The worked examples of CONTRIBUTING.md do what it says; that of a format is in test_formats."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.evaluations.report import Draft
from fracture_core.matching import MatchConfig
from tests.support.dial_evaluations import detector
from tests.support.worked_examples import CONTRIBUTING, blocks_of

ROOT = CONTRIBUTING.parent


def run(code: str, names: dict[str, Any], tmp_path: Path) -> None:
    """As a module whose classes know where they were defined."""
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
    path.write_text(code, encoding="utf-8")
    exec(compile(code, str(path), "exec"), names)


def test_a_metric_is_measured_with_its_interval(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "worked_example"}
    for code in blocks_of("A metric"):
        run(code, names, tmp_path)
    # Of four images two show something that is not there, one of them twice.
    found = [(0, 0, 0.9, 0), (1, 50, 0.8, 0), (1, 70, 0.8, 0), (2, 50, 0.7, 0)]
    evaluation = detector(4, found, [(0, 0, 0)])
    draft = Draft(
        evaluation=evaluation, config=MatchConfig(), found=evaluation.found(0.5), intervals=True
    )
    names["report_alarming"](draft)
    draft.draw_intervals()
    [metric] = draft.metrics
    assert (metric.value, metric.n, metric.unit) == (0.5, 4, "image")
    assert metric.low < 0.5 < metric.high
    assert metric.rule == "confidence ≥ 0.500, IoU ≥ 0.5, by class"


def test_an_export_holds_every_candidate_and_no_formula(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "worked_example"}
    [code] = blocks_of("An export")
    run(code, names, tmp_path)
    evaluation = detector(2, [(0, 3, 0.5, 1), (1, 5, 0.25, 0)], [], ["=p", "q"])
    text = names["candidates_csv"](evaluation).decode("utf-8-sig")
    first, second = csv.DictReader(io.StringIO(text))
    assert first["group"] == "'=p"
    assert (first["class"], first["score"], first["x1"], first["x2"]) == ("b", "0.5", "3.0", "13.0")
    assert (second["image"], second["group"]) == ("s1", "q")


def test_a_page_shows_a_data_set_and_says_what_is_missing(tmp_path: Path) -> None:
    [code] = blocks_of("A page")
    page = tmp_path / "classes.py"
    page.write_text(code, encoding="utf-8")
    app = AppTest.from_file(str(page), default_timeout=120).run()
    assert "make the demo one" in app.info[0].value
    demo = write_demo(tmp_path / "demo", count=6, size=(128, 128))
    app = AppTest.from_file(str(page), default_timeout=120)
    app.session_state["path"] = app.session_state["path_agreed"] = str(demo)
    app.run()
    assert not app.exception
    dataset = open_dataset(demo)
    boxes = sum(sum(counts.boxes.values()) for counts in dataset.summary().values())
    assert app.dataframe[0].value["Boxes"].sum() == boxes > 0


@pytest.mark.parametrize(
    "target", re.findall(r"\]\(([^)#:]+)\)", CONTRIBUTING.read_text(encoding="utf-8"))
)
def test_links_lead_to_files_that_there_are(target: str) -> None:
    assert (ROOT / target).is_file()


@pytest.mark.parametrize(
    "target", re.findall(r"^make (\S+)", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
)
def test_commands_of_make_are_known(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
