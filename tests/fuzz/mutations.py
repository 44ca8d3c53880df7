"""Small damage to bytes, the same each time for the same random numbers."""

from collections.abc import Callable
from random import Random

Mutation = Callable[[bytearray, Random], None]
_MOST_CHANGES = 4
_LONGEST_RUN = 64
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def mutate(data: bytes, rng: Random) -> bytes:
    """One to four changes, each somewhere; never the same bytes as before unless there are none."""
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        rng.choice(MUTATIONS)(changed, rng)
    return bytes(changed) if bytes(changed) != data else data[:-1]


def _flip(data: bytearray, rng: Random) -> None:
    data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: Random) -> None:
    data[_place(data, rng)] = rng.randrange(256)


def _run(data: bytearray, rng: Random) -> None:
    start, length = _stretch(data, rng)
    data[start : start + length] = bytes([rng.choice((0, 0x20, 0xFF))]) * length


def _noise(data: bytearray, rng: Random) -> None:
    start, length = _stretch(data, rng)
    data[start : start + length] = rng.randbytes(length)


def _cut(data: bytearray, rng: Random) -> None:
    start, length = _stretch(data, rng)
    del data[start : start + length]


def _repeat(data: bytearray, rng: Random) -> None:
    start, length = _stretch(data, rng)
    data[start:start] = data[start : start + length] * rng.randint(1, 8)


def _move(data: bytearray, rng: Random) -> None:
    start, length = _stretch(data, rng)
    taken = bytes(data[start : start + length])
    del data[start : start + length]
    place = rng.randrange(len(data) + 1)
    data[place:place] = taken


def _break_off(data: bytearray, rng: Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _number(data: bytearray, rng: Random) -> None:
    """An extreme number where perhaps a length stood."""
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice(_EXTREMES) % 256**width
    order = rng.choice(("little", "big"))
    place = _place(data, rng)
    raw = value.to_bytes(width, "little" if order == "little" else "big")
    data[place : place + width] = raw


def _digits(data: bytearray, rng: Random) -> None:
    """A number in text becomes another one."""
    places = [place for place, byte in enumerate(data[:100_000]) if 0x30 <= byte <= 0x39]
    if places:
        place = rng.choice(places)
        data[place : place + 1] = rng.choice((b"-1", b"0", b"1e999", b"9" * 30, b"NaN", b""))


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _byte,
    _run,
    _noise,
    _cut,
    _repeat,
    _move,
    _break_off,
    _number,
    _digits,
)


def _place(data: bytearray, rng: Random) -> int:
    """Anywhere, and every other time near the beginning, where headers are."""
    if not data:
        data.append(0)
    most = len(data) if rng.random() < 0.5 else min(len(data), 512)
    return rng.randrange(most)


def _stretch(data: bytearray, rng: Random) -> tuple[int, int]:
    return _place(data, rng), rng.randint(1, _LONGEST_RUN)
