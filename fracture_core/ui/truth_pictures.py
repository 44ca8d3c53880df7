"""Small pictures of samples with their truth drawn in, for galleries."""

import io
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image, ImageDraw

from fracture_core.masks import decode
from fracture_core.types import Detections, Sample

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

# As the viewer draws truth.
TRUTH = (86, 180, 233)
_LINE_PX = 2


@st.cache_data(max_entries=512, show_spinner=False)
def truth_picture(_dataset: "Dataset", key: str, sample_id: str, side_px: int) -> bytes:
    """A JPEG of at most `side_px` a side; `key` names the data set and its state on disk."""
    sample = _dataset[sample_id]
    return drawn(sample, sample.truth or Detections.empty(), side_px)


def drawn(sample: Sample, found: Detections, side_px: int) -> bytes:
    """A JPEG of a sample with boxes, and outlines of masks where there are any."""
    picture = Image.fromarray(sample.shown()).convert("RGB")
    scale = min(1.0, side_px / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    for code in found.masks:
        _tint(picture, Image.fromarray(decode(code).astype("uint8") * 90))
    pen = ImageDraw.Draw(picture)
    for box in found.xyxy * scale:
        pen.rectangle([float(edge) for edge in box], outline=TRUTH, width=_LINE_PX)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def _tint(picture: Image.Image, strength: Image.Image) -> None:
    mask = strength.resize(picture.size, Image.Resampling.BILINEAR)
    picture.paste(Image.new("RGB", picture.size, TRUTH), mask=mask)
