"""The dial's table against plain counting at every knot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.evaluations.threshold_sweep import cell_images, dial_table
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.cells import assign_cells
from tests.support.dial_evaluations import classifier, detector, simulated

MATCH = MatchConfig()
# Ground truths: a at 0 and b at 50 in image 0, a at 0 in image 1; image 2 is healthy.
GROUND_TRUTHS = [(0, 0, 0), (0, 50, 1), (1, 0, 0)]
FOUND = [
    (0, 1, 0.9, 0),  # right
    (0, 51, 0.8, 2),  # on the b, called c
    (0, 200, 0.3, 0),  # on nothing
    (1, 2, 0.6, 0),  # right
    (1, 1, 0.5, 0),  # overlaps the same ground truth more, but comes second
    (2, 0, 0.7, 1),  # on nothing
]


def at(table, confidence: float):
    place = table.place(confidence)
    assert table.confidences[place] == pytest.approx(confidence)
    return place


# ---- by hand ----------------------------------------------------------------------------------


def test_counts_of_a_detector_by_hand() -> None:
    table = dial_table(detector(3, FOUND, GROUND_TRUTHS), MATCH)
    lesions, images = table.tallies
    here = lesions[at(table, 0.6)]
    assert (here.true_positives, here.false_positives, here.missed) == (2, 2, 1)
    assert here.sensitivity.share == pytest.approx(2 / 3)
    assert here.precision.share == 0.5
    assert here.f1 == pytest.approx(4 / 7)
    assert here.fp_per_image == pytest.approx(2 / 3)
    shown = images[at(table, 0.75)]
    assert (shown.true_positives, shown.false_positives, shown.missed) == (1, 0, 1)
    assert (shown.specificity.count, shown.specificity.total) == (1, 1)
    assert (shown.negative_value.count, shown.negative_value.total) == (1, 2)
    assert images[at(table, 0.6)].specificity.share == 0


def test_the_confusion_of_a_detector_by_hand() -> None:
    findings, images = dial_table(detector(3, FOUND, GROUND_TRUTHS), MATCH).sheets
    table = dial_table(detector(3, FOUND, GROUND_TRUTHS), MATCH)
    assert findings.rows == ("a", "b", "c", "false positive")
    assert findings.columns == ("a", "b", "c", "missed")
    assert findings.matrix(at(table, 0.3)).tolist() == [
        [2, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
        [2, 1, 0, 0],
    ]
    assert findings.matrix(at(table, 0.85)).tolist() == [
        [1, 0, 0, 1],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert images.matrix(at(table, 0.65)).tolist() == [[1, 1], [1, 0]]


def test_classes_may_not_count() -> None:
    blind = MatchConfig(class_aware=False)
    table = dial_table(detector(3, FOUND, GROUND_TRUTHS), blind)
    assert table.tallies[0][at(table, 0.6)].true_positives == 3
    assert table.by_class == ()


def test_lesions_by_class() -> None:
    table = dial_table(detector(3, FOUND, GROUND_TRUTHS), MATCH)
    assert [counts.name for counts in table.by_class] == ["a", "b", "c"]
    counts = [
        (one.true_positives, one.false_positives, one.positives)
        for one in (counts[at(table, 0.3)] for counts in table.by_class)
    ]
    assert counts == [(2, 2, 2), (0, 1, 1), (0, 1, 0)]


def test_the_cases_of_a_cell() -> None:
    evaluation = detector(3, FOUND, GROUND_TRUTHS)
    findings, images = dial_table(evaluation, MATCH).sheets

    def cases(sheet, row: int, column: int, confidence: float) -> tuple[str, ...]:
        return cell_images(evaluation, MATCH, sheet, (row, column), confidence)

    assert cases(findings, 0, 0, 0.3) == ("s0", "s1")
    assert cases(findings, 1, 2, 0.3) == ("s0",)
    assert cases(findings, 3, 1, 0.3) == ("s2",)
    assert cases(findings, 0, 3, 0.85) == ("s1",)
    assert cases(images, 0, 1, 0.65) == ("s1",)
    assert cases(images, 1, 0, 0.65) == ("s2",)


def test_images_of_unknown_truth_do_not_count() -> None:
    known = [True, True, False]
    evaluation = detector(3, FOUND, GROUND_TRUTHS, known=known)
    table = dial_table(evaluation, MATCH)
    assert [counts.images for counts in table.tallies] == [2, 2]
    assert table.tallies[0][at(table, 0.6)].false_positives == 1
    assert cell_images(evaluation, MATCH, table.sheets[0], (3, 0), 0.3) == ("s0", "s1")


def test_a_study_is_judged_by_its_rule() -> None:
    groups = ["p", "p", "q"]
    best = dial_table(detector(3, FOUND, GROUND_TRUTHS, groups=groups), MATCH)
    studies = best.counts_of("study")
    here = studies[at(best, 0.65)]
    assert (here.true_positives, here.false_positives) == (1, 1)
    assert (here.positives, here.negatives, here.images) == (1, 1, 2)
    config = MatchConfig(study_rule="top-3 mean")
    mean = dial_table(detector(3, FOUND, GROUND_TRUTHS, groups=groups), config)
    # The mean of 0.9 and 0.6.
    assert mean.counts_of("study")[at(mean, 0.75)].true_positives == 1
    assert mean.counts_of("study")[mean.place(0.76)].true_positives == 0
    assert dial_table(detector(3, FOUND, GROUND_TRUTHS), MATCH).counts_of("study") is None


def test_a_classifier_by_hand() -> None:
    scores = [[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]
    evaluation = classifier(scores, [0, 1, 0, 2, -1])
    table = dial_table(evaluation, MATCH)
    (images,) = table.tallies
    here = images[at(table, 0.5)]
    assert (here.true_positives, here.false_positives) == (1, 1)
    assert (here.positives, here.negatives) == (2, 2)
    shown, classes = table.sheets
    assert shown.matrix(at(table, 0.5)).tolist() == [[1, 1], [1, 1]]
    # By the highest score, wherever the dial is.
    assert classes.matrix(0).tolist() == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert classes.matrix(len(table.confidences) - 1).tolist() == classes.matrix(0).tolist()
    assert cell_images(evaluation, MATCH, classes, (2, 0), 0.5) == ("s3",)
    assert cell_images(evaluation, MATCH, shown, (1, 0), 0.5) == ("s2",)


def test_without_a_class_for_nothing_only_classes_are_counted() -> None:
    table = dial_table(classifier([[0.9, 0.06, 0.04]], [1], healthy=""), MATCH)
    assert table.tallies == ()
    assert table.reliability is None
    assert [sheet.name for sheet in table.sheets] == ["classes"]


@pytest.mark.parametrize(
    ("found", "ground_truths"), [([], []), ([], [(0, 0, 0)]), ([(0, 0, 0.5, 0)], [])]
)
def test_what_is_undefined_is_nan(found: list, ground_truths: list) -> None:
    table = dial_table(detector(1, found, ground_truths), MATCH)
    lesions, images = table.tallies
    here, whole = lesions[table.place(0.9)], images[table.place(0.9)]
    assert np.isnan(here.sensitivity.share) == (not ground_truths)
    assert np.isnan(here.precision.share)
    assert np.isnan(whole.specificity.share) == bool(ground_truths)
    assert np.isnan(whole.negative_value.share) == bool(ground_truths)
    assert (table.reliability is None) == (not found)


# ---- laws -------------------------------------------------------------------------------------

ROW = st.tuples(
    st.integers(0, 3),
    st.integers(0, 30),
    st.integers(1, 100).map(lambda n: n / 100),
    st.integers(0, 2),
)
GROUND_TRUTH = st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=12), st.lists(GROUND_TRUTH, max_size=6), st.booleans())
def test_every_knot_is_exact(found: list, ground_truths: list, class_aware: bool) -> None:
    evaluation = detector(4, found, ground_truths)
    table = dial_table(evaluation, MatchConfig(class_aware=class_aware))
    raw, ground_truth = evaluation.raw, evaluation.ground_truths
    cells = assign_cells(raw, ground_truth)
    best = np.zeros(4)
    np.maximum.at(best, raw.image, raw.scores.astype(np.float64))
    lesions, images = table.tallies
    assert (np.diff(table.confidences) < 0).all()
    for place in range(0, len(table.confidences), 7):
        confidence = float(table.confidences[place])
        counts = greedy.count(raw, ground_truth, confidence, class_aware=class_aware)
        here = lesions[place]
        got = (here.true_positives, here.false_positives, here.missed)
        assert got == (counts.true_positives, counts.false_positives, counts.false_negatives)
        assert table.sheets[0].matrix(place).tolist() == cells.matrix(confidence, 3).tolist()
        shown = best >= confidence
        assert images[place].true_positives == np.count_nonzero(shown & evaluation.positive)
        assert images[place].false_positives == np.count_nonzero(shown & ~evaluation.positive)


def test_many_candidates_have_few_knots_that_lie_densely() -> None:
    evaluation = simulated(2_000, 100, classes=3)
    table = dial_table(evaluation, MATCH, (0.123456,))
    assert len(table.confidences) <= 1_001
    assert table.confidences[table.place(0.123456)] == 0.123456
    lesions, images, studies = table.tallies
    steps = np.diff(lesions.true_positives / lesions.positives)
    assert steps.max() < 0.01
    rates = lesions.false_positives / len(evaluation)
    some = rates[(rates > 1 / 8) & (rates < 8)]
    assert (some[1:] / some[:-1]).max() < 1.1
    # Everything is counted at the lowest knot.
    assert lesions[-1].true_positives + lesions[-1].false_positives == len(evaluation.raw)
    assert images[-1].true_positives == images.positives
    assert studies[-1].false_positives == studies.negatives


def test_merging_comes_before_counting() -> None:
    found = [(0, 0, 0.9, 0), (0, 1, 0.8, 0)]
    evaluation = detector(1, found, [(0, 0, 0)], needs_nms=True)
    merged = dial_table(evaluation, MatchConfig(nms_iou=0.5)).tallies[0]
    raw = dial_table(evaluation, MatchConfig(nms_iou=1.0)).tallies[0]
    assert merged[-1].false_positives == 0
    assert raw[-1].false_positives == 1
