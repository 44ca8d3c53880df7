"""No identity gets past the import, and nothing that a reader needs is lost."""

import io
import re
import stat

import numpy as np
import pydicom.config
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, JPEGExtended12Bit, RLELossless

from fracture_core.errors import ConfigError, ImageError
from fracture_core.imaging.deidentify import deidentify, remap
from fracture_core.imaging.opening import open_image
from fracture_core.settings import settings
from tests.support.dicom_files import as_file, dataset, item, ramp

SECRET = "Mustermann"


def identified() -> Dataset:
    """A dataset with the name in every kind of place."""
    made = dataset(ramp(), bits=12, BodyPartExamined="HIP", PixelSpacing=[0.2, 0.2])
    made.PatientName = f"{SECRET}^Erika"
    made.PatientID = made.AccessionNumber = made.StationName = SECRET
    made.PatientBirthDate = made.StudyDate = made.ContentDate = "19640812"
    made.StudyDescription = made.SeriesDescription = f"Hip of {SECRET}"
    made.ImageComments = made.InstitutionName = made.Manufacturer = SECRET
    made.ReferringPhysicianName = made.OperatorsName = f"{SECRET}^Doctor"
    free_text = f"{SECRET}, Dr."
    made.add(DataElement("ViewPosition", "CS", free_text, validation_mode=pydicom.config.IGNORE))
    made.RescaleType = SECRET
    made.RescaleSlope, made.RescaleIntercept = 1, 0
    made.WindowCenter, made.WindowWidth = 100, 200
    made.WindowCenterWidthExplanation = SECRET
    made.RequestAttributesSequence = Sequence([item(RequestedProcedureDescription=SECRET)])
    made.ModalityLUTSequence = Sequence([item(LUTExplanation=SECRET, ModalityLUTType=SECRET)])
    made.OtherPatientIDsSequence = Sequence([item(PatientID=SECRET)])
    made.private_block(0x0011, SECRET, create=True).add_new(1, "LO", SECRET)
    made.add_new(0x60000022, "LO", SECRET)
    made.FrameOfReferenceUID = "1.2.3.99"
    return made


def test_nothing_of_the_name_is_in_the_image():
    image = open_image(as_file(identified()), "upload.dcm")
    everything = repr((image, image.tags, image.samples(), image.warnings))
    assert SECRET.upper() not in everything.upper()
    assert "1964" not in everything
    assert not re.search(r"'1\.2\.3", everything)
    assert image.tags["BodyPartExamined"] == "HIP"
    assert "ViewPosition" not in image.tags


@pytest.mark.parametrize("compressed", [False, True])
def test_the_clean_dataset_is_clean_and_shows_the_same(compressed):
    made = identified()
    del made.ModalityLUTSequence
    if compressed:
        made.compress(RLELossless)
    before = made.to_json()
    clean = deidentify(made)
    assert made.to_json() == before
    buffer = io.BytesIO()
    dcmwrite(buffer, clean, enforce_file_format=True)
    data = buffer.getvalue()
    assert SECRET.encode().upper() not in data.upper()
    assert b"19640812" not in data
    assert (
        open_image(data).sha256
        == open_image(as_file(made, made.file_meta.TransferSyntaxUID)).sha256
    )
    again = dcmread(io.BytesIO(data))
    assert again.PatientIdentityRemoved == "YES"
    assert [c.CodeValue for c in again.DeidentificationMethodCodeSequence] == ["113100"]
    assert again.StudyInstanceUID == remap("1.2.3.4")
    assert not any(element.tag.is_private for element in again.iterall())


def test_what_cannot_be_written_uncompressed_is_refused():
    made = identified()
    for syntax, name in ((JPEGExtended12Bit, "JPEG Extended"), (ExplicitVRBigEndian, "Big Endian")):
        made.file_meta.TransferSyntaxUID = syntax
        with pytest.raises(ImageError, match=name):
            deidentify(made)


def test_clean_pixels_are_claimed_only_by_who_looked():
    made = identified()
    del made.BurnedInAnnotation
    assert "BurnedInAnnotation" not in deidentify(made)
    looked = deidentify(made, pixels_are_clean=True)
    codes = [code.CodeValue for code in looked.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]
    assert looked.BurnedInAnnotation == "NO"


def test_overlays_hidden_in_unused_bits_are_blanked():
    made = dataset(ramp(top=1023) | np.uint16(0x8000), bits=10)
    clean = deidentify(made)
    assert np.frombuffer(clean.PixelData, "<u2").max() == 1023


def test_uids_are_remapped_the_same_everywhere_in_one_installation():
    first = remap("1.2.840.1")
    assert first == remap("1.2.840.1") == remap("1.2.840.1\0")
    assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", first)
    assert first != remap("1.2.840.2")
    one, two = identified(), identified()
    two.SOPInstanceUID = "1.2.77"
    a, b = open_image(as_file(one)), open_image(as_file(two))
    assert (a.group_id, a.series_id) == (b.group_id, b.series_id)
    assert a.slices[0].instance_id != b.slices[0].instance_id


def test_the_secret_is_private_and_another_one_gives_other_uids():
    first = remap("1.2.3")
    key = settings().home / "uid.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert list(settings().home.iterdir()) == [key]
    key.unlink()
    assert remap("1.2.3") != first


def test_a_damaged_secret_is_an_error_and_is_not_replaced():
    remap("1.2.3")
    key = settings().home / "uid.key"
    key.write_bytes(b"short")
    with pytest.raises(ConfigError, match="expected a secret of 32 bytes, found 5 bytes"):
        remap("1.2.3")
    assert key.read_bytes() == b"short"


def test_a_home_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FRACTURE_HOME", str(tmp_path / "file" / "home"))
    settings.cache_clear()
    with pytest.raises(ConfigError, match="FRACTURE_HOME"):
        remap("1.2.3")


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("NO", None),
        ("YES", "text is burned into the image"),
        (None, "BurnedInAnnotation is absent"),
        ("", "BurnedInAnnotation is absent"),
        ("MAYBE", "neither YES nor NO"),
    ],
)
def test_burned_in_annotation(flag, told):
    made = dataset(ramp(), bits=12)
    if flag is None:
        del made.BurnedInAnnotation
    else:
        made.BurnedInAnnotation = flag
    image = open_image(as_file(made))
    if told is None:
        assert image.warnings == ()
    else:
        assert told in image.warnings[0]


def test_windows_keep_usual_explanations_only():
    made = dataset(ramp(), bits=12, WindowCenter=[1, 2], WindowWidth=[10, 20])
    made.WindowCenterWidthExplanation = ["BONE WINDOW 2", f"for {SECRET}"]
    assert [w.name for w in open_image(as_file(made)).windows] == ["BONE WINDOW 2", "window 2"]
