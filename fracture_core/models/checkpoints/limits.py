"""What is refused: the one place that says how much of anything a weights file may hold."""

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
    """Why a file is not taken, before it is known under which name a person knows it."""

    def __init__(self, *, expected: str, found: str, advice: str = "") -> None:
        super().__init__(found)
        self.expected, self.found, self.advice = expected, found, advice

    def error(self, name: object) -> WeightsError:
        """As the error of a file."""
        return WeightsError(str(name), expected=self.expected, found=self.found, advice=self.advice)


def printable(text: object, most: int = 40) -> str:
    """A text or number out of a file, cut, with escapes for what would not print; else its type.

    Nothing that holds other things is ever formatted: a small file can describe a list whose text
    would fill the memory.
    """
    if text is None or isinstance(text, bool | int | float):
        return str(text)[:most]
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    return "".join(_shown(character) for character in text[:most])


def is_plain_name(text: object) -> bool:
    """Whether it can be the name of a tensor or a class: short and printable."""
    return isinstance(text, str) and len(text) <= MAX_NAME and text.isprintable()


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
