"""Which pictures are the same one: equal to the pixel, or a flipped, turned or relit copy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core.health.alignment import sameness
from fracture_core.health.fingerprints import Candidate, band_passed, find_candidates
from fracture_core.health.groups import Groups
from fracture_core.health.looking import Look

# Measured on planted copies and on sets without any, see benchmarks/health.py.
LEAST_SIMILARITY = 0.85
LEAST_SAMENESS = 0.82


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Two pictures that are one; `sameness` 1 where they are equal to the pixel."""

    one: str
    other: str
    sameness: float


def find_equal(looks: Mapping[str, Look]) -> list[Twins]:
    """Every picture that repeats an earlier one, with the first of them."""
    first: dict[bytes, str] = {}
    found = []
    for sample_id, look in looks.items():
        earlier = first.setdefault(look.digest, sample_id)
        if earlier != sample_id:
            found.append(Twins(one=earlier, other=sample_id, sameness=1.0))
    return found


def find_alike(
    looks: Mapping[str, Look],
    splits: Mapping[str, str],
    apart: Mapping[str, str] | None,
    *,
    progress: Callable[[float], None],
) -> list[Twins]:
    """Copies that are not equal to the pixel: enough pairs to join all that belong together, and
    for each picture of a smaller split one of a greater split, if there is any.

    `apart` groups whose pictures are alike by nature, such as the slices of one study.
    """
    ids = _smaller_splits_first(list(looks), splits)
    if len(ids) < 2:
        return []
    candidates = find_candidates(
        np.stack([band_passed(looks[each].thumb) for each in ids]),
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
        one, other = looks[ids[candidate.one]], looks[ids[candidate.other]]
        is_needed = (
            ids[candidate.one] not in paired
            if done < len(across)
            else not groups.are_joined(ids[candidate.one], ids[candidate.other])
        )
        if not is_needed or one.digest == other.digest:
            continue
        twins = _compared(candidate, ids, looks)
        if twins.sameness >= LEAST_SAMENESS:
            found.append(twins)
            paired.add(twins.one)
            groups.join(twins.one, twins.other)
    return found


def _compared(candidate: Candidate, ids: Sequence[str], looks: Mapping[str, Look]) -> Twins:
    one, other = ids[candidate.one], ids[candidate.other]
    value = sameness(looks[one], looks[other], candidate.pose)
    return Twins(one=one, other=other, sameness=value)


def _smaller_splits_first(ids: Sequence[str], splits: Mapping[str, str]) -> list[str]:
    sizes: dict[str, int] = {}
    for each in ids:
        sizes[splits[each]] = sizes.get(splits[each], 0) + 1
    return sorted(ids, key=lambda each: (sizes[splits[each]], splits[each]))


def _numbers(names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    _, numbers = np.unique(names, return_inverse=True)
    return numbers.astype(np.int64).reshape(-1)
