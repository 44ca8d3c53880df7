"""Synthetic radiographs and CT studies as samples, with their ground truth.

Everything is decided by a seed: sample or study k of a set is the same however many are made.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fracture_core import masks
from fracture_core.demo.classes import CLASSES, radiograph_attributes
from fracture_core.demo.ct import HU_OFFSET, Study, plan_study, render_study
from fracture_core.demo.detector import TOP
from fracture_core.demo.radiograph import Radiograph, plan_radiograph, render
from fracture_core.types import Detections, Pixels, Sample, ValueScale, Window

# ---- masks as a ground truth ---------------------------------------------------------------------


LEAST_SIDE_PX = 12
_LEAST_PIXELS = 12
Masks = Sequence[npt.NDArray[np.bool_]]


def gt_of(found: Masks, labels: Sequence[int], least_side_px: int = LEAST_SIDE_PX) -> Detections:
    """Returns a ground truth from masks (H, W), with run-length codes and tight boxes.

    A mask that covers next to nothing is left out; one smaller than `least_side_px` grows until its
    box has a sensible size.
    """
    kept = [
        (_grown(mask, least_side_px), label)
        for mask, label in zip(found, labels, strict=True)
        if mask.sum() >= _LEAST_PIXELS
    ]
    corners = [box_of(mask) for mask, _ in kept]
    return Detections.ground_truth(
        corners, [label for _, label in kept], tuple(masks.encode(mask) for mask, _ in kept)
    )


def box_of(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Returns xyxy in pixels around a mask that is not empty, right and bottom exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _grown(mask: npt.NDArray[np.bool_], least_side_px: int) -> npt.NDArray[np.bool_]:
    left, top, right, bottom = box_of(mask)
    short = least_side_px - min(right - left, bottom - top)
    if short <= 0:
        return mask
    return np.asarray(ndimage.binary_dilation(mask, iterations=(short + 1) // 2))


# ---- samples -------------------------------------------------------------------------------------


RADIOGRAPH_WINDOWS = (
    Window(center=TOP / 2, width=float(TOP), name="full"),
    Window(center=0.6 * TOP, width=0.7 * TOP, name="bone"),
)
CT_CLASSES = ("fracture",)
CT_WINDOWS = (
    Window(center=400.0 - HU_OFFSET, width=1800.0, name="bone"),
    Window(center=40.0 - HU_OFFSET, width=400.0, name="soft tissue"),
)
CT_ATTRIBUTES = {
    "modality": "CT",
    "body part": "cervical spine",
    "view": "axial",
    "origin": "synthetic",
}
CT_SCALE = ValueScale(slope=1.0, offset=float(HU_OFFSET), unit="HU")
SLICES = 24
IMAGES_A_PATIENT = 2
_LEAST_SIDE_CT_PX = 6
# Of each twenty patients or studies, in turn, fourteen are in train, three in val, three in test.
_SPLITS = {2: "val", 10: "val", 16: "val", 3: "test", 13: "test", 18: "test"}
# In turn: how many findings the images of a set have, and which studies are fractured.
_FINDINGS = (1, 0, 2, 0, 1, 0, 0, 1, 0, 1)
_FRACTURED = (1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0)
_CASE_SEED = (2013,)


def make_radiograph(seed: int, *, size: tuple[int, int] | None = None) -> Sample:
    """Returns one radiograph, 12 bits in uint16; `size` is (height, width) in pixels.

    The same seed gives the same pixels. The ground truth has labels of `CLASSES`; about half of the
    images have no finding.
    """
    image = render(plan_radiograph((seed,), size=size))
    return _as_sample(image, f"radiograph-{seed:06d}", f"radiograph-{seed:06d}")


def demo_samples(
    count: int, seed: int = 0, *, size: tuple[int, int] | None = None
) -> tuple[Sample, ...]:
    """Returns `count` radiographs, two of each patient, with splits cut by patient.

    Sample k is the same whatever `count` is. Pixels are held in memory, about 1 MB for each.
    """
    return tuple(demo_sample(seed, number, size=size) for number in range(count))


def demo_sample(seed: int, number: int, *, size: tuple[int, int] | None = None) -> Sample:
    """Returns sample `number` of the set that `demo_samples` makes of this seed."""
    patient, image = divmod(number, IMAGES_A_PATIENT)
    findings = _FINDINGS[number % len(_FINDINGS)]
    drawn = render(plan_radiograph((seed, number), size=size, findings=findings))
    group = f"patient-{patient:04d}"
    return _as_sample(drawn, f"{group}-{image + 1}", group, split_of(patient))


def split_of(group: int) -> str:
    """Returns the split of a group by its number: 70 % train, 15 % val and 15 % test."""
    return _SPLITS.get(group % 20, "train")


def make_study(
    seed: int, *, slices: int = SLICES, size: int = 256, fractured: bool | None = None
) -> tuple[Sample, ...]:
    """Returns one CT study from head to foot, of one class; `fractured` None leaves it to the seed.

    Samples are named study/slice; their group is the study, a UID (PS3.5 B.2) made from the seed.
    """
    return _study((seed,), slices, size, fractured, "")


def demo_studies(
    count: int, seed: int = 0, *, slices: int = SLICES, size: int = 256
) -> tuple[tuple[Sample, ...], ...]:
    """Returns `count` CT studies with splits; about half of them are fractured."""
    return tuple(demo_study(seed, number, slices=slices, size=size) for number in range(count))


def demo_study(
    seed: int, number: int, *, slices: int = SLICES, size: int = 256
) -> tuple[Sample, ...]:
    """Returns study `number` of the set that `demo_studies` makes of this seed."""
    fractured = bool(_FRACTURED[number % len(_FRACTURED)])
    return _study((seed, number), slices, size, fractured, split_of(number))


def _study(
    seed: tuple[int, ...], slices: int, size: int, fractured: bool | None, split: str
) -> tuple[Sample, ...]:
    drawn = render_study(plan_study(seed, slices, fractured=fractured), slices, size)
    drawn.pixels.setflags(write=False)
    uid = synthetic_uid("study", *seed)
    return tuple(_slice_sample(drawn, number, uid, split) for number in range(slices))


def synthetic_uid(*parts: object) -> str:
    """Returns a UID under 2.25 (PS3.5 B.2), always the same for the same parts."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=15).digest()
    return f"2.25.{int.from_bytes(digest, 'big')}"


def _slice_sample(drawn: Study, number: int, uid: str, split: str) -> Sample:
    found = [ground_truth[number] for ground_truth in drawn.ground_truths]
    ground_truth = gt_of(found, [0] * len(found), _LEAST_SIDE_CT_PX)
    _, height, width = drawn.pixels.shape
    return Sample(
        sample_id=f"{uid}/{number}",
        group_id=uid,
        height=height,
        width=width,
        read=partial(_held, drawn.pixels[number]),
        windows=CT_WINDOWS,
        scale=CT_SCALE,
        spacing_mm=(drawn.spacing_mm, drawn.spacing_mm),
        ground_truth=ground_truth,
        image_class=0 if len(ground_truth) else None,
        split=split,
        attributes=CT_ATTRIBUTES,
    )


def render_demo_case() -> Sample:
    """Renders the case that the workbench opens with, which `demo_case` reads from its file."""
    plan = plan_radiograph(_CASE_SEED, size=(768, 640), view="wrist", findings=2)
    return _as_sample(render(plan), "demo-case", "demo-case")


def _as_sample(image: Radiograph, sample_id: str, group_id: str, split: str = "") -> Sample:
    image.pixels.setflags(write=False)
    height, width = image.pixels.shape
    ground_truth = gt_of(image.ground_truths, [CLASSES.index(kind) for kind in image.kinds])
    return Sample(
        sample_id=sample_id,
        group_id=group_id,
        height=height,
        width=width,
        read=partial(_held, image.pixels),
        windows=RADIOGRAPH_WINDOWS,
        spacing_mm=(image.spacing_mm, image.spacing_mm),
        ground_truth=ground_truth,
        image_class=int(ground_truth.labels[0]) if len(ground_truth) else None,
        split=split,
        attributes=radiograph_attributes(image.body_part),
    )


def _held(pixels: Pixels) -> Pixels:
    return pixels
