"""Where a case comes from: the demo, an upload, or a data set.

Readers of files are imported on first use, so that the first page need not wait for them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from fracture_core import importing
from fracture_core.demo.case import demo_case
from fracture_core.demo.classes import CLASSES
from fracture_core.errors import WorkbenchError
from fracture_core.ui.read.dataset_choice import choose_dataset
from fracture_core.ui.read.predicting import DEMO_KEY
from fracture_core.ui.read.scoping import ask_reader
from fracture_core.ui.session import CASE, CASE_LIST, STEPPED, UPLOAD, UPLOAD_IDS, forget_unless_in
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset
    from fracture_core.imaging.opening import Opened

SOURCES = ("Demo", "Upload", "Data set")


def choose_case(messages: DeltaGenerator) -> Case:
    """Let the reader choose; what was open stays open until another case is.

    What could not be read is said in `messages`; what nothing tells of the case, the reader can.
    """
    CASE_LIST.set(("", ()))
    source = st.segmented_control(
        "Case from",
        SOURCES,
        default="Demo",
        required=True,
        key="source",
        bind="query-params",
        width="stretch",
    )
    if source == "Upload":
        chosen = _upload(messages)
    elif source == "Data set":
        chosen = _from_dataset(messages)
    else:
        chosen = _demo()
    held = CASE.get() or _demo()
    # An equal case is kept as it is: the browser has its pixels already.
    if chosen is not None and _facts(chosen) != _facts(held):
        held = chosen
    CASE.set(held)
    return ask_reader(held)


def _facts(case: Case) -> tuple[str, dict[str, str]]:
    return case.key, case.attributes


def step(by: int) -> None:
    """Go `by` cases further in the list the reader chose from; a callback."""
    key, titles = CASE_LIST.get()
    if titles:
        place = titles.index(st.session_state[key]) + by
        st.session_state[key] = titles[min(max(place, 0), len(titles) - 1)]
        STEPPED.set(True)


@st.cache_resource(show_spinner="Making the demo case…")
def _demo_case() -> Case:
    sample = demo_case()
    return Case(key=DEMO_KEY, title="Demo case", samples=(sample,), classes=CLASSES)


def _demo() -> Case:
    return _demo_case()


def _upload(messages: DeltaGenerator) -> Case | None:
    files = st.file_uploader(
        "Images or DICOM",
        accept_multiple_files=True,
        key="files",
        on_change=_forget_upload,
        help="PNG, JPEG, TIFF or DICOM, one or many; the slices of a series become one stack. "
        "DICOM is de-identified on import. Nothing leaves this machine.",
    )
    # Another page has an uploader of its own, empty at first: what was read stays.
    opened = _opened_upload(files) if files else UPLOAD.get()
    if opened is None:
        return None
    for error in opened.errors:
        messages.error(literal(str(error)), icon=":material/broken_image:")
    if not opened.images:
        return None
    images = dict(zip(_unique([p.name for p in opened.images]), opened.images, strict=True))
    return Case.of_image(images[_choose_title("Image", list(images), key="picture")])


def _forget_upload() -> None:
    UPLOAD.set(None)
    UPLOAD_IDS.set(None)


def _opened_upload(files: Sequence[UploadedFile]) -> "Opened":
    """The files of this session read once, however often the page runs."""
    with importing.LOCK:
        from fracture_core.imaging.opening import open_images

    ids = tuple(file.file_id for file in files)
    opened = UPLOAD.get()
    if opened is None or UPLOAD_IDS.get() != ids:
        with st.spinner("Reading…"):
            opened = open_images([(f.name, f.getvalue()) for f in files])
        UPLOAD.set(opened)
        UPLOAD_IDS.set(ids)
    return opened


def _unique(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that occur again."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _from_dataset(messages: DeltaGenerator) -> Case | None:
    dataset = choose_dataset(messages)
    if dataset is None:
        return None
    st.caption(literal(dataset.found))
    show_warnings(dataset.warnings, messages)
    return _choose_sample(dataset, messages)


def show_warnings(warnings: Sequence[str], messages: DeltaGenerator) -> None:
    """Sentences folded away behind their number."""
    if warnings:
        with messages.expander(f"Warnings: {len(warnings)}", icon=":material/warning:"):
            for warning in warnings:
                st.caption(literal(warning))


def _choose_sample(dataset: "Dataset", messages: DeltaGenerator) -> Case | None:
    splits = [split for split, ids in dataset.splits.items() if ids]
    split = st.segmented_control(
        "Split", splits, default=splits[0], required=True, key="split", bind="query-params"
    )
    cases = _cases(dataset, split)
    title = _choose_title("Case", list(cases), key="sample", bound=True)
    try:
        return Case.of_dataset(dataset, cases[title], title)
    except WorkbenchError as error:
        messages.error(literal(str(error)), icon=":material/broken_image:")
        return None


def _cases(dataset: "Dataset", split: str) -> dict[str, list[str]]:
    """What a reader calls a case → its sample ids: an image, or all slices of a CT study."""
    ids = dataset.splits[split]
    if not dataset.stacked:
        return {sample_id: [sample_id] for sample_id in ids}
    studies: dict[str, list[str]] = {}
    for sample_id in ids:
        studies.setdefault(sample_id.rpartition("/")[0], []).append(sample_id)
    return studies


def _choose_title(label: str, titles: list[str], *, key: str, bound: bool = False) -> str:
    """A list to choose from, which the viewer's keys for next and previous move as well."""
    forget_unless_in(key, titles)
    CASE_LIST.set((key, tuple(titles)))
    return st.selectbox(
        f"{label} ({len(titles):,})",
        titles,
        key=key,
        bind="query-params" if bound else None,
        persist_state="session",
        help="N and P over the image go to the next and the previous one.",
    )
