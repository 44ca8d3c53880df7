"""Statistics of a data set on its page: charts of its annotations and greys, and a mosaic of random
images with their ground truth.
"""

import io
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from fracture_core import importing
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.statistics import (
    box_table,
    brightness,
    drawn_ids,
    images_by_class,
    objects_by_image,
)
from fracture_core.errors import WorkbenchError
from fracture_core.ui.train.dataset_facts import stamp_of
from fracture_core.ui.widgets.ground_truth_images import gt_image
from fracture_core.ui.widgets.text import literal

# Plotly has no types.
_Figure = Any
_GREYS_OF = 200
_ACROSS = 4
_TILE_PX = 256
_GAP_PX = 4
_HEIGHT_PX = 320
_MOST_TICKS = 20
# More would make the page slow and the chart one blot.
_MOST_POINTS = 4_000


def show_statistics(dataset: RecordedDataset, path: str) -> None:
    """Charts of what is annotated, the greys of some images, and a mosaic of random ones."""
    left, right = st.columns(2, gap="large")
    with left:
        _draw(_class_chart(dataset), "images-by-class")
        _draw(_size_chart(dataset), "box-sizes")
    with right:
        _draw(_object_chart(dataset), "objects-by-image")
        _draw(_place_chart(dataset), "box-places")
    _show_greys(dataset, path)
    _show_mosaic(dataset, path)


def _draw(figure: _Figure, key: str) -> None:
    figure.update_layout(height=_HEIGHT_PX, margin={"l": 8, "r": 8, "t": 40, "b": 8})
    st.plotly_chart(figure, key=key)


def _figure(title: str, x: str, y: str, traces: list[Any], **layout: object) -> _Figure:
    figure = importing.load("plotly.graph_objects").Figure(traces)
    figure.update_layout(title=title, **layout)
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure


def _split_name(split: str) -> str:
    return split or "no split"


def _class_chart(dataset: RecordedDataset) -> _Figure:
    """Images in which a class has an object: an image with three of them counts once."""
    traces = [
        {
            "type": "bar",
            "name": _split_name(split),
            "x": list(dataset.classes),
            "y": [counts[name] for name in dataset.classes],
        }
        for split, counts in images_by_class(dataset).items()
    ]
    return _figure("Images with a class", "class", "images", traces, barmode="group")


def _object_chart(dataset: RecordedDataset) -> _Figure:
    found = objects_by_image(dataset)
    traces = [
        {
            "type": "bar",
            "name": _split_name(split),
            "x": list(range(max(counts) + 1)),
            "y": [counts[number] for number in range(max(counts) + 1)],
        }
        for split, counts in found.items()
    ]
    most = max((max(counts) for counts in found.values()), default=0)
    title = f"Objects an image, at most {most}"
    axes: dict[str, object] = {"yaxis": {"type": "log", "dtick": 1}}
    if most < _MOST_TICKS:
        axes["xaxis"] = {"dtick": 1}
    return _figure(title, "objects", "images", traces, barmode="group", **axes)


def _size_chart(dataset: RecordedDataset) -> _Figure:
    boxes = box_table(dataset)
    labels, sides = np.array(boxes.labels, dtype=np.int64), 100 * boxes.sides
    title = "Sizes of boxes, % of the image's sides"
    if len(labels) > _MOST_POINTS:
        some = np.random.default_rng(0).choice(len(labels), _MOST_POINTS, replace=False)
        labels, sides = labels[some], sides[some]
        title += f", {_MOST_POINTS:,} of {len(boxes.labels):,}"
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "marker": {"size": 4, "opacity": 0.5},
            "x": sides[labels == label, 0].round(2).tolist(),
            "y": sides[labels == label, 1].round(2).tolist(),
        }
        for label, name in enumerate(dataset.classes)
        if (labels == label).any()
    ]
    axes = {name: {"type": "log", "dtick": 1} for name in ("xaxis", "yaxis")}
    return _figure(title, "width, %", "height, %", traces, **axes)


def _place_chart(dataset: RecordedDataset) -> _Figure:
    """Centres of boxes by place, the image's upper left corner at the upper left."""
    x, y = box_table(dataset).centres.T
    edges = np.linspace(0, 1, 21)
    counts, _, _ = np.histogram2d(y, x, bins=(edges, edges))
    middles = (100 * (edges[1:] + edges[:-1]) / 2).round(1).tolist()
    heat = {
        "type": "heatmap",
        "x": middles,
        "y": middles,
        "z": counts.astype(int).tolist(),
        "colorscale": "Viridis",
        "colorbar": {"title": "boxes"},
    }
    title = "Places of boxes' centres"
    reversed_y: dict[str, object] = {"yaxis_autorange": "reversed"}
    return _figure(title, "from the left, %", "from the top, %", [heat], **reversed_y)


# ---- greys ---------------------------------------------------------------------------------------


def _show_greys(dataset: RecordedDataset, path: str) -> None:
    """Mean and spread of the greys of some images, which have to be opened for it."""
    label = f"Show the greys of {min(_GREYS_OF, len(dataset)):,} images"
    if not st.toggle(label, key="greys", help="They are drawn at random and opened."):
        return
    points = _greys(dataset, path, stamp_of(path))
    title = f"Greys as shown, {len(points):,} images"
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [mean for _, mean, _ in points],
        "y": [deviation for _, _, deviation in points],
        "text": [sample_id for sample_id, _, _ in points],
    }
    _draw(_figure(title, "mean, 0 to 255", "standard deviation", [trace]), "greys-chart")


@st.cache_data(max_entries=8, show_spinner="Opening images…")
def _greys(_dataset: RecordedDataset, path: str, stamp: int) -> list[tuple[str, float, float]]:
    ids = drawn_ids(_dataset.ids, _GREYS_OF, seed=0)
    found = brightness(_dataset, ids)
    return [(each.sample_id, round(each.mean, 1), round(each.deviation, 1)) for each in found]


# ---- mosaic --------------------------------------------------------------------------------------


def _show_mosaic(dataset: RecordedDataset, path: str) -> None:
    """Sixteen random images with their ground truth, others at a click."""
    st.subheader("Random images with their ground truth", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        splits = list(dataset.splits)
        split = st.segmented_control(
            "Split", splits, default=splits[0], required=True, key="mosaic-split"
        )
        only = st.toggle("Only with findings", value=True, key="mosaic-findings")
        seed = int(st.number_input("Seed", 0, 1_000_000, 0, key="mosaic-seed", width=140))
    ids = [each for each in dataset.splits[split] if not only or dataset.records[each].findings]
    chosen = drawn_ids(ids, _ACROSS * _ACROSS, seed)
    if not chosen:
        st.info("No image with findings in this split.")
        return
    sheet = _mosaic(dataset, f"{path}:{stamp_of(path)}", chosen)
    st.image(sheet, width="stretch", alt=f"{len(chosen)} random images")
    st.caption(literal(" · ".join(each.rpartition("/")[2] for each in chosen)))
    name = f"mosaic-{split or 'all'}-{seed}.png"
    st.download_button("Save as PNG", sheet, name, "image/png", icon=":material/download:")


@st.cache_data(max_entries=16, show_spinner="Drawing…")
def _mosaic(_dataset: RecordedDataset, key: str, ids: tuple[str, ...]) -> bytes:
    """A PNG of four tiles a row, each image as large as its tile allows."""
    step = _TILE_PX + _GAP_PX
    rows = -(-len(ids) // _ACROSS)
    sheet = Image.new("RGB", (_ACROSS * step - _GAP_PX, rows * step - _GAP_PX), (24, 24, 24))
    for place, sample_id in enumerate(ids):
        try:
            tile = Image.open(io.BytesIO(gt_image(_dataset, key, sample_id, _TILE_PX)))
        except WorkbenchError as error:
            st.warning(literal(str(error)), icon=":material/broken_image:")
            continue
        row, column = divmod(place, _ACROSS)
        left = column * step + (_TILE_PX - tile.width) // 2
        sheet.paste(tile, (left, row * step + (_TILE_PX - tile.height) // 2))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
