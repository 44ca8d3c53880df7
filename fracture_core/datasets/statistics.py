"""What the annotations of a data set look like in numbers: images a class, objects an image, and
the sizes and places of boxes; and how bright its images are.

The number of objects an image bounds how many queries a DETR needs; sizes tell which input size
still shows them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import BadInput

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxTable:
    """All N boxes of a data set: `splits` and `labels` are a box's split and class, `xyxy` is
    (N, 4) in shares of the image's sides.
    """

    splits: tuple[str, ...]
    labels: tuple[int, ...]
    xyxy: Float64s

    @property
    def sides(self) -> Float64s:
        """Returns widths and heights, (N, 2), in shares of the image's sides."""
        return self.xyxy[:, 2:] - self.xyxy[:, :2]

    @property
    def centres(self) -> Float64s:
        """Returns x and y of the centres, (N, 2), in shares of the image's sides."""
        return (self.xyxy[:, 2:] + self.xyxy[:, :2]) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """Greys of one image as it is shown, 0 to 255: the mean and the standard deviation."""

    sample_id: str
    mean: float
    deviation: float


def images_by_class(dataset: RecordedDataset) -> Mapping[str, Counter[str]]:
    """Returns by split in how many images each class has an object."""
    found: dict[str, Counter[str]] = {}
    for record in dataset.records.values():
        labels = {finding.label for finding in record.findings or ()}
        counts = found.setdefault(record.split, Counter())
        counts.update(dataset.classes[label] for label in labels)
    return found


def objects_by_image(dataset: RecordedDataset) -> Mapping[str, Counter[int]]:
    """Returns by split how many images have 0, 1, 2, … objects; unknown ground truths left out."""
    found: dict[str, Counter[int]] = {}
    for record in dataset.records.values():
        if record.findings is not None:
            found.setdefault(record.split, Counter())[len(record.findings)] += 1
    return found


def box_table(dataset: RecordedDataset) -> BoxTable:
    """Returns every box of a data set, in the order of its images."""
    rows = [
        (record.split, finding.label, finding.xyxy / _limits(record.findings_size))
        for record in dataset.records.values()
        for finding in record.findings or ()
    ]
    return BoxTable(
        splits=tuple(split for split, _, _ in rows),
        labels=tuple(label for _, label, _ in rows),
        xyxy=np.array([xyxy for _, _, xyxy in rows], dtype=np.float64).reshape(-1, 4),
    )


def _limits(size: tuple[float, float]) -> Float64s:
    height, width = size
    return np.array([width, height, width, height], dtype=np.float64)


def brightness(dataset: RecordedDataset, ids: Sequence[str]) -> tuple[Brightness, ...]:
    """Returns the greys of the named images; one that cannot be read is left out, as the health
    check is the place that tells of it.
    """
    found = []
    for sample_id in ids:
        try:
            shown = dataset[sample_id].shown()
        except BadInput:
            continue
        found.append(
            Brightness(sample_id=sample_id, mean=float(shown.mean()), deviation=float(shown.std()))
        )
    return tuple(found)


def drawn_ids(ids: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Returns `count` of the ids drawn at random, without repeats; all where there are no more.

    Example:
        >>> drawn_ids(["a", "b"], 5, seed=0)
        ('a', 'b')
    """
    if len(ids) <= count:
        return tuple(ids)
    places = np.random.default_rng(seed).choice(len(ids), size=count, replace=False)
    return tuple(ids[place] for place in sorted(places.tolist()))
