"""A data set written in another format, from the page."""

from typing import TYPE_CHECKING

import streamlit as st

from fracture_core import importing
from fracture_core.errors import WorkbenchError
from fracture_core.ui.protection import inside_roots
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

DROPS = ("masks", "classes", "boxes", "unknown")


def offer_conversion(dataset: "Dataset") -> None:
    """A form; the work goes on where it stopped when it is sent again."""
    titles = _writable_titles()
    with st.form("convert", border=False):
        target, size, seed = st.columns(3)
        to = target.selectbox("To", list(titles), format_func=titles.__getitem__)
        side = size.number_input("Longer side, px", 0, 8192, 0, help="0 keeps the images' size.")
        number = seed.number_input("Seed of the splits", 0, value=0)
        folder = st.text_input("New folder", placeholder="/path/to/new/folder")
        shares = st.text_input(
            "Cut anew by patient, in %",
            placeholder="70,15,15",
            help="Train, val and test; empty keeps the splits there are.",
        )
        drop = st.multiselect(
            "May be left out",
            DROPS,
            help="What the target cannot hold is refused unless it is named here.",
        )
        if st.form_submit_button("Convert", icon=":material/swap_horiz:") and folder:
            _convert(dataset, folder, to, side, shares, number, drop)


def _writable_titles() -> dict[str, str]:
    with importing.LOCK:
        from fracture_core.datasets.formats import installed

    formats = installed().formats.values()
    return {each.name: each.title for each in formats if each.write is not None}


def _convert(
    dataset: "Dataset",
    folder: str,
    to: str,
    side: int,
    shares: str,
    seed: int,
    drop: list[str],
) -> None:
    with importing.LOCK:
        from fracture_core.conversion import Options, convert
        from fracture_core.datasets.layout import parse_shares

    bar = st.progress(0.0, "Converting; leave the page and it stops, send it again to go on.")
    told: list[str] = []

    def show(done: int, total: int) -> None:
        bar.progress(done / max(1, total))

    try:
        options = Options(
            to=to,
            size_px=side or None,
            shares=parse_shares(shares),
            seed=seed,
            drop=frozenset(drop),
        )
        made = convert(
            dataset.path,
            inside_roots(folder),
            options,
            tell=told.append,
            progress=show,
        )
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    finally:
        bar.empty()
    for sentence in told:
        st.caption(literal(sentence))
    st.success(f"{made.images:,} images in {literal(str(made.destination))}")
    for each in made.left_out[:5]:
        st.warning(literal(each.reason))
    if len(made.left_out) > 5:
        st.warning(f"{len(made.left_out):,} images left out in all; {made.card.name} lists them.")
