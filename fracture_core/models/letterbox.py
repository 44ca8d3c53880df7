"""Letterboxing for YOLO networks: an image scaled to fit the input, and masks back on the image.

The scaled image lies in the centre, the rest is grey. The rounding is Ultralytics' own, so that the
same pixels reach the network. A segmenter's masks are prototypes times coefficients, cut to the box
and kept as run-length codes. Up to 1,000 candidates are decoded, so nothing of the size of the
image is ever made: a mask is evaluated inside its box only, on the coarser of two grids, the pixels
of the image or those of the network's input, below which the prototypes have no detail. Its runs
are then written in pixels of the image. At equal scale this is what Ultralytics computes, pixel for
pixel.
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
    """How an image of `height` × `width` lies in a network's input, all in pixels.

    It is scaled to `scaled_height` × `scaled_width` and lies at `top`, `left` of an input of
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
        """Returns the smallest input of whole strides whose longer side is `input_size`.

        Example:
            >>> box = Letterbox.fit(100, 200, input_size=64, stride=32)
            >>> (box.scaled_height, box.scaled_width), (box.input_height, box.input_width)
            ((32, 64), (32, 64))
        """
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
        """Puts the (height, width) image into its place in a (input_height, input_width) input."""
        size = (self.scaled_width, self.scaled_height)
        if shown.shape != size[::-1]:
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR))
        placed = np.full((self.input_height, self.input_width), PADDING, dtype=np.uint8)
        rows = slice(self.top, self.top + self.scaled_height)
        placed[rows, self.left : self.left + self.scaled_width] = shown
        return placed

    def to_image(self, xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Moves (N, 4) boxes from the input to the image, without clipping them.

        Example:
            >>> box = Letterbox.fit(64, 128, input_size=64, stride=32)
            >>> box.to_image(np.array([[0, 0, 64, 32]], dtype=np.float32)).tolist()
            [[0.0, 0.0, 128.0, 64.0]]
        """
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        gain = np.array(self.gain * 2, dtype=np.float32)
        return (xyxy - offset) / gain


def _halves(padding: int) -> tuple[int, int]:
    return round(padding / 2 - 0.1), round(padding / 2 + 0.1)


# ---- masks ---------------------------------------------------------------------------------------

_CHUNK = 64
_EMPTY = np.empty(0, dtype=np.int64)
Logits = npt.NDArray[np.float32]


def decode_masks(
    prototypes: torch.Tensor,
    coefficients: torch.Tensor,
    xyxy: npt.NDArray[np.float32],
    box: Letterbox,
) -> tuple[masks.Rle, ...]:
    """Returns N masks of prototypes (M, h, w), coefficients (N, M) and boxes (N, 4) in image px."""
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
    """Returns the borders of cells between two pixels.

    A cell is a pixel or about an input pixel.
    """
    if high <= low:
        return _EMPTY
    cells = max(1, round((high - low) * min(1.0, gain)))
    return low + np.arange(cells + 1) * (high - low) // cells


def _sample(edges: Int64s, gain: float, offset: int, input_a_prototype: float) -> Float64s:
    """Returns the centres of cells, in prototype pixels from the centre of the first one."""
    centres = (edges[:-1] + edges[1:]) / 2
    positions: Float64s = (centres * gain + offset) / input_a_prototype - 0.5
    return positions


def _bilinear(logits: Logits, y: Float64s, x: Float64s) -> Logits:
    """Interpolates (h, w) logits on the grid of (Y,) and (X,), edges held, as PyTorch does."""
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
