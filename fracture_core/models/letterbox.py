"""Letterboxing: an image scaled to fit the network's input, centred, the rest grey.

The rounding is Ultralytics' own, so that the same pixels reach the network.

Masks of YOLO segmenters: prototypes times coefficients, cut to the box, as run-length codes.

Up to 1,000 candidates are decoded, so nothing of the size of the image is ever made. A mask
is evaluated inside its box only, on the coarser of two grids: the pixels of the image or those
of the network's input, finer than which the prototypes say nothing. Its runs are then written in
pixels of the image. At equal scale this is what Ultralytics computes, pixel for pixel.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import torch

from fracture_core import masks
from fracture_core.boxes import Float64s, Int64s

PADDING = 114


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How an image of `height` × `width` lies in the input, all in pixels.

    It is scaled to `scaled_height` × `scaled_width`, at `top`, `left` of an input of
    `input_height` × `input_width`.
    """

    height: int
    width: int
    scaled_height: int
    scaled_width: int
    top: int
    left: int
    input_height: int
    input_width: int

    @classmethod
    def fit(cls, height: int, width: int, *, input_size: int, stride: int) -> Self:
        """The smallest input of whole strides whose longer side is `input_size`."""
        ratio = min(input_size / height, input_size / width)
        scaled_height, scaled_width = (max(round(side * ratio), 1) for side in (height, width))
        top, bottom = _halves((input_size - scaled_height) % stride)
        left, right = _halves((input_size - scaled_width) % stride)
        return cls(
            height=height,
            width=width,
            scaled_height=scaled_height,
            scaled_width=scaled_width,
            top=top,
            left=left,
            input_height=scaled_height + top + bottom,
            input_width=scaled_width + left + right,
        )

    @property
    def gain(self) -> tuple[float, float]:
        """Input pixels for one pixel of the image, across and down."""
        return self.scaled_width / self.width, self.scaled_height / self.height

    def place(self, shown: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(height, width) → (input_height, input_width)."""
        size = (self.scaled_width, self.scaled_height)
        if shown.shape != size[::-1]:
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR))
        placed = np.full((self.input_height, self.input_width), PADDING, dtype=np.uint8)
        rows = slice(self.top, self.top + self.scaled_height)
        placed[rows, self.left : self.left + self.scaled_width] = shown
        return placed

    def to_image(self, xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, 4) boxes of the input → of the image, not clipped."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        gain = np.array(self.gain * 2, dtype=np.float32)
        return (xyxy - offset) / gain


def _halves(padding: int) -> tuple[int, int]:
    return round(padding / 2 - 0.1), round(padding / 2 + 0.1)


_CHUNK = 64
_EMPTY = np.empty(0, dtype=np.int64)
Logits = npt.NDArray[np.float32]


def decode_masks(
    prototypes: torch.Tensor,
    coefficients: torch.Tensor,
    xyxy: npt.NDArray[np.float32],
    box: Letterbox,
) -> tuple[masks.Rle, ...]:
    """Prototypes (M, h, w), coefficients (N, M) and boxes (N, 4) in the image → N masks."""
    channels, rows, columns = prototypes.shape
    flat = prototypes.reshape(channels, -1)
    found: list[masks.Rle] = []
    for start in range(0, len(coefficients), _CHUNK):
        part = coefficients[start : start + _CHUNK] @ flat
        logits = part.reshape(-1, rows, columns).float().cpu().numpy()
        found += [
            _decode(one, corners, box)
            for one, corners in zip(logits, xyxy[start : start + _CHUNK], strict=True)
        ]
    return tuple(found)


def _decode(logits: Logits, xyxy: npt.NDArray[np.float32], box: Letterbox) -> masks.Rle:
    low = np.ceil(xyxy[:2]).astype(np.int64)
    high = np.minimum(np.ceil(xyxy[2:]), [box.width, box.height]).astype(np.int64)
    across, down = box.gain
    columns = _edges(low[0], high[0], across)
    rows = _edges(low[1], high[1], down)
    if len(columns) < 2 or len(rows) < 2:
        columns, rows = np.array([0, 1]), np.array([0, 1])
        return masks.from_cells(np.zeros((1, 1), np.bool_), rows, columns, box.height, box.width)
    x = _sample(columns, across, box.left, box.input_width / logits.shape[1])
    y = _sample(rows, down, box.top, box.input_height / logits.shape[0])
    cells = _bilinear(logits, y, x) > 0
    return masks.from_cells(cells, rows, columns, box.height, box.width)


def _edges(low: int, high: int, gain: float) -> Int64s:
    """Borders of the cells between two pixels; a cell is a pixel, or about an input pixel."""
    if high <= low:
        return _EMPTY
    cells = max(1, round((high - low) * min(1.0, gain)))
    return low + np.arange(cells + 1) * (high - low) // cells


def _sample(edges: Int64s, gain: float, offset: int, input_a_prototype: float) -> Float64s:
    """Centres of cells, in pixels of the prototypes from the centre of the first."""
    centres = (edges[:-1] + edges[1:]) / 2
    positions: Float64s = (centres * gain + offset) / input_a_prototype - 0.5
    return positions


def _bilinear(logits: Logits, y: Float64s, x: Float64s) -> Logits:
    """(h, w) at the grid of (Y,) and (X,), edges held, as PyTorch interpolates."""
    row, next_row, row_share = _neighbours(y, logits.shape[0])
    column, next_column, column_share = _neighbours(x, logits.shape[1])
    low, high = logits[row], logits[next_row]
    lines = low + (high - low) * row_share[:, None]
    left, right = lines[:, column], lines[:, next_column]
    values: Logits = left + (right - left) * column_share
    return values


def _neighbours(position: Float64s, count: int) -> tuple[Int64s, Int64s, Logits]:
    held = np.clip(position, 0, count - 1)
    low = np.floor(held).astype(np.int64)
    return low, np.minimum(low + 1, count - 1), (held - low).astype(np.float32)
