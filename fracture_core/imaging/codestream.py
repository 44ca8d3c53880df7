"""What a compressed frame declares of itself, read before any decoder allocates or trusts it."""

from fracture_core.imaging import jpeg, jpeg_2000
from fracture_core.imaging.jpeg import Size


def declared_size(code: bytes) -> Size | None:
    """(rows, columns, components) of a JPEG, JPEG-LS or JPEG 2000 stream, None if there is none."""
    return jpeg.size(code) if code.startswith(jpeg.SOI) else jpeg_2000.size(code)


def fault(code: bytes) -> str:
    """What shows that such a stream is damaged, as words, or "" where nothing does."""
    if code.startswith(jpeg.SOI):
        return jpeg.fault(code)
    return jpeg_2000.fault(code) if jpeg_2000.start(code) >= 0 else ""
