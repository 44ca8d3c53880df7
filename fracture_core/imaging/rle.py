"""What an RLE frame tells of itself before it is decoded (DICOM PS3.5 annex G)."""

import struct

_HEADER = 64


def fault(code: bytes, segments: int) -> str:
    """What shows that a frame of that many segments is damaged, as words, or ""."""
    if len(code) < _HEADER:
        return "an RLE header that is cut short"
    count, *offsets = struct.unpack("<16L", code[:_HEADER])
    if count != segments:
        return f"{count} RLE segments where {segments} are due"
    used, unused = offsets[:count], offsets[count:]
    rising = all(one < other for one, other in zip(used, [*used[1:], len(code)], strict=True))
    if used[0] != _HEADER or not rising or any(unused):
        return "RLE segments whose offsets make no sense"
    return ""
