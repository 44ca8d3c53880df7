"""Data sets, and the raw RSNA 2022 download, written in another format."""

from fracture_core.conversion.converter import Converted, convert
from fracture_core.conversion.options import DROPS, Options

__all__ = ["DROPS", "Converted", "Options", "convert"]
