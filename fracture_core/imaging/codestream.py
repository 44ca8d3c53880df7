"""The size a compressed frame declares for itself, read before any decoder allocates it."""

import struct

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xDA)) | {0x01}

_JPEG_2000 = b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "

Size = tuple[int, int, int]


def declared_size(code: bytes) -> Size | None:
    """(rows, columns, components) of a JPEG, JPEG-LS or JPEG 2000 stream, None if there is none."""
    if code.startswith(b"\xff\xd8"):
        return _of_jpeg(code)
    # Bare, or in a JP2 file; elsewhere these bytes are pixels of another compression.
    bare = code.startswith(_JPEG_2000)
    start = 0 if bare else code.find(_JPEG_2000) if code.startswith(_JP2) else -1
    return _of_jpeg_2000(code[start : start + 42]) if start >= 0 else None


def _of_jpeg(code: bytes) -> Size | None:
    at = 2
    while at + 4 <= len(code):
        marker = code[at + 1]
        if code[at] != 0xFF:
            return None
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _START_OF_FRAME:
            return _frame_header(code[at + 5 : at + 10])
        at += 2 + int.from_bytes(code[at + 2 : at + 4])
    return None


def _frame_header(part: bytes) -> Size | None:
    # ITU-T T.81 B.2.2: number of lines, samples per line, components.
    return struct.unpack(">HHB", part) if len(part) == 5 else None


def _of_jpeg_2000(code: bytes) -> Size | None:
    # ITU-T T.800 A.5.1: SIZ holds the grid's extent, its origin, the tiles', and the components.
    if len(code) < 42:
        return None
    width, height, left, top = struct.unpack(">4I", code[8:24])
    return height - top, width - left, int.from_bytes(code[40:42])
