"""From stored numbers to what is shown: modality, VOI, polarity; pydicom is the reference."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

from fracture_core.imaging import decoding, grey
from fracture_core.imaging.opening import open_image
from fracture_core.types import ValueScale, Window
from tests.support.dicom_files import dataset, dicom, enhanced_ct, ramp, table

finite = st.floats(-5e4, 5e4)


def reference(made) -> np.ndarray:
    """(F, H, W) in [0, 1] as pydicom shows a dataset, MONOCHROME1 turned."""
    values = apply_modality_lut(made.pixel_array, made)
    shown = apply_voi_lut(values, made, prefer_lut=False).astype(float)
    if "VOILUTSequence" in made and "WindowCenter" not in made:
        top = 2 ** int(made.VOILUTSequence[0].LUTDescriptor[2]) - 1
        low, high = 0.0, float(top)
    else:
        # pydicom spreads a window over the range of the values that the stored bits allow.
        signed = made.PixelRepresentation == 1
        low = -(2.0 ** (made.BitsStored - 1)) if signed else 0.0
        high = 2.0 ** (made.BitsStored - 1) - 1 if signed else 2.0**made.BitsStored - 1
        slope = float(made.get("RescaleSlope", 1))
        offset = float(made.get("RescaleIntercept", 0))
        if "ModalityLUTSequence" in made:
            low, high = 0.0, 2.0 ** int(made.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
        else:
            low, high = sorted((low * slope + offset, high * slope + offset))
    share = (shown - low) / (high - low)
    share = 1 - share if made.PhotometricInterpretation == "MONOCHROME1" else share
    return np.atleast_3d(share) if share.ndim == 3 else share[None]


def read(made):
    from tests.support.dicom_files import as_file

    return open_image(as_file(made), "made.dcm")


def values(image) -> np.ndarray:
    return image.pixels * image.scale.slope + image.scale.offset


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    ("dtype", "bits", "slope", "intercept", "center", "width"),
    [
        ("uint16", 12, 1, 0, 2000, 1000),
        ("uint16", 12, 1, -1024, 60, 360),
        ("uint16", 16, 0.5, 3, 900, 777),
        ("int16", 16, 1, 0, 400, 1800),
        ("int16", 12, 2.5, -10, 0, 3000),
        ("uint8", 8, 1, 0, 128, 256),
        ("int8", 8, 1, 0, 5, 90),
    ],
)
def test_a_window_shows_what_pydicom_shows(  # noqa: PLR0917
    photometric, function, dtype, bits, slope, intercept, center, width
):
    signed = dtype.startswith("i")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    pixels = np.linspace(low, high, 32 * 32).round().astype(dtype).reshape(32, 32)
    made = dataset(
        pixels,
        bits=bits,
        PhotometricInterpretation=photometric,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=center,
        WindowWidth=width,
        VOILUTFunction=function,
    )
    image = read(made)
    expected = reference(made)[0] * 255
    assert np.abs(image.shown().astype(float) - expected).max() <= 0.5 + 1e-6
    np.testing.assert_allclose(values(image)[0], pixels * float(slope) + intercept, atol=1e-6)
    assert image.bits == bits
    assert (image.scale.slope < 0) == (photometric == "MONOCHROME1")


@given(center=finite, width=st.floats(1.5, 5e4), offset=finite, slope=st.floats(0.01, 100))
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("sign", [1, -1])
def test_windows_go_to_pixels_and_back(function, sign, center, width, offset, slope):
    window = Window(center=center, width=width, function=function, name="bone")
    scale = ValueScale(slope=sign * slope, offset=offset)
    back = grey.in_values(grey.in_pixels(window, scale), scale)
    assert back.center == pytest.approx(center, abs=1e-6)
    assert back.width == pytest.approx(width)
    assert (back.function, back.name) == (function, "bone")


def test_monochrome1_of_known_numbers():
    pixels = np.array([[0, 1023], [511, 512]], dtype=np.uint16)
    image = open_image(
        dicom(pixels, bits=10, PhotometricInterpretation="MONOCHROME1", WindowCenter=512,
              WindowWidth=1024)
    )  # fmt: skip
    assert image.pixels.tolist() == [[[1023, 0], [512, 511]]]
    assert image.shown().tolist() == [[255, 0], [128, 127]]
    assert (image.scale.slope, image.scale.offset) == (-1, 1023)
    assert image.photometric == "MONOCHROME1"


def test_several_windows_keep_their_explanations():
    image = open_image(
        dicom(ramp(), bits=12, WindowCenter=[60, 400], WindowWidth=[360, 1800],
              WindowCenterWidthExplanation=["SOFT TISSUE", "BONE"])
    )  # fmt: skip
    assert [(w.name, w.center, w.width) for w in image.windows] == [
        ("SOFT TISSUE", 60, 360),
        ("BONE", 400, 1800),
    ]


def test_impossible_windows_are_left_out_with_a_word():
    image = open_image(dicom(ramp(), bits=12, WindowCenter=[5, 7], WindowWidth=[0, 20]))
    assert [(w.center, w.width) for w in image.windows] == [(7, 20)]
    assert any("width 0" in warning for warning in image.warnings)


def test_without_a_window_the_data_fill_the_range_but_not_padding():
    pixels = ramp(top=3000)
    pixels[0, :4] = 4095
    image = open_image(dicom(pixels, bits=12, PixelPaddingValue=4095))
    (window,) = image.windows
    assert (window.center, window.width) == (1523.5, 2953)  # 47 … 3000
    assert window.name == grey.DATA_RANGE


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_modality_table(photometric):
    outputs = [int(v) for v in np.round(np.sqrt(np.arange(4096)) * 60)]
    made = dataset(
        ramp(),
        bits=12,
        PhotometricInterpretation=photometric,
        ModalityLUTSequence=table(0, outputs, 16, ModalityLUTType="OD"),
        WindowCenter=2000,
        WindowWidth=3000,
    )
    image = read(made)
    np.testing.assert_array_equal(values(image)[0], apply_modality_lut(made.pixel_array, made))
    assert np.abs(image.shown() - reference(made)[0] * 255).max() <= 0.5 + 1e-6
    assert image.scale.unit == "OD"


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_voi_table_is_applied_where_no_window_is(photometric, bits):
    outputs = [int(v) for v in np.linspace(0, 1, 4000) ** 2 * (2**bits - 1)]
    made = dataset(
        ramp(),
        bits=12,
        PhotometricInterpretation=photometric,
        VOILUTSequence=table(50, outputs, bits),
    )
    image = read(made)
    # Not pydicom's: its index overflows where 8 bit tables have more than 256 entries.
    expected = np.array(outputs)[np.clip(ramp().astype(int) - 50, 0, 3999)] / (2**bits - 1) * 255
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    assert np.abs(image.shown() - expected).max() <= 0.5 + 1e-6
    assert image.scale.unit == ""


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_falling_values_are_turned_so_that_0_is_darkest(photometric):
    pixels = np.array([[0, 500, 1023]], dtype=np.uint16)
    image = open_image(
        dicom(pixels, bits=10, RescaleSlope=-2, RescaleIntercept=100, WindowCenter=-900,
              WindowWidth=2048, VOILUTFunction="LINEAR_EXACT",
              PhotometricInterpretation=photometric)
    )  # fmt: skip
    assert values(image).tolist() == [[[100, -900, -1946]]]
    bright = [[252, 128, 0]]  # (100 + 900) / 2048 + 0.5, the middle, (-1946 + 900) / 2048 + 0.5
    dark = [[3, 128, 255]]
    assert image.shown().tolist() == (dark if photometric == "MONOCHROME1" else bright)
    assert (image.scale.slope < 0) == (photometric == "MONOCHROME1")


def test_voi_table_gives_way_to_a_window():
    made = dataset(ramp(), bits=12, VOILUTSequence=table(0, [0, 255], 8))
    made.WindowCenter, made.WindowWidth = 100, 200
    image = read(made)
    assert [(w.center, w.width) for w in image.windows] == [(100, 200)]
    np.testing.assert_array_equal(image.pixels[0], ramp())


def test_voi_table_after_a_rescale_starts_below_zero():
    made = dataset(ramp(), bits=12, RescaleSlope=1, RescaleIntercept=-1024)
    made.VOILUTSequence = table(-1024, [int(v) for v in np.linspace(0, 255, 4096)], 8)
    shown = read(made).shown()
    np.testing.assert_allclose(shown, ramp() / 4095 * 255, atol=1.01)


def test_a_damaged_table_is_left_out_with_a_word():
    broken = table(0, [1, 2], 8)
    del broken[0].LUTData
    image = open_image(dicom(ramp(), bits=12, VOILUTSequence=broken))
    assert "VOILUTSequence cannot be read and was left out." in image.warnings


def test_ct_is_in_hounsfield_units_with_presets_after_its_own_windows():
    ct = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}
    own = open_image(dicom(ramp(), bits=12, WindowCenter=50, WindowWidth=350, **ct))
    assert own.scale == ValueScale(slope=1, offset=-1024, unit="HU")
    assert [w.name for w in own.windows] == ["window", "bone (preset)", "soft tissue (preset)"]
    assert own.windows[1].center == 1424
    none = open_image(dicom(ramp(), bits=12, **ct))
    assert none.windows[0].name == "bone (preset)"
    assert any("no window" in warning for warning in none.warnings)


def test_unused_bits_are_no_pixels():
    pixels = ramp(top=1023)
    image = open_image(dicom(pixels | np.uint16(0x8000), bits=10))
    np.testing.assert_array_equal(image.pixels[0], pixels)


def test_32_bit_numbers_are_kept_if_they_fit_and_else_rounded_with_a_word():
    small = np.array([[70_000, 70_001], [80_000, 90_000]], dtype=np.uint32)
    exact = open_image(dicom(small))
    np.testing.assert_array_equal(values(exact)[0], small)
    assert not any("rounded" in warning for warning in exact.warnings)
    large = np.array([[0, 5], [1_000_000, 4_000_000]], dtype=np.uint32)
    rounded = open_image(dicom(large))
    np.testing.assert_allclose(values(rounded)[0], large, atol=31)
    assert any("rounded to 65,536 steps" in warning for warning in rounded.warnings)


@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "SC_ybr_full_422_uncompressed.dcm",
                                  "SC_rgb_rle_16bit.dcm", "examples_ybr_color.dcm"])  # fmt: skip
def test_colour_becomes_luma(name):
    path = get_testdata_file(name, download=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these old files break some rules of wording
        rgb = pixel_array(path).astype(float)
    image = open_image(dcm_bytes(path), name)
    expected = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(image.pixels - expected.reshape(image.pixels.shape)).max() <= 0.5 + 1e-6
    assert any("colour" in warning for warning in image.warnings)


def dcm_bytes(path) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def test_grey_stored_as_colour_is_exact_and_no_warning():
    grey = ramp(top=255, dtype="uint8")
    image = open_image(dicom(np.stack([grey] * 3, axis=-1)[None]))
    np.testing.assert_array_equal(image.pixels[0], grey)
    assert image.warnings == ()


def test_palette():
    made = dataset(ramp(top=255, dtype="uint8"), PhotometricInterpretation="PALETTE COLOR")
    for channel in ("Red", "Green", "Blue"):
        setattr(made, f"{channel}PaletteColorLookupTableDescriptor", [256, 0, 16])
        data = (np.arange(256, dtype="<u2")[::-1] * 257).tobytes()
        setattr(made, f"{channel}PaletteColorLookupTableData", data)
    image = read(made)
    expected = (255 - ramp(top=255, dtype="uint8").astype(np.uint16)) * 257
    np.testing.assert_array_equal(image.pixels[0], expected)
    np.testing.assert_array_equal(image.shown(), 255 - ramp(top=255, dtype="uint8"))


@given(st.integers(0, 65535))
def test_luma_keeps_grey(level):
    rgb = np.full((1, 1, 3), level, dtype=np.uint16)
    assert decoding.to_grey(rgb).item() == level
    assert not decoding.is_coloured(rgb)


def test_multi_frame_is_a_stack():
    stack = np.stack([ramp(top=top) for top in (100, 2000, 4095)])
    image = open_image(dicom(stack, bits=12), "three.dcm")
    np.testing.assert_array_equal(image.pixels, stack)
    samples = image.samples()
    assert [s.sample_id for s in samples] == [f"{image.image_id}#{i}" for i in (1, 2, 3)]
    np.testing.assert_array_equal(samples[1].pixels, stack[1])
    assert len({s.group_id for s in samples}) == 1


def test_enhanced_ct_takes_everything_from_its_functional_groups():
    image = open_image(enhanced_ct([5, -1, 2], [1, 1, 1], [-1024, -1024, -1024]))
    assert image.pixels[:, 0, 0].tolist() == [2, 3, 1]
    assert image.positions_mm == (-1, 2, 5)
    assert image.spacing_mm == (0.7, 0.6)
    assert image.scale == ValueScale(slope=1, offset=-1024, unit="HU")
    window = grey.in_values(image.windows[0], image.scale)
    assert (window.center, window.width) == (40, 400)


@pytest.mark.parametrize("slopes", [(1, 1), (1, 2)])
def test_frames_with_other_rescales_share_one_scale(slopes):
    image = open_image(enhanced_ct([0, 1], list(slopes), [-1000, -900]))
    found = values(image)[:, 0, 0]
    expected = [1 * slopes[0] - 1000, 2 * slopes[1] - 900]
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert any("rounded" in w for w in image.warnings) == (slopes[0] != slopes[1])


def test_real_files(shared_data):
    folder = shared_data / "dicom"
    sums = {
        kind: open_image(folder / f"RG2_{kind}.dcm").sha256
        for kind in ("UNC", "RLE", "JPLL", "JLSL", "J2KR")
    }
    assert len(set(sums.values())) == 1


@pytest.mark.parametrize(
    ("name", "unit", "spacing"),
    [
        ("RG2_UNC", "", (0.2, 0.2)),
        ("RG3_JLSL", "", None),
        ("RG3_J2KI", "", None),
        ("CT_CSPINE_IM-0001-0001-0001", "HU", (0.291015625, 0.291015625)),
        ("DX_highdicom_dx_image", "", (1.2, 1.201199999999)),
        ("CR-ModalitySequenceLUT", "", (0.15, 0.15)),
    ],
)
def test_real_files_show_what_pydicom_shows(shared_data, name, unit, spacing):
    path = shared_data / "dicom" / f"{name}.dcm"
    image = open_image(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of them has a UID that is none
        made = dcmread(path)
        modality = apply_modality_lut(made.pixel_array, made)
        np.testing.assert_allclose(values(image)[0], modality)
        if "WindowCenter" in made:
            expected = reference(made)[0] * 255
            assert np.abs(image.shown() - expected).max() <= 0.5 + 1e-6
    assert (image.scale.unit, image.spacing_mm) == (unit, spacing)


def test_bone_is_bright_in_monochrome1(shared_data):
    shown = open_image(shared_data / "dicom" / "RG3_JLSL.dcm").shown().astype(float)
    tibia, beside = shown[600, 880:960].mean(), shown[600, 620:660].mean()
    assert tibia > beside + 40


def test_the_scale_is_exact_whatever_the_first_slice(shared_data):
    image = open_image(shared_data / "dicom" / "CT_CSPINE_IM-0001-0001-0001.dcm")
    assert values(image).min() == -1024
