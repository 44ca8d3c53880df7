"""Annotated pictures in the formats they come in."""

from fracture_core.datasets.base import Dataset, SplitCounts
from fracture_core.datasets.recognition import is_dataset, open_dataset

__all__ = ["Dataset", "SplitCounts", "is_dataset", "open_dataset"]
