"""A packed data set: every image at the size of the network's input, in one array on disk.

`trainers.data_set_cache` writes packs. A pack is a folder of three files: pixels.npy (N, H, W)
uint8, which is mapped into memory; truth.npz, the ground truth; facts.json, everything else. Here
is also what is done with packed images: grey values are normalised for a network, and the images of
an epoch are chosen.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture_core.class_names import negative_among
from fracture_core.errors import ConfigError
from fracture_core.masks import Rle
from fracture_core.nets.pretrained import STANDARDS, Standard
from fracture_core.types import Detections, Float32s, Int64s, Pixels, Sample
from trainers.training_module import NOTHING, Batch

# ---- grey values as networks take them ----------------------------------------------------------


class Normalise(nn.Module):
    """Turns (B, 1, H, W) grey in [0, 255] into (B, 3, H, W), normalised by a `standard`.

    None: values are only scaled to [0, 1]. It adds nothing to the network's state.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, standard: Standard | None = "imagenet") -> None:
        super().__init__()
        numbers = STANDARDS[standard] if standard else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in numbers)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, grey: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise; where `valid` (B, H, W) bool is False, outside of the image, put 0."""
        pixels = grey * self.scale + self.shift
        return pixels if valid is None else pixels.masked_fill(~valid[:, None], 0)


def valid_pixels(batch: Batch) -> Tensor:
    """Return a (B, H, W) bool mask that is True inside each image and False in the padding."""
    height, width = batch.pixels.shape[-2:]
    device = batch.sizes.device
    down = torch.arange(height, device=device) < batch.sizes[:, :1]
    across = torch.arange(width, device=device) < batch.sizes[:, 1:]
    return down[:, :, None] & across[:, None, :]


def valid_where_padded(batch: Batch) -> Tensor | None:
    """Return `valid_pixels`, or None where every image fills the batch.

    To tell, the device is waited for.
    """
    height, width = batch.pixels.shape[-2:]
    smaller = (batch.sizes[:, 0] < height) | (batch.sizes[:, 1] < width)
    return valid_pixels(batch) if bool(smaller.any()) else None


# ---- the pack -----------------------------------------------------------------------------------

PIXELS, GROUND_TRUTH, FACTS = "pixels.npy", "truth.npz", "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroundTruth:
    """The ground truth of N packed images with up to M objects each, M at least 1.

    `originals`, `inputs` and `sizes` (N, 2) int64 heights and widths: of the image, of the
    network's input, and as packed · `boxes_xyxy` (N, M, 4) float32 in packed pixels, 0 where there
    is none · `labels` (N, M) int64, `NOTHING` where there is no object, objects first ·
    `image_classes` (N,) int64, `NOTHING` where unknown · `known` (N,) bool, whether the objects are
    known · `masks` for each of the N images a run-length code for each object, at the packed size;
    empty where outlines were not packed.
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
        """Return the ground truth of one image in packed pixels, None where it is unknown."""
        if not self.known[row]:
            return None
        there = self.labels[row] != NOTHING
        codes = self.masks[row] if self.masks else ()
        return Detections.ground_truth(self.boxes_xyxy[row][there], self.labels[row][there], codes)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all of it as arrays by name, which is what `save` writes."""
        return {name: getattr(self, name) for name in _ARRAYS} | _flatten(self.masks)

    def save(self, path: Path) -> None:
        """Write an .npz file, without pickled objects."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Path) -> "GroundTruth":
        """Read what `save` wrote; a damaged file raises one of several errors of NumPy and zip."""
        # Opened here, because NumPy does not close a file that turns out to be damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            masks = _unflatten(file["mask_counts"], file["mask_ends"], arrays)
        return cls(**arrays, masks=masks)


_ARRAYS = ("originals", "inputs", "sizes", "boxes_xyxy", "labels", "image_classes", "known")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """N images at the size of the network's input, or at their own where that is smaller.

    `pixels` (N, H, W) uint8 grey, a read-only memory map: each image as every model sees it, at
    the top left, 0 beside it · `ids`, `groups` and `splits` N each, in the order of the rows ·
    `classes` the names that labels are indices of · `left_out` how many images were left out
    because their ground truth is unknown.
    """

    fingerprint: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    left_out: int
    pixels: npt.NDArray[np.uint8]
    ground_truth: GroundTruth

    def __len__(self) -> int:
        return len(self.ids)

    def samples(self, rows: Sequence[int] | None = None) -> tuple[Sample, ...]:
        """Return the packed images, or those of `rows`, with the ground truth in packed pixels."""
        return tuple(map(self._sample, range(len(self)) if rows is None else rows))

    def _sample(self, row: int) -> Sample:
        height, width = map(int, self.ground_truth.sizes[row])
        image_class = int(self.ground_truth.image_classes[row])
        return Sample(
            sample_id=self.ids[row],
            group_id=self.groups[row],
            height=height,
            width=width,
            read=partial(_cut, self.pixels[row], height, width),
            ground_truth=self.ground_truth.detections(row),
            image_class=None if image_class == NOTHING else image_class,
            split=self.splits[row],
        )


def load_packed(folder: Path, *, left_out: int) -> Packed | None:
    """Read the pack in a folder; return None where it is absent, incomplete or damaged."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        ground_truth = GroundTruth.load(folder / GROUND_TRUTH)
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        if pixels.shape != tuple(facts["shape"]) or len(ground_truth.sizes) != len(pixels):
            return None
        return Packed(
            fingerprint=facts["fingerprint"],
            classes=tuple(facts["classes"]),
            ids=tuple(facts["ids"]),
            groups=tuple(facts["groups"]),
            splits=tuple(facts["splits"]),
            left_out=left_out,
            pixels=pixels,
            ground_truth=ground_truth,
        )
    # These are what damaged files raise; such a pack is written anew.
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _cut(pixels: npt.NDArray[np.uint8], height: int, width: int) -> Pixels:
    return np.asarray(pixels[:height, :width])


def _flatten(masks: tuple[tuple[Rle, ...], ...]) -> dict[str, npt.NDArray[Any]]:
    """All run-length codes joined into one array of bytes, and where each ends in it."""
    counts = [code.counts for codes in masks for code in codes]
    joined = np.frombuffer(b"".join(counts), dtype=np.uint8)
    ends = np.cumsum([len(each) for each in counts], dtype=np.int64)
    # One end more tells images with masks but without any object from images without masks.
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


# ---- the images of an epoch ---------------------------------------------------------------------


def has_finding(packed: Packed, *, classifies: bool) -> Tensor:
    """Return which packed images have a finding, (N,) bool.

    A finding is an object or, for a classifier, a class other than the negative one. Raises
    ConfigError for a classifier whose classes have no negative one.
    """
    if not classifies:
        return torch.from_numpy((packed.ground_truth.labels != NOTHING).any(axis=1))
    negative = negative_among(packed.classes)
    if not negative:
        expected = "none, as no class stands for an image without a finding"
        raise ConfigError("normals", expected=expected, found=", ".join(packed.classes)[:200])
    return torch.from_numpy(packed.ground_truth.image_classes != packed.classes.index(negative))


def rows_of_epoch(found: Tensor, normals: float | None, generator: torch.Generator) -> Tensor:
    """Return the rows that an epoch goes through, ascending, int64.

    These are all images with a finding (`found`, (N,) bool) and, drawn from the others, `normals`
    for each of them; where there are fewer, or `normals` is None, all others.

    Example:
        >>> found = torch.tensor([True, False, True, False, False])
        >>> rows_of_epoch(found, 0.0, torch.Generator()).tolist()
        [0, 2]
        >>> len(rows_of_epoch(found, 1.0, torch.Generator()))
        4
    """
    if normals is None:
        return torch.arange(len(found))
    with_finding, without = (torch.nonzero(each)[:, 0] for each in (found, ~found))
    drawn = torch.randperm(len(without), generator=generator)
    drawn = drawn[: round(normals * len(with_finding))]
    return torch.cat([with_finding, without[drawn]]).sort().values
