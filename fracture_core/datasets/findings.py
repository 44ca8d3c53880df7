"""Annotated objects: checked once when they are read, and turned into a ground truth on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fracture_core import masks
from fracture_core.datasets import issues
from fracture_core.datasets.issues import IssueLog
from fracture_core.types import Detections

Corners = npt.NDArray[np.float64]
Outline = tuple[npt.NDArray[np.float64], ...] | masks.Rle

# A side below this share of the image's would vanish in float32.
_LEAST_SIDE = 1e-6
_LEFT_OUT = frozenset({issues.NO_NUMBERS, issues.NO_AREA, issues.OUTSIDE})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finding:
    """One annotated object, in pixels or in shares of the image's sides.

    `xyxy` is (4,) float64 · `outline` is polygons, each (P, 2) float64 of x and y in the same unit,
    or a run-length code, or None · `place` says in words where the object stands in its file.
    """

    label: int
    xyxy: Corners
    place: str
    outline: Outline | None = None


def keep_usable(
    findings: Sequence[Finding],
    height: float,
    width: float,
    issue_log: IssueLog,
    sample_id: str = "",
) -> tuple[Finding, ...] | None:
    """Returns the findings cut to the image; None = unknown, if some are listed and none is usable.

    What is left out is logged as an issue, and so is a cut of more than a thousandth of a side.
    `height` and `width` are in the unit of the findings: pixels, or 1 for shares.
    """
    limits = np.array([width, height, width, height], dtype=np.float64)
    kept = []
    for finding in findings:
        cut = np.clip(finding.xyxy, 0, limits)
        flaw = _flaw(finding.xyxy, cut, limits)
        if flaw:
            issue_log.add(flaw, f"{finding.place}, found {_words(finding.xyxy)}", sample_id)
        if flaw not in _LEFT_OUT:
            kept.append(replace(finding, xyxy=cut))
    if findings and not kept:
        # Something is there, but nobody knows where: unknown is not the same as empty.
        issue_log.add(issues.NO_BOX_LEFT, findings[0].place, sample_id)
        return None
    return tuple(kept)


def _flaw(xyxy: Corners, cut: Corners, limits: Corners) -> str:
    if not np.isfinite(xyxy).all():
        return issues.NO_NUMBERS
    if not (xyxy[:2] < xyxy[2:]).all():
        return issues.NO_AREA
    if (cut[2:] - cut[:2] < _LEAST_SIDE * limits[:2]).any():
        return issues.OUTSIDE
    # Annotation tools round: less than a thousandth of the side is not worth a warning.
    is_cut = (np.abs(cut - xyxy) > limits / 1000).any()
    return issues.CUT if is_cut else ""


def _words(xyxy: Corners) -> str:
    return "x {:g} to {:g}, y {:g} to {:g}".format(*xyxy[[0, 2, 1, 3]])


def gt_of(
    findings: Sequence[Finding], height: int, width: int, *, is_normalised: bool
) -> Detections:
    """Returns findings that passed `keep_usable` as the ground truth of an image of this size.

    `is_normalised` says that they are in shares of the sides. Where only some findings of an image
    have an outline, the masks of the others are their boxes.
    """
    scale = np.array([width, height], dtype=np.float64) if is_normalised else np.ones(2)
    corners = [finding.xyxy * np.tile(scale, 2) for finding in findings]
    codes: tuple[masks.Rle, ...] = ()
    if any(finding.outline is not None for finding in findings):
        codes = tuple(
            _mask(finding.outline or (_rectangle(finding.xyxy),), scale, height, width)
            for finding in findings
        )
    xyxy = np.array(corners, dtype=np.float64).reshape(-1, 4)
    return Detections.ground_truth(xyxy, [finding.label for finding in findings], codes)


def _mask(outline: Outline, scale: npt.NDArray[np.float64], height: int, width: int) -> masks.Rle:
    if isinstance(outline, masks.Rle):
        return outline
    size = np.array([width, height], dtype=np.float64)
    # The coder walks every outline pixel by pixel, so a far corner would cost memory without end.
    rings = [np.clip(ring * scale, -size, 2 * size) for ring in outline]
    return masks.from_polygons(rings, height, width)


def _rectangle(xyxy: Corners) -> npt.NDArray[np.float64]:
    x1, y1, x2, y2 = xyxy
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
