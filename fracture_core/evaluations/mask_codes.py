"""Whether run-length codes are sound, many at once: the coder itself trusts what it is given."""

import numpy as np
import numpy.typing as npt

from fracture_core.types import Int64s

Codes = npt.NDArray[np.uint8]
# Of a picture of 2³¹ pixels no run is longer than this many characters.
_MOST_CHARACTERS = 7
_BYTES_AT_ONCE = 1 << 20


def are_sound(codes: Codes, lengths: Int64s, pixels: Int64s) -> bool:
    """Whether each of (M,) codes, one after the other in `codes`, has runs that fill `pixels` (M,).

    `lengths` (M,) are their bytes, and add up. A code is COCO's string: base 32, low digits first,
    from the fourth run on a difference to the one before the last.
    """
    if not len(lengths):
        return True
    if lengths.min() < 1:
        return False
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(_BYTES_AT_ONCE, int(ends[-1]), _BYTES_AT_ONCE))
    for some in np.split(np.arange(len(lengths)), np.unique(cuts)):
        if len(some):
            start = int(ends[some[0]] - lengths[some[0]])
            part = codes[start : int(ends[some[-1]])]
            if not _are_sound(part.astype(np.int64) - 48, lengths[some], pixels[some]):
                return False
    return True


def _are_sound(digits: Int64s, lengths: Int64s, pixels: Int64s) -> bool:
    mask = np.repeat(np.arange(len(lengths)), lengths)
    is_last = (digits & 32) == 0
    if digits.min() < 0 or digits.max() > 63 or not is_last[np.cumsum(lengths) - 1].all():
        return False
    number = np.cumsum(is_last) - is_last
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    place = np.arange(len(digits)) - firsts[number]
    if place.max() >= _MOST_CHARACTERS:
        return False
    steps = np.add.reduceat((digits & 31) << (5 * place), firsts)
    last = np.flatnonzero(is_last)
    # The highest bit of the last digit is the sign.
    steps -= np.where(digits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    runs = _runs(steps, mask[firsts])
    whole = np.bincount(mask[firsts], runs, len(lengths))
    return bool(runs.min() >= 0 and (whole == pixels).all())


def _runs(steps: Int64s, mask: Int64s) -> Int64s:
    """Differences added up: every second run of a mask but the first stands on its own."""
    begins = np.flatnonzero(np.diff(mask, prepend=-1))
    rank = np.arange(len(mask)) - np.repeat(begins, np.diff(np.append(begins, len(mask))))
    chain = 3 * mask + np.where(rank == 0, 0, 1 + rank % 2)
    order = np.argsort(chain, kind="stable")
    sums, heads = np.cumsum(steps[order]), np.flatnonzero(np.diff(chain[order], prepend=-1))
    before = np.append(0, sums)[heads]
    runs = np.empty_like(steps)
    runs[order] = sums - np.repeat(before, np.diff(np.append(heads, len(order))))
    return runs
