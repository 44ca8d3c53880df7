"""What a YOLO is shown: the same images whatever was read before, and parts cut out of them."""

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fracture_core.datasets import open_dataset
from fracture_core.models import quiet_ultralytics
from tests.support.yolo_trainings import (
    DETECT,
    ROUGH,
    SEGMENT,
    config_of,
)
from trainers.config import Augment
from trainers.yolo.folder import write_folder
from trainers.yolo.images import Images, cut
from trainers.yolo.options import check_config, trainer_options


def test_images_are_the_same_whatever_was_read_before(data: Path) -> None:
    config = config_of(data, {**SEGMENT, "mosaic": 1.0}, augment=ROUGH)
    folder = write_folder(config, open_dataset(data), "segment")
    engine = pytest.importorskip("ultralytics.cfg")
    options = engine.get_cfg(overrides=trainer_options(config, "segment", on_gpu=False))
    read = []
    for warmed in (False, True):
        images = Images(
            img_path=str(folder.images("train")),
            imgsz=96,
            hyp=options,
            task="segment",
            data={"names": {0: "a"}, "channels": 3},
        )
        if warmed:
            [images[row] for row in (3, 1, 2)]
        random.seed(1)
        np.random.seed(1)
        read.append(images[0])
    assert torch.equal(read[0]["img"], read[1]["img"])
    assert torch.equal(read[0]["bboxes"], read[1]["bboxes"])
    assert torch.equal(read[0]["masks"], read[1]["masks"])


def square(rings: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """A record of an image of 100 × 80 pixels with these outlines, as Ultralytics makes it."""
    part = quiet_ultralytics.part("ultralytics.utils.instance")
    outlines = np.array(rings, dtype=np.float32)
    boxes = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    given = part.Instances(boxes, outlines, bbox_format="xyxy", normalized=False)
    given.normalize(100, 80)
    labels = np.arange(len(rings), dtype=np.float32)[:, None]
    return {"instances": given, "cls": labels, "im_file": "a.png"}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_a_part_has_the_boxes_and_outlines_that_lie_in_it() -> None:
    image = np.zeros((80, 100), dtype=np.uint8)
    image[20:40, 30:60] = 255
    found = square([rectangle(30, 20, 60, 40), rectangle(90, 70, 100, 80)])
    seen = set()
    for seed in range(30):
        random.seed(seed)
        augment = Augment(crop=1, crop_least=0.5, around=1)
        part = cut(copy.deepcopy(found), image, augment, 64)
        assert max(part["img"].shape) == 64
        assert part["img"].shape[2] == 1
        assert part["resized_shape"] == part["img"].shape[:2]
        inside = part["instances"]
        assert len(part["cls"]) == len(inside.bboxes) == len(inside.segments) >= 1
        seen.add(tuple(part["cls"][:, 0]))
        if part["cls"][0, 0] != 0:
            continue
        inside.convert_bbox("xyxy")
        inside.denormalize(*part["img"].shape[1::-1])
        rows, columns = np.nonzero(part["img"][..., 0] > 127)
        bright = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(inside.bboxes[0], bright, atol=1.5)
        outline = inside.segments[0]
        around = [*outline.min(axis=0), *outline.max(axis=0)]
        np.testing.assert_allclose(around, inside.bboxes[0], atol=1e-3)
    assert seen >= {(0,), (0, 1)}


def test_an_object_that_is_cut_off_for_the_most_part_is_dropped() -> None:
    found = square([rectangle(0, 0, 100, 4), rectangle(40, 30, 44, 34)])
    labels = set()
    for seed in range(40):
        random.seed(seed)
        augment = Augment(crop=1, crop_least=0.2)
        part = cut(copy.deepcopy(found), np.zeros((80, 100), dtype=np.uint8), augment, 64)
        labels |= {float(label) for label in part["cls"][:, 0]}
        for box, label in zip(part["instances"].bboxes, part["cls"][:, 0], strict=True):
            area = box[2] * box[3] * part["ori_shape"][0] * part["ori_shape"][1]
            assert area >= 0.25 * (400 if label == 0 else 16) - 1
    assert labels == {0, 1}


def test_images_to_be_cut_are_stored_larger(data: Path) -> None:
    augment = {"crop": 0.5, "crop_least": 0.75}
    config = config_of(data, DETECT, input_size=96, augment=augment)
    check_config(config)
    folder = write_folder(config, open_dataset(data), "detect")
    sizes = {}
    for split in ("train", "val"):
        with Image.open(next(folder.images(split).glob("*.png"))) as image:
            sizes[split] = max(image.size)
    assert sizes == {"train": 128, "val": 96}
