"""A data set as training wants it: every picture at its size, side by side in one array."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.masks import Rle
from fracture_core.types import Detections, Float32s, Int64s, Pixels, Sample
from trainers.batches import NOTHING

PIXELS, TRUTH, FACTS = "pixels.npy", "truth.npz", "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What is known of N pictures with up to M objects each, M at least 1.

    `originals`, `inputs` and `sizes` (N, 2) int64 heights and widths: of the picture, of the
    network's input, and as packed · `boxes_xyxy` (N, M, 4) float32 in packed pixels, 0 where there
    is none · `labels` (N, M) int64, `NOTHING` where there is no object, objects first ·
    `image_classes` (N,) int64, `NOTHING` where unknown · `known` (N,) whether the objects are
    known · `masks` N times a code of the packed picture for each object, or none at all.
    """

    originals: Int64s
    inputs: Int64s
    sizes: Int64s
    boxes_xyxy: Float32s
    labels: Int64s
    image_classes: Int64s
    known: npt.NDArray[np.bool_]
    masks: tuple[tuple[Rle, ...], ...] = ()

    def detections(self, row: int) -> Detections | None:
        """The truth of one picture in packed pixels, None = unknown."""
        if not self.known[row]:
            return None
        there = self.labels[row] != NOTHING
        codes = self.masks[row] if self.masks else ()
        return Detections.truth(self.boxes_xyxy[row][there], self.labels[row][there], codes)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        return {name: getattr(self, name) for name in _ARRAYS} | _flatten(self.masks)

    def save(self, path: Path) -> None:
        """Write an .npz file that needs no pickle."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Path) -> "Truth":
        # Opened here: NumPy leaves a file open that turns out to be damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            masks = _unflatten(file["mask_counts"], file["mask_ends"], arrays)
        return cls(**arrays, masks=masks)


_ARRAYS = ("originals", "inputs", "sizes", "boxes_xyxy", "labels", "image_classes", "known")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """N pictures at the size of the network's input, or at their own where that is smaller.

    `pixels` (N, H, W) uint8 grey, a read-only memory map: each picture as every model sees it, at
    the top left, 0 beside it · `ids`, `groups` and `splits` N each, in the order of the rows ·
    `classes` what the labels are numbers of · `left_out` how many pictures were left out because
    nothing is known of them.
    """

    fingerprint: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    left_out: int
    pixels: npt.NDArray[np.uint8]
    truth: Truth

    def __len__(self) -> int:
        return len(self.ids)

    def samples(self, rows: Sequence[int] | None = None) -> tuple[Sample, ...]:
        """The packed pictures, or those of some rows, with their truth in packed pixels."""
        return tuple(map(self._sample, range(len(self)) if rows is None else rows))

    def _sample(self, row: int) -> Sample:
        height, width = map(int, self.truth.sizes[row])
        image_class = int(self.truth.image_classes[row])
        return Sample(
            sample_id=self.ids[row],
            group_id=self.groups[row],
            height=height,
            width=width,
            read=partial(_cut, self.pixels[row], height, width),
            truth=self.truth.detections(row),
            image_class=None if image_class == NOTHING else image_class,
            split=self.splits[row],
        )


def load_packed(folder: Path, *, left_out: int) -> Packed | None:
    """What a folder holds; None where it is absent, half-written or damaged."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        truth = Truth.load(folder / TRUTH)
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        if pixels.shape != tuple(facts["shape"]) or len(truth.sizes) != len(pixels):
            return None
        return Packed(
            fingerprint=facts["fingerprint"],
            classes=tuple(facts["classes"]),
            ids=tuple(facts["ids"]),
            groups=tuple(facts["groups"]),
            splits=tuple(facts["splits"]),
            left_out=left_out,
            pixels=pixels,
            truth=truth,
        )
    # What damaged files raise: they are packed anew.
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _cut(pixels: npt.NDArray[np.uint8], height: int, width: int) -> Pixels:
    return np.asarray(pixels[:height, :width])


def _flatten(masks: tuple[tuple[Rle, ...], ...]) -> dict[str, npt.NDArray[Any]]:
    """All codes one behind the other, and where each ends."""
    counts = [code.counts for codes in masks for code in codes]
    joined = np.frombuffer(b"".join(counts), dtype=np.uint8)
    ends = np.cumsum([len(each) for each in counts], dtype=np.int64)
    # One more end tells masks of no object from no masks.
    return {"mask_counts": joined, "mask_ends": np.append(ends, -1) if masks else ends}


def _unflatten(
    joined: npt.NDArray[np.uint8], ends: Int64s, arrays: dict[str, Any]
) -> tuple[tuple[Rle, ...], ...]:
    if not len(ends):
        return ()
    starts = np.concatenate([[0], ends[:-1]])
    codes = iter([joined[a:b].tobytes() for a, b in zip(starts[:-1], ends[:-1], strict=True)])
    return tuple(
        tuple(
            Rle(height=int(height), width=int(width), counts=next(codes))
            for _ in range(int((labels != NOTHING).sum()))
        )
        for (height, width), labels in zip(arrays["sizes"], arrays["labels"], strict=True)
    )
