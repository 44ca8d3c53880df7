"""The path of a data set, the same on every page, and the data set behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core import importing
from fracture_core.errors import WorkbenchError
from fracture_core.settings import settings
from fracture_core.ui.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

DEMO_COUNT = 60


def choose_dataset(messages: DeltaGenerator, *, bound: bool = True) -> "Dataset | None":
    """Let the reader name one; why it cannot be opened is said in `messages`.

    `bound`: the address of the page follows, and Streamlit cannot lead to another page by itself.
    """
    path = st.text_input(
        "Folder or file",
        key="path",
        bind="query-params" if bound else None,
        persist_state="session",
        placeholder="/path/to/data",
        help="An RSNA HDF5 file, a COCO JSON with its pictures, or a YOLO folder.",
    )
    if not path:
        st.button("Make a demo data set", on_click=_make_demo_dataset, icon=":material/add:")
        return None
    try:
        return opened_dataset(path)
    except WorkbenchError as error:
        messages.error(literal(str(error)), icon=":material/folder_off:")
        return None


def opened_dataset(path: str) -> "Dataset":
    """Opened once, and anew when it has changed on disk; raises DatasetError."""
    return _opened(path, _stamp(Path(path).expanduser()))


def _stamp(place: Path) -> int:
    """Of the file or folder, and of the tables of attributes that lie with it."""
    from fracture_core.datasets.attributes import TABLES

    folders = (place, place.parent, place.parent.parent)
    paths = (place, *(folder / name for folder in folders for name in TABLES))
    return sum(each.stat().st_mtime_ns for each in paths if each.exists())


@st.cache_resource(max_entries=4, show_spinner="Opening the data set…")
def _opened(path: str, stamp: int) -> "Dataset":
    with importing.LOCK:
        from fracture_core.datasets import open_dataset

    # The stamp is part of the key: a data set changed on disk is opened anew.
    return open_dataset(Path(path).expanduser())


def _make_demo_dataset() -> None:
    with importing.LOCK:
        from fracture_core.demo.layouts import write_demo

    folder = settings().home / "demo" / "coco"
    if not folder.exists():
        with st.spinner("Making the demo data set…"):
            write_demo(folder, count=DEMO_COUNT, seed=0, format="coco")
    st.session_state.path = str(folder)
