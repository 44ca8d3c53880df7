"""The one way in: any file to an image, told by its content and never by its name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fracture_core import importing
from fracture_core.errors import ImageError
from fracture_core.imaging.image import MedicalImage
from fracture_core.settings import settings

Source = Path | bytes | bytearray | memoryview

KNOWN = "a PNG, JPEG, TIFF or DICOM file"

_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\x89HDF", "an HDF5 file: open it as a data set"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What several files hold: images and stacks, and an error for each unreadable file."""

    images: tuple[MedicalImage, ...]
    errors: tuple[ImageError, ...]


def open_image(source: Source, name: str = "") -> MedicalImage:
    """Read one file to one image; raises ImageError.

    `name` stands in messages and in the id of the image; by default it is that of the path.
    """
    name = name or (source.name if isinstance(source, Path) else "image")
    data = _contents(source, name)
    # Imported on first use: the first page must not wait for pydicom.
    with importing.LOCK:
        from fracture_core.imaging import dicom, raster

    if not data:
        raise ImageError(name, expected=KNOWN, found="an empty file", advice="Copy it anew.")
    if dicom.is_dicom(data):
        return dicom.read_dicom(data, name)
    if raster.is_raster(data):
        return raster.read_raster(data, name)
    raise ImageError(name, expected=KNOWN, found=_described(data))


def open_images(
    files: Iterable[tuple[str, Source]], progress: Callable[[int], None] | None = None
) -> Opened:
    """Read many files, each a name and its content; slices of one series become one stack.

    A file that cannot be read does not stop the others. `progress` gets the number of files done.
    """
    with importing.LOCK:
        from fracture_core.imaging.dicom import merge_slices

    images, errors = [], []
    for done, (name, source) in enumerate(files, start=1):
        try:
            images.append(open_image(source, name))
        except ImageError as error:
            errors.append(error)
        if progress is not None:
            progress(done)
    return Opened(images=tuple(merge_slices(images)), errors=tuple(errors))


def _contents(source: Source, name: str) -> bytes:
    if not isinstance(source, Path):
        return source if isinstance(source, bytes) else bytes(source)
    # Colour of 16 bits takes 6 bytes a pixel, and 1 MiB is left for headers.
    limit = 6 * settings().max_pixels + 2**20
    try:
        size = source.stat().st_size
        if size > limit:
            found = f"{size:,} bytes"
            raise ImageError(name, expected=f"a file of at most {limit:,} bytes", found=found)
        return source.read_bytes()
    except OSError as error:
        found = (error.strerror or type(error).__name__).lower()
        raise ImageError(name, expected="a file that can be read", found=found) from error


def _described(data: bytes) -> str:
    for signature, what in _OTHERS:
        if data.startswith(signature):
            return what
    start = data[:512]
    if b"\0" not in start and all(byte >= 32 or byte in b"\t\r\n\f" for byte in start):
        return "a text file" if not start.lstrip().startswith(b"<") else "an HTML or XML file"
    return f"a file of another kind (it begins with {data[:4].hex(' ')})"
