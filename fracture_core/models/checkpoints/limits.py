"""How much of anything a weights file may hold, and where a tensor lies in it.

The limits that the readers of weights files share stand here; what passes one is refused.
"""

import math
from dataclasses import dataclass

from fracture_core.errors import WeightsError

MAX_PICKLE_BYTES = 32 << 20
MAX_HEADER_BYTES = 8 << 20
MAX_ENTRIES = 100_000
MAX_OPCODES = 1_000_000
MAX_COPIED = 1_000_000
MAX_MARKS = 1_000
MAX_BITS = 1_024
MAX_KEY = 2**60
MAX_NAME = 300
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
MAX_NUMBER = 2**62
MAX_EMPTY_SIDE = 65_536


class Refusal(Exception):
    """Why a file is not taken, raised where the name that a person gave it is not known."""

    def __init__(self, *, expected: str, found: str, advice: str = "") -> None:
        super().__init__(found)
        self.expected, self.found, self.advice = expected, found, advice

    def error(self, name: object) -> WeightsError:
        """Returns it as the error of a file of this name."""
        return WeightsError(str(name), expected=self.expected, found=self.found, advice=self.advice)


def printable(text: object, most: int = 40) -> str:
    """Returns a text or number out of a file, printable and cut, and of anything else its type.

    Nothing that holds other things is ever formatted: a small file can describe a list whose text
    would fill the memory.

    Example:
        >>> printable("conv1.weight", 5), printable([1, 2])
        ('conv1', 'a list')
    """
    if text is None or isinstance(text, bool | int | float):
        return str(text)[:most]
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    return "".join(_shown(character) for character in text[:most])


def is_plain_name(text: object) -> bool:
    """Tells whether it can be the name of a tensor or a class: short and printable text."""
    return isinstance(text, str) and len(text) <= MAX_NAME and text.isprintable()


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


# ---- places --------------------------------------------------------------------------------------

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""The kinds of numbers that are read, by their names in PyTorch, and the bytes of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlace:
    """A block of `length` numbers `start` bytes into the file, and a tensor in it.

    `offset` and `stride` count numbers. Raises ValueError, which reads as what was found, where the
    tensor is not inside of the block or repeats its numbers.
    """

    dtype: str
    start: int
    length: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.start, self.length, self.offset, *self.size, *self.stride)
        whole = all(type(number) is int and 0 <= number < MAX_NUMBER for number in numbers)
        if not whole or not len(self.size) == len(self.stride) <= MAX_DIMENSIONS:
            raise ValueError("a tensor of impossible shape")
        # Nothing in the file stands behind the sides of an empty tensor.
        if 0 in self.size and max(self.size) > MAX_EMPTY_SIDE:
            raise ValueError("an empty tensor of impossible shape")
        furthest = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        inside = 0 in self.size or self.offset + furthest < self.length
        # A view may repeat numbers without end; a saved weight does not.
        if not inside or self.number_count > self.length:
            raise ValueError(f"a tensor of {self.size} in a block of {self.length}")

    @property
    def number_count(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.size)

    @property
    def byte_count(self) -> int:
        """How many bytes the whole block has."""
        return self.length * ITEM_BYTES[self.dtype]


def contiguous(size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the strides, in numbers, of a tensor that lies row by row.

    Example:
        >>> contiguous((2, 3, 4))
        (12, 4, 1)
    """
    return tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))
