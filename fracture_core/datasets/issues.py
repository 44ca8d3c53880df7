"""What readers cut, leave out or find odd while a data set is opened.

Each oddity has a kind and a place. A kind is also the beginning of the reader's sentence about it,
and the health check goes by the kinds named here; a reader may use others.
"""

from dataclasses import dataclass

CUT = "Boxes cut at the edge of their image"
NO_NUMBERS = "Boxes left out, expected numbers"
NO_AREA = "Boxes left out, expected a width and height above 0"
OUTSIDE = "Boxes left out, expected inside the image"
NO_BOX_LEFT = "Images with no usable box, ground truth unknown"

UNREADABLE_LABELS = "Label files that cannot be read, ground truth of their images unknown"
UNREADABLE_OBJECTS = "Annotations that cannot be read, ground truth of their images unknown"
NO_LABELS = "Images without a label file, ground truth unknown"
NO_ANNOTATIONS = "Files without 'annotations', ground truth of their images unknown"
FRACTURE_WITHOUT_BOX = "Slices labelled fracture without a box, ground truth unknown"
HEALTHY_WITH_BOX = "Slices labelled healthy with boxes, boxes kept"

ONLY_HEADING = "Category that only heads others, no class"
UNUSED_CLASS = "Classes without a box"
HEALTHY_CLASS = "Class that marks healthy images with a box, kept as a class"
SAME_NAME = "Name of several classes"

GROUP_IN_SPLITS = "Groups in more than one split"
IN_TWO_SPLITS = "Images in two splits, kept in the first"
IN_TWO_FILES = "Images in two files, kept as in the first"
UNREADABLE_IMAGE = "Images that cannot be read, left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One oddity. `place` is in words, such as "train/1.txt line 2" · `sample_id` is "" if it
    belongs to no one sample.
    """

    kind: str
    place: str
    sample_id: str = ""


_SHOWN = 3
_TEXT_SHOWN = 60


class IssueLog:
    """Collects oddities; one sentence for each kind tells how often, and where the first few were
    seen.
    """

    def __init__(self) -> None:
        self._issues: dict[str, list[Issue]] = {}

    def add(self, kind: str, place: str, sample_id: str = "") -> None:
        """Adds one oddity of a kind, such as "Boxes cut at the edge of their image"."""
        issue = Issue(kind=kind, place=place, sample_id=sample_id)
        self._issues.setdefault(kind, []).append(issue)

    def issues(self) -> tuple[Issue, ...]:
        """Returns all oddities, kind by kind."""
        return tuple(issue for issues in self._issues.values() for issue in issues)

    def sentences(self) -> tuple[str, ...]:
        """Returns one sentence for each kind, in the order the kinds were first seen."""
        return tuple(self._sentence(kind) for kind in self._issues)

    def _sentence(self, kind: str) -> str:
        count = len(self._issues[kind])
        places = [issue.place for issue in self._issues[kind][:_SHOWN]]
        more = f"; and {count - len(places):,} more" if count > len(places) else ""
        return f"{kind}: {count:,} ({'; '.join(places)}{more})."


def quoted(value: object) -> str:
    """Returns a text from a file as it may stand in a message: quoted, without control codes, and
    short.
    """
    text = repr(value)
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """Returns a number with its noun in the singular or plural.

    Example:
        >>> counted(1, "class", "classes"), counted(2355, "image")
        ('1 class', '2,355 images')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
