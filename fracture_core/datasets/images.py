"""What an image file's header tells, so that a sample costs no decoding until it is shown.

Samples of image files, whatever wrote their annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from PIL import Image

from fracture_core.attributes import merged
from fracture_core.datasets.findings import Finding, gt_of
from fracture_core.errors import DatasetError
from fracture_core.imaging.image import MedicalImage
from fracture_core.imaging.opening import open_image
from fracture_core.types import Pixels, Sample, ValueScale, Window

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"})
_EXIF_ORIENTATION = 274


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All of a `MedicalImage` but its pixels. No window means the full range of 8 bits."""

    height: int
    width: int
    windows: tuple[Window, ...] = ()
    scale: ValueScale = field(default_factory=ValueScale)
    spacing_mm: tuple[float, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_header(path: Path, name: str) -> Header:
    """The header alone for PNG and JPEG of 8 bits; anything else is opened in full.

    Raises ImageError as `open_image` does, DatasetError for a stack.
    """
    header = _eight_bit_header(path)
    if header is not None:
        return header
    image = open_still(path, name)
    return Header(
        height=image.height,
        width=image.width,
        windows=image.windows,
        scale=image.scale,
        spacing_mm=image.spacing_mm,
        attributes=image.attributes,
    )


def open_still(path: Path, name: str) -> MedicalImage:
    """An image of one frame; raises ImageError, DatasetError for a stack."""
    image = open_image(path, name)
    if image.frames != 1:
        raise DatasetError(name, expected="an image of one frame", found=f"{image.frames}")
    return image


def _eight_bit_header(path: Path) -> Header | None:
    """None where Pillow's header does not settle what the image will be."""
    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(_SIGNATURES):
                return None
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as opened:
                raw_mode = " ".join(str(tile.args) for tile in opened.tile)
                if opened.mode not in _EIGHT_BIT_MODES or ";16" in raw_mode:
                    return None
                width, height = opened.size
                is_turned = opened.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    # A damaged file gets its message where it is opened in full, which is what happens next.
    except Exception:
        return None
    return Header(height=width, width=height) if is_turned else Header(height=height, width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image file and what its annotation says; `findings` None = unknown.

    `size` (height, width) as the annotation tells it, None where findings are in shares ·
    `attributes` of the image as the data set tells them, beside those of the file's own header.
    """

    sample_id: str
    group_id: str
    split: str
    path: Path
    findings: tuple[Finding, ...] | None
    image_class: int | None = None
    size: tuple[int, int] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def with_attributes(self, attributes: Mapping[str, str]) -> Self:
        """The same with other attributes."""
        return replace(self, attributes=attributes)

    def sample(self) -> Sample:
        header = read_header(self.path, self.sample_id)
        height, width = header.height, header.width
        self._check_size(height, width)
        ground_truth = None
        if self.findings is not None:
            ground_truth = gt_of(self.findings, height, width, is_normalised=self.size is None)
        attributes, notes = merged(
            ("the file", header.attributes), ("the data set", self.attributes)
        )
        return Sample(
            sample_id=self.sample_id,
            group_id=self.group_id,
            height=height,
            width=width,
            read=partial(_read_pixels, self.path, self.sample_id),
            windows=header.windows,
            scale=header.scale,
            spacing_mm=header.spacing_mm,
            ground_truth=ground_truth,
            image_class=self.image_class,
            split=self.split,
            attributes=attributes,
            notes=notes,
        )

    def _check_size(self, height: int, width: int) -> None:
        # Where nothing is there, nothing depends on the size that the annotation tells.
        if self.findings != () and self.size not in (None, (height, width)):
            raise DatasetError(
                self.sample_id,
                expected=f"{self.size[1]} × {self.size[0]} pixels, as its annotation says",
                found=f"{width} × {height}",
                advice="The annotation is of another version of this image.",
            )


def size_of(path: Path, name: str) -> tuple[int, int]:
    """Height and width of an image file in pixels."""
    header = read_header(path, name)
    return header.height, header.width


def _read_pixels(path: Path, name: str) -> Pixels:
    still: Pixels = open_still(path, name).pixels[0]
    return still
