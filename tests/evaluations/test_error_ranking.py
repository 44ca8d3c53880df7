"""What a model does wrong, by hand: which errors there are, what they cost, in which order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations.error_ranking import (
    HEADINGS,
    KINDS,
    Costs,
    by_name,
    by_score,
    case_errors,
    error_rows,
    only,
    predicted_classes,
)
from fracture_core.evaluations.evaluation import match_image
from fracture_core.matching import MatchConfig
from tests.support.dial_evaluations import classifier, detector

MATCH = MatchConfig()


def told(errors) -> list[tuple[str, str, float]]:
    """Kind, case and cost of each."""
    ids = errors.evaluation.sample_ids
    return [
        (KINDS[kind], ids[image], round(float(cost), 4))
        for kind, image, cost in zip(errors.kind, errors.image, errors.cost, strict=True)
    ]


def test_a_image_with_nothing_shown_costs_most_then_how_far_the_best_candidate_is_below() -> None:
    evaluation = detector(
        4,
        # s1: found one of two, the other at 0.1; s2: one of two, the other at 0.4.
        [(1, 0, 0.9, 0), (1, 50, 0.1, 0), (2, 0, 0.9, 0), (2, 50, 0.4, 0), (3, 0, 0.25, 0)],
        [(0, 0, 0), (1, 0, 0), (1, 50, 0), (2, 0, 0), (2, 50, 0), (3, 0, 0)],
        classes=("a",),
    )
    found = case_errors(evaluation, MATCH, 0.5)
    assert told(found) == [
        ("missed", "s0", 40.0),  # 10 × (1 + 1) × 2: no candidate at all
        ("missed", "s3", 30.0),  # 10 × (1 + 0.25 / 0.5) × 2
        ("missed", "s1", 18.0),  # 10 × (1 + 0.4 / 0.5)
        ("missed", "s2", 12.0),  # 10 × (1 + 0.1 / 0.5)
    ]
    assert np.isnan(found.score[0])
    assert found.score[1:].tolist() == pytest.approx([0.25, 0.1, 0.4])
    assert found.iou[1:].tolist() == [1.0, 1.0, 1.0]
    assert found.whole_image.tolist() == [True, True, False, False]


def test_false_positives_come_by_score_those_in_healthy_images_first() -> None:
    evaluation = detector(
        3,
        [(0, 0, 0.9, 0), (0, 50, 0.8, 0), (1, 0, 0.6, 0), (2, 0, 0.7, 0), (2, 90, 0.4, 0)],
        [(0, 0, 0)],
        classes=("a",),
    )
    assert told(case_errors(evaluation, MATCH, 0.5)) == [
        ("false positive", "s2", 10.2),  # 3 × 1.7 × 2
        ("false positive", "s1", 9.6),
        ("false positive", "s0", 5.4),  # the image has a ground truth, and shows something
    ]


def test_classes_places_and_duplicates_have_kinds_of_their_own() -> None:
    # Boxes are 10 px wide: 2 px aside is an IoU of 8 / 12, 6 px of 4 / 16.
    evaluation = detector(
        5,
        [
            (0, 2, 0.9, 1),
            (1, 6, 0.9, 0),
            (2, 0, 0.9, 0),
            (2, 2, 0.8, 0),
            (3, 6, 0.9, 1),
            (4, 0, 0.9, 0),
        ],
        [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)],
    )
    found = by_name(case_errors(evaluation, MATCH, 0.5))
    assert [kind for kind, _, _ in told(found)] == [
        "wrong class",
        "wrong place",
        "duplicate",
        "missed",  # what is near it is of another class and in another place
        "wrong class and place",
    ]
    assert found.iou[0] == pytest.approx(8 / 12)
    assert found.iou[1] == pytest.approx(4 / 16)
    assert (found.label[0], found.true_label[0]) == (1, 0)
    alike = case_errors(evaluation, replace(MATCH, class_aware=False), 0.5)
    assert alike.counts()["wrong class"] == 0


def test_nothing_is_an_error_where_everything_is_right_or_nothing_is_there() -> None:
    right = detector(2, [(0, 0, 0.9, 0)], [(0, 0, 0)])
    assert len(case_errors(right, MATCH, 0.5)) == 0
    assert len(case_errors(detector(2, [], []), MATCH, 0.5)) == 0
    assert len(case_errors(detector(0, [], []), MATCH, 0.5)) == 0
    assert list(error_rows(case_errors(right, MATCH, 0.5))) == []


def test_costs_are_the_readers_to_choose() -> None:
    evaluation = detector(2, [(1, 0, 0.9, 0)], [(0, 0, 0)], classes=("a",))
    assert [kind for kind, _, _ in told(case_errors(evaluation, MATCH, 0.5))] == [
        "missed",
        "false positive",
    ]
    free = Costs(missed=0.0)
    assert told(case_errors(evaluation, MATCH, 0.5, free))[0][0] == "false positive"
    with pytest.raises(ConfigError, match="missed"):
        Costs(missed=-1)
    with pytest.raises(ConfigError, match="critical"):
        Costs(critical=float("nan"))


def test_filters_and_orders() -> None:
    evaluation = detector(
        3, [(0, 0, 0.6, 1), (1, 0, 0.9, 2), (2, 0, 0.7, 0)], [(0, 90, 0), (2, 0, 0), (2, 40, 2)]
    )
    found = case_errors(evaluation, MATCH, 0.5)
    assert found.counts() == dict.fromkeys(KINDS, 0) | {"missed": 2, "false positive": 2}
    assert {kind for kind, _, _ in told(only(found, kinds=["false positive"]))} == {
        "false positive"
    }
    assert [case for _, case, _ in told(only(found, label=2))] == ["s2", "s1"]
    assert [case for _, case, _ in told(only(found, whole_image=True))] == ["s1"]
    first = np.array([True, False, False])
    assert {case for _, case, _ in told(only(found, images=first))} == {"s0"}
    assert [case for _, case, _ in told(by_score(found))][:2] == ["s1", "s0"]
    assert [case for _, case, _ in told(by_name(found))] == ["s0", "s0", "s1", "s2"]


def test_rows_of_the_list_name_everything() -> None:
    evaluation = detector(1, [(0, 30, 0.75, 1)], [(0, 0, 0)])
    rows = list(error_rows(case_errors(evaluation, MATCH, 0.5)))
    missed, false_positives = (dict(zip(HEADINGS, row, strict=True)) for row in rows)
    assert missed["kind"], missed["class"] == ("missed", "a")
    assert (missed["score"], missed["IoU"], missed["x2 px"]) == ("", "", "10")
    assert (false_positives["class"], false_positives["true class"]) == ("b", "")
    assert (false_positives["score"], false_positives["x1 px"]) == ("0.7500", "30")
    assert (false_positives["confidence"], false_positives["match IoU"]) == ("0.5", "0.5")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_the_counts_are_those_of_the_images_one_by_one(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    found = [
        (int(rng.integers(4)), float(rng.integers(40)), round(float(rng.random()), 2), 0)
        for _ in range(12)
    ]
    ground_truths = [(int(rng.integers(4)), float(rng.integers(40)), 0) for _ in range(5)]
    evaluation = detector(4, found, ground_truths, classes=("a",))
    errors = case_errors(evaluation, MATCH, confidence)
    shown, missed = 0, 0
    for sample_id in evaluation.sample_ids:
        boxes = match_image(evaluation, sample_id, MATCH, confidence)
        kinds = [box.kind for box in boxes]
        shown += sum(kind in ("false positive", "duplicate") for kind in kinds)
        missed += kinds.count("missed")
    counts = errors.counts()
    assert shown == sum(counts[kind] for kind in KINDS[1:])
    assert counts["missed"] <= missed
    assert (np.diff(errors.cost) <= 0).all()


# ---- classifiers --------------------------------------------------------------------------------


def test_a_classifier_is_wrong_by_image_the_surest_first() -> None:
    evaluation = classifier(
        [
            [0.1, 0.8, 0.1],  # healthy, called a
            [0.9, 0.05, 0.05],  # a, called healthy
            [0.2, 0.7, 0.1],  # b, called a
            [0.1, 0.9, 0.0],  # a, right
            [0.0, 0.0, 1.0],  # unknown
        ],
        [0, 1, 2, 1, -1],
    ).matched()
    found = case_errors(evaluation, MATCH, 0.5)
    assert told(found) == [
        ("missed", "s1", 38.0),  # 10 × 1.9 × 2
        ("false positive", "s0", 10.8),  # 3 × 1.8 × 2
        ("wrong class", "s2", 6.8),  # 4 × 1.7
    ]
    assert found.row.tolist() == [-1, -1, -1]
    critical = case_errors(evaluation, MATCH, 0.5, critical=[("b", "a")])
    assert told(critical)[0] == ("wrong class", "s2", 68.0)
    with pytest.raises(ConfigError, match="critical"):
        case_errors(evaluation, MATCH, 0.5, critical=[("b", "nobody")])


def test_what_a_image_is_called_follows_the_confidence() -> None:
    evaluation = classifier([[0.6, 0.3, 0.1], [0.4, 0.2, 0.4]], [0, 1])
    assert predicted_classes(evaluation, 0.5).tolist() == [0, 2]
    assert predicted_classes(evaluation, 0.3).tolist() == [1, 2]
    assert predicted_classes(evaluation, 0.9).tolist() == [0, 0]
    without = classifier([[0.6, 0.3, 0.1], [0.4, 0.2, 0.4]], [0, 1], healthy="")
    assert predicted_classes(without, 0.9).tolist() == [0, 0]


# ---- one image --------------------------------------------------------------------------------


def test_a_image_is_judged_as_the_viewer_shows_it() -> None:
    evaluation = detector(
        2,
        [(0, 0, 0.9, 0), (0, 1, 0.8, 0), (0, 50, 0.4, 0), (0, 50, 0.3, 0), (0, 90, 0.7, 0)],
        [(0, 0, 0), (0, 50, 0)],
        classes=("a",),
    )
    boxes = match_image(evaluation, "s0", MATCH, 0.5)
    assert [(box.kind, box.row) for box in boxes] == [
        ("ground truth", 0),
        ("missed", 1),
        ("true positive", 0),
        ("duplicate", 1),
        ("false positive", 2),
        ("candidate", 3),  # the better of two
    ]
    assert boxes[3].iou == pytest.approx(9 / 11)
    assert boxes[5].score == pytest.approx(0.4)
    assert match_image(evaluation, "s1", MATCH, 0.5) == ()
    with pytest.raises(ValueError, match="not in"):
        match_image(evaluation, "nobody", MATCH, 0.5)


def test_where_the_truth_is_unknown_findings_are_neither_right_nor_wrong() -> None:
    evaluation = detector(1, [(0, 0, 0.9, 0)], [], known=[False])
    assert [box.kind for box in match_image(evaluation, "s0", MATCH, 0.5)] == ["finding"]
