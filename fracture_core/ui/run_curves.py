"""The curves of runs, from what they have told so far."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from fracture_core.runs import RunFolder
from fracture_core.ui.curve_chart import Curve, Dash, Panel

_HIGHER = ("ap50", "mask_ap50", "f1", "any_hit_f1", "balanced_accuracy", "weighted_f1")
_MOST_PANELS = 4
Line = dict[str, object]


def panels_of(runs: Sequence[RunFolder]) -> list[Panel]:
    """The loss of each step and epoch, and the figures of validation, of several runs overlaid."""
    of_runs = [(place, run.name, _epochs(run)) for place, run in enumerate(runs)]
    loss = []
    for place, name, epochs in of_runs:
        loss += [
            _curve(f"{name}, training", place, epochs, "loss", "solid"),
            _curve(f"{name}, validation", place, epochs, "val_loss", "dot"),
        ]
    loss += [_steps(run, place) for place, run in enumerate(runs) if not _epochs(run)]
    panels = [Panel(title="loss", x="epoch", curves=[each for each in loss if each.x])]
    for figure in _HIGHER:
        curves = [
            _curve(f"{name}, validation", place, epochs, f"val_{figure}", "dot")
            for place, name, epochs in of_runs
        ]
        if curves := [each for each in curves if each.x]:
            panels.append(Panel(title=figure, x="epoch", curves=curves))
    return panels[:_MOST_PANELS]


def _epochs(run: RunFolder) -> list[Line]:
    return [each for each in _lines_of(run) if each.get("kind") == "epoch"]


def _curve(name: str, place: int, epochs: Sequence[Line], figure: str, dash: Dash) -> Curve:
    """Epochs of a second phase are counted on."""
    points = [
        (count + 1, _number(each, figure)) for count, each in enumerate(epochs) if figure in each
    ]
    return Curve(
        name=name,
        run=place,
        x=[x for x, _ in points],
        y=[y for _, y in points],
        dash=dash,
    )


def _steps(run: RunFolder, place: int) -> Curve:
    """Before the first epoch ends there are only steps."""
    steps = [each for each in _lines_of(run) if each.get("kind") == "step" and "loss" in each]
    return Curve(
        name=f"{run.name}, training",
        run=place,
        x=[_number(each, "step") / max(1.0, _number(each, "steps")) for each in steps],
        y=[_number(each, "loss") for each in steps],
    )


def _lines_of(run: RunFolder) -> list[Line]:
    """All lines, read again only when the file has changed."""
    try:
        stamp = run.metrics.stat().st_mtime_ns
    except OSError:
        return []
    return _lines(str(run.path), stamp)


@st.cache_data(max_entries=64, show_spinner=False)
def _lines(path: str, stamp: int) -> list[Line]:
    return RunFolder(path=Path(path)).read_metrics()


def _number(line: Line, name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
