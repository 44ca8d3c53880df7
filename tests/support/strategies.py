"""Hypothesis strategies for the types of the core."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fracture_core.types import Detections

SIZE = 64

shares = st.floats(0, 1, allow_nan=False, width=32)
thresholds = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), shares)


@st.composite
def boxes_xyxy(draw: st.DrawFn, count: int) -> np.ndarray:
    """`count` boxes inside an image of SIZE × SIZE, on whole pixels so that overlaps tie."""
    low = draw(hnp.arrays(np.float32, (count, 2), elements=st.integers(0, SIZE - 2)))
    side = draw(hnp.arrays(np.float32, (count, 2), elements=st.integers(1, SIZE)))
    return np.concatenate([low, np.minimum(low + side, SIZE)], axis=1)


@st.composite
def detections(draw: st.DrawFn, most: int = 12, classes: int = 3) -> Detections:
    """Up to `most` detections, many of equal score."""
    count = draw(st.integers(0, most))
    levels = st.one_of(st.sampled_from([0.01, 0.25, 0.5, 1.0]), st.floats(0.015625, 1, width=16))
    scores = draw(hnp.arrays(np.float32, count, elements=levels.map(np.float32)))
    labels = draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    return Detections.of(draw(boxes_xyxy(count)), np.sort(scores)[::-1], labels)


@st.composite
def ground_truths(draw: st.DrawFn, most: int = 5, classes: int = 3) -> Detections:
    """Up to `most` annotated boxes."""
    count = draw(st.integers(0, most))
    labels = draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    return Detections.ground_truth(draw(boxes_xyxy(count)), labels)
