"""Warnings collected while a data set is opened: how often, and where first."""

from fracture_core.datasets.doubts import Doubt

_SHOWN = 3
_TEXT_SHOWN = 60


class Tally:
    """Collects oddities; a sentence a kind tells how often, and where the first few were seen."""

    def __init__(self) -> None:
        self._doubts: dict[str, list[Doubt]] = {}

    def add(self, kind: str, place: str, sample_id: str = "") -> None:
        """Count one oddity of a kind, such as "Boxes cut at the edge of their picture"."""
        doubt = Doubt(kind=kind, place=place, sample_id=sample_id)
        self._doubts.setdefault(kind, []).append(doubt)

    def doubts(self) -> tuple[Doubt, ...]:
        """All of them, kind by kind."""
        return tuple(doubt for doubts in self._doubts.values() for doubt in doubts)

    def sentences(self) -> tuple[str, ...]:
        """One sentence a kind, in the order the kinds were first seen."""
        return tuple(self._sentence(kind) for kind in self._doubts)

    def _sentence(self, kind: str) -> str:
        count = len(self._doubts[kind])
        places = [doubt.place for doubt in self._doubts[kind][:_SHOWN]]
        more = f"; and {count - len(places):,} more" if count > len(places) else ""
        return f"{kind}: {count:,} ({'; '.join(places)}{more})."


def quoted(value: object) -> str:
    """Text from a file as it may stand in a message: quoted, without control codes, and short."""
    text = repr(value)
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 class", "2,355 pictures"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
