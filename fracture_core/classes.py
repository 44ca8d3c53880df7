"""Class names of a model and of a truth brought together by name."""

from collections.abc import Sequence

import numpy as np

from fracture_core.types import Detections


def merge(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """All names of `first`, then those of `second` that are new, and where each second one went.

    Names are equal when they differ in case and outer blanks only.
    """
    names = list(first)
    places = {_bare(name): place for place, name in reversed(list(enumerate(names)))}
    moved = []
    for name in second:
        if _bare(name) not in places:
            places[_bare(name)] = len(names)
            names.append(name)
        moved.append(places[_bare(name)])
    return tuple(names), tuple(moved)


def shared(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the two have a class in common."""
    return not {_bare(name) for name in first}.isdisjoint(_bare(name) for name in second)


def relabel(found: Detections, moved: Sequence[int]) -> Detections:
    """The same boxes with class k called `moved[k]`."""
    if len(found) == 0:
        return found
    labels = np.asarray(moved, dtype=np.int64)[found.labels]
    return Detections(xyxy=found.xyxy, scores=found.scores, labels=labels, masks=found.masks)


def _bare(name: str) -> str:
    return name.strip().casefold()
