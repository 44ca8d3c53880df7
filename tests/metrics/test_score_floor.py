"""Average precision of raw predictions, from the least score that is kept."""

import numpy as np
import pytest
import torch

from fracture_core import boxes
from fracture_core.metrics.coco import evaluate_boxes
from fracture_core.models import quiet_ultralytics
from fracture_core.types import SCORE_FLOOR, Detections
from tests.metrics.test_coco import CLASSES, reference, twelve

SIZE = 320


def a_model(count: int = 60) -> tuple[list[Detections], list[Detections]]:
    """Raw predictions, most of them weak as YOLO's are, and their ground truth."""
    rng = np.random.default_rng(11)
    found, there = [], []
    for _ in range(count):
        start = rng.uniform(0, SIZE - 90, (rng.integers(1, 5), 2))
        real = np.concatenate([start, start + rng.uniform(30, 90, start.shape)], axis=1)
        classes = rng.integers(0, CLASSES, len(real))
        there.append(Detections.ground_truth(real, classes))
        near = np.repeat(real, 6, axis=0) + rng.normal(0, 4, (6 * len(real), 4))
        stray = rng.uniform(0, SIZE - 60, (20, 2))
        stray = np.concatenate([stray, stray + rng.uniform(20, 60, stray.shape)], axis=1)
        scores = 10 ** rng.uniform(-4, -0.05, len(near) + len(stray))
        scores[len(near) :] **= 1.3
        labels = np.concatenate([np.repeat(classes, 6), rng.integers(0, CLASSES, len(stray))])
        every = np.concatenate([near, stray])
        kept, _ = Detections.raw(every, scores, labels, height=SIZE, width=SIZE)
        found.append(kept)
    return found, there


def of_ultralytics(found: list[Detections], there: list[Detections]) -> tuple[float, float]:
    """AP50-95 and AP50 by Ultralytics' matching and its interpolation."""
    validator = quiet_ultralytics.part("ultralytics.engine.validator").BaseValidator
    metrics = quiet_ultralytics.part("ultralytics.utils.metrics")
    stub = type("Stub", (), {"iouv": torch.linspace(0.5, 0.95, 10)})()
    right = []
    for one, ground_truth in zip(found, there, strict=True):
        iou = torch.from_numpy(boxes.iou(ground_truth.xyxy, one.xyxy))
        labels = [torch.from_numpy(each.labels.copy()) for each in (one, ground_truth)]
        right.append(validator.match_predictions(stub, *labels, iou).numpy())
    joined = {
        name: np.concatenate([getattr(each, name) for each in found])
        for name in ("scores", "labels")
    }
    real = np.concatenate([each.labels for each in there])
    ap = metrics.ap_per_class(np.concatenate(right), joined["scores"], joined["labels"], real)[5]
    return float(ap.mean()), float(ap[:, 0].mean())


def test_ap_at_the_floor_equals_pycocotools_and_ultralytics() -> None:
    found, there = a_model()
    least = min(one.scores.min() for one in found)
    assert SCORE_FLOOR == 0.001 <= least < 0.0015
    ours = evaluate_boxes(found, there, CLASSES)
    theirs, _ = reference(found, there)
    np.testing.assert_allclose(twelve(ours), theirs, atol=1e-6)
    # Ultralytics draws lines between the points of the curve where COCO goes in steps.
    ap, ap50 = of_ultralytics(found, there)
    assert ours.ap == pytest.approx(ap, abs=0.01)
    assert ours.ap50 == pytest.approx(ap50, abs=0.01)
    # The floor matters: what is scored lower than 0.01 finds something.
    above = evaluate_boxes([one.above(0.01) for one in found], there, CLASSES)
    assert ours.ap > above.ap + 0.003
