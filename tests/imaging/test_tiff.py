"""Strips and tiles of TIFF files: what shows that they are damaged."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fracture_core.errors import ImageError
from fracture_core.imaging.opening import open_image

PIXELS = np.random.default_rng(0).integers(0, 65_536, (40, 48), dtype=np.uint16)
SHORT, LONG = 3, 4
Parts = list[bytes]


def tiff(parts: Parts, *, compression: int = 1, tile: int = 0, rows: int = 16) -> bytes:
    """A file of PIXELS by hand, as no library writes tiles or deflated strips of our choice."""
    content = b"".join(parts)
    lengths = [len(part) for part in parts]
    offsets = [8 + sum(lengths[:i]) for i in range(len(parts))]
    fields = [
        (256, LONG, [PIXELS.shape[1]]),
        (257, LONG, [PIXELS.shape[0]]),
        (258, SHORT, [16]),
        (259, SHORT, [compression]),
        (262, SHORT, [1]),
        *([] if tile else [(273, LONG, offsets)]),
        (277, SHORT, [1]),
        *([] if tile else [(278, LONG, [rows]), (279, LONG, lengths)]),
        *([(322, LONG, [tile]), (323, LONG, [tile])] if tile else []),
        *([(324, LONG, offsets), (325, LONG, lengths)] if tile else []),
    ]
    at = 8 + len(content) + len(content) % 2
    extra_at = at + 2 + 12 * len(fields) + 4
    entries, extra = b"", b""
    for tag, kind, values in fields:
        packed = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(packed) > 4:
            entries += struct.pack("<HHII", tag, kind, len(values), extra_at + len(extra))
            extra += packed
        else:
            entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0) + extra
    return b"II*\0" + struct.pack("<I", at) + content.ljust(at - 8, b"\0") + head


def strips() -> Parts:
    return [PIXELS[top : top + 16].astype("<u2").tobytes() for top in (0, 16, 32)]


def tiles() -> Parts:
    padded = np.pad(PIXELS, ((0, 8), (0, 0))).astype("<u2")
    return [
        padded[top : top + 16, left : left + 16].tobytes()
        for top in (0, 16, 32)
        for left in (0, 16, 32)
    ]


def deflated(parts: Parts) -> Parts:
    return [zlib.compress(part) for part in parts]


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(data, "a.tif")
    return caught.value.found


@pytest.mark.parametrize(
    "data",
    [
        tiff(strips()),
        tiff(tiles(), tile=16),
        tiff(deflated(strips()), compression=8),
        tiff(deflated(strips()), compression=32_946),
        tiff(deflated(tiles()), compression=8, tile=16),
    ],
    ids=["strips", "tiles", "deflated", "deflated, old", "deflated tiles"],
)
def test_whole_files_open(data):
    np.testing.assert_array_equal(open_image(data, "a.tif").pixels[0], PIXELS)


@pytest.mark.parametrize("part", range(3))
def test_a_wrong_checksum_of_a_deflated_strip_is_refused(part):
    parts = deflated(strips())
    parts[part] = parts[part][:-1] + bytes([parts[part][-1] ^ 1])
    found = refusal(tiff(parts, compression=8))
    assert "a deflated strip that is damaged or whose checksum is wrong" in found


def test_every_changed_bit_of_deflated_strips_is_refused():
    data = tiff(deflated(strips()), compression=8)
    content = sum(map(len, deflated(strips())))
    for at in range(8, 8 + content, 97):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        assert "deflated strip" in refusal(bytes(damaged)) or at < 10


def test_strips_of_wrong_length_are_refused():
    plain, packed = strips(), deflated(strips())
    assert "a strip of 1,534 bytes instead of 1,536" in refusal(
        tiff([plain[0], plain[1][:-2], plain[2]])
    )
    assert "3 strips where 5 are due" in refusal(tiff(plain, rows=8))
    assert "cut short" in refusal(tiff([packed[0], packed[1][:-5], packed[2]], compression=8))
    assert "more than 1,536 bytes" in refusal(
        tiff([zlib.compress(plain[0] + b"more"), *packed[1:]], compression=8)
    )
    assert "cut short" in refusal(tiff([zlib.compress(plain[0][:-2]), *packed[1:]], compression=8))


def test_strips_outside_of_the_file_or_over_each_other_are_refused():
    data = tiff(strips())
    offsets = struct.pack("<3I", 8, 1544, 3080)
    assert offsets in data
    beyond = data.replace(offsets, struct.pack("<3I", 8, 1544, 2**31))
    assert "a strip that lies outside of the file" in refusal(beyond)
    over = data.replace(offsets, struct.pack("<3I", 8, 1000, 3080))
    assert "a strip that lies over another" in refusal(over)


def test_lengths_that_were_left_out_follow_from_the_size():
    data = tiff(strips()).replace(
        struct.pack("<HHI", 279, LONG, 3), struct.pack("<HHI", 280, LONG, 3)
    )
    np.testing.assert_array_equal(open_image(data, "a.tif").pixels[0], PIXELS)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4"])
@pytest.mark.parametrize("pages", [1, 3])
def test_what_libtiff_writes_opens(compression, pages):
    pixels = (PIXELS > 30_000) if compression == "group4" else (PIXELS >> 8).astype(np.uint8)
    images = [Image.fromarray(pixels)] * pages
    buffer = io.BytesIO()
    images[0].save(buffer, "TIFF", compression=compression, save_all=True, append_images=images[1:])
    expected = pixels * np.uint8(255) if compression == "group4" else pixels
    np.testing.assert_array_equal(open_image(buffer.getvalue(), "a.tif").pixels[-1], expected)


@pytest.mark.parametrize("compression", [None, "jpeg", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "YCbCr", "1", "I;16"])
def test_every_mode_that_pillow_writes_opens(compression, mode):
    if compression == "jpeg" and mode in ("1", "I;16", "RGBA"):
        pytest.skip("not written as JPEG")
    image = Image.fromarray(PIXELS) if mode == "I;16" else Image.effect_noise((48, 40), 60)
    buffer = io.BytesIO()
    options = {"compression": compression} if compression else {}
    (image if mode == "I;16" else image.convert(mode)).save(buffer, "TIFF", **options)
    assert open_image(buffer.getvalue(), "a.tif").pixels.shape == (1, 40, 48)
