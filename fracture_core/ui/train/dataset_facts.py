"""What a data set holds: counts by split and class, and its images with their ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.selection import BOX_SIZES, SHOWN, Selection
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations.attributes import Attribute, attributes_of, grouping
from fracture_core.ui.widgets.choices import choose_images
from fracture_core.ui.widgets.ground_truth_images import gt_image
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

_A_PAGE = 12
_ACROSS = 4
_SIDE_PX = 360


def show_counts(dataset: RecordedDataset) -> None:
    """Two tables: images by split, boxes by class and split."""
    counts = dataset.summary()
    splits = {split: split or "no split" for split in counts}
    images = [
        {
            "Split": splits[split],
            "Images": each.images,
            "With findings": each.with_findings,
            "Without": each.empty,
            "Unknown": each.unknown,
        }
        for split, each in counts.items()
    ]
    boxes = [
        {"Class": name, **{splits[split]: counts[split].boxes.get(name, 0) for split in counts}}
        for name in dataset.classes
    ]
    by_split, by_class = st.columns(2, gap="large")
    by_split.dataframe(images, hide_index=True, width="stretch")
    by_class.dataframe(boxes, hide_index=True, width="stretch")


def show_attributes(dataset: RecordedDataset) -> None:
    """What is known of the images, and how many of each split there are of each kind."""
    known, sentences = grouping(_columns(dataset))
    if not known and not sentences:
        return
    names = ", ".join(each.name for each in known)
    splits = {
        split or "no split": np.isin(np.array(dataset.ids), ids)
        for split, ids in dataset.splits.items()
    }
    rows = [
        {"Attribute": each.name, "Value": group}
        | {split: int((each.of_group(group) & inside).sum()) for split, inside in splits.items()}
        for each in known
        for group in each.groups
    ]
    with st.expander(f"Attributes: {literal(names)}" if names else "Attributes"):
        if rows:
            st.dataframe(rows, hide_index=True, width="stretch")
        for sentence in sentences:
            st.caption(f":material/info: {literal(sentence)}")


def _columns(dataset: RecordedDataset) -> tuple[Attribute, ...]:
    """What is known of each image before it is opened, in the order of the ids."""
    return _told(dataset, str(dataset.path), dataset.found)


@st.cache_resource(max_entries=4, show_spinner=False)
def _told(_dataset: RecordedDataset, path: str, found: str) -> tuple[Attribute, ...]:
    # A table that has changed is told in other words, or of another number of images.
    told = _dataset.attributes
    return attributes_of([told[each] for each in _dataset.ids])


def show_gallery(dataset: RecordedDataset, path: str) -> None:
    """Images with their ground truth, a page at a time, each a link to Read."""
    splits = [split for split, ids in dataset.splits.items() if ids]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split = st.segmented_control("Split", splits, default=splits[0], required=True)
        found = _choose_selection(dataset).of(dataset, dataset.splits[split])
        found = choose_images(_columns(dataset), dataset.ids, found)
        pages = max(1, -(-len(found) // _A_PAGE))
        page = st.number_input(f"Page of {pages:,}", 1, pages, 1, width=140)
    if not found:
        st.info("No image of this kind in this split.")
        return
    if len(found) < len(dataset.splits[split]):
        st.caption(f"{len(found):,} of {len(dataset.splits[split]):,} images")
    columns = st.columns(_ACROSS)
    for place, sample_id in enumerate(found[(page - 1) * _A_PAGE : page * _A_PAGE]):
        with columns[place % _ACROSS]:
            _show_one(dataset, path, split, sample_id)


def _choose_selection(dataset: RecordedDataset) -> Selection:
    shown = st.segmented_control("Show", SHOWN, default="All", required=True)
    classes: list[str] = []
    if len(dataset.classes) > 1:
        names = list(dict.fromkeys(dataset.classes))
        classes = st.multiselect("With a box of", names, placeholder="any class", width=260)
    help_text = "The share of the image's area that the box covers."
    box_size = st.selectbox("Box", BOX_SIZES, width=140, help=help_text)
    name = st.text_input("Name contains", width=180)
    return Selection(shown=shown, classes=tuple(classes), box_size=box_size, name=name)


def _show_one(dataset: RecordedDataset, path: str, split: str, sample_id: str) -> None:
    try:
        image = gt_image(dataset, f"{path}:{stamp_of(path)}", sample_id, _SIDE_PX)
        ground_truth = dataset[sample_id].ground_truth
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/broken_image:")
        return
    st.image(image, width="stretch")
    found = "unknown" if ground_truth is None else _names(dataset, ground_truth.labels.tolist())
    link = read_link(dataset, path, split, sample_id)
    st.caption(f"[{literal(sample_id[-40:])}]({link}) · {literal(found)}")


def read_link(dataset: "Dataset", path: str, split: str, sample_id: str) -> str:
    """The address of a sample on the page Read; a slice opens its study."""
    case = sample_id.rpartition("/")[0] if dataset.stacked else sample_id
    named = {"source": "Data set", "path": path, "split": split, "sample": case}
    return f"/?{urlencode(named)}"


def _names(dataset: RecordedDataset, labels: list[int]) -> str:
    names = [dataset.classes[label] for label in dict.fromkeys(labels)]
    return ", ".join(names) or "nothing there"


def stamp_of(path: str) -> int:
    """Changes when the file or the top folder of a data set does."""
    return Path(path).expanduser().stat().st_mtime_ns
