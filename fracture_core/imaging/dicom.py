"""DICOM files to images, and single slices of one series to a stack.

A file is parsed and decoded in `dicom_file`, becomes grey pixels in `grey`, and is put together
here with its place in the patient, its spacing and what the reader is told.
"""

from collections.abc import Sequence

import numpy as np

from fracture_core.imaging import grey, modality, places
from fracture_core.imaging.decoding import strictly
from fracture_core.imaging.deidentify import (
    burned_in_warning,
    kept_tags,
    passing_key_warning,
    remap,
)
from fracture_core.imaging.dicom_file import decode, parse
from fracture_core.imaging.grey import to_grey
from fracture_core.imaging.header import Header
from fracture_core.imaging.image import MedicalImage
from fracture_core.imaging.places import Slice
from fracture_core.types import ValueScale, Window

# ---- slices to stacks ---------------------------------------------------------------------------

# Several images of one series are slices in these modalities; in radiography they are other views.
SLICED = ("CT", "MR", "PT")


def merge_slices(images: Sequence[MedicalImage]) -> list[MedicalImage]:
    """Put slices of one series, size and orientation together to a stack, ordered by position.

    Other images are returned as they are. A slice that comes twice is kept once.
    """
    groups: list[list[MedicalImage]] = []
    for image in images:
        for group in groups:
            if _belong_together(group[0], image):
                group.append(image)
                break
        else:
            groups.append([image])
    return [_stack(group) if len(group) > 1 else group[0] for group in groups]


def _belong_together(one: MedicalImage, other: MedicalImage) -> bool:
    if not (one.series_id and one.series_id == other.series_id):
        return False
    if one.frames != 1 or other.frames != 1 or not (_is_slice(one) and _is_slice(other)):
        return False
    same = (one.height, one.width, one.photometric) == (
        other.height,
        other.width,
        other.photometric,
    )
    return same and places.are_parallel(one.slices[0], other.slices[0])


def _is_slice(image: MedicalImage) -> bool:
    placed = image.slices[0].along_normal_mm is not None
    return placed or image.tags.get("Modality") in SLICED


def _stack(group: Sequence[MedicalImage]) -> MedicalImage:
    slices, twice = _without_copies(group)
    order, notes = places.order([image.slices[0] for image in slices])
    parts = [slices[i] for i in order]
    pixels, scale, exact = modality.align(
        [part.pixels for part in parts], [part.scale for part in parts]
    )
    said = [f"{twice} slices came twice and are kept once."] if twice else []
    said += [] if exact else ["Values of the slices were rounded to one scale of 65,536 steps."]
    if len({part.spacing_mm for part in parts}) > 1:
        said.append("Pixel spacing differs between slices: the first slice's is used.")
    windows = _common_windows(parts, scale, said)
    first = parts[0]
    warnings = [*notes, *said, *(told for part in parts for told in part.warnings)]
    return MedicalImage(
        name=first.name,
        pixels=pixels,
        bits=max(part.bits for part in parts),
        photometric=first.photometric,
        windows=windows,
        scale=scale,
        spacing_mm=first.spacing_mm,
        spacing_source=first.spacing_source,
        slices=tuple(part.slices[0] for part in parts),
        tags={k: v for k, v in first.tags.items() if all(p.tags.get(k) == v for p in parts)},
        warnings=tuple(dict.fromkeys(warnings)),
        group_id=first.group_id,
        series_id=first.series_id,
    )


def _without_copies(group: Sequence[MedicalImage]) -> tuple[list[MedicalImage], int]:
    once: dict[tuple[str, str], MedicalImage] = {}
    for image in group:
        once.setdefault((image.slices[0].instance_id, image.sha256), image)
    return list(once.values()), len(group) - len(once)


def _common_windows(
    parts: Sequence[MedicalImage], scale: ValueScale, said: list[str]
) -> tuple[Window, ...]:
    in_values = [tuple(grey.in_values(w, p.scale) for w in p.windows) for p in parts]
    if all(part.windows[0].name == grey.DATA_RANGE for part in parts):
        shown = [grey.in_pixels(windows[0], scale) for windows in in_values]
        low = min(window.center - window.width / 2 for window in shown)
        high = max(window.center + window.width / 2 for window in shown)
        return (Window(center=(low + high) / 2, width=high - low, name=grey.DATA_RANGE),)
    numbers = [[(w.center, w.width) for w in windows] for windows in in_values]
    if any(len(n) != len(numbers[0]) or not np.allclose(n, numbers[0]) for n in numbers):
        said.append("Windows differ between slices: the first slice's are used.")
    return tuple(grey.in_pixels(window, scale) for window in in_values[0])


# ---- one file -----------------------------------------------------------------------------------

DETECTOR_SPACING = (
    "Spacing is measured at the detector (ImagerPixelSpacing): lengths in the patient are smaller."
)


def is_dicom(data: bytes) -> bool:
    """Whether a file is DICOM, by its preamble or by a plausible first element of group 2 or 8."""
    if data[128:132] == b"DICM":
        return True
    if data[:2] in (b"\x02\x00", b"\x08\x00"):
        length = int.from_bytes(data[4:8], "little")
        return (data[4:6].isalpha() and data[4:6].isupper()) or 8 + length <= len(data)
    return data[:2] == b"\x00\x08" and data[4:6].isalpha() and data[4:6].isupper()


def read_dicom(data: bytes, name: str) -> MedicalImage:
    """Read one file to one image, its frames ordered by position where they have one.

    `name` stands in messages. Raises ImageError, and ConfigError where the key that UIDs are
    replaced with cannot be read.
    """
    with strictly() as heard:
        notes: list[str] = []
        header = Header(parse(data, name), notes)
        stored = decode(header, name)
        grey = to_grey(header, stored, notes)
        slices = _slices(header, len(grey.pixels))
        placed = len(slices) > 1 and any(place.position_mm for place in slices)
        order, said = places.order(slices) if placed else (list(range(len(slices))), ())
        spacing_mm, source = _spacing(header, len(slices), notes)
        tags = kept_tags(header)
        study, series = header.text("StudyInstanceUID"), header.text("SeriesInstanceUID")
        unkept = passing_key_warning() if study or series else ""
        told = (
            burned_in_warning(header),
            _lossy(tags),
            *said,
            *notes,
            *_about_pixels(heard),
            unkept,
        )
        return MedicalImage(
            name=name,
            pixels=grey.pixels if order == sorted(order) else grey.pixels[np.asarray(order)],
            bits=stored.bits,
            photometric=stored.photometric,
            windows=grey.windows,
            scale=grey.scale,
            spacing_mm=spacing_mm,
            spacing_source=source,
            slices=tuple(slices[i] for i in order),
            tags=tags,
            warnings=tuple(dict.fromkeys(filter(None, told))),
            group_id=remap(study) if study else "",
            series_id=remap(series) if series else "",
        )


def _slices(header: Header, frames: int) -> tuple[Slice, ...]:
    instance = header.text("SOPInstanceUID")
    instance_id = remap(instance) if instance else ""
    return tuple(_slice(header, frame, frames, instance_id) for frame in range(frames))


def _slice(header: Header, frame: int, frames: int, instance_id: str) -> Slice:
    position = header.macro("PlanePositionSequence", frame)
    orientation = header.macro("PlaneOrientationSequence", frame)
    # One position in the header cannot be that of several frames.
    position_mm = () if position is header and frames > 1 else position.numbers(_POSITION)
    directions = orientation.numbers(_ORIENTATION)
    return Slice(
        instance_id=instance_id,
        number=header.whole("InstanceNumber") if frames == 1 else frame + 1,
        position_mm=position_mm if len(position_mm) == 3 else None,
        orientation=directions if len(directions) == 6 else None,
    )


_POSITION = "ImagePositionPatient"
_ORIENTATION = "ImageOrientationPatient"


def _spacing(
    header: Header, frames: int, notes: list[str]
) -> tuple[tuple[float, float] | None, str]:
    measures = [header.macro("PixelMeasuresSequence", frame) for frame in range(frames)]
    patient = _two_positive(measures[0].numbers("PixelSpacing"))
    if any(_two_positive(other.numbers("PixelSpacing")) != patient for other in measures[1:]):
        notes.append("Pixel spacing differs between frames: the first frame's is used.")
    if patient:
        return patient, "PixelSpacing"
    if detector := _two_positive(header.numbers("ImagerPixelSpacing")):
        notes.append(DETECTOR_SPACING)
        return detector, "ImagerPixelSpacing"
    return None, ""


def _two_positive(numbers: Sequence[float]) -> tuple[float, float] | None:
    return (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None


def _lossy(tags: dict[str, str]) -> str:
    if tags.get("LossyImageCompression") != "01":
        return ""
    ratio = tags.get("LossyImageCompressionRatio", "")
    return "The image was compressed with loss" + (f" (ratio {ratio})." if ratio else ".")


def _about_pixels(heard: Sequence[str]) -> tuple[str, ...]:
    # pydicom's other warnings are about the wording of headers, and quote values of theirs.
    kinds = {
        "The file ends early: what follows the image is missing.": "End of file",
        "The pixel data hold more than the image: the rest was left out.": "excess padding",
        "The pixel data hold more frames than the header tells: they were left out.": "more frames",
    }
    return tuple(told for told, sign in kinds.items() if any(sign in said for said in heard))
