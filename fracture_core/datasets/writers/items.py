"""What is to be converted: where each picture comes from and what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fracture_core.datasets.findings import Finding
from fracture_core.types import Detections, Sample

Findings = tuple[Finding, ...]


class Opener(Protocol):
    """Reads one picture; can be sent to another process."""

    @property
    def path(self) -> Path: ...

    def sample(self) -> Sample:
        """Raises PictureError or DatasetError where the picture cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One picture on its way.

    `findings` None = unknown, in shares of the sides where `in_shares`, else in pixels of the
    source · `extent` (height, width) of the picture in that unit, None where only the file tells ·
    `image_class` and `attributes` as `Sample` has them · `name` in the target, without a suffix.
    """

    opener: Opener
    sample_id: str
    group_id: str
    split: str
    findings: Findings | None
    in_shares: bool
    extent: tuple[int, int] | None = None
    image_class: int | None = None
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A picture that could not be converted, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """`found` and `notes` are sentences for the reader; `left_out` is missing from the start."""

    path: Path
    found: str
    classes: tuple[str, ...]
    items: Sequence[Item]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def in_pixels(finding: Finding, height: int, width: int) -> Finding:
    """A finding in shares of the sides → in pixels of a picture of this size."""
    return scaled(finding, width, height)


def scaled(finding: Finding, x: float, y: float) -> Finding:
    """Box and polygons multiplied; a run-length code cannot be and is left as it is."""
    factor = np.array([x, y], dtype=np.float64)
    outline = finding.outline
    if isinstance(outline, tuple):
        outline = tuple(ring * factor for ring in outline)
    return replace(finding, xyxy=finding.xyxy * np.tile(factor, 2), outline=outline)


def findings_of(truth: Detections) -> Findings:
    """A truth of the core as findings in pixels."""
    codes = truth.masks or (None,) * len(truth)
    return tuple(
        Finding(label=int(label), xyxy=xyxy.astype(np.float64), place="", outline=code)
        for label, xyxy, code in zip(truth.labels, truth.xyxy, codes, strict=True)
    )
