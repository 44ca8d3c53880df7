"""Rules held against a plain search through every score."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.errors import ConfigError
from fracture_core.metrics.intervals import wilson
from fracture_core.operating_points import (
    ANY_HIT_GRID,
    MAX_ANY_HIT_F1,
    MAX_F1,
    RULES,
    Rule,
    choose,
    classifier_curve,
    detector_curve,
    measure,
    parse_rule,
    with_any_hit,
)
from fracture_core.types import Detections
from tests.metrics.test_greedy import images, plain_counts

BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]
AIMS = ("sensitivity ≥", "FP per image ≤", "specificity ≥")
bounds = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.75, 0.9, 1.0])


def plain_choice(rows: list[tuple], rule: Rule) -> float | None:
    """`rows`, falling: confidence, sensitivity, FP per image, specificity, F1, None = undefined."""
    if rule.aim == "max F1":
        best, where = 0.0, None
        for confidence, sensitivity, _, _, f1 in rows:
            if sensitivity is not None and f1 > best:
                best, where = f1, confidence
        return where
    column = AIMS.index(rule.aim) + 1
    values = [(row[0], row[column]) for row in rows if row[column] is not None]
    if rule.aim == "FP per image ≤":
        return min((c for c, value in values if value <= rule.bound), default=None)
    met = [c for c, value in values if value >= rule.bound]
    if rule.aim == "sensitivity ≥":
        return max(met, default=None)
    return min(met, default=None)


def detector_rows(found, there) -> list[tuple]:
    rows = []
    for confidence in sorted({s for one in found for s in one.scores.tolist()}, reverse=True):
        hits, false_positives, missed = plain_counts(
            found, there, confidence, 0.5, class_aware=True
        )
        silent = [not any(s >= confidence for s in one.scores.tolist()) for one in found]
        healthy = [
            quiet
            for quiet, ground_truth in zip(silent, there, strict=True)
            if not len(ground_truth)
        ]
        rows.append(
            (
                confidence,
                hits / (hits + missed) if hits + missed else None,
                false_positives / len(found),
                sum(healthy) / len(healthy) if healthy else None,
                2 * hits / (2 * hits + false_positives + missed),
            )
        )
    return rows


@given(images, st.sampled_from(AIMS), bounds)
@settings(deadline=None)
def test_a_detectors_points_equal_a_plain_search(cases, aim, bound) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    rows, curve = detector_rows(found, there), detector_curve(found, there)
    for rule in (Rule(aim=aim, bound=bound), MAX_F1):
        point = choose(curve, rule)
        assert point.confidence == plain_choice(rows, rule)
        assert (point.confidence is None) == bool(point.reason) == (point.measured is None)
        if point.measured is not None:
            row = next(row for row in rows if row[0] == point.confidence)
            held = point.measured
            assert held.fp_per_image == row[2]
            for share, plain in (
                (held.sensitivity.share, row[1]),
                (held.specificity.share, row[3]),
            ):
                assert math.isnan(share) if plain is None else share == plain


scored = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0]), st.booleans()))


@given(scored, st.sampled_from(AIMS), bounds)
@settings(deadline=None)
def test_a_classifiers_points_equal_a_plain_search(images, aim, bound) -> None:
    positives = [score for score, positive in images if positive]
    negatives = [score for score, positive in images if not positive]
    rows = []
    for c in sorted({score for score, _ in images}, reverse=True):
        hits, alarms = sum(s >= c for s in positives), sum(s >= c for s in negatives)
        rows.append(
            (
                c,
                hits / len(positives) if positives else None,
                alarms / len(images),
                (len(negatives) - alarms) / len(negatives) if negatives else None,
                2 * hits / (hits + alarms + len(positives)),
            )
        )
    curve = classifier_curve([s for s, _ in images], [p for _, p in images])
    for rule in (Rule(aim=aim, bound=bound), MAX_F1):
        assert choose(curve, rule).confidence == plain_choice(rows, rule)


def small_study() -> tuple[list[Detections], list[Detections]]:
    found = [
        Detections.of([BOX, FAR], [0.75, 0.25], [0, 0]),
        Detections.of([FAR], [0.5], [0]),
        Detections.of([BOX], [0.125], [0]),
        Detections.empty(),
    ]
    ground_truth = Detections.ground_truth([BOX], [0])
    return found, [ground_truth, Detections.empty(), ground_truth, Detections.empty()]


def test_by_hand() -> None:
    curve = detector_curve(*small_study())
    best = choose(curve, MAX_F1)
    # F1 at 0.75: 2/3, at 0.5: 1/2, at 0.25: 2/5, at 0.125: 4/6; of equal ones the highest.
    assert best.confidence == 0.75
    assert not best.at_edge
    assert best.measured is not None
    assert (best.measured.sensitivity.count, best.measured.sensitivity.total) == (1, 2)
    assert best.measured.sensitivity.interval == wilson(1, 2)
    assert best.measured.precision.share == 1
    assert best.measured.specificity.share == 1
    assert choose(curve, Rule(aim="sensitivity ≥", bound=0.9)).confidence == 0.125
    few = choose(curve, Rule(aim="FP per image ≤", bound=0.25))
    assert few.confidence == 0.5
    assert few.measured is not None
    assert few.measured.fp_per_image == 0.25
    assert choose(curve, Rule(aim="specificity ≥", bound=0.6)).confidence == 0.75


def test_an_answer_at_the_lowest_score_is_marked() -> None:
    curve = detector_curve(*small_study())
    lowest = choose(curve, Rule(aim="FP per image ≤", bound=1))
    assert (lowest.confidence, lowest.at_edge) == (0.125, True)
    assert not choose(curve, Rule(aim="sensitivity ≥", bound=0.9)).at_edge


def test_a_rule_that_cannot_be_met_says_why() -> None:
    healthy, fracture = Detections.empty(), Detections.ground_truth([BOX], [0])
    false_positives, hit = Detections.of([FAR], [0.5], [0]), Detections.of([BOX], [0.5], [0])

    def reason(found: Detections, ground_truth: Detections, rule: Rule) -> str:
        point = choose(detector_curve([found], [ground_truth]), rule)
        assert point.confidence is None
        assert point.measured is None
        return point.reason

    sensitive = Rule(aim="sensitivity ≥", bound=0.9)
    few, specific = Rule(aim="FP per image ≤", bound=0.5), Rule(aim="specificity ≥", bound=0.9)
    assert "found nothing" in reason(healthy, fracture, MAX_F1)
    assert "nothing found matches" in reason(false_positives, fracture, MAX_F1)
    assert "F1 is undefined" in reason(false_positives, healthy, MAX_F1)
    assert "reach a sensitivity of 0.000" in reason(false_positives, fracture, sensitive)
    assert "sensitivity is undefined" in reason(false_positives, healthy, sensitive)
    assert "already 1.000 false positives an image" in reason(false_positives, fracture, few)
    assert "specificity is undefined" in reason(hit, fracture, specific)
    assert "specificity is only 0.000 at the highest score, 0.500" in reason(
        false_positives, healthy, specific
    )


def test_what_was_chosen_on_one_split_is_measured_on_another() -> None:
    curve = detector_curve(*small_study())
    between = measure(curve, 0.3)
    assert (between.sensitivity.count, between.false_positives) == (1, 1)
    nothing = measure(curve, 0.9)
    assert (nothing.sensitivity.share, nothing.specificity.share) == (0, 1)
    assert math.isnan(nothing.precision.share)


def test_a_bound_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sensitivity ≥: expected 0 to 1, found 1\.5"):
        Rule(aim="sensitivity ≥", bound=1.5)
    with pytest.raises(ConfigError, match="FP per image ≤: expected 0 or more, found nan"):
        Rule(aim="FP per image ≤", bound=math.nan)
    with pytest.raises(ValueError, match="finite numbers"):
        classifier_curve([0.5, math.nan], [True, False])


# ---- any-hit F1 on a grid -----------------------------------------------------------------------


def plain_any_hit_f1(found, there, confidence: float, match_iou: float) -> float:
    """F1 of images as R1 counts them, box by box."""
    right = wrong = missed = 0
    for one, ground_truth in zip(found, there, strict=True):
        shown = [
            box
            for box, s in zip(one.xyxy.tolist(), one.scores.tolist(), strict=True)
            if s >= confidence
        ]
        hit = any(iou(a, b) > match_iou for a in shown for b in ground_truth.xyxy.tolist())
        right += hit
        wrong += bool(shown) and not hit
        missed += bool(len(ground_truth)) and not hit
    return 2 * right / (2 * right + wrong + missed) if right else 0.0


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    return width * height / (sum(areas) - width * height)


@given(images)
@settings(deadline=None)
def test_the_any_hit_rule_equals_a_plain_search_of_its_grid(cases) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    values = {c: plain_any_hit_f1(found, there, c, 0.5) for c in ANY_HIT_GRID}
    curve = with_any_hit(detector_curve(found, there), found, there)
    point = choose(curve, MAX_ANY_HIT_F1)
    best = max(values.values())
    if not best:
        assert point.confidence is None
        assert point.reason
    else:
        assert point.confidence == max(c for c, value in values.items() if value == best)
        assert point.measured == measure(curve, point.confidence)


def test_the_grid_is_r1s() -> None:
    assert (len(ANY_HIT_GRID), ANY_HIT_GRID[:3], ANY_HIT_GRID[-1]) == (25, (0.01, 0.03, 0.05), 0.49)


def test_any_hit_and_greedy_f1_choose_apart() -> None:
    """Four boxes on a fracture are one hit of four for the one, and a right image for the other."""
    box, off = [0, 0, 20, 20], [1, 0, 21, 20]
    found = [
        Detections.of([BOX, box, off, FAR], [0.875, 0.1875, 0.1875, 0.1875], [0] * 4),
        Detections.of([box], [0.1875], [0]),
    ]
    there = [Detections.ground_truth([BOX], [0]), Detections.ground_truth([box], [0])]
    curve = with_any_hit(detector_curve(found, there), found, there)
    assert choose(curve, MAX_F1).confidence == 0.875
    chosen = choose(curve, MAX_ANY_HIT_F1)
    assert chosen.confidence == 0.17
    assert not chosen.at_edge
    assert chosen.measured is not None
    assert (chosen.measured.sensitivity.count, chosen.measured.false_positives) == (2, 3)


def test_the_edge_of_the_grid_is_told() -> None:
    there = [Detections.ground_truth([BOX], [0])]
    found = [Detections.of([BOX], [0.015], [0])]
    curve = with_any_hit(detector_curve(found, there), found, there)
    point = choose(curve, MAX_ANY_HIT_F1)
    assert (point.confidence, point.at_edge) == (0.01, True)
    assert (
        "of models that find boxes"
        in choose(classifier_curve([0.5], [True]), MAX_ANY_HIT_F1).reason
    )


@pytest.mark.parametrize("rule", [*RULES, MAX_ANY_HIT_F1])
def test_a_rule_is_read_from_its_name(rule: Rule) -> None:
    assert parse_rule(rule.name) == rule
    assert parse_rule(rule.name.replace("≥", ">=").replace("≤", "<=")) == rule


@pytest.mark.parametrize("text", ["", "max F2", "max F1 0.5", "sensitivity", "sensitivity ≥ much"])
def test_an_unknown_rule_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="rule: expected max F1, max any-hit F1, or sens"):
        parse_rule(text)
