"""Train, val and test cut by group, the same for the same seed on every machine."""

import hashlib
from collections.abc import Iterable, Mapping

from fracture_core.errors import ConfigError

NAMES = ("train", "val", "test")
Shares = tuple[float, float, float]
DEFAULT_SHARES: Shares = (0.70, 0.15, 0.15)


def parse_shares(text: str) -> Shares | None:
    """ "70,15,15" → shares of 1, "" → None; raises ConfigError."""
    if not text:
        return None
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        train = val = test = -1.0
    total = train + val + test
    if not (min(train, val, test) >= 0 and 0 < total < float("inf")):
        expected = "three numbers for train, val and test such as 70,15,15"
        raise ConfigError("splits", expected=expected, found=repr(text))
    return (train / total, val / total, test / total)


def assign_splits(strata: Mapping[str, object], shares: Shares, seed: int) -> dict[str, str]:
    """Group → split. `strata` tells what kind each group is of; every kind is cut by the shares."""
    kinds: dict[object, list[str]] = {}
    for group, kind in strata.items():
        kinds.setdefault(kind, []).append(group)
    splits = {}
    for members in kinds.values():
        ranked = ranked_by(members, seed)
        ends = [round(shares[0] * len(ranked)), round((shares[0] + shares[1]) * len(ranked))]
        for place, group in enumerate(ranked):
            splits[group] = NAMES[sum(place >= end for end in ends)]
    return splits


def ranked_by(names: Iterable[str], seed: int) -> list[str]:
    """The names in an order drawn by the seed, whatever order they come in."""
    # A hash, as the streams of random number generators may change between their versions.
    return sorted(names, key=lambda name: (_digest(f"{seed}/{name}"), name))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
