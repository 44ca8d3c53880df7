"""Warnings collected while a data set is opened: how often, and where first."""

_SHOWN = 3
_TEXT_SHOWN = 60


class Tally:
    """Counts oddities by kind and remembers where the first few of each were seen."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Count one oddity of a kind, such as "Boxes cut at the edge of their picture"."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        places = self._places.setdefault(kind, [])
        if len(places) < _SHOWN:
            places.append(place)

    def sentences(self) -> tuple[str, ...]:
        """One sentence a kind, in the order the kinds were first seen."""
        return tuple(self._sentence(kind) for kind in self._counts)

    def _sentence(self, kind: str) -> str:
        count, places = self._counts[kind], self._places[kind]
        more = f"; and {count - len(places):,} more" if count > len(places) else ""
        return f"{kind}: {count:,} ({'; '.join(places)}{more})."


def quoted(value: object) -> str:
    """Text from a file as it may stand in a message: quoted, without control codes, and short."""
    text = repr(value)
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 class", "2,355 pictures"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
