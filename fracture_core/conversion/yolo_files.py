"""YOLO's label files and `data.yaml` as they are written."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from fracture_core import boxes, masks
from fracture_core.conversion.items import Findings
from fracture_core.conversion.outlines import ring_of
from fracture_core.datasets.findings import Finding

FOLDERS = {"train": "train", "val": "valid", "test": "test"}
_Points = npt.NDArray[np.float64]


def picture_folder(split: str) -> str:
    """Where pictures of a split lie."""
    return f"{FOLDERS[split]}/images" if split else "images"


def label_folder(split: str) -> str:
    """Where label files of a split lie."""
    return picture_folder(split).removesuffix("images") + "labels"


def label_text(findings: Findings, height: int, width: int) -> str:
    """Findings in pixels, a line each: a box, or a polygon where any finding of the picture has
    an outline, as Ultralytics reads a file of both kinds wrongly.
    """
    outlined = any(finding.outline is not None for finding in findings)
    return "".join(_lines(findings, outlined, np.array([width, height], dtype=np.float64)))


def write_data_file(folder: Path, classes: Sequence[str], splits: Collection[str]) -> None:
    """`data.yaml` with the folders of these splits; "" has no key in the format."""
    data = {split: picture_folder(split) for split in FOLDERS if split in splits}
    content = {**data, "nc": len(classes), "names": list(classes)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def ring_within(finding: Finding, height: int, width: int) -> _Points:
    """(P, 2) the one polygon the format has for a finding in pixels, cut to the picture."""
    outline = finding.outline
    if outline is None:
        x1, y1, x2, y2 = finding.xyxy
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if isinstance(outline, tuple) and len(outline) == 1:
        # Ultralytics refuses the labels of a picture with a point outside it.
        return np.clip(outline[0], 0, [width, height])
    code = outline
    if isinstance(code, tuple):
        code = masks.from_polygons(code, height, width)
    return ring_of(masks.decode(code))


def _lines(findings: Findings, outlined: bool, side: _Points) -> Iterator[str]:
    width, height = (int(value) for value in side)
    for finding in findings:
        points = boxes.xyxy_to_cxcywh(finding.xyxy[None]).reshape(2, 2)
        if outlined:
            points = ring_within(finding, height, width)
        shares = (points / side).reshape(-1)
        yield f"{finding.label} " + " ".join(f"{share:.8f}" for share in shares) + "\n"
