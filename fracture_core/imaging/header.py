"""A DICOM header read with care: any element may be absent, damaged or of the wrong type."""

import math
import re
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


class Header:
    """Reads values of a dataset by keyword; what cannot be read counts as absent.

    For each element that cannot be read `notes` gets a sentence for the reader.
    """

    def __init__(self, dataset: Dataset, notes: list[str]) -> None:
        self.dataset = dataset
        self.notes = notes

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the numbers of an element, or none at all where one of them is not finite."""
        try:
            found = tuple(float(value) for value in self._values(keyword))
        except (TypeError, ValueError):
            return self._unreadable(keyword)
        return found if all(map(math.isfinite, found)) else self._unreadable(keyword)

    def number(self, keyword: str) -> float | None:
        """Return the first number of an element, None = absent."""
        return next(iter(self.numbers(keyword)), None)

    def whole(self, keyword: str) -> int | None:
        """Return the first number of an element without its fraction, None = absent."""
        value = self.number(keyword)
        return None if value is None else int(value)

    def text(self, keyword: str) -> str:
        """Return the first value as text, "" = absent."""
        return next((str(value).strip() for value in self._values(keyword)), "")

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return all values as text."""
        return tuple(str(value).strip() for value in self._values(keyword))

    def code(self, keyword: str) -> str:
        r"""Return the codes (VR CS) in upper case, joined by "\", "" where one is free text."""
        codes = [text.upper() for text in self.texts(keyword) if text]
        return "\\".join(codes) if all(map(_CODE.fullmatch, codes)) else ""

    def raw(self, keyword: str) -> object:
        """Return the only value as pydicom gives it, None = absent or several."""
        values = self._values(keyword)
        return values[0] if len(values) == 1 else None

    def items(self, keyword: str) -> list[Self]:
        """Return the items of a sequence."""
        values = self._values(keyword)
        return [type(self)(item, self.notes) for item in values if isinstance(item, Dataset)]

    def macro(self, keyword: str, frame: int) -> Self:
        """Return a functional group of a frame: its own, else the shared one, else this header."""
        own = self._values("PerFrameFunctionalGroupsSequence")[frame : frame + 1]
        for group in own + self._values("SharedFunctionalGroupsSequence")[:1]:
            if isinstance(group, Dataset):
                for item in type(self)(group, self.notes).items(keyword)[:1]:
                    return item
        return self

    def _values(self, keyword: str) -> list[Any]:
        try:
            value = self.dataset.get(keyword)
        # pydicom converts on access, and a damaged element may raise anything.
        except Exception:
            self._unreadable(keyword)
            return []
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, MultiValue | Sequence | list) else [value]

    def _unreadable(self, keyword: str) -> tuple[float, ...]:
        note = f"{keyword} cannot be read and was left out."
        if note not in self.notes:
            self.notes.append(note)
        return ()
