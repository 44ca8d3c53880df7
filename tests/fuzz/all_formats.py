"""Every format that is tried: weights, images and data sets."""

from tests.fuzz.formats import FORMATS, Format
from tests.fuzz.image_formats import IMAGE_FORMATS

ALL_FORMATS: dict[str, Format] = FORMATS | IMAGE_FORMATS
