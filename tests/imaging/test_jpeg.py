"""JPEG, JPEG 2000 and RLE streams: 12 bits, retired processes, and damage that can be noticed."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, RLELossless

from fracture_core.errors import ImageError
from fracture_core.imaging import dicom_frames, jpeg, jpeg_2000
from fracture_core.imaging.deidentify import deidentify
from fracture_core.imaging.dicom_file import parse
from fracture_core.imaging.opening import open_image
from tests.support.dicom_files import as_file, dataset, ramp
from tests.support.jpeg_streams import EXTENDED, TWELVE_BITS

EXTENDED_UID, PROGRESSIVE_UID = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.55"


def radiograph(code: bytes, syntax: str, pixels: np.ndarray | None = None, **elements) -> bytes:
    made = dataset(ramp() if pixels is None else pixels, bits=12 if pixels is None else 8)
    made.PixelData = encapsulate([code])
    made["PixelData"].is_undefined_length = True
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return as_file(made, UID(syntax))


def saved(side: int = 64, **options) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (side, side), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def without_spectrum(code: bytes) -> bytes:
    """As the encoder of some radiographs wrote its scans: from 0 to 0."""
    at = code.index(b"\xff\xda") + 2
    end = at + int.from_bytes(code[at : at + 2])
    return code[: end - 3] + bytes(3) + code[end:]


@pytest.mark.parametrize("syntax", TWELVE_BITS)
def test_12_bits_of_every_process_open(syntax):
    image = open_image(radiograph(TWELVE_BITS[syntax], syntax))
    assert image.bits == 12
    # Quality 98 quantises in steps of 1 to 5 of 4,096.
    assert np.abs(image.pixels[0].astype(int) - ramp()).max() <= 8


def test_a_scan_from_0_to_0_is_read_as_the_whole_spectrum():
    whole = open_image(radiograph(EXTENDED, EXTENDED_UID))
    broken = without_spectrum(EXTENDED)
    assert broken != EXTENDED
    assert jpeg.with_spectrum(broken) == EXTENDED
    assert open_image(radiograph(broken, EXTENDED_UID)).sha256 == whole.sha256


def test_scans_of_a_progressive_stream_keep_their_spectrum():
    code = TWELVE_BITS[PROGRESSIVE_UID]
    assert jpeg.with_spectrum(code) == code


def test_8_bits_of_a_retired_process_open():
    code = saved(progressive=True, quality=95)
    grey = np.array(Image.open(io.BytesIO(code)))
    image = open_image(radiograph(code, PROGRESSIVE_UID, grey))
    assert np.abs(image.pixels[0].astype(int) - grey).max() <= 1


def test_a_retired_process_is_deidentified():
    clean = deidentify(parse(radiograph(TWELVE_BITS[PROGRESSIVE_UID], PROGRESSIVE_UID), "a.dcm"))
    assert np.abs(clean.pixel_array.astype(int) - ramp()).max() <= 8


def test_the_real_radiograph_is_that_of_the_other_encodings(shared_data: Path):
    lossy = open_image(shared_data / "dicom" / "RG2_JPLY.dcm")
    plain = open_image(shared_data / "dicom" / "RG2_UNC.dcm")
    differs = np.abs(lossy.pixels.astype(int) - plain.pixels)
    # Compressed 35 : 1; a decoder with the wrong spectrum is off by hundreds everywhere.
    assert (lossy.bits, lossy.pixels.shape) == (plain.bits, plain.pixels.shape)
    assert differs.mean() < 4
    assert np.percentile(differs, 99) < 20


def test_12_bit_colour_becomes_luma():
    luma = ramp()[None, ..., None].repeat(3, axis=3)
    luma[..., 1:] = 2048
    made = dataset(luma, bits=12, PhotometricInterpretation="YBR_FULL")
    image = open_image(as_file(made))
    np.testing.assert_array_equal(image.pixels[0], ramp())
    assert not any("colour" in warning for warning in image.warnings)
    luma[..., 1] = 2049
    made = dataset(luma, bits=12, PhotometricInterpretation="YBR_FULL")
    assert any("colour" in warning for warning in open_image(as_file(made)).warnings)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_a_jpeg_cut_anywhere_is_noticed(options):
    code = saved(**options)
    assert jpeg.fault(code) == ""
    for end in range(2, len(code), 7):
        assert jpeg.fault(code[:end])


def test_bytes_after_the_end_and_fill_bytes_are_no_damage():
    code = saved()
    assert jpeg.fault(code + b"\xff\xd9 left over") == ""
    at = code.index(b"\xff\xdb")
    filled = code[:at] + b"\xff\xff" + code[at:]
    assert jpeg.fault(filled) == ""
    assert open_image(filled).sha256 == open_image(code).sha256


def restarts(code: bytes) -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", code)]


def test_restart_intervals_lost_repeated_or_exchanged_are_noticed():
    # 64 blocks, a marker after every third: 21 of them.
    code = saved(restart_marker_blocks=3)
    places = restarts(code)
    assert len(places) == 21
    one, two, three = places[4:7]
    lost = code[:one] + code[two:]
    assert jpeg.fault(lost) == "restart marker 5 where 4 is due"
    assert jpeg.fault(code[:two] + code[one:]) == "restart marker 4 where 5 is due"
    exchanged = code[:one] + code[two:three] + code[one:two] + code[three:]
    assert jpeg.fault(exchanged) == "restart marker 5 where 4 is due"
    eight = code[: places[2]] + code[places[10] :]
    assert jpeg.fault(eight) == "13 restart markers where 21 are due"
    with pytest.raises(ImageError, match=r"damaged \(13 restart markers where 21 are due\)"):
        open_image(eight, "a.jpg")


def test_restart_markers_of_subsampled_colour_are_counted_by_units():
    rgb = np.random.default_rng(3).integers(0, 255, (33, 65, 3), dtype=np.uint8)
    for subsampling in (0, 1, 2):
        for options in ({"progressive": False}, {"progressive": True}):
            buffer = io.BytesIO()
            Image.fromarray(rgb).save(
                buffer, "JPEG", subsampling=subsampling, restart_marker_blocks=2, **options
            )
            assert jpeg.fault(buffer.getvalue()) == ""


def test_real_jpegs_have_no_fault(shared_data: Path):
    paths = sorted((shared_data / "fracatlas").rglob("*.jpg"))[::10]
    assert paths
    assert {jpeg.fault(path.read_bytes()) for path in paths} == {""}


def frames_of(name: str) -> list[bytes]:
    made = dcmread(get_testdata_file(name, download=False))
    return list(generate_frames(made.PixelData, number_of_frames=1))


@pytest.mark.parametrize(
    "name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "693_J2KI.dcm"]
)
def test_codestreams_of_the_field_are_whole_and_cut_ones_are_not(name):
    [code] = frames_of(name)
    assert dicom_frames.codestream_fault(code) == ""
    for share in (0.3, 0.6, 0.9, 0.99):
        assert dicom_frames.codestream_fault(code[: int(share * len(code))])


def test_a_jpeg_2000_tile_part_of_another_length_is_noticed():
    [code] = frames_of("MR_small_jp2klossless.dcm")
    at = code.index(b"\xff\x90") + 6
    length = int.from_bytes(code[at : at + 4])
    for other in (length - 1, length + 1, 3):
        changed = code[:at] + struct.pack(">I", other) + code[at + 4 :]
        assert "cut short" in jpeg_2000.fault(changed)


def test_rle_segments_that_make_no_sense_are_noticed():
    made = dataset(ramp(), bits=12)
    made.compress(RLELossless)
    [code] = generate_frames(made.PixelData, number_of_frames=1)
    assert dicom_frames.rle_fault(code, 2) == ""
    assert dicom_frames.rle_fault(code, 3) == "2 RLE segments where 3 are due"
    assert "cut short" in dicom_frames.rle_fault(code[:63], 2)
    first, second = struct.unpack("<2L", code[4:12])
    for offsets in ((first + 2, second), (first, first), (first, len(code)), (second, first)):
        changed = code[:4] + struct.pack("<2L", *offsets) + code[12:]
        assert dicom_frames.rle_fault(changed, 2) == "RLE segments whose offsets make no sense"
    made.PixelData = encapsulate([code[:4] + struct.pack("<2L", 64, 64) + code[12:]])
    with pytest.raises(ImageError, match="RLE Lossless with RLE segments whose offsets"):
        open_image(as_file(made, RLELossless), "a.dcm")


def test_big_endian_colour_of_16_bits_opens():
    rgb = np.stack([ramp(top=65_535), ramp(top=60_000), ramp(top=3_000)], axis=-1)[None]
    little = open_image(as_file(dataset(rgb)))
    made = dataset(rgb)
    made.PixelData = rgb.astype(">u2").tobytes()
    big = open_image(as_file(made, UID("1.2.840.10008.1.2.2")))
    assert big.sha256 == little.sha256
    np.testing.assert_array_equal(big.pixels, little.pixels)
