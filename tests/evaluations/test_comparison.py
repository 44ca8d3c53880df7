"""Models over a data set, by hand: who is comparable, at which confidence, how they differ."""

from dataclasses import replace

import numpy as np
import pytest

from fracture_core.evaluations.comparison import (
    Line,
    draw_at_dial,
    draw_of_all,
    froc_overlay,
    image_tests,
    lines,
    pr_overlay,
    refusal,
    refusal_of,
    roc_overlay,
    test_count,
)
from fracture_core.evaluations.disagreement import disputes
from fracture_core.evaluations.matched_models import (
    Threshold,
    common_unit,
    match_model,
    threshold_at,
)
from fracture_core.matching import MatchConfig
from fracture_core.metrics import coco
from fracture_core.metrics.average_precision import AveragePrecision
from fracture_core.metrics.intervals import wilson
from fracture_core.metrics.paired import paired_bootstrap
from fracture_core.metrics.weighted import Auc, ImageCounts
from tests.support.dial_evaluations import ABOUT, classifier, detector, simulated

test_count.__test__ = False  # a figure, not a test
GROUND_TRUTHS = [(0, 0, 0), (1, 0, 0), (1, 50, 0), (2, 0, 0)]
GROUPS = ["p", "p", "q", "r", "s", "s"]


def one_class(found: list[tuple], **about):
    return detector(
        6, found, GROUND_TRUTHS, groups=GROUPS, classes=("a",), model_classes=1, **about
    )


def first():
    """Finds three of four, one false positive box in a healthy image."""
    return one_class(
        [(0, 0, 0.9, 0), (1, 0, 0.8, 0), (1, 50, 0.7, 0), (2, 0, 0.2, 0), (4, 9, 0.6, 0)],
        model_id="first",
    )


def second():
    """Finds two of four, one of them at a low score; one false positive beside a ground truth."""
    return one_class(
        [(0, 0, 0.5, 0), (0, 90, 0.45, 0), (2, 0, 0.4, 0), (1, 0, 0.1, 0)], model_id="second"
    )


# ---- who can be compared ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "/elsewhere", "data_name": "elsewhere"}, "other data, elsewhere"),
        ({"data_stamp": "2"}, "other state of the data"),
        ({"split": "test"}, "split test; the first to val"),
        ({"one_class": True}, "one class; the first with each class"),
        ({"classes": ("a", "x")}, "the classes a, x"),
    ],
)
def test_others_are_refused_in_a_sentence(change: dict, words: str) -> None:
    assert refusal_of(ABOUT, ABOUT) == ""
    sentence = refusal_of(ABOUT, ABOUT.model_copy(update=change))
    assert words in sentence
    assert sentence.endswith(".")


def test_the_order_of_classes_does_not_matter_nor_does_healthy() -> None:
    turned = ABOUT.model_copy(update={"classes": ("c", "b", "a", "none"), "healthy": "none"})
    assert refusal_of(ABOUT, turned) == ""


def test_other_images_and_other_truths_are_refused() -> None:
    ours = first()
    assert refusal(ours, second()) == ""
    fewer = ours.images(np.array([True, True, True, True, True, False]))
    assert "5 other images" in refusal(ours, fewer)
    moved = detector(6, [], [(0, 1, 0), *GROUND_TRUTHS[1:]], groups=GROUPS, classes=("a",))
    assert "other boxes of ground truth" in refusal(ours, moved)


# ---- a common dial ------------------------------------------------------------------------------


def test_each_model_has_a_confidence_of_its_own_at_one_sensitivity() -> None:
    a, b = match_model(first(), MatchConfig()), match_model(second(), MatchConfig())
    assert common_unit([a, b]) == "lesion"
    assert threshold_at(a, "lesion", "sensitivity", 0.5).confidence == pytest.approx(0.8)
    assert threshold_at(b, "lesion", "sensitivity", 0.5).confidence == pytest.approx(0.4)
    assert threshold_at(a, "lesion", "FP per image", 0.0).confidence == pytest.approx(0.7)
    assert threshold_at(b, "lesion", "FP per image", 1 / 6).confidence == pytest.approx(0.1)
    assert threshold_at(b, "lesion", "own confidence", 0.33) == Threshold(confidence=0.33)
    far = threshold_at(b, "lesion", "sensitivity", 0.9)
    assert far.confidence is None
    assert "0.750" in far.reason


def test_with_a_classifier_whole_images_are_compared() -> None:
    ours = match_model(first(), MatchConfig())
    calls = classifier([[0.1, 0.9, 0.0]] * 3 + [[0.9, 0.1, 0.0]] * 3, [1, 1, 1, 0, 0, 0])
    theirs = match_model(calls, MatchConfig())
    assert common_unit([ours, theirs]) == "image"
    assert threshold_at(theirs, "image", "sensitivity", 1.0).confidence == pytest.approx(0.9)
    assert threshold_at(theirs, "lesion", "sensitivity", 1.0).confidence is None
    drawn = draw_at_dial(theirs, 0.5)
    assert np.isnan(drawn.values[:4]).all()
    assert drawn.values[4:].tolist() == [1.0, 1.0]


# ---- metrics ------------------------------------------------------------------------------------


def metrics(reference: int = 0) -> dict[tuple[str, str], Line]:
    both = [match_model(first(), MatchConfig()), match_model(second(), MatchConfig())]
    at_dial = [draw_at_dial(both[0], 0.5), draw_at_dial(both[1], 0.4)]
    of_all = [draw_of_all(each) for each in both]
    return {(line.name, line.unit): line for line in lines(both, at_dial, of_all, reference)}


def test_figures_at_a_dial_are_those_counted_by_hand() -> None:
    found = metrics()

    def values(name: str, unit: str) -> list[float]:
        return [each.value for each in found[name, unit].values]

    assert values("sensitivity", "lesion") == [3 / 4, 2 / 4]
    assert values("precision", "lesion") == pytest.approx([3 / 4, 2 / 3])
    assert values("F1", "lesion") == pytest.approx([6 / 8, 4 / 7])
    assert values("FP per image", "lesion") == pytest.approx([1 / 6, 1 / 6])
    assert values("sensitivity", "image") == pytest.approx([2 / 3, 2 / 3])
    assert values("specificity", "image") == pytest.approx([2 / 3, 1.0])
    assert found["FP per image", "lesion"].counts == (6, 6)
    assert found["sensitivity", "lesion"].counts == (4, 4)
    # A precision is of what is shown, a specificity of the negatives.
    assert found["precision", "lesion"].counts == (4, 3)
    assert found["sensitivity", "image"].counts == (3, 3)
    assert found["specificity", "image"].counts == (3, 3)
    assert found["sensitivity", "lesion"].differences[0] is None
    assert found["sensitivity", "lesion"].differences[1].value == pytest.approx(-1 / 4)
    # Study p, q and r have a ground truth, s has none.
    assert found["AUC", "study"].counts == (4, 4)
    turned = metrics(reference=1)["sensitivity", "lesion"].differences
    assert turned[1] is None
    assert turned[0].value == pytest.approx(1 / 4)


def test_differences_are_those_of_the_paired_bootstrap() -> None:
    ours, theirs = first(), second()
    counts = [
        ImageCounts.of_findings(each.found(), each.ground_truths, at)
        for each, at in ((ours, 0.5), (theirs, 0.4))
    ]
    expected = paired_bootstrap(GROUPS, counts[1].sensitivity, counts[0].sensitivity)
    assert metrics()["sensitivity", "lesion"].differences[1] == expected
    both = [match_model(each, MatchConfig()) for each in (ours, theirs)]
    areas = [Auc.of(each.image_scores, each.evaluation.positive) for each in both]
    found = metrics()["AUC", "image"].differences[1]
    assert found == paired_bootstrap(GROUPS, areas[1], areas[0])


def test_no_interval_is_without_width() -> None:
    # One candidate of 96 images is shown, a hit: no false positive, and 95 images are silent.
    one = match_model(detector(96, [(0, 0, 0.9, 0)], [(0, 0, 0)], classes=("a",)), MatchConfig())
    made = lines([one, one], [draw_at_dial(one, 0.5)] * 2, [draw_of_all(one)] * 2, 0)
    found = {(line.name, line.unit): line.values[1] for line in made}
    assert all(np.isnan(each.low) or each.low < each.high for each in found.values())
    specificity = found["specificity", "image"]
    assert (specificity.low, specificity.high) == wilson(95, 95)
    rate = found["FP per image", "lesion"]
    assert (rate.low, rate.high) == (0, pytest.approx(0.038, abs=0.001))
    nothing = [draw_at_dial(match_model(empty_but(96), MatchConfig()), 0.5)] * 2
    silent = lines([one, one], nothing, [draw_of_all(one)] * 2, 0)
    missed = next(line for line in silent if (line.name, line.unit) == ("sensitivity", "lesion"))
    assert (missed.values[0].low, missed.counts) == (0.0, (96, 96))
    assert missed.values[0].high == pytest.approx(0.038, abs=0.001)
    assert all(each is None or np.isnan(each.low) for each in missed.differences)


def empty_but(images: int):
    """A lesion in every image, none of them found."""
    return detector(images, [], [(n, 0, 0) for n in range(images)], classes=("a",))


def test_average_precision_is_coco_s() -> None:
    evaluation = simulated(60, 8, classes=3, seed=4)
    found, ground_truths = evaluation.found(), evaluation.ground_truths
    expected = coco.evaluate_boxes(found, ground_truths, 3)
    by_iou = AveragePrecision.of(found, ground_truths)(np.ones(60))
    assert by_iou[0] == pytest.approx(expected.ap50, abs=1e-12)
    assert by_iou.mean() == pytest.approx(expected.ap, abs=1e-12)
    # An image drawn twice counts as two of it.
    twice = np.ones(60)
    twice[:30] = 2
    kept = np.zeros(60, dtype=bool)
    kept[:30] = True
    part = evaluation.images(kept)
    only = AveragePrecision.of(part.found(), part.ground_truths)(np.full(30, 2.0))
    again = AveragePrecision.of(part.found(), part.ground_truths)(np.ones(30))
    assert only == pytest.approx(again)
    assert AveragePrecision.of(found, ground_truths)(twice)[0] != pytest.approx(expected.ap50)


def test_what_cannot_be_measured_is_undefined() -> None:
    nothing = detector(3, [(0, 0, 0.5, 0)], [], classes=("a",))
    one = match_model(nothing, MatchConfig())
    threshold = threshold_at(one, "lesion", "sensitivity", 0.5)
    assert threshold.confidence is None
    assert "undefined" in threshold.reason
    drawn = [draw_at_dial(one, threshold.confidence)] * 2
    made = lines([one, one], drawn, [draw_of_all(one)] * 2, 0)
    assert all(np.isnan(line.values[0].value) for line in made)
    assert all(np.isnan(line.differences[1].p_value) for line in made)
    tests = image_tests([one, one], [threshold, threshold], 0)
    assert tests == (None, None)
    assert test_count(made, tests) == 0
    assert len(pr_overlay(one, "lesion").x) == len(froc_overlay(one).x) == 0
    assert len(roc_overlay(one).x) == 0


def test_images_are_tested_by_mcnemar() -> None:
    both = [match_model(first(), MatchConfig()), match_model(second(), MatchConfig())]
    # First: images 2 (missed) and 4 (alarm) wrong; second: image 1 wrong.
    test = image_tests(both, [Threshold(confidence=0.5), Threshold(confidence=0.4)], 0)
    assert test[0] is None
    assert (test[1].only_first, test[1].only_second, test[1].p_value) == (2, 1, 1.0)


def test_curves_begin_where_nothing_is_shown_and_end_where_all_is() -> None:
    one = match_model(first(), MatchConfig())
    froc, pr, roc = froc_overlay(one), pr_overlay(one, "lesion"), roc_overlay(one)
    assert (froc.x[0], froc.y[0]) == (0, 0)
    assert (froc.x[-1], froc.y[-1]) == pytest.approx((1 / 6, 1.0))
    assert (pr.x[0], pr.y[0], pr.x[-1], pr.y[-1]) == pytest.approx((1 / 4, 1.0, 1.0, 4 / 5))
    assert (roc.x[-1], roc.y[-1]) == pytest.approx((1.0, 1.0))


# ---- disagreement -------------------------------------------------------------------------------


def test_disagreements_of_lesions_in_both_directions_the_most_disputed_first() -> None:
    both = match_model(first(), MatchConfig()), match_model(second(), MatchConfig())
    found = disputes(*both, (0.5, 0.4), "lesion")
    only_a = found["only A hits"]
    assert only_a.images.tolist() == [1]
    # Ground truth 1: 0.3 / 0.5 above and 0.3 / 0.4 below; ground truth 2: 0.2 / 0.5 above, no
    # candidate.
    assert only_a.amounts.tolist() == pytest.approx([0.6 + 0.75 + 0.4 + 1.0], abs=1e-6)
    assert only_a.rows == ((1, 2),)
    only_b = found["only B hits"]
    assert (only_b.images.tolist(), only_b.rows) == ([2], ((3,),))
    assert only_b.amounts.tolist() == pytest.approx([0.0 + 0.3 / 0.5], abs=1e-6)
    assert found["only A has a false positive"].images.tolist() == [4]
    assert found["only B has a false positive"].images.tolist() == [0]
    assert found["only A has a false positive"].amounts.tolist() == pytest.approx([0.2], abs=1e-6)


def test_what_both_show_in_vain_is_no_disagreement() -> None:
    alike = [match_model(first(), MatchConfig()) for _ in range(2)]
    found = disputes(alike[0], alike[1], (0.5, 0.5), "lesion")
    assert all(len(each) == 0 for each in found.values())


def test_disagreements_of_images() -> None:
    both = match_model(first(), MatchConfig()), match_model(second(), MatchConfig())
    found = disputes(*both, (0.5, 0.4), "image")
    assert found["only A hits"].images.tolist() == [1]
    assert found["only B hits"].images.tolist() == [2]
    assert found["only A has a false positive"].images.tolist() == [4]
    assert found["only B has a false positive"].images.tolist() == []
    assert found["only A hits"].rows == ((),)


def test_the_two_sides_mirror_each_other() -> None:
    ours, theirs = simulated(80, 6, seed=1), simulated(80, 6, seed=1)
    noisy = replace(theirs, raw=replace(theirs.raw, scores=theirs.raw.scores * np.float32(0.6)))
    a, b = match_model(ours, MatchConfig()), match_model(noisy, MatchConfig())
    there, back = disputes(a, b, (0.3, 0.25), "lesion"), disputes(b, a, (0.25, 0.3), "lesion")
    for one, other in (
        ("only A hits", "only B hits"),
        ("only A has a false positive", "only B has a false positive"),
    ):
        assert there[one].images.tolist() == back[other].images.tolist()
        assert there[one].amounts.tolist() == back[other].amounts.tolist()
    assert sum(map(len, there.values())) > 0
