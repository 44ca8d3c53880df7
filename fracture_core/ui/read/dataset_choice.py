"""The path of a data set, the same on every page, and the data set behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core import importing
from fracture_core.errors import BadInput, WorkbenchError
from fracture_core.settings import settings
from fracture_core.ui.protection import inside_roots
from fracture_core.ui.read.scoping import KINDS
from fracture_core.ui.session import Slot
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

DEMO_COUNT = 60
_AGREED: Slot[str] = Slot("path_agreed", "")
"""The path that the reader, not only the address, wants opened."""
# Paths that opened since the server started: a link to one of them tells and does nothing new.
_KNOWN: set[str] = set()


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
        on_change=_agree_to_typed,
        help="A file or folder in one of the known formats: RSNA HDF5, COCO, YOLO, Pascal VOC …",
    )
    if not path:
        st.button("Make a demo data set", on_click=_make_demo_dataset, icon=":material/add:")
        return None
    if path not in (*_KNOWN, _AGREED.get()):
        _ask(path)
        return None
    try:
        dataset = opened_dataset(path)
        _ask_kind(dataset)
    except WorkbenchError as error:
        messages.error(literal(str(error)), icon=":material/folder_off:")
        return None
    return dataset


def _ask_kind(dataset: "Dataset") -> None:
    """What all its images are, where their files do not tell; kept for this data set."""
    with importing.LOCK:
        from fracture_core.datasets.recognition import told_of

    told = told_of(dataset.path).get("modality", "")
    if not told and _modality_of_first(dataset):
        return
    held = next((kind for kind, code in KINDS.items() if code == told), None)
    key = f"kind_of_images:{dataset.path}"
    st.session_state.setdefault(key, held)
    st.selectbox(
        "Kind of image",
        list(KINDS),
        index=None,
        placeholder="Not known",
        key=key,
        on_change=_keep_kind,
        args=(dataset.path, key),
        help="Of all images of this data set, as its files do not tell. What the models were made "
        "for is held against it. Kept.",
    )


def _modality_of_first(dataset: "Dataset") -> str:
    try:
        return dataset[next(iter(dataset))].attributes.get("modality", "")
    except (BadInput, StopIteration):
        return ""


def _keep_kind(path: Path, key: str) -> None:
    with importing.LOCK:
        from fracture_core.datasets.recognition import tell

    kind = st.session_state[key]
    tell(path, {"modality": KINDS[kind]} if kind else {})


def opened_dataset(path: str) -> "Dataset":
    """Opened once, and anew when it has changed on disk.

    Raises DatasetError, also where it lies outside the data roots.
    """
    place = inside_roots(path)
    try:
        stamp = _stamp(place)
    except OSError:
        # Why it cannot be opened is said by who opens it.
        stamp = 0
    dataset = _opened(path, stamp)
    _KNOWN.add(path)
    return dataset


def _stamp(place: Path) -> int:
    """Of the file or folder, of the tables of attributes that lie with it, and of what was told."""
    with importing.LOCK:
        from fracture_core.datasets.attributes import TABLES
        from fracture_core.datasets.recognition import told_file

    folders = (place, place.parent, place.parent.parent)
    paths = (place, told_file(), *(folder / name for folder in folders for name in TABLES))
    return sum(each.stat().st_mtime_ns for each in paths if each.exists())


def _ask(path: str) -> None:
    """A link must not make the server open whatever its writer likes."""
    st.info(f"The address names this data set: {literal(path)}", icon=":material/link:")
    st.button("Open it", on_click=_agree, args=(path,), icon=":material/folder_open:")


def _agree(path: str) -> None:
    _AGREED.set(path)


def _agree_to_typed() -> None:
    _agree(st.session_state.path)


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
    _agree(str(folder))
