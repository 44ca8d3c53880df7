"""What a JPEG or JPEG-LS stream tells of itself before it is decoded (ITU-T T.81 annex B, T.87).

JPEG has no checksum. What can be noticed is a stream that is cut short, segments of wrong length,
and restart intervals that are lost, repeated or out of order. A changed bit within an interval
gives another image, and no reader can tell.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Size = tuple[int, int, int]

SOI = b"\xff\xd8"

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_SEQUENTIAL = (0xC0, 0xC1)
_DCT = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_JPEG_LS = 0xF7
_SOS, _EOI, _DRI, _TEM = 0xDA, 0xD9, 0xDD, 0x01
_RESTARTS = range(0xD0, 0xD8)
# In coded data a byte FF is followed by a stuffed 0, in those of JPEG-LS by a stuffed bit 0. Since
# both patterns begin with one literal byte, the search runs at the speed of memory.
_IN_SCAN = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
_IN_SCAN_LS = re.compile(rb"\xff[\x80-\xfe]", re.DOTALL)
# Any number of fill bytes FF may come before a marker.
_MARKER = re.compile(rb"\xff+[\x01-\xfe]", re.DOTALL)


class _DamagedError(Exception):
    """Raised with what is wrong, in words for a message."""


class Segment(NamedTuple):
    """A marker, and where its parameters begin and end in the stream."""

    marker: int
    start: int
    end: int


class _Component(NamedTuple):
    name: int
    across: int
    down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    kind: int
    height: int
    width: int
    components: tuple[_Component, ...]


def size(code: bytes) -> Size | None:
    """Return (rows, columns, components) of a stream, None where no frame header is found."""
    try:
        for segment in _segments(code):
            if segment.marker in _SOF:
                part = code[segment.start + 1 : segment.start + 6]
                return struct.unpack(">HHB", part) if len(part) == 5 else None
    except _DamagedError:
        pass
    return None


def precision(code: bytes) -> int:
    """Return the bits of each sample, 0 where no frame header is found."""
    try:
        found = (code[each.start] for each in _segments(code) if each.marker in _SOF)
        return next(found, 0)
    except (_DamagedError, IndexError):
        return 0


def fault(code: bytes) -> str:
    """Return in words what shows that a stream is damaged, "" where nothing does."""
    try:
        _check(code)
    except _DamagedError as damaged:
        return str(damaged)
    return ""


def with_spectrum(code: bytes) -> bytes:
    """Return the stream with the spectral selection that sequential scans must have, 0 to 63.

    Some encoders of 12 bit radiographs write 0 to 0, which strict decoders refuse.
    """
    mended = bytearray(code)
    kind = 0
    try:
        for segment in _segments(code):
            kind = segment.marker if segment.marker in _SOF else kind
            if segment.marker == _SOS and kind in _SEQUENTIAL:
                mended[segment.end - 3 : segment.end] = b"\0\x3f\0"
    except _DamagedError:
        return code
    return bytes(mended)


def _segments(code: bytes) -> Iterator[Segment]:
    """Every marker outside of coded data, to the end of the image; raises _DamagedError."""
    at, kind = 2, 0
    while True:
        found = _MARKER.match(code, at)
        if found is None:
            cut = at >= len(code)
            raise _DamagedError("no end marker: it is cut short" if cut else f"no marker at {at:,}")
        marker, at = code[found.end() - 1], found.end()
        if marker in _RESTARTS or marker in (_TEM, _EOI):
            yield Segment(marker, at, at)
            if marker == _EOI:
                return
            continue
        end = at + int.from_bytes(code[at : at + 2])
        # Yielded even where it is cut, so that the size in a frame header is known in any case.
        yield Segment(marker, at + 2, end)
        if end > len(code) or end < at + 2:
            raise _DamagedError(f"a segment FF{marker:02X} of wrong length at {at:,}")
        kind = marker if marker in _SOF else kind
        at = _after_scan(code, end, kind) if marker == _SOS else end


def _after_scan(code: bytes, at: int, kind: int) -> int:
    """The place where the coded data end; restart markers are part of them."""
    for found in _in_scan(code, at, kind):
        if code[found.end() - 1] not in _RESTARTS:
            return found.start()
    raise _DamagedError("no end marker: it is cut short")


def _in_scan(code: bytes, at: int, kind: int) -> Iterator[re.Match[bytes]]:
    return (_IN_SCAN_LS if kind == _JPEG_LS else _IN_SCAN).finditer(code, at)


def _check(code: bytes) -> None:
    frame: _Frame | None = None
    interval, scans = 0, 0
    for segment in _segments(code):
        body = code[segment.start : segment.end]
        if segment.marker in _SOF:
            frame = _frame(segment.marker, body)
        elif segment.marker == _DRI and len(body) == 2:
            interval = int.from_bytes(body)
        elif segment.marker in _RESTARTS:
            raise _DamagedError("a restart marker outside of coded data")
        elif segment.marker == _SOS:
            scans += 1
            if frame is None:
                raise _DamagedError("a scan before the frame header")
            if frame.kind in _DCT:
                _check_restarts(code, segment, frame, interval)
    if not scans:
        raise _DamagedError("no scan")


def _check_restarts(code: bytes, scan: Segment, frame: _Frame, interval: int) -> None:
    """Raises _DamagedError where restart markers are out of their cyclic order or too many or few.

    How many are due follows from the size.
    """
    count = 0
    for found in _in_scan(code, scan.end, frame.kind):
        marker = code[found.end() - 1]
        if marker not in _RESTARTS:
            break
        if marker != 0xD0 + count % 8:
            raise _DamagedError(f"restart marker {marker - 0xD0} where {count % 8} is due")
        count += 1
    units = _units(code[scan.start : scan.end], frame)
    if units is None:
        return
    due = -(-units // interval) - 1 if interval else 0
    # Some encoders end the last interval with a marker too.
    if count not in (due, due + (interval > 0)):
        raise _DamagedError(f"{count:,} restart markers where {due:,} are due")


def _units(scan: bytes, frame: _Frame) -> int | None:
    """The number of minimum coded units of a scan (T.81 A.2), None where it cannot be told."""
    names = set(scan[1 : 1 + 2 * scan[0] : 2]) if scan else set()
    parts = [each for each in frame.components if each.name in names]
    if not (frame.height and frame.width and parts) or len(parts) != scan[0]:
        return None
    across = max(each.across for each in frame.components)
    down = max(each.down for each in frame.components)
    if len(parts) == 1:
        own_width = -(-frame.width * parts[0].across // across)
        own_height = -(-frame.height * parts[0].down // down)
        return -(-own_width // 8) * -(-own_height // 8)
    return -(-frame.width // (8 * across)) * -(-frame.height // (8 * down))


def _frame(kind: int, body: bytes) -> _Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _DamagedError("a frame header of wrong length")
    _, height, width, count = struct.unpack(">BHHB", body[:6])
    parts = tuple(
        _Component(name, factors >> 4, factors & 15)
        for name, factors, _ in struct.iter_unpack("3B", body[6:])
    )
    if not width or not count or any(not (p.across and p.down) for p in parts):
        raise _DamagedError("a frame header that makes no sense")
    return _Frame(kind=kind, height=height, width=width, components=parts)
