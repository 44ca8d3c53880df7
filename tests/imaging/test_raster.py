"""PNG, JPEG and TIFF: depth, colour, orientation, pages, and bad files."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from fracture_core.errors import ImageError
from fracture_core.imaging import grey
from fracture_core.imaging.opening import open_image, open_images
from fracture_core.settings import settings
from tests.support.dicom_files import ramp


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(data: bytes, name: str = "bad.png") -> ImageError:
    with pytest.raises(ImageError) as caught:
        open_image(data, name)
    assert str(caught.value).startswith(f"{name}: expected ")
    assert "\n" not in str(caught.value)
    return caught.value


def noise(height: int = 20, width: int = 30, dtype: str = "uint8") -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top, (height, width), dtype=dtype)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_is_kept_at_its_depth(kind, dtype):
    pixels = noise(dtype=dtype)
    image = open_image(saved(Image.fromarray(pixels), kind), "grey.bin")
    np.testing.assert_array_equal(image.pixels, pixels[None])
    assert image.pixels.dtype == dtype
    assert image.bits == np.dtype(dtype).itemsize * 8
    assert image.photometric == ("L" if dtype == "uint8" else "I;16")
    assert image.warnings == ()
    assert not image.pixels.flags.writeable


def test_8_bit_is_shown_as_it_is():
    pixels = noise() // 2
    image = open_image(saved(Image.fromarray(pixels)))
    np.testing.assert_array_equal(image.shown(), pixels)


def test_16_bit_is_shown_from_its_least_to_its_greatest():
    pixels = ramp(top=1000)
    pixels[pixels < 200] = 200
    image = open_image(saved(Image.fromarray(pixels)))
    assert (image.windows[0].center, image.windows[0].width) == (600, 800)
    assert (image.shown().min(), image.shown().max()) == (0, 255)


def test_a_flat_image_opens():
    image = open_image(saved(Image.fromarray(np.full((4, 4), 7, dtype=np.uint16))))
    assert image.shown().shape == (4, 4)


def test_1_bit():
    bits = noise() > 100
    image = open_image(saved(Image.fromarray(bits)))
    np.testing.assert_array_equal(image.pixels[0], bits * 255)
    assert image.bits == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_colour_becomes_luma_with_a_word(kind):
    rgb = np.zeros((8, 8, 3), dtype=np.uint8)
    rgb[..., 0], rgb[..., 1] = 200, 100
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    image = open_image(saved(Image.fromarray(rgb), kind, **options))
    assert abs(int(image.pixels[0, 0, 0]) - 119) <= (1 if kind == "JPEG" else 0)
    assert image.warnings == ("The image is in colour and is shown as grey (luma).",)
    assert image.photometric == "RGB"


@pytest.mark.parametrize("mode", ["RGB", "P", "LA", "RGBA"])
def test_grey_in_another_mode_is_exact_and_needs_no_word(mode):
    grey = Image.fromarray(noise())
    image = open_image(saved(grey.convert(mode)))
    np.testing.assert_array_equal(image.pixels[0], noise())
    assert image.warnings == ()


def test_transparency_is_told():
    image = Image.fromarray(noise()).convert("LA")
    image.putalpha(Image.fromarray(noise()))
    assert open_image(saved(image)).warnings == ("Transparency is not shown.",)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(saved(Image.fromarray(pixels), kind, exif=exif))
    corner = {
        1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0),
        5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0),
    }[orientation]  # fmt: skip
    assert (image.height, image.width) == ((16, 32) if orientation < 5 else (32, 16))
    assert image.pixels[0][corner] > 250
    assert (image.pixels[0] > 128).sum() == 64


def test_pages_of_a_tiff_are_frames_but_not_its_thumbnail():
    pages = [Image.fromarray(noise(dtype="uint16") // (i + 1)) for i in range(3)]
    thumbnail = Image.fromarray(noise(5, 5))
    data = saved(pages[0], "TIFF", save_all=True, append_images=[*pages[1:], thumbnail])
    image = open_image(data, "stack.tif")
    np.testing.assert_array_equal(image.pixels, np.stack([np.array(page) for page in pages]))
    assert image.warnings == ("1 pages of another size or kind than the first were left out.",)
    assert len(image.samples()) == 3


def test_white_is_zero():
    # Written by hand: Pillow writes 16 bit TIFF as "black is zero" only.
    pixels = ramp(4, 4, top=65535)
    fields = [(256, 3, 4), (257, 3, 4), (258, 3, 16), (259, 3, 1), (262, 3, 0), (273, 4, 122),
              (277, 3, 1), (278, 3, 4), (279, 4, 32)]  # fmt: skip
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    data = head + body + struct.pack("<I", 0)
    data += bytes(122 - len(data)) + pixels.astype("<u2").tobytes()
    np.testing.assert_array_equal(open_image(data).pixels[0], 65535 - pixels)


def test_float_tiff_is_scaled_with_a_word():
    values = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
    image = open_image(saved(Image.fromarray(values), "TIFF"))
    found = image.pixels[0] * image.scale.slope + image.scale.offset
    np.testing.assert_allclose(found, values, atol=8 / 65535)
    assert image.windows[0].name == grey.DATA_RANGE
    assert any("rounded to 65,536 steps" in warning for warning in image.warnings)
    values[2, 2] = np.inf
    assert "infinity" in refusal(saved(Image.fromarray(values), "TIFF")).found


def test_32_bit_tiff_within_16_bits_is_exact():
    values = ramp(top=60_000).astype(np.int32)
    image = open_image(saved(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(image.pixels[0], values)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, raw: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b"")


def test_16_bit_colour_png_tells_that_it_is_reduced():
    rows = b"".join(b"\0" + struct.pack(">6H", *range(0, 60_000, 10_000)) for _ in range(2))
    image = open_image(png(2, 2, 16, 2, rows))
    assert any("16 bits a channel were reduced to 8" in warning for warning in image.warnings)


@pytest.mark.parametrize(("width", "height"), [(200_000, 100_000), (25_000, 25_000)])
def test_a_bomb_is_refused_by_its_declared_size(width, height):
    error = refusal(png(width, height, 1, 0, b""))
    assert (
        f"{width * height}" in error.found.replace(",", "") or f"{width} × {height}" in error.found
    )


def test_the_limit_counts_all_pages(monkeypatch):
    pages = [Image.fromarray(noise()) for _ in range(4)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    monkeypatch.setenv("FRACTURE_MAX_PIXELS", "2000")
    settings.cache_clear()
    error = refusal(data)
    assert (error.expected, error.found) == ("at most 2,000 pixels", "30 × 20 pixels in page 4")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_truncated_is_refused_even_if_pillow_was_told_to_be_lenient(kind, monkeypatch):
    # The switch belongs to the whole process, and other libraries turn it on.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(Image.fromarray(noise(200, 300)), kind)
    for share in (0.3, 0.6, 0.9):
        assert "cut short or damaged" in refusal(data[: int(share * len(data))]).found
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"hello, this is no picture", "a text file"),
        (b"<html><script>alert(1)</script>", "an HTML or XML file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04....", "a ZIP archive: unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file: open it as a data set"),
        (b"\x93\x01\xfe\x00", "a file of another kind (it begins with 93 01 fe 00)"),
    ],
)
def test_other_files_are_named(data, found):
    assert refusal(data, "<b>x</b>.png").found == found


def test_paths_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(ImageError) as caught:
            open_image(path)
        assert caught.value.name == path.name


def test_the_extension_does_not_matter(tmp_path):
    path = tmp_path / "picture.dcm"
    path.write_bytes(saved(Image.fromarray(noise())))
    image = open_image(path)
    assert image.name == "picture.dcm"
    np.testing.assert_array_equal(image.pixels[0], noise())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes(kind):
    np.testing.assert_array_equal(
        open_image(kind(saved(Image.fromarray(noise())))).pixels[0], noise()
    )


def test_a_bad_file_does_not_stop_the_others():
    good = saved(Image.fromarray(noise()))
    done = []
    opened = open_images([("a.png", good), ("b.png", b""), ("c.png", good)], done.append)
    assert [image.name for image in opened.images] == ["a.png", "c.png"]
    assert [error.name for error in opened.errors] == ["b.png"]
    assert done == [1, 2, 3]


def test_identity_is_of_the_content():
    one = open_image(saved(Image.fromarray(noise())), "a.png")
    same = open_image(saved(Image.fromarray(noise()), "TIFF"), "a.tif")
    other = open_image(saved(Image.fromarray(noise().T)), "a.png")
    assert one.sha256 == same.sha256 != other.sha256
    (sample,) = one.samples()
    assert sample.sample_id == one.image_id == f"a-{one.sha256[:12]}"
    assert sample.group_id == one.image_id
    np.testing.assert_array_equal(sample.shown(), one.shown())


def test_the_shape_is_part_of_the_sha():
    flat = [open_image(saved(Image.fromarray(noise().reshape(shape)))).sha256
            for shape in ((20, 30), (30, 20))]  # fmt: skip
    assert flat[0] != flat[1]


@pytest.fixture(scope="module")
def valid_files() -> list[bytes]:
    deep, grey = Image.fromarray(noise(dtype="uint16")), Image.fromarray(noise())
    return [
        saved(deep),
        saved(grey, "JPEG"),
        saved(grey.convert("RGB"), "JPEG", progressive=True),
        saved(deep, "TIFF"),
        saved(deep, "TIFF", compression="tiff_lzw", save_all=True, append_images=[deep]),
        saved(grey.convert("P")),
    ]


patient = hypothesis_settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@patient
@given(which=st.integers(0, 5), share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_it_is_the_image_or_a_image_error(valid_files, which, share):
    data = valid_files[which]
    try:
        image = open_image(data[: int(share * len(data))])
    except ImageError:
        return
    assert image.sha256 == open_image(data).sha256


@patient
@given(
    which=st.integers(0, 5),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
)
def test_flipped_anywhere_it_is_a_image_or_a_image_error(valid_files, which, flips):
    data = bytearray(valid_files[which])
    for share, bits in flips:
        data[int(share * len(data))] ^= bits
    try:
        image = open_image(data)
    except ImageError:
        return
    assert image.pixels.ndim == 3


def test_real_images(shared_data):
    for path in sorted((shared_data / "fracatlas").rglob("*.jpg"))[:5]:
        image = open_image(path)
        with Image.open(path) as opened:
            assert (image.width, image.height) == opened.size
