"""Boxes and their tags, drawn into images of Pillow.

Line style tells the kind, never colour alone: ground truth has a thin double line, with ticks at
the corners where it is missed, findings a solid line, duplicates a dashed and hidden candidates a
dotted one, as in the viewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from fracture_core.drawing.colours import GROUND_TRUTHS, VIEWER, Palette
from fracture_core.drawing.text import font, shortened
from fracture_core.matching import match
from fracture_core.types import Detections

Corners = tuple[float, float, float, float]
_SHADOW = "#000000"
_TAG_PX, _TAG_GAP_PX = 21.0, 6.0
MOST_TAGS = 8
TAGS = {
    "truth": "GT",
    "missed": "GT missed",
    "true positive": "TP",
    "false positive": "FP",
    "duplicate": "dup",
    "finding": "",
    "candidate": "best",
}
"""What a tag begins with, by kind of box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """`xyxy` in pixels of the image · `kind` is a name of `COLOURS` · `tag` stands beside it."""

    xyxy: Corners
    kind: str
    tag: str


def matched_boxes(
    found: Detections,
    ground_truth: Detections | None,
    classes: Sequence[str] = (),
    *,
    match_iou: float = 0.5,
    class_aware: bool = False,
) -> tuple[DrawnBox, ...]:
    """Return the ground truths and then what was found, tagged with kind, class and score.

    The labels of both are positions in `classes`; names are left out where there is one or none. A
    `ground_truth` of None is unknown: nothing found is then called true or false.
    """
    if ground_truth is None:
        return tuple(_found(found, i, "finding", classes) for i in range(len(found)))
    matched = match(found, ground_truth, match_iou, class_aware=class_aware)
    missed = set(matched.missed.tolist())
    made = []
    for i in range(len(ground_truth)):
        kind = "missed" if i in missed else "truth"
        tag = _tag(kind, _name(ground_truth, i, classes))
        made.append(_box(ground_truth, i, kind, tag))
    made += [_found(found, i, kind, classes) for i, kind in enumerate(matched.kinds)]
    return tuple(made)


def gt_boxes(ground_truth: Detections | None) -> tuple[DrawnBox, ...]:
    """Return the ground truths alone, where nothing was looked for and so nothing missed."""
    if ground_truth is None:
        return ()
    return tuple(_box(ground_truth, i, "truth", TAGS["truth"]) for i in range(len(ground_truth)))


def _found(found: Detections, i: int, kind: str, classes: Sequence[str]) -> DrawnBox:
    return _box(found, i, kind, _tag(kind, _name(found, i, classes), f"{found.scores[i]:.2f}"))


def _tag(kind: str, *words: str) -> str:
    return " ".join(word for word in (TAGS[kind], *words) if word)


def _name(found: Detections, i: int, classes: Sequence[str]) -> str:
    return shortened(classes[found.labels[i]], 18) if len(classes) > 1 else ""


def _box(found: Detections, i: int, kind: str, tag: str) -> DrawnBox:
    x1, y1, x2, y2 = (float(edge) for edge in found.xyxy[i])
    return DrawnBox(xyxy=(x1, y1, x2, y2), kind=kind, tag=tag)


def draw_boxes(
    image: Image.Image,
    boxes: Sequence[DrawnBox],
    *,
    palette: Palette = VIEWER,
    focus: Sequence[int] = (),
    most_tags: int = MOST_TAGS,
) -> None:
    """Draw boxes, in pixels of `image`, and their tags into it, the first boxes on top.

    Tags stand outside their boxes and clear of each other where there is room, those of the boxes
    in `focus` first; no more than `most_tags` are written.
    """
    pen = ImageDraw.Draw(image)
    for box in reversed(boxes):
        _outline(pen, box.kind, box.xyxy, palette.colours[box.kind])
    _write_tags(pen, image.size, boxes, focus, palette, most_tags)


def _outline(pen: ImageDraw.ImageDraw, kind: str, at: Corners, colour: str) -> None:
    if kind in GROUND_TRUTHS:
        for grown in (3.0, 0.0):
            _frame(pen, _grown(at, grown), colour, 1)
        if kind == "missed":
            _ticks(pen, at, colour)
    elif kind == "candidate":
        _dashes(pen, at, colour, (2, 5))
    elif kind == "duplicate":
        _dashes(pen, at, colour, (9, 6))
    else:
        _frame(pen, at, colour, 2)


def _frame(pen: ImageDraw.ImageDraw, at: Corners, colour: str, width: int) -> None:
    pen.rectangle(_grown(at, 1), outline=_SHADOW, width=width + 2)
    pen.rectangle(at, outline=colour, width=width)


def _ticks(pen: ImageDraw.ImageDraw, at: Corners, colour: str) -> None:
    x1, y1, x2, y2 = at
    for x, across in ((x1, -1), (x2, 1)):
        for y, down in ((y1, -1), (y2, 1)):
            pen.line([x + 3 * across, y + 3 * down, x + 12 * across, y + 12 * down], colour, 3)


def _dashes(pen: ImageDraw.ImageDraw, at: Corners, colour: str, dash: tuple[int, int]) -> None:
    x1, y1, x2, y2 = at
    on, off = dash
    for level in (y1, y2):
        for start in range(int(x1), int(x2), on + off):
            pen.line([start, level, min(start + on, x2), level], colour, 2)
    for level in (x1, x2):
        for start in range(int(y1), int(y2), on + off):
            pen.line([level, start, level, min(start + on, y2)], colour, 2)


def _grown(at: Corners, by: float) -> Corners:
    x1, y1, x2, y2 = at
    return x1 - by, y1 - by, x2 + by, y2 + by


def _write_tags(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    boxes: Sequence[DrawnBox],
    focus: Sequence[int],
    palette: Palette,
    most: int,
) -> None:
    letters = font(14)
    order = [*focus, *(i for i in range(len(boxes)) if i not in focus)]
    seen = [i for i in order if boxes[i].tag and _is_seen(boxes[i].xyxy, size)]
    taken: list[Corners] = []
    for i in seen[:most]:
        width = pen.textlength(boxes[i].tag, letters) + 9
        place = _free_place(boxes[i].xyxy, width, size, taken)
        taken.append(place)
        pen.rectangle(place, fill=(12, 12, 12))
        x, y = place[:2]
        pen.rectangle((x, y, x + 2, place[3]), fill=palette.colours[boxes[i].kind])
        pen.text((x + 6, y + 2), boxes[i].tag, palette.letter(boxes[i].kind), letters)


def _is_seen(at: Corners, size: tuple[int, int]) -> bool:
    return at[0] < size[0] and at[2] > 0 and at[1] < size[1] and at[3] > 0


def _free_place(
    at: Corners, width: float, size: tuple[int, int], taken: Sequence[Corners]
) -> Corners:
    """The first place around a box that covers neither it nor a tag, else one without a tag."""
    x1, y1, x2, y2 = at
    height, gap = _TAG_PX, _TAG_GAP_PX
    corners = [
        (x1, y1 - height - gap),
        (x1, y2 + gap),
        (x2 - width, y1 - height - gap),
        (x2 - width, y2 + gap),
        (x2 + gap, y1),
        (x1 - width - gap, y1),
        (x1, y1 - 2 * height - gap - 2),
        (x1, y2 + height + gap + 2),
    ]
    # Tags of boxes that lie on each other go in a column down the right side.
    corners += [(x2 + gap, y1 + row * (height + 2)) for row in range(1, 8)]
    places = []
    for x, y in corners:
        left = min(max(x, 1.0), max(1.0, size[0] - width - 1))
        top = min(max(y, 1.0), max(1.0, size[1] - height - 1))
        places.append((left, top, left + width, top + height))
    free = (each for each in places if not any(_overlap(each, other) for other in (*taken, at)))
    clear = (each for each in places if not any(_overlap(each, other) for other in taken))
    return next(free, None) or next(clear, None) or places[0]


def _overlap(a: Corners, b: Corners) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
