"""What a JPEG 2000 codestream tells of itself before it is decoded (ITU-T T.800 annex A).

JPEG 2000 has no checksum: tile-parts that are lost or of wrong length are noticed, but a changed
value within one cannot be.
"""

import struct

from fracture_core.imaging.jpeg import Size

BARE = b"\xff\x4f\xff\x51"
BOXED = b"\0\0\0\x0cjP  "

_SOT, _EOC = b"\xff\x90", b"\xff\xd9"


def start(code: bytes) -> int:
    """Return where the codestream begins, bare or in a JP2 file; −1 = there is none."""
    # In any other file these bytes may be pixels of another compression.
    return 0 if code.startswith(BARE) else code.find(BARE) if code.startswith(BOXED) else -1


def size(code: bytes) -> Size | None:
    """Return (rows, columns, components), None where there is no whole header."""
    at = start(code)
    part = code[at : at + 42]
    # A.5.1: SIZ holds the extent and the origin of the image and of its tiles, then the components.
    if at < 0 or len(part) < 42:
        return None
    width, height, left, top = struct.unpack(">4I", part[8:24])
    return height - top, width - left, int.from_bytes(part[40:42])


def fault(code: bytes) -> str:
    """Return in words what shows that a codestream is damaged, "" where nothing does."""
    at = _first_tile(code, start(code) + 2)
    if at < 0:
        return "a main header that is damaged"
    seen = set()
    while code[at : at + 2] == _SOT:
        header = code[at + 2 : at + 12]
        if len(header) < 10 or header[:2] != b"\0\x0a":
            return "a tile-part header that is damaged"
        tile, length = struct.unpack(">HI", header[2:8])
        seen.add(tile)
        if length == 0:
            # A.4.2: the last tile-part reaches to the end.
            return _tiles_fault(code, seen) if _EOC in code[-4:] else _CUT
        if length < 14 or at + length > len(code):
            return _CUT
        at += length
    return _tiles_fault(code, seen) if code[at : at + 2] == _EOC else _CUT


_CUT = "tile-parts that do not lead to an end marker: it is cut short"


def _first_tile(code: bytes, at: int) -> int:
    while code[at : at + 1] == b"\xff" and code[at : at + 2] != _SOT:
        length = int.from_bytes(code[at + 2 : at + 4])
        if length < 2:
            return -1
        at += 2 + length
    return at if code[at : at + 2] == _SOT else -1


def _tiles_fault(code: bytes, seen: set[int]) -> str:
    """Words where the tiles that were seen are not exactly those of the grid, else ""."""
    part = code[start(code) :]
    width, height, _, _, across, down, left, top = struct.unpack(">8I", part[8:40])
    if not (across and down):
        return "tiles without an extent"
    count = -(-(width - left) // across) * -(-(height - top) // down)
    return "" if len(seen) == count and max(seen) < count else f"{len(seen)} of {count} tiles"
