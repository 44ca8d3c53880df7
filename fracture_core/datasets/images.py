"""Samples of image files, whatever wrote their annotations.

Only the header of a PNG or JPEG of 8 bits is read for a sample: pixels are decoded when they are
asked for. The headers of other files do not settle size and depth, so these are opened in full.
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
    """Everything a `MedicalImage` knows but its pixels. No window means the full range of 8 bits.

    `height` and `width` are in pixels, after an EXIF orientation was applied · `spacing_mm` is
    (row, column) spacing as `Sample` has it.
    """

    height: int
    width: int
    windows: tuple[Window, ...] = ()
    scale: ValueScale = field(default_factory=ValueScale)
    spacing_mm: tuple[float, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_header(path: Path, name: str) -> Header:
    """Returns the header of an image of one frame; other than a PNG or JPEG of 8 bits is decoded
    for it.

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
    """Opens an image of one frame; raises ImageError, and DatasetError for a stack."""
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
    # A damaged file is opened in full next, and gets its error message there.
    except Exception:
        return None
    return Header(height=width, width=height) if is_turned else Header(height=height, width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image file and what its annotation says; `findings` None = unknown.

    `size` is (height, width) as the annotation tells it, None where findings are in shares of the
    sides · `attributes` are what the data set tells of the image, beside those of the file's
    header.
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
        """Returns the same record with other attributes."""
        return replace(self, attributes=attributes)

    def sample(self) -> Sample:
        """Returns the sample, its header read; raises ImageError, and DatasetError for a stack or
        an image of another size than its annotation says.
        """
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
        # Without a box, nothing can be misplaced by a size other than the annotated one.
        if self.findings != () and self.size not in (None, (height, width)):
            raise DatasetError(
                self.sample_id,
                expected=f"{self.size[1]} × {self.size[0]} pixels, as its annotation says",
                found=f"{width} × {height}",
                advice="The annotation is of another version of this image.",
            )


def plain_jpeg(path: Path) -> str:
    """Returns the suffix under which a file can be copied byte by byte, "" where it cannot.

    It is a JPEG of 8 bits in grey or RGB that is shown as it is stored, so that whoever opens the
    copy sees what is read of the original.
    """
    try:
        with path.open("rb") as file:
            if file.read(3) != _SIGNATURES[1]:
                return ""
            file.seek(0)
            with Image.open(file, formats=("JPEG",)) as opened:
                turned = opened.getexif().get(_EXIF_ORIENTATION, 1) != 1
                plain = opened.mode in ("L", "RGB") and not turned
    # A damaged file is opened in full as well, and gets its error message there.
    except Exception:
        return ""
    if not plain:
        return ""
    return path.suffix.lower() if path.suffix.lower() in (".jpg", ".jpeg") else ".jpg"


def size_of(path: Path, name: str) -> tuple[int, int]:
    """Returns the height and width of an image file in pixels; raises as `read_header` does."""
    header = read_header(path, name)
    return header.height, header.width


def _read_pixels(path: Path, name: str) -> Pixels:
    still: Pixels = open_still(path, name).pixels[0]
    return still
