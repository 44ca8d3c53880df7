"""Images that are in a data set more than once: equal to the pixel, or as a flipped, turned or
relit copy (a near-duplicate).

Pairs are found by fingerprint and decided by alignment, see `fingerprints`. Pairs that share an
image are joined into groups.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core.health.fingerprints import (
    Candidate,
    aligned_similarity,
    band_passed,
    find_candidates,
)
from fracture_core.health.report import CheckContext, Fault, Place, Severity, Thumbnail

# ---- groups --------------------------------------------------------------------------------------


class Groups:
    """Disjoint sets of names, each name alone at first (union-find, paths halved).

    Example:
        >>> groups = Groups()
        >>> groups.join("b", "c")
        >>> groups.join("a", "c")
        >>> groups.head("b"), groups.are_joined("a", "d")
        ('a', False)
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def head(self, name: str) -> str:
        """Returns the least name of a group, which does not depend on the order of joining."""
        while (parent := self._parents.get(name, name)) != name:
            self._parents[name] = self._parents.get(parent, parent)
            name = parent
        return name

    def are_joined(self, one: str, other: str) -> bool:
        """Tells whether two names are in one group."""
        return self.head(one) == self.head(other)

    def join(self, one: str, other: str) -> None:
        """Joins the groups of two names."""
        first, second = sorted((self.head(one), self.head(other)))
        self._parents[second] = first

    def join_all(self, names: Iterable[str]) -> None:
        """Joins the groups of all names."""
        first = ""
        for name in names:
            first = first or name
            self.join(first, name)


# ---- pairs ---------------------------------------------------------------------------------------


# Both thresholds were measured on planted copies and on sets without any: benchmarks/health.py.
LEAST_SIMILARITY = 0.85
LEAST_ALIGNED_SIMILARITY = 0.82


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate:
    """Two images that are one. `one` and `other` are sample ids · `aligned_similarity` is 1 where
    they are equal to the pixel.
    """

    one: str
    other: str
    aligned_similarity: float


def find_equal(thumbnails: Mapping[str, Thumbnail]) -> list[NearDuplicate]:
    """Returns each image that repeats an earlier one to the pixel, paired with the first one."""
    first: dict[bytes, str] = {}
    found = []
    for sample_id, thumbnail in thumbnails.items():
        earlier = first.setdefault(thumbnail.digest, sample_id)
        if earlier != sample_id:
            found.append(NearDuplicate(one=earlier, other=sample_id, aligned_similarity=1.0))
    return found


def find_alike(
    thumbnails: Mapping[str, Thumbnail],
    splits: Mapping[str, str],
    apart: Mapping[str, str] | None,
    *,
    progress: Callable[[float], None],
) -> list[NearDuplicate]:
    """Returns pairs of copies that are not equal to the pixel.

    They suffice to join all images that belong together, and give each image of a smaller split one
    of a greater split, if there is any. `splits` are by sample id · images with an equal value in
    `apart` are not compared, as they are alike by nature, such as the slices of one study ·
    `progress` gets the share done.
    """
    ids = _smaller_splits_first(list(thumbnails), splits)
    if len(ids) < 2:
        return []
    candidates = find_candidates(
        np.stack([band_passed(thumbnails[each].thumb) for each in ids]),
        _numbers([splits[each] for each in ids]),
        None if apart is None else _numbers([apart[each] for each in ids]),
        least=LEAST_SIMILARITY,
        progress=lambda share: progress(0.2 * share),
    )
    across = [each for each in candidates if splits[ids[each.one]] != splits[ids[each.other]]]
    within = [each for each in candidates if splits[ids[each.one]] == splits[ids[each.other]]]
    groups, paired = Groups(), set[str]()
    found = []
    for done, candidate in enumerate([*across, *within]):
        progress(0.2 + 0.8 * done / len(candidates))
        one, other = thumbnails[ids[candidate.one]], thumbnails[ids[candidate.other]]
        is_needed = (
            ids[candidate.one] not in paired
            if done < len(across)
            else not groups.are_joined(ids[candidate.one], ids[candidate.other])
        )
        if not is_needed or one.digest == other.digest:
            continue
        pair = _compared(candidate, ids, thumbnails)
        if pair.aligned_similarity >= LEAST_ALIGNED_SIMILARITY:
            found.append(pair)
            paired.add(pair.one)
            groups.join(pair.one, pair.other)
    return found


def _compared(
    candidate: Candidate, ids: Sequence[str], thumbnails: Mapping[str, Thumbnail]
) -> NearDuplicate:
    one, other = ids[candidate.one], ids[candidate.other]
    value = aligned_similarity(thumbnails[one], thumbnails[other], candidate.pose)
    return NearDuplicate(one=one, other=other, aligned_similarity=value)


def _smaller_splits_first(ids: Sequence[str], splits: Mapping[str, str]) -> list[str]:
    sizes: dict[str, int] = {}
    for each in ids:
        sizes[splits[each]] = sizes.get(splits[each], 0) + 1
    return sorted(ids, key=lambda each: (sizes[splits[each]], splits[each]))


def _numbers(names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    _, numbers = np.unique(names, return_inverse=True)
    return numbers.astype(np.int64).reshape(-1)


# ---- faults --------------------------------------------------------------------------------------


_LEAK = "What is measured on one split was learnt on the other: its metrics are too good."
_RECUT = "Cut the splits anew by group, so that all copies of an image are in one."


def check_duplicates(
    context: CheckContext, equal: Sequence[NearDuplicate], alike: Sequence[NearDuplicate]
) -> Iterator[Fault]:
    """Yields faults of copies.

    Those across splits are errors; within a split, equal images are a warning and altered ones a
    note.
    """
    across = [each for each in equal if _is_across(context, each)]
    within = [each for each in equal if not _is_across(context, each)]
    if across:
        yield _fault(
            context,
            "duplicates-across",
            Severity.ERROR,
            "The same image in two splits",
            _LEAK,
            _RECUT,
            across,
        )
    if within:
        yield _fault(
            context,
            "duplicates-within",
            Severity.WARNING,
            "The same image twice in a split",
            "It counts twice, and two labels of one image may contradict each other.",
            "Keep one of them.",
            within,
        )
    yield from _alike(context, alike)


def _alike(context: CheckContext, alike: Sequence[NearDuplicate]) -> Iterator[Fault]:
    across = [each for each in alike if _is_across(context, each)]
    within = [each for each in alike if not _is_across(context, each)]
    if across:
        yield _fault(
            context,
            "look-alikes-across",
            Severity.ERROR,
            "Near-duplicates in two splits",
            f"Flipped, turned or relit, they are one image. {_LEAK}",
            _RECUT,
            across,
        )
    if within:
        yield _fault(
            context,
            "look-alikes-within",
            Severity.NOTE,
            "Near-duplicates within a split",
            "Augmented before it was split: fewer images than it seems, and intervals that count "
            "each copy are too narrow.",
            "In train they do no harm; in validation and test keep one of each.",
            within,
        )


def _is_across(context: CheckContext, pair: NearDuplicate) -> bool:
    return context.split_of(pair.one) != context.split_of(pair.other)


def _fault(
    context: CheckContext,
    check: str,
    severity: Severity,
    title: str,
    meaning: str,
    advice: str,
    near_duplicates: Sequence[NearDuplicate],
) -> Fault:
    return Fault(
        check=check,
        severity=severity,
        title=title,
        meaning=meaning,
        advice=advice,
        places=tuple(_place(context, each) for each in near_duplicates),
    )


def _place(context: CheckContext, pair: NearDuplicate) -> Place:
    """Returns a place with the image of validation or test before the one of train."""
    ids = (pair.one, pair.other)
    is_train_first = context.split_of(ids[0]) == "train" != context.split_of(ids[1])
    one, other = ids[::-1] if is_train_first else ids
    return context.place(one, f"similarity {pair.aligned_similarity:.2f}", other)
