"""Error types held against hand-made cases and their definitions written out."""

from hypothesis import given, settings

from fracture_core.matching import match
from fracture_core.metrics.error_types import TYPES, error_types
from fracture_core.types import Detections
from tests.metrics.test_greedy import images, overlap
from tests.support.strategies import thresholds

BOX = [0, 0, 10, 10]
# Overlaps BOX by 0.9 and by 0.4.
CLOSE, NEAR, FAR = [0, 0, 10, 9], [0, 0, 10, 4], [50, 50, 60, 60]


def kinds(found: Detections, true: Detections, confidence: float = 0.1) -> list[str]:
    result = error_types([found], [true], confidence)
    return [TYPES[kind] for kind in result.kind]


def one(box: list[int], label: int, score: float = 0.9) -> Detections:
    return Detections.of([box], [score], [label])


def test_each_type() -> None:
    ground_truth = Detections.ground_truth([BOX], [0])
    assert kinds(one(CLOSE, 0), ground_truth) == ["right"]
    assert kinds(one(CLOSE, 1), ground_truth) == ["class"]
    assert kinds(one(NEAR, 0), ground_truth) == ["location"]
    assert kinds(one(NEAR, 1), ground_truth) == ["both"]
    assert kinds(one(FAR, 0), ground_truth) == ["background"]
    assert kinds(Detections.of([BOX, CLOSE], [0.9, 0.8], [0, 0]), ground_truth) == [
        "right",
        "duplicate",
    ]
    assert kinds(one(BOX, 0), Detections.empty()) == ["background"]


def test_a_truth_is_missed_unless_a_class_or_location_error_points_at_it() -> None:
    ground_truth = [Detections.ground_truth([BOX], [0])]
    for found, unmatched, missed in (
        (one(CLOSE, 0), False, False),
        (one(CLOSE, 1), True, False),
        (one(NEAR, 0), True, False),
        (one(NEAR, 1), True, True),
        (one(FAR, 0), True, True),
        (Detections.empty(), True, True),
    ):
        result = error_types([found], ground_truth, 0.1)
        assert (result.unmatched.tolist(), result.missed.tolist()) == ([unmatched], [missed])
        assert result.counts()["missed"] == missed


def test_only_what_is_shown_counts() -> None:
    found = [Detections.of([FAR, BOX], [0.9, 0.2], [0, 0]), one(BOX, 0, 0.5)]
    true = [Detections.ground_truth([BOX], [0]), Detections.ground_truth([BOX], [0])]
    result = error_types(found, true, 0.5)
    assert result.rows.tolist() == [0, 2]
    assert result.gt_row.tolist() == [-1, 1]
    expected = dict.fromkeys(TYPES, 0) | {"right": 1, "background": 1, "missed": 1}
    assert result.counts() == expected
    assert error_types([], [], 0.5).counts() == dict.fromkeys([*TYPES, "missed"], 0)


def test_location_goes_before_class_and_class_before_duplicate() -> None:
    # On a ground truth of another class, and touching one of its own.
    both = Detections.ground_truth([NEAR, BOX], [0, 1])
    assert kinds(one(BOX, 0), both) == ["location"]
    twins = Detections.ground_truth([BOX, CLOSE], [0, 1])
    assert kinds(Detections.of([BOX, BOX], [0.9, 0.8], [0, 0]), twins) == ["right", "class"]


def plain_kind(box, label, taken, ground_truth, match_iou) -> str:
    near = [
        (overlap(box, there), int(of) == label)
        for there, of in zip(ground_truth.xyxy.tolist(), ground_truth.labels, strict=True)
    ]
    own = max((iou for iou, same in near if same), default=0.0)
    other = max((iou for iou, same in near if not same), default=0.0)
    if taken:
        return "right"
    if own >= 0.1 and 0 < own < match_iou:
        return "location"
    if other >= match_iou and other >= 0.1:
        return "class"
    if own >= match_iou and own >= 0.1:
        return "duplicate"
    return "both" if other >= 0.1 else "background"


@given(images, thresholds, thresholds.filter(lambda value: value >= 0.1))
@settings(deadline=None, max_examples=60)
def test_types_equal_their_definitions(cases, confidence, match_iou) -> None:
    found, true = [case[0] for case in cases], [case[1] for case in cases]
    result = error_types(found, true, confidence, match_iou=match_iou)
    expected = []
    for shown, ground_truth in zip((one.above(confidence) for one in found), true, strict=True):
        taken = match(shown, ground_truth, match_iou).gt_of >= 0
        expected += [
            plain_kind(
                shown.xyxy[i].tolist(), int(shown.labels[i]), taken[i], ground_truth, match_iou
            )
            for i in range(len(shown))
        ]
    assert [TYPES[kind] for kind in result.kind] == expected
    counts = result.counts()
    assert counts["right"] + result.unmatched.sum() == sum(
        len(ground_truth) for ground_truth in true
    )
    assert counts["missed"] <= result.unmatched.sum()
