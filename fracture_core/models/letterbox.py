"""Letterboxing: a picture scaled to fit the network's input, centred, the rest grey.

The rounding is Ultralytics' own, so that the same pixels reach the network.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

PADDING = 114


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How a picture of `height` × `width` lies in the input, all in pixels.

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
        """Input pixels for one pixel of the picture, across and down."""
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

    def to_picture(self, xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, 4) boxes of the input → of the picture, not clipped."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        gain = np.array(self.gain * 2, dtype=np.float32)
        return (xyxy - offset) / gain


def _halves(padding: int) -> tuple[int, int]:
    return round(padding / 2 - 0.1), round(padding / 2 + 0.1)
