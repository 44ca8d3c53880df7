"""What a target cannot hold: told before anything is written, and left out only when asked to.

HDF5 has one class, ten boxes a slice, no masks, and no unknown truth unless a slice is known to be
fractured. YOLO has one polygon in place of box and mask. COCO holds everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracture_core import masks
from fracture_core.class_names import is_negative
from fracture_core.conversion.items import Findings, Item
from fracture_core.conversion.rsna_file import MOST_BOXES
from fracture_core.datasets.coco_outlines import bounds_of
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.rsna import CLASSES
from fracture_core.datasets.tally import counted, quoted
from fracture_core.errors import DatasetError

# How far a box may be from the bounds of its mask, in pixels and in shares of a side: annotation
# tools round. The first is no change, the second is said, and what is beyond must be allowed.
_SAME = (0.01, 1e-5)
_NEAR = (1.0, 0.002)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`drop` is the option that allows it, "" where the target's nature says it all."""

    drop: str
    sentence: str


def limits_of(
    items: Sequence[Item], classes: Sequence[str], to: str, drop: frozenset[str]
) -> list[Limit]:
    """What would be lost, in sentences; raises DatasetError where nothing can be left out."""
    _check_splits(items, to)
    if to == "hdf5":
        return _hdf5_limits(items, classes)
    if to == "yolo":
        return _yolo_limits(items, drop)
    return _image_classes(items)


def within_limits(
    items: Sequence[Item], classes: Sequence[str], to: str, drop: frozenset[str]
) -> tuple[list[Item], tuple[str, ...]]:
    """The items and classes without what the target cannot hold and `drop` allows to leave out."""
    changed: list[Item] = list(items)
    if to == "hdf5" or ("masks" in drop and to != "coco"):
        changed = [_changed(item, _without_outlines) for item in changed]
    if to != "hdf5":
        return changed, tuple(classes)
    healthy = _healthy_labels(classes)
    changed = [_changed(item, lambda found: _one_class(found, healthy)) for item in changed]
    if "boxes" in drop:
        changed = [_changed(item, _largest) for item in changed]
    if "unknown" in drop:
        changed = [item for item in changed if not _is_untold(item, healthy)]
    return changed, CLASSES


def _check_splits(items: Sequence[Item], to: str) -> None:
    splits = {item.split for item in items}
    if to == "coco" or "" not in splits or (to == "yolo" and splits == {""}):
        return
    count = sum(item.split == "" for item in items)
    raise DatasetError(
        "source",
        expected=f"a split of every picture, which {to} needs",
        found=f"{count:,} without one",
        advice="Cut it by groups with --splits 70,15,15.",
    )


def _hdf5_limits(items: Sequence[Item], classes: Sequence[str]) -> list[Limit]:
    known = [item.findings for item in items if item.findings is not None]
    found = []
    if outlined := sum(f.outline is not None for findings in known for f in findings):
        found.append(_note(f"{counted(outlined, 'mask')} left out: HDF5 holds boxes only."))
    if len(classes) > 1 or any(map(is_negative, classes)):
        names = ", ".join(map(quoted, classes[:12]))
        healthy = [name for name in classes if is_negative(name)]
        also = f"; boxes of {', '.join(map(quoted, healthy))} mark none" if healthy else ""
        sentence = f"{counted(len(classes), 'class', 'classes')} ({names}) become 'fracture'{also}"
        found.append(_limit("classes", sentence))
    elif tuple(classes) != CLASSES:
        found.append(_note(f"Class {quoted(classes[0])} is called 'fracture' in HDF5."))
    if crowded := sum(len(findings) > MOST_BOXES for findings in known):
        what = f"{counted(crowded, 'picture')} with more than {MOST_BOXES} boxes"
        found.append(_limit("boxes", f"{what}: HDF5 holds {MOST_BOXES}, the largest are kept"))
    healthy_labels = _healthy_labels(classes)
    if untold := sum(_is_untold(item, healthy_labels) for item in items):
        what = f"{counted(untold, 'picture')} of unknown truth"
        found.append(_limit("unknown", f"{what}: HDF5 has no word for it, they are left out"))
    return found


def _yolo_limits(items: Sequence[Item], drop: frozenset[str]) -> list[Limit]:
    found = []
    outlined = [(f, item) for item in items for f in item.findings or () if f.outline]
    if "masks" in drop:
        note = _note(f"{counted(len(outlined), 'mask')} left out, as asked for.")
        return [note, *_image_classes(items)]
    coded = sum(isinstance(finding.outline, masks.Rle) for finding, _ in outlined)
    parts = sum(isinstance(f.outline, tuple) and len(f.outline) > 1 for f, _ in outlined)
    if coded or parts:
        what = f"{counted(coded + parts, 'mask')} of run lengths or several parts"
        found.append(_note(f"{what} become one polygon each along the pixels, without holes."))
    moved = [_distance(finding, item) for finding, item in outlined]
    limits = [(_SAME[item.in_shares], _NEAR[item.in_shares]) for _, item in outlined]
    pairs = list(zip(moved, limits, strict=True))
    if near := sum(same < distance <= near for distance, (same, near) in pairs):
        what = f"{counted(near, 'box', 'boxes')} moved to the bounds of their masks"
        found.append(_note(f"{what}, less than a pixel away, as YOLO has one line for both."))
    if far := sum(distance > near for distance, (_, near) in pairs):
        what = f"Boxes that are not the bounds of their mask, which YOLO takes: {far:,}"
        how = "allow it with --drop boxes, or keep the boxes alone with --drop masks."
        found.append(Limit(drop="boxes", sentence=f"{what}; {how}"))
    return found + _image_classes(items)


def _image_classes(items: Sequence[Item]) -> list[Limit]:
    count = sum(item.findings is None and item.image_class is not None for item in items)
    sentence = f"The class of {counted(count, 'picture')} of unknown truth is not kept."
    return [_note(sentence)] if count else []


def _limit(drop: str, what: str) -> Limit:
    return Limit(drop=drop, sentence=f"{what}; allow it with --drop {drop}.")


def _note(sentence: str) -> Limit:
    return Limit(drop="", sentence=sentence)


def _healthy_labels(classes: Sequence[str]) -> frozenset[int]:
    return frozenset(label for label, name in enumerate(classes) if is_negative(name))


def _is_untold(item: Item, healthy: frozenset[int]) -> bool:
    """Unknown, and not even known to be fractured, which HDF5 could say."""
    return item.findings is None and (item.image_class is None or item.image_class in healthy)


def _distance(finding: Finding, item: Item) -> float:
    """The most that an edge of the box is from that of its mask, in the unit of the finding."""
    if finding.outline is None:
        return 0.0
    # What of an outline lies outside the picture is cut, as the box was.
    height, width = item.extent or (np.inf, np.inf)
    bounds = np.clip(bounds_of(finding.outline), 0, [width, height, width, height])
    return float(np.abs(bounds - finding.xyxy).max())


def _changed(item: Item, change: Callable[[Findings], Findings]) -> Item:
    return item if item.findings is None else replace(item, findings=change(item.findings))


def _without_outlines(findings: Findings) -> Findings:
    return tuple(replace(finding, outline=None) for finding in findings)


def _one_class(findings: Findings, healthy: frozenset[int]) -> Findings:
    return tuple(replace(each, label=0) for each in findings if each.label not in healthy)


def _largest(findings: Findings) -> Findings:
    sizes = [float(np.prod(finding.xyxy[2:] - finding.xyxy[:2])) for finding in findings]
    order = sorted(range(len(findings)), key=lambda place: (-sizes[place], place))[:MOST_BOXES]
    return tuple(findings[place] for place in sorted(order))
