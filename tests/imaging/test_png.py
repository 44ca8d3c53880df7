"""Checksums of PNG chunks: what they show, what may follow them, and what they cost."""

import io
import re
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from fracture_core.errors import ImageError
from fracture_core.imaging import png
from fracture_core.imaging.opening import open_image

PIXELS = np.random.default_rng(0).integers(0, 65_536, (40, 50), dtype=np.uint16)


def saved() -> bytes:
    """16 bits, with a text chunk before the pixels."""
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "left hand")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=told, dpi=(300, 300))
    return buffer.getvalue()


WHOLE = saved()
END = len(WHOLE) - 12


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("name", ["IHDR", "pHYs", "tEXt", "IDAT", "IEND"])
@pytest.mark.parametrize("place", ["data", "checksum"])
def test_a_changed_bit_is_refused_with_the_chunk_named(name, place):
    start = WHOLE.index(name.encode())
    length = int.from_bytes(WHOLE[start - 4 : start])
    if place == "data" and not length:
        pytest.skip("IEND has no data")
    at = start + 4 + (0 if place == "data" else length)
    damaged = bytearray(WHOLE)
    damaged[at] ^= 4
    with pytest.raises(ImageError) as caught:
        open_image(bytes(damaged), "a.png")
    assert f"(a chunk {name} at byte {start - 4:,} whose checksum is wrong)" in caught.value.found


def test_a_changed_name_and_a_changed_length_are_refused():
    start = WHOLE.index(b"pHYs")
    for at, bits in ((start + 1, 0x20), (start - 1, 1), (start - 3, 0x80)):
        damaged = bytearray(WHOLE)
        damaged[at] ^= bits
        with pytest.raises(ImageError, match=r"damaged \(a chunk "):
            open_image(bytes(damaged), "a.png")


patient = hypothesis_settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@patient
@given(
    flips=st.lists(
        st.tuples(st.integers(8, len(WHOLE) - 1), st.integers(1, 255)),
        min_size=1,
        max_size=4,
        unique_by=lambda flip: flip[0],
    )
)
def test_no_changed_byte_opens_as_another_image(flips):
    data = bytearray(WHOLE)
    for at, bits in flips:
        data[at] ^= bits
    with pytest.raises(ImageError):
        open_image(bytes(data), "a.png")


def test_what_follows_the_end_is_left_out_with_a_word():
    image = open_image(WHOLE + b"left by a phone", "a.png")
    np.testing.assert_array_equal(image.pixels[0], PIXELS)
    assert image.warnings == (png.MORE,)


def test_a_missing_end_is_told_where_the_pixels_are_whole():
    image = open_image(WHOLE[:END], "a.png")
    np.testing.assert_array_equal(image.pixels[0], PIXELS)
    assert image.warnings == (png.NO_END,)


def test_a_missing_end_after_missing_pixels_is_damage():
    start = WHOLE.index(b"IDAT") - 4
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS))
    for body in (packed[:-1], packed[:-4], packed[:200]):
        with pytest.raises(ImageError, match="cut short"):
            open_image(WHOLE[:start] + chunk(b"IDAT", body), "a.png")
    assert open_image(WHOLE[:start] + chunk(b"IDAT", packed), "a.png").warnings == (png.NO_END,)


@pytest.mark.parametrize("end", [8, 20, 33, END - 1, END + 1, END + 11])
def test_a_file_cut_within_a_chunk_is_damage(end):
    assert png.examine(WHOLE[:end]).fault


def test_no_pixels_at_all_is_damage():
    start = WHOLE.index(b"IDAT") - 4
    assert png.examine(WHOLE[:start] + chunk(b"IEND", b"")).fault == "no chunk IDAT"


def test_an_unprintable_name_is_spelt_out():
    data = bytearray(WHOLE[:33] + chunk(b"\xff\x00ab", b"") + WHOLE[33:])
    data[44] ^= 1
    assert re.search(r"a chunk \\xff\S*ab at byte 33 ", png.examine(bytes(data)).fault)


def test_50_mb_are_examined_in_passing():
    body = np.random.default_rng(0).integers(0, 256, 2**20, dtype=np.uint8).tobytes()
    data = WHOLE[:33] + 50 * chunk(b"IDAT", body) + chunk(b"IEND", b"")
    start = time.process_time()
    assert png.examine(data).fault == ""
    assert time.process_time() - start < 0.5  # 0.03 s on a free core
