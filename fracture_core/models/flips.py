"""Flips at test time: a model reads the mirrored image, and what it says is mirrored back."""

from dataclasses import replace

import numpy as np

from fracture_core.boxes import Float64s
from fracture_core.types import Heatmap, Pixels, Sample


def mirrored(sample: Sample) -> Sample:
    """The sample with left and right exchanged, without its ground truth."""

    def read() -> Pixels:
        turned: Pixels = sample.pixels[:, ::-1].copy()
        return turned

    return replace(sample, read=read, truth=None)


def mirror_boxes(xyxy: Float64s, width: int) -> Float64s:
    """(N, 4) boxes of the mirrored image of this width on the image itself, and back."""
    left, top, right, bottom = xyxy.T
    return np.stack([width - right, top, width - left, bottom], axis=1)


def mirror_heatmap(heatmap: Heatmap) -> Heatmap:
    """The map of the mirrored image on the image itself."""
    return replace(heatmap, values=heatmap.values[:, ::-1])
