"""Which images of a data set are shown, by hand."""

import numpy as np
import pytest

from fracture_core.datasets.findings import Finding
from fracture_core.datasets.selection import Selection


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), "abcd"),
        (Selection(shown="With findings"), "ab"),
        (Selection(shown="Without findings"), "c"),
        (Selection(shown="Unknown"), "d"),
        (Selection(classes=("elbow",)), "b"),
        (Selection(classes=("wrist", "elbow")), "ab"),
        (Selection(classes=("hip",)), ""),
        (Selection(box_size="1 to 5 %"), "b"),
        (Selection(box_size="over 5 %"), "a"),
        (Selection(box_size="over 5 %", classes=("elbow",)), ""),
        (Selection(shown="Without findings", box_size="over 5 %"), ""),
        (Selection(name=" B "), "b"),
    ],
)
def test_an_image_is_selected_by_what_is_known(dataset, selection, expected) -> None:
    assert "".join(selection.of(dataset, dataset.ids)) == expected


def test_class_and_size_ask_for_one_object(dataset) -> None:
    """A small wrist and a large elbow are no large wrist."""
    record = dataset.records["a"]
    large = Finding(label=1, xyxy=np.array([0.0, 0, 1, 1]), place="here")
    small = Finding(label=0, xyxy=np.array([0.0, 0, 0.05, 0.05]), place="here")
    dataset.records["a"] = type(record)(
        sample_id="a", group_id="a", split="train", path=record.path, findings=(small, large)
    )
    selection = Selection(classes=("wrist",), box_size="over 5 %")
    assert "a" not in selection.of(dataset, dataset.ids)
