import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core import masks
from fracture_core.types import Detections, Heatmap, Prediction, Sample, Window, full_range
from tests.support.strategies import detections, thresholds


def same(first: Detections, second: Detections) -> bool:
    return (
        np.array_equal(first.xyxy, second.xyxy)
        and np.array_equal(first.scores, second.scores)
        and np.array_equal(first.labels, second.labels)
    )


@given(detections(), thresholds, thresholds)
def test_filters_commute(found, confidence, nms_iou) -> None:
    assert same(found.above(confidence).nms(nms_iou), found.nms(nms_iou).above(confidence))


@given(detections(), thresholds, thresholds, thresholds)
def test_raising_confidence_never_adds(found, first, second, nms_iou) -> None:
    low, high = sorted([first, second])
    few = {tuple(row) for row in found.above(high).nms(nms_iou).xyxy.tolist()}
    many = {tuple(row) for row in found.above(low).nms(nms_iou).xyxy.tolist()}
    assert few <= many
    assert len(found.above(high).nms(nms_iou)) <= len(found.above(low).nms(nms_iou))


@given(detections(), thresholds)
def test_nms_is_idempotent(found, nms_iou) -> None:
    once = found.nms(nms_iou)
    assert same(once.nms(nms_iou), once)


@given(detections(), thresholds)
def test_above_keeps_exactly_those(found, confidence) -> None:
    assert len(found.above(confidence)) == sum(float(s) >= confidence for s in found.scores)


def test_masks_follow_their_boxes() -> None:
    codes = tuple(masks.encode(np.eye(8, dtype=np.bool_) * i > 1) for i in range(3))
    found = Detections.of([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 8, 8]], [0.9, 0.8, 0.3], [0, 0, 0])
    found = Detections.of(found.xyxy, found.scores, found.labels, codes)
    assert found.nms(0.5).masks == (codes[0], codes[2])
    assert found.above(0.5).masks == codes[:2]


def test_raw_orders_clips_and_drops() -> None:
    found, kept = Detections.raw(
        [[0, 0, 4, 4], [-5, -5, 50, 4], [3, 3, 3, 9], [20, 20, 30, 30], [1, 1, 2, 2]],
        [0.5, 0.9, 0.8, 0.7, 0.0009],
        [0, 1, 0, 0, 0],
        height=10,
        width=10,
    )
    assert kept.tolist() == [1, 0]
    assert found.xyxy.tolist() == [[0, 0, 10, 4], [0, 0, 4, 4]]
    assert found.labels.tolist() == [1, 0]


def test_raw_drops_what_is_not_a_number() -> None:
    nan, inf = float("nan"), float("inf")
    found, kept = Detections.raw(
        [[0, 0, nan, 4], [0, 0, 4, inf], [0, 0, 4, 4]],
        [0.5, 0.6, nan],
        [0, 0, 0],
        height=9,
        width=9,
    )
    assert len(found) == len(kept) == 0


def test_raw_keeps_the_best_thousand() -> None:
    scores = np.linspace(0.02, 1, 1_500)
    found, _ = Detections.raw(
        np.tile([0, 0, 4, 4], (1_500, 1)), scores, np.zeros(1_500), height=9, width=9
    )
    assert len(found) == 1_000
    assert found.scores[0] == 1
    assert found.scores[-1] == pytest.approx(scores[500])


def test_arrays_are_read_only_and_copied() -> None:
    xyxy = np.array([[0, 0, 4, 4]], dtype=np.float32)
    found = Detections.of(xyxy, [0.5], [0])
    xyxy[0, 0] = 2
    assert found.xyxy[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        found.scores[0] = 1


@pytest.mark.parametrize(
    ("xyxy", "scores", "labels", "message"),
    [
        ([[0, 0, 1, 1]], [0.5, 0.4], [0], r"scores: expected \(1,\)"),
        ([[2, 0, 1, 1]], [0.5], [0], "x1 < x2"),
        ([[-1, 0, 1, 1]], [0.5], [0], "no negative corner"),
        ([[0, 0, 1, 1]], [1.5], [0], r"values in \[0, 1\]"),
        ([[0, 0, 1, 1]] * 2, [0.4, 0.5], [0, 0], "falling order"),
        ([[0, 0, 1, 1]], [0.5], [-1], "classes from 0"),
        ([[0, 0, float("inf"), 1]], [0.5], [0], "finite"),
    ],
)
def test_what_breaks_the_rules_is_refused(xyxy, scores, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        Detections.of(xyxy, scores, labels)


def test_an_index_that_breaks_the_order_is_refused() -> None:
    found = Detections.of([[0, 0, 1, 1], [0, 0, 2, 2]], [0.9, 0.1], [0, 0])
    with pytest.raises(ValueError, match="falling order"):
        found[np.array([1, 0])]


def test_a_linear_window_by_hand() -> None:
    # PS3.3 C.11.2.1.2.1 with c=50, w=11: black up to 44.5, white above 54.5, 49.5 in the middle.
    window = Window(center=50, width=11, function="LINEAR")
    pixels = np.array([[44, 45, 49, 50, 54, 55]], dtype=np.uint16)
    shown = window.apply(pixels)[0]
    assert shown[0] == 0
    assert shown[-1] == 255
    assert shown[2] == round(255 * ((49 - 49.5) / 10 + 0.5))


def test_an_exact_window_spans_its_ends() -> None:
    window = Window(center=50, width=20, function="LINEAR_EXACT")
    pixels = np.array([[39, 40, 50, 60, 61]], dtype=np.uint8)
    assert window.apply(pixels).tolist() == [[0, 0, 128, 255, 255]]


def test_a_sigmoid_window_is_half_at_its_center() -> None:
    window = Window(center=1_000, width=10, function="SIGMOID")
    shown = window.apply(np.array([[0, 1_000, 65_535]], dtype=np.uint16))
    assert shown.tolist() == [[0, 128, 255]]


@given(st.floats(-100, 70_000), st.floats(1, 70_000))
def test_windows_never_fall(center, width) -> None:
    levels = np.arange(0, 65_536, 97, dtype=np.uint16)[None]
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        shown = Window(center=center, width=width, function=function).apply(levels)[0]
        assert (np.diff(shown.astype(int)) >= 0).all()


@pytest.mark.parametrize("width", [0, -3, float("nan")])
def test_a_window_without_width_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="width above 0"):
        Window(center=1, width=width)


def test_full_range_shows_every_value() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert (full_range(np.uint8).apply(ramp) == ramp).all()
    assert full_range(np.uint16).apply(np.array([[0, 65_535]], np.uint16)).tolist() == [[0, 255]]


def sample(pixels, **fields) -> Sample:
    return Sample(sample_id="a", group_id="g", height=4, width=5, read=lambda: pixels, **fields)


def test_a_sample_shows_its_first_window() -> None:
    pixels = np.full((4, 5), 100, dtype=np.uint16)
    assert (sample(pixels, windows=(Window(center=100, width=10),)).shown() == 128).all()
    assert (sample(pixels).shown() == 0).all()


@pytest.mark.parametrize("pixels", [np.zeros((5, 4), np.uint8), np.zeros((4, 5), np.float32)])
def test_a_reader_that_breaks_its_word_is_found_out(pixels) -> None:
    with pytest.raises(ValueError, match="pixels: expected"):
        _ = sample(pixels).pixels


def test_an_image_score_is_a_share() -> None:
    with pytest.raises(ValueError, match="image_score"):
        Prediction(
            model_id="m", sample_id="s", detections=Detections.empty(), image_score=1.2, seconds=0
        )


def test_a_heat_map_keeps_its_strength() -> None:
    heatmap = Heatmap.of([[-1.0, 0.0], [0.02, 0.04]], method="m", target="t")
    assert heatmap.values.tolist() == [[0, 0], [0.5, 1]]
    assert heatmap.strength == pytest.approx(0.04)


def test_no_evidence_is_an_empty_heat_map() -> None:
    heatmap = Heatmap.of(np.full((2, 3), -1.0), method="m", target="t")
    assert heatmap.strength == 0
    assert not heatmap.values.any()
