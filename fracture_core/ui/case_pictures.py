"""Pictures of cases cut out around what matters, with boxes in the viewer's colours and lines."""

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fracture_core.types import Sample

WIDTH_PX, HEIGHT_PX = 400, 300
# As the viewer draws them; small letters need more light than lines do.
COLOURS = {
    "truth": "#56b4e9",
    "missed": "#f0e442",
    "true positive": "#009e73",
    "false positive": "#d55e00",
    "duplicate": "#cc79a7",
    "finding": "#e8ecef",
    "candidate": "#e8ecef",
}
_WORD_COLOURS = COLOURS | {"true positive": "#2fd6a8", "false positive": "#ff8f4d"}
_SHADOW = "#000000"
# How much of the surroundings is shown, as a multiple of the box, and at least of the picture.
_AROUND, _LEAST_SHARE = 2.4, 0.3
_LEAST_SIDE_PX = 48.0
_MOST_TAGS = 8

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """`xyxy` in pixels of the picture · `kind` is a name of `COLOURS` · `tag` stands beside it."""

    xyxy: Corners
    kind: str
    tag: str


def case_picture(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> bytes:
    """A JPEG of 400 × 300 px around the boxes in `focus`, or of the whole picture without any."""
    window = window_around([boxes[i].xyxy for i in focus], sample.height, sample.width)
    left, top, right, bottom = (round(edge) for edge in window)
    picture = Image.fromarray(sample.shown()).crop((left, top, right, bottom))
    picture = picture.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BILINEAR).convert("RGB")
    pen = ImageDraw.Draw(picture)
    scale = (WIDTH_PX / (right - left), HEIGHT_PX / (bottom - top))
    placed = [_placed(box.xyxy, left, top, scale) for box in boxes]
    for box, at in zip(reversed(boxes), reversed(placed), strict=True):
        _outline(pen, box.kind, at)
    _write_tags(pen, boxes, placed, focus)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def packed_picture(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> bytes:
    """As it is served."""
    return gzip.compress(case_picture(sample, boxes, focus), 1, mtime=0)


def window_around(focus: Sequence[Corners], height: int, width: int) -> Corners:
    """The cut-out, 4 : 3: the boxes with surroundings, inside the picture where it is large enough.

    Without boxes the least that holds the whole picture.
    """
    across, down = float(width), float(height)
    x, y = across / 2, down / 2
    if focus:
        x1, y1 = min(box[0] for box in focus), min(box[1] for box in focus)
        x2, y2 = max(box[2] for box in focus), max(box[3] for box in focus)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        least = max(_LEAST_SIDE_PX, _LEAST_SHARE * max(height, width))
        across, down = max(_AROUND * (x2 - x1), least), max(_AROUND * (y2 - y1), least * 0.75)
    across = max(across, down * WIDTH_PX / HEIGHT_PX)
    down = across * HEIGHT_PX / WIDTH_PX
    left, top = _inside(x - across / 2, across, width), _inside(y - down / 2, down, height)
    return left, top, left + across, top + down


def _placed(xyxy: Corners, left: float, top: float, scale: tuple[float, float]) -> Corners:
    x1, y1, x2, y2 = xyxy
    across, down = scale
    return (x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down


def _inside(start: float, length: float, whole: int) -> float:
    """Moved into the picture, or centred on it where it is longer."""
    if length >= whole:
        return (whole - length) / 2
    return min(max(start, 0.0), whole - length)


def _outline(pen: ImageDraw.ImageDraw, kind: str, at: Corners) -> None:
    """Truth: a thin double line, with ticks at the corners where it is missed. Findings: a solid
    line; duplicates dashed; what is not shown dotted.
    """
    colour = COLOURS[kind]
    if kind in ("truth", "missed"):
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
    pen: ImageDraw.ImageDraw, boxes: Sequence[DrawnBox], at: Sequence[Corners], focus: Sequence[int]
) -> None:
    """Outside their boxes, one clear of the other; those in focus first."""
    font = ImageFont.load_default(size=16)
    order = [*focus, *(i for i in range(len(boxes)) if i not in focus)]
    seen = [i for i in order if boxes[i].tag and _is_seen(at[i])]
    taken: list[Corners] = []
    for i in seen[:_MOST_TAGS]:
        width = pen.textlength(boxes[i].tag, font) + 8
        place = _free_place(at[i], width, 21.0, taken)
        taken.append(place)
        pen.rectangle(place, fill=(12, 12, 12))
        x, y = place[:2]
        pen.rectangle((x, y, x + 2, place[3]), fill=COLOURS[boxes[i].kind])
        pen.text((x + 5, y + 1), boxes[i].tag, _WORD_COLOURS[boxes[i].kind], font)


def _is_seen(at: Corners) -> bool:
    return at[0] < WIDTH_PX and at[2] > 0 and at[1] < HEIGHT_PX and at[3] > 0


def _free_place(at: Corners, width: float, height: float, taken: Sequence[Corners]) -> Corners:
    x1, y1, x2, y2 = at
    gap = 6.0
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
    places = []
    for x, y in corners:
        left = min(max(x, 1.0), WIDTH_PX - width - 1)
        top = min(max(y, 1.0), HEIGHT_PX - height - 1)
        places.append((left, top, left + width, top + height))
    free = (each for each in places if not any(_overlap(each, other) for other in (*taken, at)))
    clear = (each for each in places if not any(_overlap(each, other) for other in taken))
    return next(free, None) or next(clear, None) or places[0]


def _overlap(a: Corners, b: Corners) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
