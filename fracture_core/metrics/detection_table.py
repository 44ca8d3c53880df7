"""The boxes of many images as flat columns: what all metrics are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from fracture_core import boxes, masks
from fracture_core.masks import Rle
from fracture_core.types import Detections, Float32s, Int64s

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionTable:
    """The boxes of `image_count` images: one row a box, image by image, the best scored first.

    `image` (N,) int64, rising, is the position of each box's image; images without a box have no
    row. `xyxy` (N, 4) float32 are in pixels of the original image. `scores` (N,) float32 fall
    within an image, `labels` (N,) are int64. `crowd` (N,) bool marks ground truths that stand for
    many (COCO's iscrowd), which only COCO's metrics can match. `masks` are N run-length codes, or
    none at all. Raises ValueError for columns of other shapes or in another order.
    """

    image_count: int
    image: Int64s
    xyxy: Float32s
    scores: Float32s
    labels: Int64s
    crowd: Bools
    masks: tuple[Rle, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.image)
        _require("xyxy", self.xyxy.shape, (count, 4))
        for name in ("scores", "labels", "crowd"):
            _require(name, getattr(self, name).shape, (count,))
        if len(self.masks) not in (0, count):
            raise ValueError(f"masks: expected none or {count}, got {len(self.masks)}")
        steps = np.diff(self.image)
        if count and not (self.image[0] >= 0 and self.image[-1] < self.image_count):
            raise ValueError(f"image: expected positions from 0 to {self.image_count - 1}")
        if (steps < 0).any() or ((steps == 0) & (np.diff(self.scores) > 0)).any():
            raise ValueError("rows: expected image by image, scores falling within each")

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(cls, images: Sequence[Detections], crowd: Sequence[Bools] | None = None) -> Self:
        """Make the table of one `Detections` an image; `crowd`, one array an image, marks crowds.

        Example:
            >>> one = Detections.ground_truth([[0, 0, 2, 3]], [0])
            >>> DetectionTable.of([Detections.empty(), one]).image.tolist()
            [1]
        """
        counts = [len(one) for one in images]
        marks = np.concatenate(crowd) if crowd else np.zeros(sum(counts), dtype=np.bool_)
        # NumPy cannot concatenate nothing; the empty one adds no row.
        parts = [*images, Detections.empty()]
        return cls(
            image_count=len(images),
            image=np.repeat(np.arange(len(images), dtype=np.int64), counts),
            xyxy=np.concatenate([one.xyxy for one in parts]),
            scores=np.concatenate([one.scores for one in parts]),
            labels=np.concatenate([one.labels for one in parts]),
            crowd=marks.astype(np.bool_),
            masks=tuple(mask for one in images for mask in one.masks),
        )

    def rows(self, kept: Bools) -> Self:
        """Return only the marked (N,) rows; the images stay the same."""
        return type(self)(
            image_count=self.image_count,
            image=self.image[kept],
            xyxy=self.xyxy[kept],
            scores=self.scores[kept],
            labels=self.labels[kept],
            crowd=self.crowd[kept],
            masks=tuple(self.masks[i] for i in np.flatnonzero(kept)) if self.masks else (),
        )

    def images(self, kept: Bools) -> Self:
        """Return only the rows of the marked (I,) images, which are numbered anew."""
        place, rows = np.cumsum(kept) - 1, self.rows(kept[self.image])
        return replace(rows, image_count=int(kept.sum()), image=place[rows.image])

    def bounds(self) -> Int64s:
        """(I + 1,) int64: the first row of each image, and last the number of rows."""
        count = len(self)
        firsts = np.append(0, np.flatnonzero(self.image[1:] != self.image[:-1]) + 1)[:count]
        bounds = np.full(self.image_count + 1, count, dtype=np.int64)
        bounds[self.image[firsts]] = firsts
        # An image without a row begins where the next one does.
        filled: Int64s = np.minimum.accumulate(bounds[::-1])[::-1]
        return filled

    def best_scores(self, without: float) -> Float64s:
        """(I,) float64: the score of each image's best candidate, `without` where it has none."""
        best, bounds = np.full(self.image_count, without), self.bounds()
        some = np.flatnonzero(np.diff(bounds))
        best[some] = self.scores[bounds[some]]
        return best

    def areas(self) -> Float64s:
        """(N,) float64 in square pixels: of the masks if any, as in COCO, else of the boxes."""
        if self.masks:
            return np.array([masks.pixels(mask) for mask in self.masks], dtype=np.float64)
        return boxes.area(self.xyxy)


# What metrics take for either side: a table, or one `Detections` an image.
Images = DetectionTable | Sequence[Detections]


def pair_up(
    found: Images, ground_truths: Images, *, crowds: bool = False
) -> tuple[DetectionTable, DetectionTable]:
    """Return both sides as tables.

    Raises ValueError where they are not of the same number of images, and where a ground truth is a
    crowd unless `crowds` are expected.
    """
    both = _columns(found), _columns(ground_truths)
    if both[0].image_count != both[1].image_count:
        counts = f"{both[0].image_count} and {both[1].image_count}"
        raise ValueError(f"found and ground_truths: expected as many images, got {counts}")
    if both[1].crowd.any() and not crowds:
        raise ValueError(f"ground_truths: expected no crowds, got {both[1].crowd.sum()}")
    return both


def _columns(images: Images) -> DetectionTable:
    return images if isinstance(images, DetectionTable) else DetectionTable.of(images)


def _require(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"{name}: expected {expected}, got {got}")
