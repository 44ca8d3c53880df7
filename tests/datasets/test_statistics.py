"""Statistics of a data set, by hand."""

from collections import Counter
from pathlib import Path

import numpy as np

from fracture_core.datasets import open_dataset
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.statistics import (
    box_table,
    brightness,
    drawn_ids,
    images_by_class,
    objects_by_image,
)
from fracture_core.demo import write_demo


def test_an_image_counts_once_for_a_class(dataset: RecordedDataset) -> None:
    assert images_by_class(dataset) == {"train": Counter(wrist=1, elbow=1), "val": Counter()}


def test_objects_an_image_leave_the_unknown_out(dataset: RecordedDataset) -> None:
    assert objects_by_image(dataset) == {"train": Counter({2: 1, 1: 1}), "val": Counter({0: 1})}


def test_boxes_are_in_shares_whatever_their_format(dataset: RecordedDataset) -> None:
    boxes = box_table(dataset)
    assert boxes.labels == (0, 0, 1)
    assert boxes.splits == ("train", "train", "train")
    np.testing.assert_allclose(boxes.sides, [[0.2, 0.4], [0.5, 0.5], [0.2, 0.2]])
    np.testing.assert_allclose(boxes.centres, [[0.2, 0.4], [0.75, 0.75], [0.2, 0.2]])


def test_a_set_without_boxes_has_an_empty_table(dataset: RecordedDataset) -> None:
    bare = RecordedDataset(
        name="bare",
        path=Path("bare"),
        format="yolo",
        classes=("wrist",),
        records={"c": dataset.records["c"]},
        found="",
    )
    assert box_table(bare).sides.shape == (0, 2)


def test_greys_are_those_shown(tmp_path: Path) -> None:
    opened = open_dataset(write_demo(tmp_path / "set", count=6, size=(160, 128)))
    assert isinstance(opened, RecordedDataset)
    (found,) = brightness(opened, opened.ids[:1])
    shown = opened[opened.ids[0]].shown()
    assert (found.mean, found.deviation) == (shown.mean(), shown.std())
    opened.records[opened.ids[0]].path.unlink()
    assert brightness(opened, opened.ids[:1]) == ()


def test_ids_are_drawn_by_seed_without_repeats() -> None:
    ids = [str(n) for n in range(100)]
    drawn = drawn_ids(ids, 10, seed=3)
    assert len(set(drawn)) == 10
    assert set(drawn) < set(ids)
    assert drawn == drawn_ids(ids, 10, seed=3) != drawn_ids(ids, 10, seed=4)
