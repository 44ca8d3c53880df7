"""Data sets from one format to another, and from the raw RSNA 2022 download."""

from fracture_core.conversion.converter import Converted, convert
from fracture_core.conversion.options import DROPS, Options

__all__ = ["DROPS", "Converted", "Options", "convert"]
