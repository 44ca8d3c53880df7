"""The strips and tiles of a TIFF page, checked against its header before they are decoded.

TIFF has no checksum of its own. Noticed are strips that are cut short, lie outside of the file or
over each other, and damage in deflated ones, by their Adler-32, which libtiff does not verify. A
changed value in a plain strip, and mostly one in LZW or PackBits, is not noticed.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fracture_core.imaging import jpeg

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_LENGTHS = 273, 277, 278, 279
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 284, 322, 323, 324, 325

_PLAIN, _JPEG, _DEFLATE = 1, 7, (8, 32_946)
_YCBCR = 6
_SEPARATE_PLANES = 2

Tags = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """A strip or tile: its `word`, its place, and its bytes once `decoded`, None = unknown."""

    word: str
    offset: int
    length: int
    decoded: int | None


def fault(data: bytes, tags: Tags) -> str:
    """Return in words what shows that a page with these tags is damaged, "" where nothing does."""
    try:
        parts = _parts(tags)
    except (TypeError, ValueError, ZeroDivisionError):
        return "a header that makes no sense"
    if isinstance(parts, str):
        return parts
    end = 0
    for part in sorted(parts, key=lambda part: part.offset):
        if part.offset < end or part.offset + part.length > len(data):
            where = "outside of the file" if part.offset >= end else "over another"
            return f"a {part.word} that lies {where}"
        end = part.offset + part.length
    faults = (_content_fault(data, part, tags) for part in parts)
    return next((found for found in faults if found), "")


def _parts(tags: Tags) -> list[_Part] | str:
    tiled = _TILE_OFFSETS in tags
    word = "tile" if tiled else "strip"
    offsets = _numbers(tags, _TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    lengths = _numbers(tags, _TILE_LENGTHS if tiled else _STRIP_LENGTHS)
    sizes = _tile_sizes(tags) if tiled else _strip_sizes(tags)
    if not lengths and tags.get(_COMPRESSION, _PLAIN) == _PLAIN:
        # Old programs leave the lengths out, as they follow from the size.
        lengths = [size or 0 for size in sizes]
    if len(offsets) != len(sizes) or len(lengths) != len(sizes):
        return f"{len(offsets)} {word}s where {len(sizes)} are due"
    found = zip(offsets, lengths, sizes, strict=True)
    return [_Part(word, offset, length, size) for offset, length, size in found]


def _tile_sizes(tags: Tags) -> list[int | None]:
    width, height = int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])
    across, down = -(-int(tags[_WIDTH]) // width), -(-int(tags[_HEIGHT]) // height)
    row = _row_bytes(tags, width)
    return [None if row is None else row * height] * (across * down * _planes(tags))


def _strip_sizes(tags: Tags) -> list[int | None]:
    height = int(tags[_HEIGHT])
    rows = min(int(tags.get(_ROWS_PER_STRIP, height)), height)
    row = _row_bytes(tags, int(tags[_WIDTH]))
    each = [min(rows, height - top) for top in range(0, height, rows)]
    return [None if row is None else row * count for count in each] * _planes(tags)


def _row_bytes(tags: Tags, width: int) -> int | None:
    bits = _numbers(tags, _BITS) or [1]
    samples = int(tags.get(_SAMPLES, 1))
    if tags.get(_PHOTOMETRIC) == _YCBCR or len(set(bits)) != 1:
        # Colour may be stored at a lower resolution than luma, or bits differ: it cannot be told.
        return None
    return -(-width * bits[0] * (1 if _planes(tags) > 1 else samples) // 8)


def _planes(tags: Tags) -> int:
    return int(tags.get(_SAMPLES, 1)) if tags.get(_PLANAR) == _SEPARATE_PLANES else 1


def _numbers(tags: Tags, tag: int) -> Sequence[int]:
    value = tags.get(tag, ())
    return [int(each) for each in value] if isinstance(value, tuple) else [int(value)]


def _content_fault(data: bytes, part: _Part, tags: Tags) -> str:
    compression = tags.get(_COMPRESSION, _PLAIN)
    content = memoryview(data)[part.offset : part.offset + part.length]
    if compression == _JPEG:
        found = jpeg.fault(bytes(content))
        return f"a {part.word} with {found}" if found else ""
    if compression in _DEFLATE:
        return _deflated_fault(content, part)
    short = compression == _PLAIN and part.decoded is not None and part.length < part.decoded
    return f"a {part.word} of {part.length:,} bytes instead of {part.decoded:,}" if short else ""


def _deflated_fault(content: memoryview, part: _Part) -> str:
    inflater, count = zlib.decompressobj(), 0
    rest: bytes | memoryview = content
    try:
        while rest and not inflater.eof:
            # In pieces of 1 MiB, so that a decompression bomb never fills the memory.
            count += len(inflater.decompress(rest, 2**20))
            rest = inflater.unconsumed_tail
            if part.decoded is not None and count > part.decoded:
                return f"a {part.word} of more than {part.decoded:,} bytes"
    except zlib.error:
        return f"a deflated {part.word} that is damaged or whose checksum is wrong"
    if not inflater.eof or (part.decoded is not None and count < part.decoded):
        return f"a {part.word} that is cut short"
    return ""
