"""Class names of several data sets and models brought together into one list.

Names that differ in case alone are equal. Beyond that an is-a table says what a class counts as:
{"elbow positive": "fracture"}, or `NOTHING` for one that marks images without a finding. Such a
table is proposed from the names, confirmed by the reader and then kept for that pair of lists:

    class_names.json    under `settings().home`

What the kinds of this package's own synthetic fractures are is known, and nobody is asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from fracture_core.attributes import PART_OF, body_part
from fracture_core.errors import ConfigError
from fracture_core.home_files import HomeFile
from fracture_core.types import Detections

NOTHING = ""
"""What an is-a table says of a class that is no finding."""
NO_CLASS = -1
"""The label that `Together.moved` gives to a class that is no finding."""
NEGATIVE_NAMES = frozenset(
    ["healthy", "normal", "negative", "no finding", "no fracture", "not fractured", "nonfractured"]
)
"""Classes that stand for no finding, as `is_negative` compares them."""
SYNTHETIC_KINDS = ("transverse", "oblique", "spiral", "comminuted", "greenstick")
"""The kinds of fracture in this package's synthetic radiographs, in the order of their labels."""
IsA = Mapping[str, str]

_FRACTURE = frozenset(["fracture", "fractures", "fractured", "fx"])
_FURTHER_KINDS = "avulsion hairline impacted linear longitudinal segmental buckle torus stress"
_KINDS = frozenset(
    [*SYNTHETIC_KINDS, *_FURTHER_KINDS.split(), "compression", "pathological", "intraarticular"]
)
# Words that may stand beside "fracture" without making it another class.
_FURTHER = frozenset(["displaced", "undisplaced", "nondisplaced", "dislocation", "bone"])
_POSITIVE = "positive"


# ---- names that are equal -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Several lists of names as one.

    `names` of all lists, each once · `moved` holds for each list the new label of each of its
    names, `NO_CLASS` = it is no finding.
    """

    names: tuple[str, ...]
    moved: tuple[tuple[int, ...], ...]

    @property
    def share(self) -> bool:
        """Whether every two lists that have names share a class."""
        held = [set(each) - {NO_CLASS} for each in self.moved if each]
        pairs = ((a, b) for n, a in enumerate(held) for b in held[n + 1 :])
        return all(a & b for a, b in pairs)


def bring_together(*lists: Sequence[str], is_a: IsA | None = None) -> Together:
    """Join lists of names: all of the first, then those of the next that are new, and so on.

    Names are equal when they differ in case and outer blanks only; a name in `is_a` stands for what
    it is. Raises ConfigError for a table in which a name is, by way of others, itself.

    Example:
        >>> bring_together(["fracture"], ["Wrist positive"], is_a={"wrist positive": "fracture"})
        Together(names=('fracture',), moved=((0,), (0,)))
    """
    table = {_bare(name): parent for name, parent in (is_a or {}).items()}
    names: list[str] = []
    places: dict[str, int] = {NOTHING: NO_CLASS}

    def place_of(name: str) -> int:
        last = _last(name, table)
        if _bare(last) not in places:
            places[_bare(last)] = len(names)
            names.append(last)
        return places[_bare(last)]

    moved = tuple(tuple(place_of(name) for name in each) for each in lists)
    return Together(names=tuple(names), moved=moved)


def relabel(found: Detections, moved: Sequence[int]) -> Detections:
    """Return the same boxes with label `moved[k]` instead of k; those of `NO_CLASS` are dropped."""
    if len(found) == 0:
        return found
    labels = np.asarray(moved, dtype=np.int64)[found.labels]
    if (labels == NO_CLASS).any():
        kept = np.flatnonzero(labels != NO_CLASS)
        found, labels = found[kept], labels[kept]
    return Detections(xyxy=found.xyxy, scores=found.scores, labels=labels, masks=found.masks)


def parse_table(lines: Sequence[str]) -> dict[str, str]:
    """Parse the lines of an is-a table; raises ConfigError for another form or a name told twice.

    Example:
        >>> parse_table(["wrist positive=fracture", "healthy="])
        {'wrist positive': 'fracture', 'healthy': ''}
    """
    table: dict[str, str] = {}
    for line in lines:
        name, equals, parent = line.partition("=")
        if not (name.strip() and equals) or table.get(_bare(name), parent) != parent:
            raise ConfigError("is-a", expected="NAME=CLASS, each name once", found=repr(line))
        table[name.strip()] = parent.strip()
    return table


def _last(name: str, table: Mapping[str, str]) -> str:
    seen = [name]
    while seen[-1] and _bare(seen[-1]) in table:
        parent = table[_bare(seen[-1])]
        if _bare(parent) in map(_bare, seen):
            found = " is a ".join(repr(each) for each in (*seen, parent))
            raise ConfigError("classes that mean the same", expected="no circle", found=found)
        seen.append(parent)
    return seen[-1]


def _bare(name: str) -> str:
    return name.strip().casefold()


# ---- names that say that nothing was found ------------------------------------------------------


def is_negative(name: str) -> bool:
    """Whether a class stands for no finding, however it is written.

    Example:
        >>> is_negative("No findings"), is_negative("non-fractured")
        (True, True)
    """
    words = " ".join(_form(name))
    return re.sub(r"\bnon ", "non", words) in NEGATIVE_NAMES


def negative_among(classes: Sequence[str]) -> str:
    """Return the class that stands for no finding, "" where none or several do."""
    found = [name for name in classes if is_negative(name)]
    return found[0] if len(found) == 1 else ""


# ---- names of which one is the other ------------------------------------------------------------


def propose(first: Sequence[str], second: Sequence[str]) -> dict[str, str]:
    """Propose an is-a table for two lists; the reader sees it and confirms it before it applies.

    It relates other forms of the same words, "fracture" in all its forms, kinds of fracture, body
    parts with a fracture, and names of no finding. Names that both lists have are not in it.
    """
    both = {_bare(name) for name in first} & {_bare(name) for name in second}
    ours, theirs = (
        [name for name in names if _bare(name) not in both] for names in (first, second)
    )
    found = dict(_one_way(theirs, first))
    return found | {
        name: parent
        for name, parent in _one_way(ours, second)
        # Where each of two names would be the other, one of the two entries is enough.
        if _bare(found.get(parent, NOTHING)) != _bare(name)
    }


def _one_way(names: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    forms = {_form(other): other for other in reversed(others)}
    general = next((other for other in others if _is_fracture(other)), None)
    for name in names:
        if _form(name) in forms:
            yield name, forms[_form(name)]
        elif is_negative(name):
            yield name, NOTHING
        elif general is not None and (_is_fracture(name) or _is_kind(name)):
            yield name, general


def _is_fracture(name: str) -> bool:
    """Whether a name means a fracture of any kind."""
    return set(_form(name)) - {"bone"} in ({word} for word in _FRACTURE)


def _is_kind(name: str) -> bool:
    """Whether a name means one kind of fracture, that of a body part, or a positive body part."""
    words = _plain(name).split()
    told = {*words} & (_KINDS | _FRACTURE)
    rest = [word for word in words if word not in _KINDS | _FRACTURE | _FURTHER | {_POSITIVE}]
    where = body_part(" ".join(rest)) in PART_OF
    if told:
        return where or not rest
    return where and _POSITIVE in words


def _plain(name: str) -> str:
    """The words in lower case with one blank between; "intra-articular" stays one."""
    text = _bare(name).replace("intra-articular", "intraarticular").replace("non-", "non")
    return " ".join(re.findall(r"[^\W_]+", text))


def _form(name: str) -> tuple[str, ...]:
    """The words of a name without the "s" of the plural."""
    return tuple(re.sub(r"(?<=[^s]{3})s$", "", word) for word in _plain(name).split())


# ---- tables that a reader confirmed -------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Kept(_Strict):
    first: tuple[str, ...]
    second: tuple[str, ...]
    is_a: dict[str, str]


class _File(HomeFile):
    NAME = "class_names.json"
    HOLDS = "classes that mean the same"
    ADVICE = "Confirm them again, or delete the file."

    tables: tuple[_Kept, ...] = ()


_OF_THE_PACKAGE = tuple(
    _Kept(first=SYNTHETIC_KINDS, second=others, is_a=dict.fromkeys(SYNTHETIC_KINDS, "fracture"))
    for others in (("fracture",), ("healthy", "fracture"))
)


def kept(first: Sequence[str], second: Sequence[str]) -> dict[str, str] | None:
    """Return the is-a table confirmed for two lists, in either order, None = not confirmed yet.

    For lists of its own synthetic data the package brings a table. An empty one says that no two
    names mean the same. Raises ConfigError where the file cannot be used.
    """
    wanted = _pair(first, second)
    known = (*_File.read().tables, *_OF_THE_PACKAGE)
    tables = (each for each in known if _pair(each.first, each.second) == wanted)
    return next((dict(each.is_a) for each in tables), None)


def kept_among(lists: Sequence[Sequence[str]]) -> dict[str, str]:
    """Join the tables confirmed for any two of these lists; where two differ, the first counts.

    Raises ConfigError where the file cannot be used.
    """
    found: dict[str, str] = {}
    for n, first in enumerate(lists):
        for second in lists[n + 1 :]:
            for name, parent in (kept(first, second) or {}).items():
                found.setdefault(name, parent)
    return found


def keep(first: Sequence[str], second: Sequence[str], is_a: IsA) -> None:
    """Keep the table that a reader confirmed for two lists.

    Raises ConfigError as `bring_together` does or where the file cannot be used, and StorageError.
    """
    bring_together(first, second, is_a=is_a)
    others = _others(first, second)
    _File(
        tables=(*others, _Kept(first=tuple(first), second=tuple(second), is_a=dict(is_a)))
    ).write()


def forget(first: Sequence[str], second: Sequence[str]) -> None:
    """Remove the table of two lists, so that it is asked for again; raises as `keep` does."""
    _File(tables=_others(first, second)).write()


def _others(first: Sequence[str], second: Sequence[str]) -> tuple[_Kept, ...]:
    wanted = _pair(first, second)
    return tuple(each for each in _File.read().tables if _pair(each.first, each.second) != wanted)


def _pair(first: Sequence[str], second: Sequence[str]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(map(_bare, names)) for names in (first, second))
