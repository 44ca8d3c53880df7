"""COCO's metrics held against pycocotools and against faster-coco-eval."""

import contextlib
import dataclasses
import io
from collections.abc import Sequence

import faster_coco_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fracture_core import boxes, masks
from fracture_core.datasets import open_dataset
from fracture_core.metrics.coco import CocoMetrics, evaluate_boxes, evaluate_masks
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.types import Detections, Sample
from tests.support.strategies import SIZE, detections, ground_truths

CLASSES = 3
TOOLS = {
    "pycocotools": (COCO, COCOeval),
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
}
NAMES = [field.name for field in dataclasses.fields(CocoMetrics)][:12]


def annotations(images: Sequence[Detections], crowd: Sequence[np.ndarray] = ()) -> list[dict]:
    rows = []
    for image, one in enumerate(images):
        xywh = boxes.xyxy_to_xywh(one.xyxy.astype(np.float64)).tolist()
        for i in range(len(one)):
            row = {
                "id": len(rows) + 1,
                "image_id": image,
                "category_id": int(one.labels[i]),
                "bbox": xywh[i],
                "area": xywh[i][2] * xywh[i][3],
                "score": float(one.scores[i]),
                "iscrowd": int(crowd[image][i]) if crowd else 0,
            }
            if one.masks:
                row["segmentation"] = one.masks[i].as_coco()
                row["area"] = masks.pixels(one.masks[i])
            rows.append(row)
    return rows


def coco_of(kind: type, rows: list[dict], image_count: int, size: int = SIZE):
    data = kind()
    data.dataset = {
        "images": [{"id": i, "height": size, "width": size} for i in range(image_count)],
        "categories": [{"id": k, "name": str(k)} for k in range(CLASSES)],
        "annotations": rows,
        "info": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        data.createIndex()
    return data


def reference(found, there, crowd=(), kind="bbox", tool="pycocotools"):
    coco, evaluator = TOOLS[tool]
    ground_truth = coco_of(coco, annotations(there, crowd), len(there))
    rows = annotations(found)
    if kind == "bbox":
        # As `loadRes` has it; only ground truths have the size of their mask.
        rows = [row | {"area": row["bbox"][2] * row["bbox"][3]} for row in rows]
    guess = coco_of(coco, rows, len(there))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = evaluator(ground_truth, guess, kind)
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    per_class = theirs.eval["precision"][:, :, :, 0, 2]
    return np.array(theirs.stats[:12], dtype=np.float64), per_class


def twelve(metrics: CocoMetrics) -> np.ndarray:
    return np.array([getattr(metrics, name) for name in NAMES])


def mean_or_undefined(shares: np.ndarray) -> float:
    return float(shares.mean()) if (shares > -1).any() else -1.0


@st.composite
def marked(draw: st.DrawFn):
    """A few images: candidates, ground truths, and which ground truths are crowds."""
    count = draw(st.integers(1, 5))
    found = [draw(detections()) for _ in range(count)]
    true = [draw(ground_truths()) for _ in range(count)]
    crowd = [
        np.array(draw(st.lists(st.booleans(), min_size=len(t), max_size=len(t))), dtype=bool)
        for t in true
    ]
    return found, true, crowd


@given(marked())
@settings(deadline=None)
def test_boxes_equal_pycocotools(case) -> None:
    found, true, crowd = case
    ours = evaluate_boxes(found, DetectionTable.of(true, crowd), CLASSES)
    theirs, precision = reference(found, true, crowd)
    np.testing.assert_allclose(twelve(ours), theirs, atol=1e-6)
    for k in range(CLASSES):
        assert ours.per_class_ap[k] == pytest.approx(mean_or_undefined(precision[:, :, k]))
        assert ours.per_class_ap50[k] == pytest.approx(mean_or_undefined(precision[0, :, k]))


def crowded_images(seed: int, count: int, size: int) -> tuple[list, list, list]:
    """Ground truths of all sizes, each with several candidates near it, and stray ones."""
    rng = np.random.default_rng(seed)
    found, true, crowd = [], [], []
    for _ in range(count):
        there = random_boxes(rng, int(rng.integers(0, 6)), size)
        near = np.repeat(there, 6, axis=0) + rng.normal(0, size / 40, (len(there) * 6, 4))
        guesses = np.concatenate([near, random_boxes(rng, int(rng.integers(0, 150)), size)])
        guesses = guesses[boxes.has_area(boxes.clip(guesses, size, size))]
        labels = rng.integers(0, CLASSES, len(there))
        # Scores on a coarse grid, so that many tie.
        scores = rng.integers(1, 60, len(guesses)) / 64
        guess_labels = rng.integers(0, CLASSES, len(guesses))
        one, _ = Detections.raw(guesses, scores, guess_labels, height=size, width=size)
        found.append(one)
        true.append(Detections.ground_truth(there, labels))
        crowd.append(rng.random(len(there)) < 0.15)
    return found, true, crowd


def random_boxes(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    side = size * rng.uniform(0.02, 0.7, (count, 2))
    low = rng.uniform(0, 1, (count, 2)) * (size - side)
    return np.concatenate([low, low + side], axis=1)


@pytest.mark.parametrize("tool", list(TOOLS))
def test_boxes_of_all_sizes_equal_both_tools(tool) -> None:
    found, true, crowd = crowded_images(seed=5, count=120, size=400)
    assert max(len(one) for one in found) > 100
    ours = twelve(evaluate_boxes(found, DetectionTable.of(true, crowd), CLASSES))
    theirs, _ = reference(found, true, crowd, tool=tool)
    assert (theirs > 0).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_more_than_a_hundred_candidates_of_a_class_do_not_count() -> None:
    strays = np.tile([[0, 0, 5, 5]], (100, 1))
    found = [Detections.of([*strays, [20, 20, 60, 60]], [0.9] * 100 + [0.8], [0] * 101)]
    true = [Detections.ground_truth([[20, 20, 60, 60]], [0])]
    assert evaluate_boxes(found, true, 1).ar100 == 0
    assert evaluate_boxes([found[0][1:]], true, 1).ar100 == 1


def with_masks(one: Detections, rng: np.random.Generator, size: int) -> Detections:
    """Every box filled with a random blotch."""
    codes = []
    for box in one.xyxy:
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.maximum(np.ceil(box[2:]).astype(int), [left + 1, top + 1])
        filled = np.zeros((size, size), dtype=bool)
        filled[top:bottom, left:right] = rng.random((bottom - top, right - left)) < 0.9
        filled[top, left] = True
        codes.append(masks.encode(filled))
    return Detections.of(one.xyxy, one.scores, one.labels, tuple(codes))


@pytest.mark.parametrize("tool", list(TOOLS))
def test_masks_equal_both_tools(tool) -> None:
    rng, size = np.random.default_rng(8), 320
    found, true, crowd = crowded_images(seed=3, count=25, size=size)
    found = [with_masks(one[:40], rng, size) for one in found]
    true = [with_masks(one, rng, size) for one in true]
    ours = twelve(evaluate_masks(found, DetectionTable.of(true, crowd), CLASSES))
    theirs, _ = reference(found, true, crowd, "segm", tool)
    assert theirs[0] > 0
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@given(marked())
@settings(deadline=None, max_examples=30)
def test_random_masks_equal_pycocotools(case) -> None:
    found, true, crowd = case
    rng = np.random.default_rng(sum(len(one) for one in found))
    found, true = ([with_masks(one, rng, SIZE) for one in side] for side in (found, true))
    ours = evaluate_masks(found, DetectionTable.of(true, crowd), CLASSES)
    theirs, precision = reference(found, true, crowd, "segm")
    np.testing.assert_allclose(twelve(ours), theirs, atol=1e-6)
    for k in range(CLASSES):
        assert ours.per_class_ap[k] == pytest.approx(mean_or_undefined(precision[:, :, k]))


@given(marked())
@settings(deadline=None, max_examples=30)
def test_filled_boxes_as_masks_equal_boxes(case) -> None:
    found, true, crowd = case
    as_masks = [[filled(one) for one in side] for side in (found, true)]
    by_masks = evaluate_masks(as_masks[0], DetectionTable.of(as_masks[1], crowd), CLASSES)
    by_boxes = evaluate_boxes(found, DetectionTable.of(true, crowd), CLASSES)
    np.testing.assert_allclose(twelve(by_masks), twelve(by_boxes), atol=1e-12)


def filled(one: Detections) -> Detections:
    codes = []
    for left, top, right, bottom in one.xyxy.astype(int):
        inside = np.ones((bottom - top, right - left), dtype=bool)
        codes.append(masks.from_crop(inside, left, top, SIZE, SIZE))
    return Detections.of(one.xyxy, one.scores, one.labels, tuple(codes))


def test_nothing_to_find_is_undefined_and_nothing_found_is_zero() -> None:
    one = Detections.ground_truth([[0, 0, 10, 10]], [0])
    none = Detections.empty()
    assert (twelve(evaluate_boxes([one], [none], 2)) == -1).all()
    assert (twelve(evaluate_boxes([], [], 2)) == -1).all()
    missed = evaluate_boxes([none], [one], 2)
    assert (missed.ap, missed.ap_small, missed.ap_large, missed.ar1) == (0, 0, -1, 0)
    assert missed.per_class_ap == (0, -1)


def test_bad_input_is_said() -> None:
    one = Detections.ground_truth([[0, 0, 10, 10]], [1])
    with pytest.raises(ValueError, match="labels below 1, got 1"):
        evaluate_boxes([one], [one], 1)
    with pytest.raises(ValueError, match="as many images, got 1 and 2"):
        evaluate_boxes([one], [one, one], 2)
    with pytest.raises(ValueError, match="found: expected a mask for each of 1"):
        evaluate_masks([one], [one], 2)
    rising = DetectionTable.of([Detections.of([[0, 0, 1, 1]] * 2, [0.9, 0.8], [0, 0])])
    with pytest.raises(ValueError, match="scores falling within each"):
        dataclasses.replace(rising, scores=rising.scores[::-1])


def test_real_fractures_equal_pycocotools(shared_data) -> None:
    data, rng = open_dataset(shared_data / "fracatlas"), np.random.default_rng(1)
    samples = [data[name] for name in data.ids[::6]]
    true = [sample.ground_truth for sample in samples]
    assert sum(len(one) for one in true) > 100
    assert any(not len(one) for one in true)
    crowd = [np.arange(len(one)) % 3 == 2 for one in true]
    assert any(marks.any() for marks in crowd)
    for found in (
        [guess(sample, rng) for sample in samples],
        [moved(sample, rng) for sample in samples],
    ):
        for evaluate, kind in ((evaluate_boxes, "bbox"), (evaluate_masks, "segm")):
            theirs, _ = reference(found, true, crowd, kind)
            assert theirs[0] > 0.05
            ours = evaluate(found, DetectionTable.of(true, crowd), CLASSES)
            np.testing.assert_allclose(twelve(ours), theirs, atol=1e-6)


def moved(sample: Sample, rng: np.random.Generator) -> Detections:
    """Each ground truth's own outline twice, a few pixels beside where it belongs."""
    parts = []
    for mask, box in zip(sample.ground_truth.masks, sample.ground_truth.xyxy, strict=True):
        filled_in = masks.decode(mask)
        for _ in range(2):
            right, down = rng.integers(-6, 7, 2)
            code = masks.encode(np.roll(filled_in, (down, right), axis=(0, 1)))
            parts.append((box + np.array([right, down] * 2), rng.random(), code))
    parts.sort(key=lambda part: -part[1])
    if not parts:
        return Detections.empty()
    xyxy, scores, codes = zip(*parts, strict=True)
    xyxy = boxes.clip(np.array(xyxy), sample.height, sample.width)
    return Detections.of(xyxy, scores, [0] * len(parts), codes)


def guess(sample: Sample, rng: np.random.Generator) -> Detections:
    """Ten filled boxes near each ground truth and three anywhere."""
    scale = np.array([sample.width, sample.height] * 2)
    near = np.repeat(sample.ground_truth.xyxy, 10, axis=0)
    near = near + rng.normal(0, 0.004, near.shape) * scale
    anywhere = random_boxes(rng, 3, 1) * scale
    corners = np.round(np.concatenate([near, anywhere]))
    scores = np.append(rng.uniform(0.3, 1, len(near)), rng.uniform(0, 0.5, 3))
    one, _ = Detections.raw(
        corners, scores, np.zeros(len(corners)), height=sample.height, width=sample.width
    )
    codes = []
    for left, top, right, bottom in one.xyxy.astype(int):
        inside = np.ones((bottom - top, right - left), dtype=bool)
        codes.append(masks.from_crop(inside, left, top, sample.height, sample.width))
    return Detections.of(one.xyxy, one.scores, one.labels, tuple(codes))


@pytest.mark.parametrize("tool", list(TOOLS))
@pytest.mark.parametrize(("order", "ar100"), [([0, 1], 0.85), ([1, 0], 0.7)])
def test_of_equal_overlaps_the_last_truth_is_taken(tool, order, ar100) -> None:
    # The first box overlaps both ground truths by 9/11, the second one by 1 and the other by 8/12.
    found = [Detections.of([[1, 0, 11, 10], [0, 0, 10, 10]], [0.9, 0.8], [0, 0])]
    true = [Detections.ground_truth(np.array([[0, 0, 10, 10], [2, 0, 12, 10]])[order], [0, 0])]
    ours = evaluate_boxes(found, true, CLASSES)
    assert ours.ar100 == pytest.approx(ar100)
    np.testing.assert_allclose(twelve(ours), reference(found, true, tool=tool)[0], atol=1e-6)
