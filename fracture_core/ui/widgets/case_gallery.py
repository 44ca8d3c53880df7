"""Cases as cards, a page at a time: an image cut out around what matters, why, and a link.

Boxes have the viewer's colours and lines. Images travel by URL and are drawn when the browser asks
for them, so a page answers at once.
"""

import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, TypeVar

import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from fracture_core.errors import WorkbenchError
from fracture_core.evaluations.evaluation import MatchedBox
from fracture_core.types import Sample
from fracture_core.ui.read.dataset_choice import opened_dataset
from fracture_core.ui.routes import share_image
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


WIDTH_PX, HEIGHT_PX = 400, 300
# As the viewer draws them; small letters need more light than lines do.
COLOURS = {
    "ground truth": "#56b4e9",
    "missed": "#f0e442",
    "true positive": "#009e73",
    "false positive": "#d55e00",
    "duplicate": "#cc79a7",
    "finding": "#e8ecef",
    "candidate": "#e8ecef",
}
_WORD_COLOURS = COLOURS | {"true positive": "#2fd6a8", "false positive": "#ff8f4d"}
_SHADOW = "#000000"
# How much of the surroundings is shown, as a multiple of the box, and at least of the image.
_AROUND, _LEAST_SHARE = 2.4, 0.3
_LEAST_SIDE_PX = 48.0
_MOST_TAGS = 8

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """`xyxy` in pixels of the image · `kind` is a name of `COLOURS` · `tag` stands beside it."""

    xyxy: Corners
    kind: str
    tag: str


def case_image(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> bytes:
    """A JPEG of 400 × 300 px around the boxes in `focus`, or of the whole image without any."""
    window = window_around([boxes[i].xyxy for i in focus], sample.height, sample.width)
    left, top, right, bottom = (round(edge) for edge in window)
    image = Image.fromarray(sample.shown()).crop((left, top, right, bottom))
    image = image.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BILINEAR).convert("RGB")
    pen = ImageDraw.Draw(image)
    scale = (WIDTH_PX / (right - left), HEIGHT_PX / (bottom - top))
    placed = [_placed(box.xyxy, left, top, scale) for box in boxes]
    for box, at in zip(reversed(boxes), reversed(placed), strict=True):
        _outline(pen, box.kind, at)
    _write_tags(pen, boxes, placed, focus)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def packed_image(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> bytes:
    """As it is served."""
    return gzip.compress(case_image(sample, boxes, focus), 1, mtime=0)


def window_around(focus: Sequence[Corners], height: int, width: int) -> Corners:
    """The cut-out, 4 : 3: the boxes with surroundings, inside the image where it is large enough.

    Without boxes the least that holds the whole image.
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
    """Moved into the image, or centred on it where it is longer."""
    if length >= whole:
        return (whole - length) / 2
    return min(max(start, 0.0), whole - length)


def _outline(pen: ImageDraw.ImageDraw, kind: str, at: Corners) -> None:
    """Ground truth: a thin double line, with ticks at the corners where it is missed. Findings: a
    solid line; duplicates dashed; what is not shown dotted.
    """
    colour = COLOURS[kind]
    if kind in ("ground truth", "missed"):
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


A_PAGE = 12
_MOST_WORDY = 8
_TAGS = {
    "ground truth": "GT",
    "missed": "GT missed",
    "true positive": "TP",
    "false positive": "FP",
    "duplicate": "dup",
    "finding": "",
    "candidate": "best",
}
LEGEND = (
    ("ground truth", "GT", "ground truth, found: thin double line"),
    ("missed", "GT missed", "ground truth, missed: ticks at the corners"),
    ("true positive", "TP", "finding matched with a ground-truth box"),
    ("false positive", "FP", "false positive"),
    ("duplicate", "dup", "finding on a ground-truth box already found: dashed"),
    ("candidate", "best", "best candidate below the confidence: dotted"),
)
_STYLE = """<style>
.case-cards {display: grid; gap: 0.9rem;
  grid-template-columns: repeat(auto-fill, minmax(250px, 1fr))}
.case-card {display: flex; flex-direction: column; border: 1px solid rgba(128, 128, 128, 0.35);
  border-radius: 0.5rem; overflow: hidden; color: inherit; text-decoration: none}
a.case-card:hover, a.case-card:focus-visible {border-color: #0072b2; outline: 2px solid #0072b2}
.case-card img {display: block; width: 100%; height: auto; aspect-ratio: 4 / 3; background: #0b0b0c;
  color: #e8ecef; font-size: 0.8rem}
.case-card .why {padding: 0.5rem 0.65rem 0.6rem; font-size: 0.85rem; line-height: 1.35;
  overflow-wrap: anywhere}
.case-card .why b {display: block}
.case-card .why .name {opacity: 0.75; font-size: 0.78rem}
.case-legend {display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; font-size: 0.8rem}
.case-legend i {display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.35rem;
  vertical-align: -0.1rem; border: 1px solid rgba(0, 0, 0, 0.6)}
</style>"""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A card: `focus` are positions of the `boxes` the image is cut out around, none = all of it
    · `title` and `lines` say why it is here · `link` is where a click leads, "" = nowhere.
    """

    sample_id: str
    boxes: tuple[DrawnBox, ...] = ()
    focus: tuple[int, ...] = ()
    title: str = ""
    lines: tuple[str, ...] = ()
    link: str = ""


def case_gallery(
    dataset: "Dataset | None",
    items: Sequence[Item],
    entry_of: Callable[[Item], Entry],
    *,
    key: str,
) -> None:
    """Cards of the items on the chosen page; `entry_of` is asked for these alone.

    Without a data set there are no images.
    """
    st.html(_STYLE)
    pages = max(1, -(-len(items) // A_PAGE))
    # Fewer pages than before: the number held must not be beyond the last.
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = pages
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page of {pages:,}", 1, pages, key=key, width=140))
    first = (page - 1) * A_PAGE
    cards = [_card(dataset, entry_of(item)) for item in items[first : first + A_PAGE]]
    st.html(f'<div class="case-cards" data-first="{first}">{"".join(cards)}</div>')
    if pages > 1:
        last = min(first + A_PAGE, len(items))
        st.caption(f"{first + 1:,} to {last:,} of {len(items):,}")


def show_legend() -> None:
    """What colours, tags and lines mean."""
    parts = [
        f'<span><i style="background:{COLOURS[kind]}"></i><b>{tag}</b> {words}</span>'
        for kind, tag, words in LEGEND
    ]
    st.html(f'<div class="case-legend">{"".join(parts)}</div>')


def gallery_dataset(path: str) -> "Dataset | None":
    """The data set the images come from; that it is gone is a sentence on the page."""
    try:
        return opened_dataset(path)
    except WorkbenchError as error:
        st.warning(f"Without images: {literal(str(error))}", icon=":material/folder_off:")
        return None


def drawn_boxes(boxes: Sequence[MatchedBox], classes: Sequence[str]) -> tuple[DrawnBox, ...]:
    """With the tags of the viewer, and the class where there are several."""
    return tuple(
        DrawnBox(xyxy=box.xyxy, kind=box.kind, tag=_tag(box, classes, len(boxes) > _MOST_WORDY))
        for box in boxes
    )


def _tag(box: MatchedBox, classes: Sequence[str], brief: bool) -> str:
    words = [_TAGS[box.kind]]
    if len(classes) > 1 and not brief:
        words.append(_short(classes[box.label]))
    if not box.is_ground_truth:
        words.append(f"{box.score:.2f}")
    return " ".join(word for word in words if word)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _card(dataset: "Dataset | None", entry: Entry) -> str:
    """Every text is escaped: names come from files."""
    words = "".join(f"<div>{escape(line)}</div>" for line in entry.lines if line)
    inside = (
        f'{_image(dataset, entry)}<div class="why"><b>{escape(entry.title)}</b>{words}'
        f'<div class="name">{escape(_tail(entry.sample_id))}</div></div>'
    )
    if not entry.link:
        return f'<div class="case-card">{inside}</div>'
    return f'<a class="case-card" href="{escape(entry.link, quote=True)}">{inside}</a>'


def _image(dataset: "Dataset | None", entry: Entry) -> str:
    if dataset is None:
        return ""
    # The stamp is part of the identity: a data set changed on disk is drawn anew.
    stamp = dataset.path.stat().st_mtime_ns
    identity = (str(dataset.path), stamp, entry.sample_id, entry.boxes, entry.focus)
    path = share_image(
        identity, partial(_drawn, dataset, entry.sample_id, entry.boxes, entry.focus)
    )
    alt = escape(f"{entry.title}, {_tail(entry.sample_id)}", quote=True)
    size = f'width="{WIDTH_PX}" height="{HEIGHT_PX}"'
    return f'<img src="{path}" alt="{alt}" loading="lazy" {size}>'


def _drawn(
    dataset: "Dataset", sample_id: str, boxes: Sequence[DrawnBox], focus: Sequence[int]
) -> bytes:
    return packed_image(dataset[sample_id], boxes, focus)


def _tail(sample_id: str) -> str:
    """The end of a long name is what tells it from others."""
    return sample_id if len(sample_id) <= 60 else f"…{sample_id[-59:]}"
