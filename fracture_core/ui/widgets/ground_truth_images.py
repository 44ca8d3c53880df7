"""Small images of samples with their ground truth drawn in, for galleries."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image, ImageDraw

from fracture_core.masks import decode
from fracture_core.matching import match
from fracture_core.types import Detections, Sample

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

Colour = tuple[int, int, int]
# As the viewer draws them.
GROUND_TRUTH, TRUE, FALSE_POSITIVE = (86, 180, 233), (0, 158, 115), (213, 94, 0)
_LINE_PX = 2


@st.cache_data(max_entries=512, show_spinner=False)
def gt_image(_dataset: "Dataset", key: str, sample_id: str, side_px: int) -> bytes:
    """A JPEG of at most `side_px` a side; `key` names the data set and its state on disk."""
    sample = _dataset[sample_id]
    return drawn(sample, sample.ground_truth or Detections.empty(), side_px)


def drawn(
    sample: Sample, ground_truth: Detections, side_px: int, found: Detections | None = None
) -> bytes:
    """A JPEG with the boxes and masks of the ground truth, and the boxes found over them."""
    image = Image.fromarray(sample.shown()).convert("RGB")
    scale = min(1.0, side_px / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    for code in ground_truth.masks:
        _tint(image, Image.fromarray(decode(code).astype("uint8") * 90))
    pen = ImageDraw.Draw(image)
    _draw(pen, ground_truth, scale, [GROUND_TRUTH] * len(ground_truth))
    if found is not None:
        kinds = match(found, ground_truth, class_aware=False).kinds
        _draw(
            pen,
            found,
            scale,
            [TRUE if kind == "true positive" else FALSE_POSITIVE for kind in kinds],
        )
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _draw(
    pen: ImageDraw.ImageDraw, found: Detections, scale: float, colours: Sequence[Colour]
) -> None:
    for box, colour in zip(found.xyxy * scale, colours, strict=True):
        pen.rectangle([float(edge) for edge in box], outline=colour, width=_LINE_PX)


def _tint(image: Image.Image, strength: Image.Image) -> None:
    mask = strength.resize(image.size, Image.Resampling.BILINEAR)
    image.paste(Image.new("RGB", image.size, GROUND_TRUTH), mask=mask)
