"""Curves of runs that grow without losing the reader's zoom."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fracture_core.ui.routes import module_path, plotly_path
from fracture_core.ui.widgets.component import component

_FOLDER = Path(__file__).parent / "curves"
# Without a shadow root: plotly puts its styles into the document.
_MOUNT = component("curves", _FOLDER / "curves.css", isolate_styles=False)
Dash = Literal["solid", "dot", "dash", "dashdot"]
COLOURS = 7
"""Curves have so many colours; then they begin anew."""
Legends = Literal["below", "above", "each"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points (x, y) of one run; curves of one `run` number share a colour · `mark`: single points
    beside the curves, such as where a dial is.
    """

    name: str
    run: int
    x: Sequence[float]
    y: Sequence[float]
    dash: Dash = "solid"
    mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerticalLine:
    """A place on the lower axis that matters, such as the best epoch of a run, in its colour."""

    x: float
    run: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Curves over one pair of axes; `x` names the lower one · ranges None = as far as they go."""

    title: str
    x: str
    curves: Sequence[Curve]
    lines: Sequence[VerticalLine] = ()
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def curve_chart(
    panels: Sequence[Panel], *, key: str, name: str = "curves", legends: Legends = "below"
) -> None:
    """Draw, or go on with the chart of this key: its zoom stays. `name` is that of saved files.

    The curves are named once, below or above all panels, or above each panel.
    """
    # In a list, because Streamlit imports pandas to look for tables in a mapping.
    _MOUNT(
        key=key,
        data=[
            {
                "module": module_path("curves", "curves.js"),
                "plotly": plotly_path(),
                "panels": [asdict(each) for each in panels],
                "name": name,
                "legends": legends,
            }
        ],
    )
