"""DICOM files that are damaged, hostile, odd or no images; and the header that is kept."""

import struct
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
)

from fracture_core.errors import ImageError
from fracture_core.imaging.dicom_frames import declared_size
from fracture_core.imaging.opening import open_image
from fracture_core.settings import settings
from tests.support.dicom_files import as_file, dataset, dicom, ramp


def refusal(data: bytes, name: str = "bad.dcm") -> ImageError:
    with pytest.raises(ImageError) as caught:
        open_image(data, name)
    assert str(caught.value).startswith(f"{name}: expected ")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("preamble", [True, False])
def test_every_plain_syntax_opens_with_and_without_preamble(syntax, preamble):
    pixels = ramp()
    made = dataset(pixels, bits=12)
    if syntax.is_little_endian is False:
        made.PixelData = pixels.astype(">u2").tobytes()
    image = open_image(as_file(made, syntax, preamble=preamble))
    np.testing.assert_array_equal(image.pixels[0], pixels)


def test_deflated_opens_and_a_deflated_bomb_does_not(monkeypatch):
    pixels = ramp()
    data = as_file(dataset(pixels, bits=12), DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(open_image(data).pixels[0], pixels)
    start = 144 + int.from_bytes(data[140:144], "little")
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeezer.compress(bytes(50_000_000)) + squeezer.flush()
    monkeypatch.setenv("FRACTURE_MAX_PIXELS", "1000000")
    settings.cache_clear()
    assert "once inflated" in str(refusal(data[:start] + body))


@pytest.mark.parametrize(
    ("rows", "columns", "frames"), [(65_000, 65_000, 1), (65_535, 65_535, 5), (512, 512, 10**9)]
)
def test_a_bomb_is_refused_by_what_it_declares(rows, columns, frames):
    made = dataset(ramp(), bits=12, Rows=rows, Columns=columns, NumberOfFrames=frames)
    start = time.perf_counter()
    error = refusal(as_file(made))
    assert time.perf_counter() - start < 1
    assert f"{rows} rows × {columns} columns × {frames} frames" in error.found
    assert "at most 400,000,000 pixels" in error.expected


def test_a_codestream_may_not_be_larger_than_its_header_says():
    siz = struct.pack(">HHHIIIIIIII", 0xFF51, 41, 0, 60_000, 50_000, 0, 0, 60_000, 50_000, 0, 0)
    code = b"\xff\x4f" + siz + struct.pack(">HBBB", 1, 11, 1, 1) + bytes(20)
    assert declared_size(code) == (50_000, 60_000, 1)
    made = dataset(ramp(), bits=12)
    made.PixelData = encapsulate([code])
    made["PixelData"].is_undefined_length = True
    assert "50000 × 60000 × 1" in refusal(as_file(made, JPEG2000Lossless)).found


def test_declared_size_of_jpeg():
    start = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc3\x00\x0b\x0c" + struct.pack(">HHB", 30, 20, 1)
    assert declared_size(start) == (30, 20, 1)
    assert declared_size(start[:-1]) is None
    assert declared_size(b"\xff\xd8\x00\x00\x00\x00") is None
    assert declared_size(b"nothing") is None


def test_pixels_of_another_compression_are_no_codestream():
    assert declared_size(b"\x02\0\0\0" + b"\xff\x4f\xff\x51" + bytes(60)) is None


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"Rows": 0}, "0 rows × 16 columns × 1 frames"),
        ({"NumberOfFrames": 0}, "0 frames"),
        ({"BitsAllocated": 12}, "BitsAllocated 12"),
        ({"BitsStored": 40, "HighBit": 39}, "BitsStored 40"),
        ({"BitsStored": 12, "HighBit": 15}, "HighBit 15"),
        ({"PhotometricInterpretation": "HSV"}, "'HSV'"),
        ({"PixelData": b""}, "an empty element"),
        ({"PixelData": bytes(100)}, "100 bytes: the file is cut short"),
        ({"SOPClassUID": BasicTextSRStorage}, None),
        ({"SOPClassUID": SegmentationStorage}, "Segmentation Storage"),
    ],
)
def test_headers_that_make_no_image(elements, found):
    data = dicom(ramp(), **elements)
    if found is None:
        assert open_image(data).frames == 1
    else:
        assert found in refusal(data).found


def test_no_pixel_data():
    made = dataset(ramp())
    del made.PixelData
    assert "Computed Radiography Image Storage" in refusal(as_file(made)).found
    made.SOPClassUID = BasicTextSRStorage
    del made.Rows
    error = refusal(as_file(made))
    assert error.found == "Basic Text SR Storage"
    assert error.expected == "a DICOM file with an image in it"


def test_float_pixel_data():
    made = dataset(ramp())
    floats = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    del made.PixelData, made.BitsStored, made.HighBit, made.PixelRepresentation
    made.BitsAllocated = 32
    made.FloatPixelData = floats.tobytes()
    image = open_image(as_file(made))
    values = image.pixels * image.scale.slope + image.scale.offset
    np.testing.assert_allclose(values[0], floats, atol=2 / 65535)
    floats[3, 3] = np.nan
    made.FloatPixelData = floats.tobytes()
    assert "NaN" in refusal(as_file(made)).found


def test_an_unknown_syntax_is_named():
    made = dataset(ramp(), bits=12)
    made.PixelData = encapsulate([bytes(64)])
    made["PixelData"].is_undefined_length = True
    error = refusal(as_file(made, UID("1.2.840.10008.1.2.4.107")))
    assert "1.2.840.10008.1.2.4.107" in error.found
    assert "Convert it" in error.advice


def test_rle_is_lossless():
    made = dataset(ramp(), bits=12)
    plain = open_image(as_file(made))
    made.compress(RLELossless)
    assert open_image(as_file(made, RLELossless)).sha256 == plain.sha256


def test_missing_frames_are_an_error():
    made = dataset(np.stack([ramp(), ramp()]), bits=12)
    made.compress(RLELossless)
    made.NumberOfFrames = 3
    assert "3 frames" in refusal(as_file(made, RLELossless)).expected


def test_warnings_of_pydicom_do_not_leak():
    # 62 bytes too many: pydicom warns, and warnings are errors in these tests.
    path = get_testdata_file("MR_small_padded.dcm", download=False)
    with open(path, "rb") as file:  # noqa: PTH123
        image = open_image(file.read())
    assert "The pixel data hold more than the image: the rest was left out." in image.warnings


def test_pixel_spacing_before_detector_spacing():
    both = open_image(dicom(ramp(), PixelSpacing=[0.2, 0.1], ImagerPixelSpacing=[0.3, 0.3]))
    assert (both.spacing_mm, both.spacing_source) == ((0.2, 0.1), "PixelSpacing")
    detector = open_image(dicom(ramp(), ImagerPixelSpacing=[0.3, 0.4]))
    assert (detector.spacing_mm, detector.spacing_source) == ((0.3, 0.4), "ImagerPixelSpacing")
    assert any("detector" in warning for warning in detector.warnings)
    neither = open_image(dicom(ramp(), PixelSpacing=[0, 0.1]))
    assert neither.spacing_mm is None


def test_lossy_compression_is_told():
    elements = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 30}
    image = open_image(dicom(ramp(), **elements))
    assert "The image was compressed with loss (ratio 30)." in image.warnings


@pytest.fixture(scope="module")
def valid_files() -> list[bytes]:
    plain = dataset(ramp(8, 8), bits=12, WindowCenter=5, WindowWidth=9)
    rle = dataset(np.stack([ramp(8, 8), ramp(8, 8)]), bits=12)
    rle.compress(RLELossless)
    with open(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False), "rb") as file:  # noqa: PTH123
        jpeg_ls = file.read()
    with open(get_testdata_file("MR_small_jp2klossless.dcm", download=False), "rb") as file:  # noqa: PTH123
        jpeg_2000 = file.read()
    return [as_file(plain), as_file(rle, RLELossless), jpeg_ls, jpeg_2000,
            as_file(plain, ImplicitVRLittleEndian, preamble=False)]  # fmt: skip


# The home is set once a test, which is once for all examples, and that is what is wanted.
patient = hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@patient
@given(which=st.integers(0, 4), share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_it_is_a_image_or_a_image_error(valid_files, which, share):
    data = valid_files[which]
    cut = data[: int(share * len(data))]
    try:
        image = open_image(cut)
    except ImageError:
        return
    # Only what follows the pixels may be missing.
    assert image.sha256 == open_image(data).sha256


@patient
@given(
    which=st.integers(0, 4),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
)
def test_flipped_anywhere_it_is_a_image_or_a_image_error(valid_files, which, flips):
    data = bytearray(valid_files[which])
    for share, bits in flips:
        data[int(share * len(data))] ^= bits
    with suppress(ImageError):
        open_image(data)


@pytest.mark.parametrize("tag", [b"\xe0\x7f\x10\x00", b"\x02\x00\x02\x00"])
def test_an_element_of_an_unknown_representation_is_damage(tag):
    data = bytearray(as_file(dataset(ramp(8, 8), bits=12)))
    data[data.index(tag) + 5] ^= 0x39
    assert "damage that makes it unreadable" in str(refusal(bytes(data)))


def test_real_files_cut_short(shared_data):
    for path in sorted((shared_data / "dicom").glob("RG2_*.dcm")):
        data = path.read_bytes()
        for share in (0.001, 0.1, 0.5, 0.95):
            refusal(data[: int(share * len(data))], path.name)


def test_12_megapixels_at_16_bit_open_fast():
    pixels = np.random.default_rng(0).integers(0, 65536, (3000, 4000), dtype=np.uint16)
    data = dicom(pixels, WindowCenter=30000, WindowWidth=40000)
    start = time.perf_counter()
    image = open_image(data)
    assert time.perf_counter() - start < 3  # 0.2 s on two free cores
    np.testing.assert_array_equal(image.pixels[0], pixels)


def test_the_kept_header_reads_back():
    image = open_image(dicom(ramp(), bits=12, BodyPartExamined="HIP", ViewPosition="AP"))
    assert image.tags["BodyPartExamined"] == "HIP"
    assert image.tags["Rows"] == "16"


@pytest.mark.parametrize("said", [b"1.2.840.10008.5.1.4..1.1.1", b"\x1b[2J Jane Doe, left hand.\0"])
def test_a_damaged_class_is_not_repeated_in_the_message(said):
    made = dataset(ramp(8, 8), bits=12)
    del made.PixelData, made.Rows
    data = as_file(made)
    written = made.SOPClassUID.encode() + b"\0"
    assert data.count(written) == 2
    assert len(said) == len(written)
    assert refusal(data.replace(written, said)).found == "a header whose SOP class is no UID"


def test_a_deflated_file_cut_short_is_named():
    data = as_file(dataset(ramp(), bits=12), DeflatedExplicitVRLittleEndian)
    for end in (len(data) - 3, len(data) - 30):
        assert refusal(data[:end]).found == "one that is cut short"
