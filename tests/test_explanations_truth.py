"""Explanations tested for ground truth: on networks set by hand so that one region alone matters.

That the maps of the other families have their maximum there is shown beside those families' own
tests; here it is shown for YOLO, and for all that the checks pass there and fail as they should.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from fracture_core import boxes, explanations
from fracture_core.models.base import Model
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.models.yolo import YoloModel
from fracture_core.types import Detections, Heatmap, Prediction, Sample
from tests.models.test_classifier import sees_white
from tests.models.test_hf_detr import hand_set
from tests.support import detr_networks
from tests.support.torchvision_files import bright_square, faster_rcnn, let_brightness_through
from tests.support.yolo_files import image, sample

SIDE = 256
CORNER, SQUARE = (96, 64), 32
# Its centre is that of a cell of 8 px.
WIDE_SQUARE = 40
YOLOS = ["yolov8n.yaml", "yolo11n-seg.yaml", "yolov10n.yaml"]


@pytest.fixture
def square() -> Sample:
    """A white square of 32 px on darker noise."""
    return bright_square(SIDE, SIDE, CORNER, SQUARE)


@functools.cache
@torch.no_grad()
def yolo_that_sees_white(name: str, cells_left: int = 0, *, finest: bool = False) -> YoloModel:
    """Its second class reads how near to white one pixel of its cell is, or of one further left.

    One channel carries that pixel through the centre of every convolution. Boxes are as large as
    the square. `finest`: only the level of 8 px answers, and reads the mean of some 15 px.
    """
    made: Any = YoloModel.from_name(name)
    network, head = made._network, made._network.model[-1]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module is not head.dfl.conv:
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
            height, width = module.kernel_size
            module.weight[0, 0, height // 2, width // 2] = 1
            if finest and module.stride == (2, 2) and module is not network.model[0].conv:
                module.weight[0, 0] = 1 / (height * width)
    # Of three channels: white is 15 after it, a grey of 200 is nothing.
    network.model[0].conv.weight[0, :, 1, 1] = 20
    network.model[0].conv.bias[0] = -45
    _take_the_finer(network)
    branch = head.one2one if head.end2end else head.one2many
    for stride, classes, sides in zip(
        head.stride, branch["cls_head"], branch["box_head"], strict=True
    ):
        _read(classes, cells_left)
        if finest and stride > 8:
            classes[-1].bias[:] = -30
        sides[-1].weight.zero_()
        bins, side = torch.arange(head.reg_max), WIDE_SQUARE if finest else SQUARE
        sides[-1].bias.view(4, -1)[:] = -50 * (bins - side / 2 / stride) ** 2
    return YoloModel(made.card.model_copy(update={"input_size": SIDE}), network)


def _take_the_finer(network: Any) -> None:
    """Where the neck joins an enlarged map and one of the backbone, follow the backbone's."""
    for enlarged, joined, after in zip(
        network.model[:-2], network.model[1:-1], network.model[2:], strict=True
    ):
        if isinstance(enlarged, nn.Upsample) and type(joined).__name__ == "Concat":
            weight = after.cv1.conv.weight
            weight.zero_()
            weight[0, network.model[enlarged.i - 1].cv2.conv.out_channels] = 1


def _read(classes: nn.Module, cells_left: int) -> None:
    last = [module for module in classes.modules() if isinstance(module, nn.Conv2d)]
    wide = next(module for module in last if module.kernel_size == (3, 3))
    wide.weight[0, 0] = 0
    wide.weight[0, 0, 1, 1 - cells_left] = 1
    last[-1].weight.zero_()
    last[-1].weight[1, 0] = 1
    last[-1].bias[:] = -12


def in_square(heatmap: Heatmap) -> bool:
    row, column = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
    top, left = CORNER
    return top <= row < top + SQUARE and left <= column < left + SQUARE


def centres(prediction: Prediction) -> np.ndarray:
    xyxy = prediction.detections.xyxy
    return (xyxy[:, :2] + xyxy[:, 2:]) / 2


class TestYolo:
    @pytest.mark.parametrize("name", YOLOS)
    def test_every_finding_is_explained_by_the_square(self, name: str, square: Sample) -> None:
        model = yolo_that_sees_white(name)
        prediction = model.predict([square])[0]
        # Cells of 8, 16 and 32 px in a square of 32.
        assert len(prediction.detections) == 16 + 4 + 1
        assert (prediction.detections.labels == 1).all()
        for index in (*range(21), None):
            heatmap = model.explain(square, index)
            assert in_square(heatmap)
            assert heatmap.strength > 1

    @pytest.mark.parametrize("name", YOLOS)
    def test_a_map_marks_what_a_finding_read_and_not_where_it_is(
        self, name: str, square: Sample
    ) -> None:
        model = yolo_that_sees_white(name, cells_left=1)
        prediction = model.predict([square])[0]
        outside = np.flatnonzero(centres(prediction)[:, 0] > CORNER[1] + SQUARE)
        assert len(outside) == 4 + 2 + 1
        assert all(in_square(model.explain(square, int(index))) for index in outside)

    @pytest.mark.parametrize("name", YOLOS)
    def test_each_finding_has_the_map_of_its_own_cell(self, name: str, square: Sample) -> None:
        model = yolo_that_sees_white(name)
        for index, centre in enumerate(centres(model.predict([square])[0])):
            values = model.explain(square, index).values
            weights = values / values.sum()
            rows, columns = np.indices(values.shape) + 0.5
            middle = [(weights * columns).sum(), (weights * rows).sum()]
            np.testing.assert_allclose(middle, centre, atol=0.5)


def blurred(one: Sample) -> Sample:
    """As the checks take things away."""
    return sample(ndimage.gaussian_filter(one.shown(), max(one.height, one.width) / 20))


Case = tuple[Model, Sample, np.ndarray | None]
"""A model, an image, and the box of what it finds there, None for a classifier."""


def yolo(name: str) -> Callable[[], Case]:
    one = bright_square(SIDE, SIDE, CORNER, WIDE_SQUARE)
    box = np.array([CORNER[1], CORNER[0], CORNER[1] + WIDE_SQUARE, CORNER[0] + WIDE_SQUARE])
    return lambda: (yolo_that_sees_white(name, finest=True), one, box)


def classifier(kind: str) -> Callable[[], Case]:
    return lambda: (sees_white(kind), bright_square(320, 448, (64, 256), 128), None)


@torch.no_grad()
def rcnn() -> Case:
    model: Any = faster_rcnn("fasterrcnn_resnet50_fpn", ("bright",), spread=False)
    network, heads = model._network, model._network.roi_heads
    let_brightness_through(network, network.backbone.body.conv1, network.backbone.body.bn1)
    network.rpn.head.bbox_pred.weight.zero_()
    network.rpn._post_nms_top_n = {"training": 200, "testing": 200}
    heads.box_head.fc6.weight[0, :49] = 1 / 49
    heads.box_head.fc7.weight[0, 0] = 1
    one, box = bright_square(160, 224, (32, 32), 48), np.array([32, 32, 80, 80])
    read = heads.box_predictor.cls_score
    values = []
    for shown in (one, blurred(one)):
        read.weight[1, 0] = 1e-7
        found = model.predict([shown])[0].detections
        score = float(found.scores[nearest(found, box)])
        values.append(np.log(score / (1 - score)) / 1e-7)
    read.weight[1, 0], read.bias[1] = _line(*values)
    return model, one, box


def _line(high: float, low: float) -> tuple[float, float]:
    """Slope and offset that make logits of 3 and −3."""
    slope = 6 / (high - low)
    return slope, 3 - slope * high


@torch.no_grad()
def detr() -> Case:
    """Queries that look where it is bright, and answer with what they see there, in one box."""
    model: Any = hand_set("detr")
    rows, columns = detr_networks.SQUARE
    box = np.array([columns.start, rows.start, columns.stop, rows.stop])
    one = sample(detr_networks.image_with_square())
    head, sides = model._network.class_labels_classifier, model._network.bbox_predictor.layers[-1]
    seen: list[torch.Tensor] = []
    with head.register_forward_hook(lambda _head, inputs, _output: seen.append(inputs[0][0, 0])):
        model.predict([one])
        model.predict([blurred(one)])
    way = seen[0] - seen[1]
    slope, offset = _line(float(seen[0] @ way), float(seen[1] @ way))
    head.weight.zero_()
    head.weight[1] = slope * way
    head.bias[:] = torch.tensor([-9.0, offset, -9.0, 0.0])
    sides.weight.zero_()
    shares = torch.from_numpy(boxes.xyxy_to_cxcywh(box[None])[0] / detr_networks.SIDE)
    sides.bias[:] = shares.logit()
    return model, one, box


CASES = {
    **{name: yolo(name) for name in YOLOS},
    "faster_rcnn": rcnn,
    "efficientnet_gate": classifier("efficientnet_gate"),
    "resnet": classifier("resnet"),
    "hf_detr": detr,
}


def nearest(found: Detections, box: np.ndarray) -> int:
    return int(boxes.iou(found.xyxy, box[None].astype(np.float32))[:, 0].argmax())


def checked(model: Model, one: Sample, box: np.ndarray | None) -> explanations.Faithfulness:
    prediction = model.predict([one])[0]
    index = None if box is None else nearest(prediction.detections, box)
    return explanations.explain(model, one, prediction, index).faithfulness


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case == "faster_rcnn" else [])
        for case in CASES
    ],
)
def test_the_checks_pass_where_the_map_is_true_and_fail_with_random_weights(case: str) -> None:
    model, one, box = CASES[case]()
    found = checked(model, one, box)
    assert found.failures == ()
    assert found.verdict == "checks passed"
    assert checked(model.with_random_weights(1), one, box).verdict != "checks passed"


def test_an_invented_map_is_found_out() -> None:
    model, ground_truth = FakeModel(CARD), Detections.ground_truth([[40, 30, 90, 70]], [0])
    one = sample(image(120, 150), ground_truth=ground_truth)
    found = checked(model, one, ground_truth.xyxy[0])
    assert found.with_random_weights == pytest.approx(1)
    assert "Random weights give much the same map." in found.failures
    assert found.verdict != "checks passed"
