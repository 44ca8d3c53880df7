"""Curves by class: their AP is the report's, their points are those of the counts."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from fracture_core import masks
from fracture_core.evaluations import Evaluation, report_of
from fracture_core.evaluations.charts import write_charts
from fracture_core.evaluations.class_curves import (
    ALL_CLASSES,
    COLUMNS,
    CONFIDENCES,
    class_curves,
    curves_csv,
)
from fracture_core.masks import Rle
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import DetectionTable
from tests.support.dial_evaluations import classifier, detector, simulated

SIDE_PX = 80


def outlined(table: DetectionTable, cut: int) -> DetectionTable:
    """Each box with a mask that fills it but for `cut` columns at its left."""
    codes: list[Rle] = []
    for left, top, right, bottom in table.xyxy.astype(int):
        inside = np.zeros((SIDE_PX, SIDE_PX), dtype=np.bool_)
        inside[top:bottom, left + cut : right] = True
        codes.append(masks.encode(inside))
    return replace(table, masks=tuple(codes))


def segmenter() -> Evaluation:
    """Two classes; the masks of what is found cover only four tenths of the ground truths'."""
    found = [(0, 0, 0.9, 0), (0, 40, 0.6, 1), (1, 0, 0.8, 0), (2, 3, 0.3, 0)]
    made = detector(3, found, [(0, 0, 0), (0, 40, 1), (1, 0, 0)], task="segment")
    return replace(made, raw=outlined(made.raw, 6), ground_truths=outlined(made.ground_truths, 0))


@pytest.mark.parametrize("overlap", ["boxes", "masks"])
def test_the_ap_of_a_legend_is_the_report_s(overlap: str) -> None:
    evaluation = segmenter()
    report = report_of(evaluation, intervals=False)
    curves = class_curves(evaluation, MatchConfig())[overlap]
    assert [each.name for each in curves] == [ALL_CLASSES, "a", "b"]
    for curve in curves:
        of = "" if curve.name == ALL_CLASSES else curve.name
        for name, value in (("AP50", curve.ap50), ("AP", curve.ap)):
            metric = report.metric(f"COCO, {overlap}", name, "lesion", of)
            assert value == pytest.approx(metric.value, abs=1e-12)
            assert curve.support == metric.n
            assert f"{name} {metric.value:.3f}" in curve.title
        assert curve.best_precision.mean() == pytest.approx(curve.ap50)


def test_boxes_and_masks_have_their_own_curves() -> None:
    curves = class_curves(segmenter(), MatchConfig())
    assert curves["boxes"][0].ap50 == 1
    # An overlap of 0.4 is none at IoU 0.5, and one at 0.3.
    assert curves["masks"][0].ap50 == 0
    low = class_curves(segmenter(), MatchConfig(match_iou=0.3))["masks"][1]
    assert low.best == (1.0, pytest.approx(0.305))


def test_points_are_those_of_the_counts() -> None:
    evaluation = simulated(60, 8, classes=3, seed=4)
    whole, *curves = class_curves(evaluation, MatchConfig())["boxes"]
    assert len(curves) == 3
    found, ground_truths = evaluation.found(), evaluation.ground_truths
    for label, curve in enumerate(curves):
        own = found.rows(found.labels == label)
        theirs = ground_truths.rows(ground_truths.labels == label)
        for at in (0, 20, 60, 190):
            counts = greedy.count(own, theirs, float(CONFIDENCES[at]))
            expected = (counts.precision, counts.recall, counts.f1)
            values = (curve.precision[at], curve.recall[at], curve.f1[at])
            np.testing.assert_allclose(values, expected)
    np.testing.assert_allclose(whole.f1, np.mean([each.f1 for each in curves], axis=0))
    np.testing.assert_allclose(whole.ap, np.mean([each.ap for each in curves]))


def test_one_class_has_no_mean_and_a_class_without_a_ground_truth_no_line() -> None:
    one = detector(2, [(0, 0, 0.9, 0), (1, 0, 0.8, 1)], [(0, 0, 0)])
    (curve,) = class_curves(one, MatchConfig())["boxes"]
    assert (curve.name, curve.best) == ("a", (1.0, 0.0))
    assert curve.ap50 == pytest.approx(1)
    # Above its best score, 0.9 as float32, a class shows nothing: its precision is undefined.
    lines = {y: x for x_name, y, x, _ in curve.lines() if x_name == "confidence"}
    assert lines["precision"].max() == pytest.approx(0.895)
    assert lines["F1"].max() == 1


def test_there_are_none_of_a_classifier_and_with_nothing_to_find() -> None:
    assert class_curves(classifier([[0.1, 0.9, 0]], [1]), MatchConfig()) == {}
    assert class_curves(detector(2, [(0, 0, 0.9, 0)], []), MatchConfig()) == {}


def test_they_are_saved_as_figures_and_as_points(tmp_path) -> None:
    evaluation = segmenter()
    report = report_of(evaluation, intervals=False)
    written = {path.name for path in write_charts(evaluation, report, tmp_path)}
    for name in ("curves-boxes", "curves-masks", "confusion", "confusion-by-row"):
        assert {f"{name}.png", f"{name}.svg"} <= written
    saved = (tmp_path / "curves-masks.svg").read_text()
    for curve in class_curves(evaluation, MatchConfig())["masks"]:
        assert curve.title in saved
    rows = list(csv.reader(io.StringIO((tmp_path / "curves.csv").read_text())))
    assert tuple(rows[0]) == COLUMNS
    assert {(row[0], row[1]) for row in rows[1:]} == {
        (overlap, name) for overlap in ("boxes", "masks") for name in (ALL_CLASSES, "a", "b")
    }
    assert curves_csv({}).count("\n") == 1
