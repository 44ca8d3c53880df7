"""Small images of samples with their ground truth drawn in, for galleries."""

from typing import TYPE_CHECKING

import streamlit as st

from fracture_core.drawing.boxes import gt_boxes, matched_boxes
from fracture_core.drawing.samples import draw_sample, jpeg_bytes
from fracture_core.types import Detections, Sample

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


@st.cache_data(max_entries=512, show_spinner=False)
def gt_image(_dataset: "Dataset", key: str, sample_id: str, side_px: int) -> bytes:
    """A JPEG of at most `side_px` a side; `key` names the data set and its state on disk."""
    sample = _dataset[sample_id]
    return drawn(sample, sample.ground_truth or Detections.empty(), side_px)


def drawn(
    sample: Sample, ground_truth: Detections, side_px: int, found: Detections | None = None
) -> bytes:
    """A JPEG with the boxes and masks of the ground truth, and the boxes found over them."""
    boxes = gt_boxes(ground_truth) if found is None else matched_boxes(found, ground_truth)
    masks = [(code, "truth") for code in ground_truth.masks]
    return jpeg_bytes(draw_sample(sample, boxes, masks, side_px=side_px, most_tags=0))
