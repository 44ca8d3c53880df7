"""What a picture file's header tells, so that a sample costs no decoding until it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from fracture_core.errors import DatasetError
from fracture_core.imaging.opening import open_picture
from fracture_core.imaging.picture import Picture
from fracture_core.types import ValueScale, Window

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"})
_EXIF_ORIENTATION = 274


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All of a `Picture` but its pixels. No window means the full range of 8 bits."""

    height: int
    width: int
    windows: tuple[Window, ...] = ()
    scale: ValueScale = field(default_factory=ValueScale)
    spacing_mm: tuple[float, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_header(path: Path, name: str) -> Header:
    """The header alone for PNG and JPEG of 8 bits; anything else is opened in full.

    Raises PictureError as `open_picture` does, DatasetError for a stack.
    """
    header = _eight_bit_header(path)
    if header is not None:
        return header
    picture = open_still(path, name)
    return Header(
        height=picture.height,
        width=picture.width,
        windows=picture.windows,
        scale=picture.scale,
        spacing_mm=picture.spacing_mm,
        attributes=picture.attributes,
    )


def open_still(path: Path, name: str) -> Picture:
    """A picture of one frame; raises PictureError, DatasetError for a stack."""
    picture = open_picture(path, name)
    if picture.frames != 1:
        raise DatasetError(name, expected="an image of one frame", found=f"{picture.frames}")
    return picture


def _eight_bit_header(path: Path) -> Header | None:
    """None where Pillow's header does not settle what the picture will be."""
    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(_SIGNATURES):
                return None
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                raw_mode = " ".join(str(tile.args) for tile in image.tile)
                if image.mode not in _EIGHT_BIT_MODES or ";16" in raw_mode:
                    return None
                width, height = image.size
                is_turned = image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    # A damaged file gets its message where it is opened in full, which is what happens next.
    except Exception:
        return None
    return Header(height=width, width=height) if is_turned else Header(height=height, width=width)
