"""The chunks of a PNG file and their checksums (ISO/IEC 15948), checked before it is decoded."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MORE = "What follows the end of the image in the file was left out."
NO_END = "The file ends early: what follows the image is missing."

_CRC_BYTES = 4


class Chunk(NamedTuple):
    """The name and the data of a chunk; `is_whole`: its CRC-32 is right for both."""

    name: str
    data: memoryview
    is_whole: bool


class Examined(NamedTuple):
    """What was found: `fault` says in words what is damaged, or ""; `notes` are for the reader."""

    fault: str
    notes: tuple[str, ...] = ()


def examine(data: bytes) -> Examined:
    """Examine a PNG file for damage.

    A chunk of any kind with a wrong checksum is damage. Bytes after IEND are not: some programs
    keep data of their own there. A missing IEND is not either, where the checksum of the compressed
    stream tells that the pixels are whole.
    """
    at, has_pixels = len(SIGNATURE), False
    for chunk in _chunks(memoryview(data)):
        if not chunk.is_whole:
            return Examined(f"a chunk {chunk.name} at byte {at:,} whose checksum is wrong")
        at += 3 * _CRC_BYTES + len(chunk.data)
        has_pixels = has_pixels or chunk.name == "IDAT"
        if chunk.name == "IEND":
            fault = "" if has_pixels else "no chunk IDAT"
            return Examined(fault, (MORE,) if at < len(data) else ())
    if at == len(data) and has_pixels and _pixels_are_whole(data):
        return Examined("", (NO_END,))
    return Examined(f"a chunk at byte {at:,} that is cut short, or none")


def _chunks(data: memoryview) -> Iterator[Chunk]:
    """Every chunk up to the first that is cut short."""
    at = len(SIGNATURE)
    while at + 3 * _CRC_BYTES <= len(data):
        length = int.from_bytes(data[at : at + 4])
        end = at + 8 + length
        if end + _CRC_BYTES > len(data):
            return
        crc = int.from_bytes(data[end : end + _CRC_BYTES])
        name = bytes(data[at + 4 : at + 8]).decode("ascii", "backslashreplace")
        yield Chunk(name, data[at + 8 : end], zlib.crc32(data[at + 4 : end]) == crc)
        at = end + _CRC_BYTES


def _pixels_are_whole(data: bytes) -> bool:
    """Whether the stream in the IDAT chunks comes to its end and its Adler-32 is right."""
    inflater = zlib.decompressobj()
    try:
        for chunk in _chunks(memoryview(data)):
            part = bytes(chunk.data) if chunk.name == "IDAT" else b""
            while part and not inflater.eof:
                # In pieces of 1 MiB, so that a decompression bomb never fills the memory.
                inflater.decompress(part, 2**20)
                part = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof
