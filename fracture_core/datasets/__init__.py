"""Annotated images in the formats they come in: opened here, written by `conversion`."""

from fracture_core.datasets.recognition import is_dataset, open_dataset
from fracture_core.datasets.records import Dataset, SplitCounts

__all__ = ["Dataset", "SplitCounts", "is_dataset", "open_dataset"]
