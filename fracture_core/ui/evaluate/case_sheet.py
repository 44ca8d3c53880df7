"""Where a classifier looked: its critical errors and random cases, each with its maps, unasked."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fracture_core.drawing.samples import jpeg_bytes
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations import About, Listed
from fracture_core.evaluations.command import critical_pairs
from fracture_core.evaluations.error_ranking import CaseErrors, Pair
from fracture_core.heat_maps import SheetCase, draw_case, model_of, sheet_cases
from fracture_core.models.base import Model
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

MOST, RANDOM = 4, 4
"""How many errors and how many random cases are drawn."""
_Drawn = tuple[tuple[bytes, tuple[str, ...]], ...]


def show_sheet(
    listed: Listed, errors: CaseErrors, critical: tuple[Pair, ...], dataset: "Dataset | None"
) -> None:
    """Rows of image, class map and gate map; nothing for a detector, or without its images."""
    about = errors.evaluation.about
    if dataset is None or about.task != "classify":
        return
    pairs = critical or critical_pairs(errors.evaluation, ())
    cases = sheet_cases(errors, pairs, most=MOST, count=RANDOM)
    st.subheader("Where it looked", anchor=False)
    which = "Critical errors" if pairs else "The costliest errors"
    st.caption(f"{which}, then random cases. The maps are not checked: Read checks one on demand.")
    for case in cases:
        try:
            _show(_drawn(str(listed.folder), stamp_of(listed), case, about, dataset))
        except WorkbenchError as error:
            st.warning(literal(str(error)), icon=":material/broken_image:")
            return


@st.cache_resource(max_entries=1, show_spinner="Opening the model…")
def _model(folder: str, stamp: int, _about: About) -> Model:
    return model_of(Path(folder), _about)


@st.cache_data(max_entries=200, show_spinner="Drawing maps…")
def _drawn(folder: str, stamp: int, case: SheetCase, _about: About, _dataset: "Dataset") -> _Drawn:
    model = _model(folder, stamp, _about)
    row = draw_case(model, _dataset, case, 0.0)
    return tuple((jpeg_bytes(panel.image), panel.lines) for panel in row)


def _show(row: _Drawn) -> None:
    for column, (image, lines) in zip(st.columns(len(row)), row, strict=True):
        first, *others = lines
        column.markdown(f"**{literal(first)}**")
        column.image(image, width="stretch")
        column.caption(literal(" · ".join(others)))
