"""Metrics by subgroup against numbers counted by hand, and what may be said of the weakest."""

import csv
import json
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.evaluations import Evaluation, report_of
from fracture_core.evaluations.attributes import (
    MIXED,
    NOT_TOLD,
    SIZE_MM,
    SIZE_SHARE,
    Attribute,
    grouping,
    lesion_sizes,
)
from fracture_core.evaluations.report import FEWEST, Breakdown, PointOfReport
from fracture_core.evaluations.report_text import WIDTH, as_text, write_csv, write_json
from fracture_core.evaluations.subgroups import (
    Measuring,
    break_down,
    headlines,
    offered,
    weakest,
    with_subgroups,
)
from fracture_core.matching import MatchConfig
from fracture_core.metrics.average_precision import AveragePrecision
from fracture_core.metrics.intervals import wilson
from tests.support.dial_evaluations import classifier, detector, simulated

# Of four images a is found and b missed in hands; in legs c is found, beside a false positive; d
# shows a false positive alone.
FOUND = [(0, 0, 0.9, 0), (1, 50, 0.8, 0), (2, 0, 0.7, 0), (2, 60, 0.6, 0), (3, 9, 0.55, 0)]
GROUND_TRUTHS = [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
PARTS = ["hand", "hand", "leg", ""]


def point(confidence: float = 0.5, rule: str = "mine") -> PointOfReport:
    return PointOfReport(rule=rule, confidence=confidence, reason="", chosen_on="here")


def measuring(**more: object) -> Measuring:
    return replace(Measuring(config=MatchConfig(), points=(point(),)), **more)


def told(evaluation: Evaluation, **columns: list[str]) -> Evaluation:
    attributes = (
        Attribute.from_texts(name.replace("_", " "), texts) for name, texts in columns.items()
    )
    return replace(evaluation, attributes=tuple(attributes))


def of(breakdown: Breakdown, group: str, section: str, name: str, unit: str, rule: str = "mine"):
    part = next(each for each in (breakdown.whole, *breakdown.groups) if each.name == group)
    found = part.metric((section, name, unit, rule))
    assert found is not None, [each.name for each in part.metrics]
    return found


def test_counts_and_shares_of_groups_of_images_are_those_counted_by_hand() -> None:
    evaluation = told(detector(4, FOUND, GROUND_TRUTHS), body_part=PARTS)
    [attribute], _ = grouping(evaluation.attributes)
    made = break_down(evaluation, attribute, measuring())
    counts = {
        each.name: (each.images, each.positives, each.lesions)
        for each in (made.whole, *made.groups)
    }
    assert counts == {"all": (4, 3, 3), "hand": (2, 2, 2), "leg": (1, 1, 1), NOT_TOLD: (1, 0, 0)}
    points = "Operating points"
    sensitivity = of(made, "hand", points, "sensitivity", "lesion")
    assert (sensitivity.value, sensitivity.n) == (0.5, 2)
    assert (sensitivity.low, sensitivity.high) == wilson(1, 2)
    assert of(made, "leg", points, "sensitivity", "lesion").value == 1
    assert of(made, "leg", points, "precision", "lesion").value == 0.5
    assert of(made, "all", points, "sensitivity", "lesion").value == pytest.approx(2 / 3)
    assert of(made, NOT_TOLD, points, "FP per image", "image").value == 1
    assert of(made, NOT_TOLD, points, "specificity", "image").value == 0
    assert isnan(of(made, NOT_TOLD, points, "sensitivity", "lesion").value)
    # One of two ground truths is found at all ranks: precision 1 up to a recall of one half.
    assert of(made, "hand", "COCO, boxes", "AP50", "lesion", "").value == pytest.approx(51 / 101)
    assert of(made, "leg", "FROC", "sensitivity", "lesion", "at 1 FP per image").value == 1
    assert isnan(of(made, "hand", "Ranking", "ROC AUC", "image", "").value)


def test_of_all_the_figures_are_those_of_the_report() -> None:
    evaluation = told(simulated(60, 5, seed=3), view=["frontal", "lateral", ""] * 20)
    report = with_subgroups(report_of(evaluation), evaluation)
    [breakdown] = report.breakdowns
    for metric in breakdown.whole.metrics:
        same = report.metric(metric.section, metric.name, metric.unit, metric.of)
        for name in ("value", "low", "high", "n"):
            expected, found = getattr(same, name), getattr(metric, name)
            assert found == pytest.approx(expected, nan_ok=True), (metric.name, name)


def test_a_group_is_measured_as_a_data_set_of_its_own() -> None:
    evaluation = told(simulated(60, 5, seed=4), view=["frontal", "lateral", "lateral"] * 20)
    [attribute], _ = offered(evaluation)
    made = break_down(evaluation, attribute, measuring())
    alone = evaluation.images(np.array([k % 3 > 0 for k in range(60)]))
    average = AveragePrecision.of(alone.found(0.5), alone.ground_truths)(np.ones(40))
    assert of(made, "lateral", "COCO, boxes", "AP50", "lesion", "").value == average[0]
    report = report_of(alone)
    area = of(made, "lateral", "Ranking", "ROC AUC", "image", "")
    assert area == report.metric("Ranking", "ROC AUC", "image")


def test_classifiers_have_subgroups_too() -> None:
    scores = [[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.1, 0.9, 0]]
    evaluation = told(classifier(scores, [0, 1, 1, 0]), view=["frontal"] * 2 + ["lateral"] * 2)
    report = with_subgroups(report_of(evaluation), evaluation)
    [breakdown] = report.breakdowns
    frontal, lateral = (
        next(each for each in group.metrics if each.name == "balanced accuracy")
        for group in breakdown.groups
    )
    assert (frontal.value, lateral.value) == (1, 0)
    without = told(
        classifier(scores, [1, 1, 2, 0], healthy=""), view=["frontal"] * 2 + ["lateral"] * 2
    )
    assert with_subgroups(report_of(without), without).breakdowns[0].groups


# ---- which groups there are ---------------------------------------------------------------------


def test_several_body_parts_are_one_group_and_500_values_are_none() -> None:
    columns = (
        Attribute.from_texts("body part", ["hand", "hand, shoulder", "leg, hip", ""] * 125),
        Attribute.from_texts("patient", [f"patient {k}" for k in range(500)]),
        Attribute.from_texts("modality", ["DX"] * 500),
    )
    [parts], [sentence] = grouping(columns)
    assert parts.groups == ("hand", MIXED, NOT_TOLD)
    assert int(parts.of_group(MIXED).sum()) == 250
    assert sentence == "No subgroups by patient: expected at most 20 values, found 500."
    assert not parts.of_group("a word that is none").any()


def test_a_lesion_has_a_size_in_mm_and_as_a_share_of_its_image() -> None:
    # Boxes of 10 × 10 px in images of 400 × 100 (height, width).
    evaluation = replace(
        detector(3, [], [(0, 0, 0), (1, 0, 0), (2, 0, 0)]),
        sizes_px=np.array([[400, 100], [100, 100], [40, 20]]),
        spacing_mm=np.array([[0.1, 0.2], [2.0, 1.0], [np.nan, np.nan]]),
    )
    mm, share = lesion_sizes(evaluation.ground_truths, evaluation.sizes_px, evaluation.spacing_mm)
    assert (mm.name, share.name) == (SIZE_MM, SIZE_SHARE)
    assert [mm.values[k] if k >= 0 else NOT_TOLD for k in mm.codes] == [
        "below 10 mm",
        "20 mm to 40 mm",
        NOT_TOLD,
    ]
    assert [share.values[k] for k in share.codes] == ["below 5%", "10% to 20%", "20% and more"]
    assert lesion_sizes(detector(1, [], [(0, 0, 0)]).ground_truths, None, None) == ()


def test_lesions_by_size_have_a_sensitivity_against_the_false_positives_of_all() -> None:
    evaluation = replace(detector(4, FOUND, GROUND_TRUTHS), sizes_px=np.array([[100, 100]] * 4))
    sizes = Attribute(
        name="size", values=("small", "large"), codes=np.array([0, 1, 1]), of="lesion"
    )
    made = break_down(evaluation, sizes, measuring())
    assert [(each.lesions, each.images) for each in made.groups] == [(1, 1), (2, 2)]
    values = [
        of(made, name, "Operating points", "sensitivity", "lesion").value
        for name in ("all", "small", "large")
    ]
    assert values == [pytest.approx(2 / 3), 1, 0.5]
    # Three false positives of four images: the one scored 0.8 comes before the second hit.
    froc = [
        of(made, "large", "FROC", "sensitivity", "lesion", f"at {rate} FP per image")
        for rate in ("1/8", "1/4")
    ]
    assert [each.value for each in froc] == [0, 0.5]
    with_all = report_of(evaluation).of_section("FROC")
    assert [each.value for each in made.whole.metrics if each.section == "FROC"] == [
        each.value for each in with_all
    ]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=12, max_size=12), st.integers(0, 9))
def test_the_counts_of_groups_add_up_to_the_whole(texts: list[str], seed: int) -> None:
    evaluation = told(simulated(12, 4, seed=seed), kind=texts)
    parts, _ = offered(evaluation)
    for attribute in parts:
        made = break_down(evaluation, attribute, measuring(intervals=False))
        for name in ("images", "positives", "lesions"):
            parts_sum = sum(getattr(group, name) for group in made.groups)
            assert parts_sum == getattr(made.whole, name)
        key = ("Operating points", "sensitivity", "lesion", "mine")
        counted = [group.metric(key) for group in (made.whole, *made.groups)]
        hits = [round(each.value * each.n) if each.n else 0 for each in counted if each]
        assert hits[0] == sum(hits[1:])


# ---- the weakest --------------------------------------------------------------------------------


def many(found_in_hands: int, found_in_legs: int, of_each: int = 40) -> Evaluation:
    """Images with one lesion each, so many of which are found."""
    lesions = [(k, 0, 0) for k in range(2 * of_each)]
    hits = [
        (k, 0, 0.9, 0)
        for k in range(2 * of_each)
        if k % of_each < (found_in_hands if k < of_each else found_in_legs)
    ]
    parts = ["hand"] * of_each + ["leg"] * of_each
    return told(detector(2 * of_each, hits, lesions), body_part=parts)


def sentences(evaluation: Evaluation) -> tuple[str, ...]:
    [attribute], _ = offered(evaluation)
    made = break_down(evaluation, attribute, measuring())
    return weakest([made], headlines("detect", "mine"))


def test_a_group_is_weaker_only_where_its_interval_lies_below_that_of_all() -> None:
    first, *_, last = sentences(many(38, 10))
    low, high = wilson(10, 40)
    assert high < wilson(48, 80)[0]
    assert first == (
        "Sensitivity per lesion at mine: weakest in body part: leg, "
        f"0.25 ({low:.2f}–{high:.2f}), n = 40; 0.60 (0.49–0.70) of all."
    )
    assert last == "Up to 2 subgroups were compared."
    first, *_ = sentences(many(30, 24))
    assert first.startswith(
        "Sensitivity per lesion at mine: no subgroup is shown to be weaker than all, 0.68"
    )
    assert "the lowest is body part: leg, 0.60" in first


def test_too_few_cases_are_not_compared() -> None:
    assert sentences(many(4, 0, of_each=FEWEST - 1)) == (
        f"No subgroup has {FEWEST} cases to compare.",
    )


# ---- files and text -----------------------------------------------------------------------------


def test_the_report_has_subgroups_in_text_json_and_csv(tmp_path) -> None:
    evaluation = told(
        simulated(60, 5, seed=3),
        view=["frontal", "lateral", ""] * 20,
        patient=[f"=p{k}" for k in range(60)],
    )
    report = with_subgroups(report_of(evaluation), evaluation)
    text = as_text(report)
    assert "\nSubgroups by view at max F1\n" in text
    assert "\nWeakest subgroups\n" in text
    assert "No subgroups by patient: expected at most 20 values, found 60." in text
    assert max(map(len, text.split("\n"))) <= WIDTH
    write_json(report, tmp_path / "report.json")
    held = json.loads((tmp_path / "report.json").read_text())
    [view] = held["breakdowns"]
    assert [group["name"] for group in view["groups"]] == ["frontal", "lateral", NOT_TOLD]
    assert view["groups"][0]["metrics"][0]["name"]
    assert held["weakest"] == list(report.weakest)
    write_csv(report, tmp_path / "report.csv")
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert {row["group"] for row in rows if row["attribute"] == "view"} == {
        "frontal",
        "lateral",
        NOT_TOLD,
    }
    assert sum(not row["attribute"] for row in rows) == len(report.metrics)


def test_without_attributes_a_report_says_nothing_of_subgroups() -> None:
    evaluation = detector(4, FOUND, GROUND_TRUTHS)
    report = with_subgroups(report_of(evaluation), evaluation)
    assert (report.breakdowns, report.weakest) == ((), ())
    assert "ubgroup" not in as_text(report)
