"""Every figure of a report against its own definition, and what is undefined said so."""

import csv
import json
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, measure_points, report, report_of
from fracture_core.evaluations.charts import write_charts
from fracture_core.evaluations.headline import headline
from fracture_core.evaluations.report import Draft, Metric, MetricValue, Part
from fracture_core.evaluations.report_text import WIDTH, as_text, write_csv, write_json
from fracture_core.matching import MatchConfig
from fracture_core.metrics import any_hit, classification, coco
from fracture_core.metrics.calibration import reliability
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.metrics.froc import froc
from fracture_core.metrics.intervals import wilson
from fracture_core.metrics.rates import precision_recall
from fracture_core.types import Detections
from tests.support.dial_evaluations import ABOUT, detector

# Four images of two patients; in the first two there is a ground truth of class a, in the third of
# b.
FOUND = [
    (0, 0, 0.9, 0),
    (0, 50, 0.4, 0),
    (1, 2, 0.8, 0),
    (2, 0, 0.7, 0),
    (2, 0, 0.3, 1),
    (3, 9, 0.2, 0),
]
GROUND_TRUTHS = [(0, 0, 0), (1, 0, 0), (2, 0, 1)]
GROUPS = ["p", "p", "q", "q"]
CONFUSIONS = {"confusion", "confusion-by-row", "confusion-by-column"}


@pytest.fixture
def evaluation() -> Evaluation:
    return detector(4, FOUND, GROUND_TRUTHS, GROUPS)


def classifier(scores: list[list[float]], ground_truth: list[int], **about: object) -> Evaluation:
    """Images of classes healthy and ill, two a patient."""
    values = np.array(scores, dtype=np.float32).reshape(-1, 2)
    none = DetectionTable.of([Detections.empty()] * len(ground_truth))
    kind = {"task": "classify", "classes": ("healthy", "ill"), "healthy": "healthy"}
    return Evaluation(
        about=ABOUT.model_copy(update=kind | {"model_classes": 2} | about),
        sample_ids=tuple(f"s{n}" for n in range(len(ground_truth))),
        group_ids=tuple(f"p{n // 2}" for n in range(len(ground_truth))),
        raw=none,
        ground_truths=none,
        known=np.array(ground_truth) >= 0,
        image_scores=1 - values[:, 0],
        class_scores=values,
        image_classes=np.array(ground_truth, dtype=np.int64),
        seconds=np.full(len(ground_truth), 0.5, dtype=np.float32),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_figures_of_boxes_are_those_of_the_metrics(evaluation):
    report = report_of(evaluation, intervals=False)
    found, ground_truths = evaluation.found(0.5), evaluation.ground_truths
    metrics = coco.evaluate_boxes(found, ground_truths, 3)
    for name, value in (("AP", metrics.ap), ("AP50", metrics.ap50), ("AR100", metrics.ar100)):
        metric = report.metric("COCO, boxes", name, "lesion")
        assert (metric.value, metric.n) == (pytest.approx(value), 3)
    assert report.metric("COCO, boxes", "AP50", "lesion", "b").value == metrics.per_class_ap50[1]
    assert report.metric("COCO, boxes", "AP large", "lesion").is_defined is False
    curve = froc(found, ground_truths)
    assert [each.value for each in report.of_section("FROC")] == pytest.approx(
        [*curve.sensitivity_at(), curve.mean_sensitivity]
    )
    assert (report.images, report.studies, report.lesions, report.positives) == (4, 2, 3, 3)


def test_the_miss_rate_has_an_interval_and_says_its_rule(evaluation):
    metric = report_of(evaluation).metric("Miss rate", "LAMR", "lesion")
    # Two of three lesions are hit before the first false positive, which is one in four images,
    # and the third after the second: 1/3 is missed up to 0.32 an image, nothing from 0.56 on.
    assert metric.value == pytest.approx(((1 / 3) ** 7 * 1e-10**2) ** (1 / 9))
    assert metric.n == 3
    assert metric.low <= metric.value <= metric.high
    assert metric.rule == "mean of logarithms at 0.01 to 1 FP per image, IoU ≥ 0.5, by class"


def test_an_operating_point_by_hand(evaluation):
    report = report_of(evaluation, study_rule="max")
    # At 0.3: hits at 0.9, 0.8 and 0.3, false positive at 0.4 and 0.7.
    rule = "sensitivity ≥ 0.9"
    assert [each.confidence for each in report.points if each.rule == rule] == [pytest.approx(0.3)]
    expected = {
        ("sensitivity", "lesion"): (3, 3),
        ("precision", "lesion"): (3, 5),
        ("sensitivity", "image"): (3, 3),
        ("specificity", "image"): (1, 1),
        ("PPV", "image"): (3, 3),
        ("NPV", "image"): (1, 1),
        ("sensitivity", "study"): (2, 2),
        ("PPV", "study"): (2, 2),
        ("any-hit recall", "image"): (3, 3),
        ("any-hit precision", "image"): (3, 3),
        ("found boxes", "lesion"): (3, 3),
        ("accuracy", "image"): (4, 4),
    }
    for (name, unit), (count, total) in expected.items():
        metric = report.metric("Operating points", name, unit, rule)
        low, high = wilson(count, total)
        assert (metric.value, metric.n) == (count / total, total), name
        assert (metric.low, metric.high) == pytest.approx((low, high)), name
    assert report.metric("Operating points", "F1", "lesion", rule).value == 6 / 8
    assert report.metric("Operating points", "FP per image", "image", rule).value == 2 / 4
    for name in ("specificity", "NPV"):
        assert not report.metric("Operating points", name, "study", rule).is_defined


def test_tables_are_of_the_first_point_that_is_met(evaluation):
    pairs = [("b", "a"), ("b", "missed")]
    report = report_of(evaluation, critical_pairs=pairs, intervals=False)
    by_title = {table.title: table for table in report.tables}
    # max F1 is reached at 0.8 (two hits, no false positive box) as at 0.3; the first counts.
    rule = report.points[0]
    assert (rule.rule, rule.confidence) == ("max F1", pytest.approx(0.8))
    errors = by_title["Error types"]
    assert dict(zip(errors.columns, errors.counts[0], strict=True)) == {
        **dict.fromkeys(("class", "location", "both", "duplicate", "background"), 0),
        "right": 2,
        "missed": 1,
    }
    assert by_title["Confusion"].counts == (
        (2, 0, 0, 0),
        (0, 0, 0, 1),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
    )
    assert report.metric("Critical errors", "b read as a", "lesion").value == 0
    assert report.metric("Critical errors", "b read as missed", "lesion").value == 1
    with pytest.raises(ConfigError, match="critical errors"):
        report_of(evaluation, critical_pairs=[("b", "nothing")])
    with pytest.raises(ConfigError, match="expected one of max, noisy-or, top-3 mean, found 'min'"):
        report_of(evaluation, study_rule="min")


def test_images_of_unknown_truth_are_left_out_and_said():
    known = [True, True, True, False]
    report = report_of(detector(4, FOUND, GROUND_TRUTHS, GROUPS, known=known), intervals=False)
    assert (report.asked, report.images) == (4, 3)
    assert "1 images of unknown ground truth are left out." in report.notes


def test_points_of_the_model_are_used_where_it_has_some(evaluation):
    measured = measure_points(evaluation)
    stored = measured.model_copy(update={"data": "elsewhere"})
    report = report_of(evaluation, measured=stored, intervals=False)
    assert {each.chosen_on for each in report.points} == {"elsewhere, split val"}
    assert not any("flatters" in note for note in report.notes)
    own = report_of(evaluation, intervals=False)
    assert any("flatters" in note for note in own.notes)


@pytest.mark.parametrize(
    ("found", "ground_truths"),
    [(FOUND, []), ([], GROUND_TRUTHS), ([], []), (FOUND, [(n, 0, 0) for n in range(4)])],
)
def test_what_is_undefined_says_so(found, ground_truths, tmp_path):
    evaluation = detector(4, found, ground_truths, GROUPS)
    report = report_of(evaluation, intervals=bool(ground_truths) and bool(found))
    undefined = {(each.name, each.unit) for each in report.metrics if not each.is_defined}
    if not ground_truths:
        assert {("AP", "lesion"), ("sensitivity", "lesion"), ("ROC AUC", "image")} <= undefined
        assert any("there is no ground truth to find" in note for note in report.notes) or not found
    if len(ground_truths) == 4:
        assert ("specificity", "image") in undefined
        assert any("no negative image" in note for note in report.notes)
    text = as_text(report)
    assert "undefined" in text
    assert "nan" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    write_json(report, tmp_path / "report.json")
    whole = json.loads((tmp_path / "report.json").read_text())
    values = {
        (each["section"], each["name"], each["of"]): each["value"] for each in whole["metrics"]
    }
    assert (values["COCO, boxes", "AP", ""] is None) == (not ground_truths)
    write_csv(report, tmp_path / "report.csv")
    rows = read_rows(tmp_path / "report.csv")
    assert len(rows) == len(report.metrics)
    assert [row["value"] == "" for row in rows] == [isnan(each.value) for each in report.metrics]
    assert write_charts(evaluation, report, tmp_path / "figures")


def test_the_text_says_every_rule(evaluation):
    report = report_of(evaluation)
    text = " ".join(as_text(report).split())
    for metric in report.metrics:
        assert " ".join(metric.rule.split()) in text, metric
    # Where a section has several, each stands with the metrics that go by it.
    assert (
        "sensitivity, precision, F1, FP per image at FP per image ≤ 1: "
        "confidence ≥ 0.200, IoU ≥ 0.5, by class"
    ) in text


def test_a_figure_prints_alike_everywhere():
    facts = {"section": "s", "name": "a", "unit": "image", "n": 3}
    assert MetricValue(**facts, value=0.8125).text == "0.812"
    assert MetricValue(**facts, value=0.8125, low=0.7, high=0.9).text == "0.81 (0.70–0.90)"
    assert MetricValue(**facts, value=float("nan")).text == "undefined"


def draft_of(evaluation: Evaluation) -> Draft:
    found = evaluation.found(0.5)
    return Draft(evaluation=evaluation, config=MatchConfig(), found=found, intervals=True)


def test_a_metric_without_a_count_is_a_mistake_of_the_caller(evaluation):
    metric = Metric(section="s", name="half", unit="image", rule="", measure=0.5)
    with pytest.raises(ValueError, match="n: expected how many half is of"):
        draft_of(evaluation).add(metric)


def test_parts_of_one_statistic_are_computed_together(evaluation):
    calls = []

    def both(weights):
        calls.append(weights)
        return np.array([weights[0], 3 * weights[-1]])

    draft = draft_of(evaluation)
    for at in (1, 0):
        measure = Part(both, at)
        draft.add(Metric(section="s", name=f"{at}", unit="image", n=4, rule="", measure=measure))
    draft.draw_intervals()
    assert [(each.value, each.low, each.high) for each in draft.metrics] == [(3, 0, 6), (1, 0, 2)]
    # Once for each of a thousand resamples and a few times for the whole, not twice as often.
    assert 1_000 < len(calls) < 1_010


def test_intervals_can_be_left_out(evaluation):
    metrics = report_of(evaluation, intervals=False).metrics
    assert all(isnan(each.low) and isnan(each.high) for each in metrics)
    drawn = {
        (each.name, each.unit) for each in report_of(evaluation).metrics if each.low == each.low
    }
    for key in (("AP", "lesion"), ("F1", "lesion"), ("ECE", "lesion"), ("F1", "image")):
        assert key in drawn
    # Every resample with a positive and a negative image ranks them right: no width, no interval.
    area = report_of(evaluation).metric("Ranking", "ROC AUC", "image")
    assert (area.value, isnan(area.low)) == (1, True)


def test_a_classifier_by_its_usual_report(tmp_path):
    scores = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0.6, 0.4]]
    ground_truth = [0, 0, 1, 1, 1, -1]
    evaluation = classifier(scores, ground_truth)
    report = report_of(evaluation, critical_pairs=[("ill", "healthy")])
    usual = classification.report(np.array(ground_truth[:5]), np.array([0, 1, 1, 0, 1]), 2)
    assert report.metric("Accuracy", "accuracy", "image").value == 3 / 5
    assert report.metric("Accuracy", "balanced accuracy", "image").value == pytest.approx(
        usual.balanced_accuracy
    )
    for label, name in enumerate(("healthy", "ill")):
        for metric, values in (
            ("precision", usual.precision),
            ("recall", usual.recall),
            ("F1", usual.f1),
        ):
            assert report.metric("Classes", metric, "image", name).value == values[label]
    weighted = report.metric("Classes", "F1", "image", "weighted average")
    assert weighted.value == pytest.approx(usual.weighted.f1)
    assert report.metric("Critical errors", "ill read as healthy", "image").value == 1 / 3
    assert report.metric("Ranking", "ROC AUC", "image").value == pytest.approx(5 / 6)
    assert {table.title: table.counts for table in report.tables} == {"Confusion": ((1, 1), (1, 2))}
    written = {path.stem for path in write_charts(evaluation, report, tmp_path)}
    assert written == {"roc-images", "precision-recall", "reliability", *CONFUSIONS}
    assert all("Ranking" not in line for line in as_text(report).splitlines()[:3])


def test_a_classifier_without_a_class_for_nothing_has_no_operating_points(tmp_path):
    evaluation = classifier([[0.9, 0.1], [0.2, 0.8]], [0, 1], healthy="", classes=("a", "b"))
    report = report_of(evaluation)
    assert report.points == ()
    assert any("a class that means that nothing is there" in note for note in report.notes)
    assert {path.stem for path in write_charts(evaluation, report, tmp_path)} == CONFUSIONS


def test_a_name_is_no_formula(evaluation, tmp_path):
    named = replace(evaluation, about=ABOUT.model_copy(update={"classes": ("=1+1", "b", "c")}))
    write_csv(report_of(named, intervals=False), tmp_path / "report.csv")
    assert "'=1+1" in {row["of"] for row in read_rows(tmp_path / "report.csv")}


def test_a_detector_has_a_class_report_of_images(evaluation):
    report = report_of(evaluation, intervals=False)
    section = "Class report of images"
    # At max F1, 0.8, images 0 and 1 show class a and hold it; image 2 holds b, unseen; 3 is empty.
    found = {(each.name, each.of): (each.value, each.n) for each in report.of_section(section)}
    assert found["precision", "a"] == (1, 2)
    assert found["recall", "b"] == (0, 1)
    assert isnan(found["precision", "b"][0])
    assert found["precision", "no finding"] == (1 / 2, 2)
    assert found["recall", "no finding"] == (1, 1)
    assert found["F1", "no finding"] == (pytest.approx(2 / 3), 1)
    assert found["recall", "macro average"][0] == pytest.approx(2 / 3)
    assert found["F1", "macro average"][0] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert found["F1", "weighted average"][0] == pytest.approx((2 * 1 + 0 + 2 / 3) / 4)
    lines = as_text(report).splitlines()
    assert any(line.startswith("Class report of images: any box") for line in lines)
    assert any(line.split()[:3] == ["no", "finding", "1"] for line in lines)


def test_the_headline_is_that_of_the_report(evaluation):
    report = report_of(evaluation)
    found = headline(evaluation, MatchConfig())
    assert [each.name for each in found] == ["AP50", "AP", "ROC AUC"]
    for each in found:
        assert repr(each) == repr(report.metric(each.section, each.name, each.unit))
    scores = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0.6, 0.4]]
    calls = classifier(scores, [0, 0, 1, 1, 1, 0])
    names = [each.name for each in headline(calls, MatchConfig())]
    assert names == ["ROC AUC", "balanced accuracy"]
    blind = classifier(scores, [0, 0, 1, 1, 1, 0], healthy="", classes=("a", "b"))
    assert [each.name for each in headline(blind, MatchConfig())] == ["balanced accuracy"]


# ---- what intervals are drawn from --------------------------------------------------------------


def test_with_weights_of_one_they_are_the_figures():
    rng = np.random.default_rng(3)
    scores = np.round(rng.random(200), 1)
    positive = rng.random(200) < scores
    ones = np.ones(200)
    area = precision_recall(scores, positive).average_precision
    assert report.pr_auc(scores, positive)(ones) == pytest.approx(area)
    image = rng.integers(0, 50, 200)
    error = report.calibration_error(scores, positive, image, 50)
    assert error(np.ones(50)) == pytest.approx(reliability(scores, positive).ece)


def test_a_weight_of_two_is_the_same_image_twice():
    rng = np.random.default_rng(4)
    scores, positive = np.round(rng.random(40), 1), rng.random(40) < 0.5
    weights = rng.integers(0, 3, 40)
    again = np.repeat(np.arange(40), weights)
    expected = precision_recall(scores[again], positive[again]).average_precision
    metric = report.pr_auc(scores, positive)(weights.astype(float))
    assert metric == pytest.approx(expected)


def test_any_hits_are_counted_as_any_hit_does(evaluation):
    found, ground_truths = evaluation.found(0.5), evaluation.ground_truths
    for confidence in (0.1, 0.3, 0.75, 0.95):
        counts = any_hit.count(found, ground_truths, confidence)
        weighted = report.any_hits(found, ground_truths, confidence, 0.5)
        np.testing.assert_allclose(weighted.f1(np.ones(4)), counts.f1)
        assert weighted.hits.sum() == counts.true_positives
        assert weighted.false_positives.sum() == counts.false_positives


def test_studies_weigh_what_their_images_do():
    groups = ("b", "a", "b", "a")
    seen = []
    report.of_studies(lambda weights: seen.append(weights.tolist()) or 0.0, groups)(
        np.array([2.0, 0.0, 2.0, 0.0])
    )
    assert seen == [[0.0, 2.0]]
