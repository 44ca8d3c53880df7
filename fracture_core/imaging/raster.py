"""The reader of PNG, JPEG and TIFF files, which decodes with Pillow."""

import io
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps

from fracture_core.errors import ImageError
from fracture_core.imaging import decoding, grey, jpeg, modality, png, tiff
from fracture_core.imaging.decoding import strictly
from fracture_core.imaging.image import MedicalImage
from fracture_core.imaging.modality import Numbers
from fracture_core.settings import settings
from fracture_core.types import ValueScale

FORMATS = ("PNG", "JPEG", "TIFF")
SIGNATURES = (
    png.SIGNATURE,
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
)

_WHOLE = "a whole PNG, JPEG or TIFF file"
_DAMAGED = "one that is cut short or damaged ({})"
_ANEW = "Copy or export the file anew."
_PHOTOMETRIC_TAG = 262
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One image of a file: (H, W) numbers as decoded, turned upright, and Pillow's mode."""

    numbers: Numbers
    mode: str
    notes: tuple[str, ...]


def is_raster(data: bytes) -> bool:
    """Whether a file begins with the signature of PNG, JPEG, TIFF or BigTIFF."""
    return data.startswith(SIGNATURES)


def read_raster(data: bytes, name: str) -> MedicalImage:
    """Read one file to one image, whose frames are the pages of a TIFF; raises ImageError.

    Grey of 16 bits stays at 16 bits. `name` stands in messages.
    """
    said = _examined(data, name)
    with strictly():
        pages, notes = _pages(data, name)
    first = pages[0]
    numbers = np.stack([page.numbers for page in pages])
    bits = 1 if first.mode == "1" else 8 * numbers.dtype.itemsize
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        _refuse(name, "finite numbers", "NaN or infinity in the pixels")
    if numbers.dtype.kind == "i" and numbers.min() >= 0:
        numbers = numbers.astype(np.uint32)
    pixels, scale, exact = modality.to_pixels(numbers, min(bits, 16), ValueScale())
    if not exact:
        notes.append("Values were rounded to 65,536 steps between their least and greatest.")
    eight = pixels.dtype == np.uint8
    return MedicalImage(
        name=name,
        pixels=pixels,
        bits=bits,
        photometric=first.mode,
        windows=(grey.of_bits(8) if eight else grey.of_data(pixels),),
        scale=scale,
        warnings=tuple(
            dict.fromkeys([*(note for page in pages for note in page.notes), *notes, *said])
        ),
    )


def _examined(data: bytes, name: str) -> tuple[str, ...]:
    """Notes about a file; raises ImageError where its checksums or its structure show damage."""
    if data.startswith(png.SIGNATURE):
        examined = png.examine(data)
    else:
        examined = png.Examined(jpeg.fault(data) if data.startswith(jpeg.SOI) else "")
    if examined.fault:
        _refuse(name, _WHOLE, _DAMAGED.format(examined.fault), _ANEW)
    return examined.notes


def _pages(data: bytes, name: str) -> tuple[list[Page], list[str]]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _read_pages(image, data, name)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        # Pillow refuses more than about 179 million pixels, also before it decodes anything.
        _refuse(name, "an image of a size that can be handled", str(error).partition(",")[0])
    # Pillow's plug-ins raise nearly anything on damaged files; nothing of ours runs in there.
    except Exception as error:
        raise ImageError(
            name,
            expected=_WHOLE,
            found=_DAMAGED.format(type(error).__name__),
            advice=_ANEW,
        ) from error


def _read_pages(image: Image.Image, data: bytes, name: str) -> tuple[list[Page], list[str]]:
    kept: list[Page] = []
    left, budget = 0, settings().max_pixels
    several = image.format == "TIFF"
    for index in range(getattr(image, "n_frames", 1) if several else 1):
        image.seek(index)
        budget -= image.width * image.height
        if budget < 0:
            size = f"{image.width} × {image.height} pixels in page {index + 1}"
            advice = "Raise FRACTURE_MAX_PIXELS if the file is to be trusted."
            _refuse(name, f"at most {settings().max_pixels:,} pixels", size, advice)
        if several and (found := tiff.fault(data, image.tag_v2)):  # type: ignore[attr-defined]
            _refuse(name, _WHOLE, _DAMAGED.format(found), _ANEW)
        page = _page(image, name)
        alike = not kept or _like(page) == _like(kept[0])
        kept += [page] if alike else []
        left += not alike
    notes = [f"{left} pages of another size or kind than the first were left out."] if left else []
    if not several and getattr(image, "n_frames", 1) > 1:
        notes.append("Only the first image of an animation is shown.")
    return kept, notes


def _like(page: Page) -> tuple[object, ...]:
    return page.numbers.shape, page.numbers.dtype


def _page(image: Image.Image, name: str) -> Page:
    raw_mode = " ".join(str(tile.args) for tile in getattr(image, "tile", ()))
    mode = image.mode
    image.load()
    upright = ImageOps.exif_transpose(image)
    if mode in ("1", "L", "I", "F"):
        numbers = np.array(upright)
        return Page(numbers=_grey(numbers), mode=mode, notes=())
    if mode in _SIXTEEN:
        numbers = np.array(upright).astype(np.uint16)
        # Tag value 0 means that white is 0. Pillow turns images of 1 and 8 bits itself, not of 16.
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == 0:
            numbers = np.uint16(65_535) - numbers
        return Page(numbers=numbers, mode="I;16", notes=())
    rgb = np.array(upright.convert("RGB"))
    notes = (
        ["The image is in colour and is shown as grey (luma)."] if decoding.is_coloured(rgb) else []
    )
    if ";16" in raw_mode:
        notes.append(
            "Its 16 bits a channel were reduced to 8: save it as 16 bit grey to keep them."
        )
    if _is_transparent(upright):
        notes.append("Transparency is not shown.")
    return Page(numbers=decoding.to_grey(rgb), mode=mode, notes=tuple(notes))


def _grey(numbers: Numbers) -> Numbers:
    return numbers.astype(np.uint8) * np.uint8(255) if numbers.dtype == np.bool_ else numbers


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    alpha = image.convert("RGBA").getchannel("A").getextrema()
    return alpha[0] != 255


def _refuse(name: str, expected: str, found: str, advice: str = "") -> NoReturn:
    raise ImageError(name, expected=expected, found=found, advice=advice)
