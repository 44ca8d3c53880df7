"""Cases as cards, a page at a time: an image cut out around what matters, why, and a link.

Boxes have the viewer's colours and lines. Images travel by URL and are drawn when the browser asks
for them, so a page answers at once.
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from fracture_core.drawing.boxes import TAGS, DrawnBox
from fracture_core.drawing.colours import COLOURS
from fracture_core.drawing.samples import CUT_HEIGHT_PX, CUT_WIDTH_PX, draw_cut_out, jpeg_bytes
from fracture_core.drawing.text import shortened
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations.evaluation import MatchedBox
from fracture_core.types import Sample
from fracture_core.ui.read.dataset_choice import opened_dataset
from fracture_core.ui.routes import share_image
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


def packed_image(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> bytes:
    """A JPEG of the boxes in `focus`, or of the whole image without any, as it is served."""
    return gzip.compress(jpeg_bytes(draw_cut_out(sample, boxes, focus)), 1, mtime=0)


A_PAGE = 12
_MOST_WORDY = 8
LEGEND = (
    ("truth", "GT", "ground truth, found: thin double line"),
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
    words = [TAGS[box.kind]]
    if len(classes) > 1 and not brief:
        words.append(shortened(classes[box.label], 18))
    if not box.is_ground_truth:
        words.append(f"{box.score:.2f}")
    return " ".join(word for word in words if word)


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
    size = f'width="{CUT_WIDTH_PX}" height="{CUT_HEIGHT_PX}"'
    return f'<img src="{path}" alt="{alt}" loading="lazy" {size}>'


def _drawn(
    dataset: "Dataset", sample_id: str, boxes: Sequence[DrawnBox], focus: Sequence[int]
) -> bytes:
    return packed_image(dataset[sample_id], boxes, focus)


def _tail(sample_id: str) -> str:
    """The end of a long name is what tells it from others."""
    return sample_id if len(sample_id) <= 60 else f"…{sample_id[-59:]}"
