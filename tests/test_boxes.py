import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given

from fracture_core import boxes
from tests.support.strategies import detections, thresholds


def test_iou_by_hand() -> None:
    # 10×10 boxes shifted by 5 in x: intersection 50, union 150.
    first = np.array([[0, 0, 10, 10]], dtype=np.float32)
    second = np.array([[5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 10]], dtype=np.float32)
    assert boxes.iou(first, second).tolist() == [[50 / 150, 0.0, 1.0]]


def test_conversions_by_hand() -> None:
    xyxy = np.array([[10, 20, 30, 60]], dtype=np.float32)
    assert boxes.xyxy_to_cxcywh(xyxy).tolist() == [[20, 40, 20, 40]]
    assert boxes.xyxy_to_xywh(xyxy).tolist() == [[10, 20, 20, 40]]
    assert boxes.cxcywh_to_xyxy(boxes.xyxy_to_cxcywh(xyxy)).tolist() == xyxy.tolist()
    assert boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(xyxy)).tolist() == xyxy.tolist()


def test_a_box_outside_the_image_loses_its_area() -> None:
    xyxy = np.array([[-5, -5, -1, -1], [-5, 2, 5, 8], [95, 95, 120, 130]], dtype=np.float32)
    clipped = boxes.clip(xyxy, height=100, width=100)
    assert clipped.tolist() == [[0, 0, 0, 0], [0, 2, 5, 8], [95, 95, 100, 100]]
    assert boxes.has_area(clipped).tolist() == [False, True, True]


def test_nms_keeps_a_box_at_exactly_the_threshold_and_other_classes() -> None:
    # The second overlaps the first by exactly 0.5, the third equals the first but for its class.
    xyxy = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10]], dtype=np.float32)
    labels = np.array([0, 0, 1])
    assert boxes.nms(xyxy, labels, 0.5).tolist() == [0, 1, 2]
    assert boxes.nms(xyxy, labels, 0.49).tolist() == [0, 2]


def test_a_suppressed_box_suppresses_nothing() -> None:
    # A covers B, B covers C, A and C are apart: C stays because B fell.
    xyxy = np.array([[0, 0, 10, 10], [6, 0, 16, 10], [12, 0, 22, 10]], dtype=np.float32)
    assert boxes.nms(xyxy, np.zeros(3, dtype=np.int64), 0.2).tolist() == [0, 2]


@given(detections(most=20), thresholds)
def test_nms_equals_torchvision(found, nms_iou) -> None:
    # Ties in score are broken by position here and left open there: make scores differ.
    scores = torch.linspace(1, 0.5, len(found))
    overlaps = boxes.iou(found.xyxy, found.xyxy)
    if np.isclose(overlaps, nms_iou, atol=1e-6).any():
        return  # torchvision computes in float32 and may round to the other side
    kept = torchvision.ops.batched_nms(
        torch.tensor(found.xyxy), scores, torch.tensor(found.labels), nms_iou
    )
    assert boxes.nms(found.xyxy, found.labels, nms_iou).tolist() == sorted(kept.tolist())


@pytest.mark.parametrize("nms_iou", [0.0, 0.5, 1.0])
def test_nms_of_nothing(nms_iou: float) -> None:
    assert boxes.nms(np.empty((0, 4), np.float32), np.empty(0, np.int64), nms_iou).size == 0
