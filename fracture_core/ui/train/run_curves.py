"""The curves of runs on Jobs: losses, metrics and learning rates, by their metrics logs.

Everything that an epoch was logged with is drawn, also what a family of another package logs under
names of its own. Logs of before have fewer numbers, and those of YOLO call metrics of validation by
plain names.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from fracture_core.csv_text import csv_bytes
from fracture_core.runs import RunFolder
from fracture_core.ui.widgets.curve_chart import Curve, Dash, Panel, VerticalLine, curve_chart

# ---- what a run has logged ----------------------------------------------------------------------

Line = dict[str, object]
# Where a line stands and what it took; all else is drawn.
_PLACE = frozenset(
    {"kind", "time", "phase", "epoch", "of", "step", "steps", "best"}
    | {"seconds", "validation_seconds", "pictures_per_second"}
)
_VALID = "val_"
# What YOLO's runs of before have without "val_".
_VALIDATED = frozenset({"ap", "ap50", "mask_ap", "mask_ap50"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """What a run has logged: its epochs, in order, and the steps before the first one ended.

    `monitors` are the metrics that tell which epoch is best, one a phase.
    """

    name: str
    monitors: tuple[str, ...]
    epochs: tuple[Line, ...]
    steps: tuple[Line, ...]

    @property
    def places(self) -> list[int]:
        """The number of each epoch; those of a second phase are counted on from the first."""
        first = 0 if self.epochs and self.epochs[0].get("epoch") == 0 else 1
        return list(range(first, first + len(self.epochs)))

    @property
    def best(self) -> int | None:
        """The number of the epoch whose weights are kept; None while there is none."""
        pairs = zip(self.places, self.epochs, strict=True)
        return max((place for place, line in pairs if line.get("best") is True), default=None)

    @property
    def names(self) -> list[str]:
        """The names of what is logged, in order, without "val_"."""
        lines = (*self.epochs, *self.steps[:1])
        found = (name.removeprefix(_VALID) for line in lines for name in line)
        return list(dict.fromkeys(name for name in found if name not in _PLACE))

    def points(self, name: str, until: int | None) -> tuple[list[float], list[float]]:
        """Where something was logged and what: by epochs, up to `until` or all, or else by steps.

        A step stands at the share of the first epoch that was done.
        """
        pairs = list(zip(self.places, self.epochs, strict=True))
        shown = [(place, line) for place, line in pairs if until is None or place <= until]
        found = [(float(place), _number(line.get(name))) for place, line in shown]
        found += [(_share(line), _number(line.get(name))) for line in self.steps]
        known = [(x, y) for x, y in found if y is not None]
        return [x for x, _ in known], [y for _, y in known]


def read_logged(run: RunFolder) -> LoggedRun:
    """What a run has logged so far; its file is read again only when it has changed."""
    try:
        stamp = run.metrics.stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _read(str(run.path), stamp)


@st.cache_data(max_entries=64, show_spinner=False)
def _read(path: str, stamp: int) -> LoggedRun:
    run = RunFolder(path=Path(path))
    lines = [_with_plain_names(line) for line in run.read_metrics()]
    epochs = tuple(line for line in lines if line.get("kind") == "epoch")
    has_trained = any(line.get("epoch") != 0 for line in epochs)
    steps = () if has_trained else tuple(line for line in lines if line.get("kind") == "step")
    return LoggedRun(name=run.name, monitors=_monitors(run), epochs=epochs, steps=steps)


def _with_plain_names(line: Line) -> Line:
    return {f"{_VALID}{name}" if name in _VALIDATED else name: line[name] for name in line}


def _monitors(run: RunFolder) -> tuple[str, ...]:
    """The watched metrics, by the file alone: one that cannot be used any more still tells them."""
    try:
        config = json.loads(run.config.read_bytes())
        phases = (config, config.get("second_phase") or {})
        named = [phase.get("monitor") for phase in phases]
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str)))


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _share(step: Line) -> float:
    done, of = (_number(step.get(name)) or 0.0 for name in ("step", "steps"))
    return done / max(1.0, of)


# ---- panels -------------------------------------------------------------------------------------

# Metrics that share a panel while a single run is shown.
_GROUPS: dict[str, tuple[str, ...]] = {
    "Precision, recall, F1": ("precision", "recall", "f1"),
    "AP": ("ap50", "ap", "ap75", "ar100"),
    "Precision, recall, F1 of masks": ("mask_precision", "mask_recall", "mask_f1"),
    "AP of masks": ("mask_ap50", "mask_ap"),
    "Any-hit precision, recall, F1": ("any_hit_precision", "any_hit_recall", "any_hit_f1"),
    "Images and boxes": ("image_accuracy", "found_boxes"),
    "Accuracy": ("accuracy", "balanced_accuracy"),
    "F1 over the classes": ("macro_f1", "weighted_f1"),
}
_METRICS = tuple(name for members in _GROUPS.values() for name in members)
_RATES = "Learning rate"
_WORDS = {
    "ap": "AP50-95",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar100": "AR, 100 boxes",
    "mask_ap": "Mask AP50-95",
    "mask_ap50": "Mask AP50",
    "f1": "F1",
    "mask_f1": "Mask F1",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "any_hit_f1": "Any-hit F1",
    "any_hit_precision": "Any-hit precision",
    "any_hit_recall": "Any-hit recall",
    "found_boxes": "Boxes found",
    "l1": "L1 loss",
    "giou": "GIoU loss",
    "dfl": "DFL loss",
    "cross_entropy": "Cross-entropy",
    "proposal_box": "Box loss of proposals",
    "focal": "Focal term",
    "loss": "Loss",
    "lr": "All others",
    "lr_bn": "Norms",
    "lr_weight": "Weights",
    "lr_bias": "Biases",
}


def panels_of(runs: Sequence[LoggedRun], *, cut: bool = False) -> list[Panel]:
    """The panels of what runs have logged: loss, watched metric, losses by part, metrics, rates.

    A single run has metrics of a kind in one panel; of several each metric has its own. With `cut`
    the curves of a run end at its best epoch.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.names))
    rates = [name for name in names if name == "lr" or name.startswith("lr_")]
    parts = [name for name in names if name not in {"loss", *_METRICS, *rates}]
    watched = dict.fromkeys(each for run in runs for each in run.monitors if each in names)
    shown: dict[str, tuple[str, ...]] = {word("loss"): ("loss",)}
    shown |= {word(name): (name,) for name in watched}
    shown |= {_loss_of(name): (name,) for name in parts if name not in watched}
    for title, members in _GROUPS.items():
        there = tuple(name for name in members if name in names)
        if len(runs) == 1 and there:
            shown[title if len(there) > 1 else word(there[0])] = there
        else:
            shown |= {word(name): (name,) for name in there}
    if len(runs) == 1 and rates:
        shown[_RATES] = tuple(rates)
    else:
        shown |= {f"{_RATES}, {word(name)}": (name,) for name in rates}
    made = (_panel(title, of, runs, cut=cut) for title, of in shown.items())
    return [panel for panel in made if _says_something(panel)]


def _says_something(panel: Panel) -> bool:
    """Not so of a part of the loss that the network lacks, for which Ultralytics logs zeros."""
    has_values = any(value for curve in panel.curves for value in curve.y)
    return has_values or not panel.title.endswith(" loss")


def word(name: str) -> str:
    """What a loss, metric or rate is called on the page."""
    if name in _WORDS:
        return _WORDS[name]
    return name.removeprefix("lr_").replace("_", " ").capitalize()


def _loss_of(part: str) -> str:
    return word(part) if part in _WORDS else f"{word(part)} loss"


def _panel(title: str, names: Sequence[str], runs: Sequence[LoggedRun], *, cut: bool) -> Panel:
    """The curves of some names, of one run in colours of theirs; a single name is the panel's."""
    curves: list[Curve] = []
    lines: list[VerticalLine] = []
    for place, run in enumerate(runs):
        until = run.best if cut else None
        whose = run.name if len(runs) > 1 else ""
        found: list[Curve] = []
        for member, name in enumerate(names):
            if len(names) > 1:
                found += _curves(run, name, until, whose=whose, what=word(name), colour=member)
            else:
                found += _curves(run, name, until, whose=whose, what="", colour=place)
        if found and run.best is not None:
            lines.append(VerticalLine(x=run.best, run=place, label="best"))
        curves += found
    return Panel(title=title, x="epoch", curves=curves, lines=lines)


def _curves(
    run: LoggedRun, name: str, until: int | None, *, whose: str, what: str, colour: int
) -> Iterator[Curve]:
    """The curves of training and validation, as far as there are both.

    The second is dotted beside the first, and where one legend stands for the panels of many runs.
    """
    trained, validated = run.points(name, until), run.points(f"{_VALID}{name}", until)
    has_both = bool(trained[0]) and bool(validated[0])
    for split, (x, y) in (("training", trained), ("validation", validated)):
        if x:
            when = split if has_both or not what else ""
            label = ", ".join(part for part in (whose, what, when) if part)
            is_dotted = split == "validation" and (has_both or bool(whose))
            dash: Dash = "dot" if is_dotted else "solid"
            yield Curve(name=label, run=colour, x=x, y=y, dash=dash)


# ---- on the page --------------------------------------------------------------------------------


def show_curves(runs: Sequence[RunFolder]) -> None:
    """The curves of one run or of several over each other, the best epoch marked."""
    logged = [read_logged(run) for run in runs]
    name = logged[0].name
    with st.container(horizontal=True, vertical_alignment="center"):
        cut = st.toggle(
            "Cut at the best epoch",
            key="curves-cut",
            disabled=all(run.best is None for run in logged),
            help="The weights of the best epoch are kept; a line marks it.",
        )
        st.download_button(
            "Save as CSV",
            lambda: as_csv(logged),
            file_name=f"{name}-curves.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="curves-csv",
        )
    curve_chart(
        panels_of(logged, cut=cut),
        key="curves",
        name=f"{name}-curves",
        legends="each" if len(logged) == 1 else "above",
    )


def as_csv(runs: Sequence[LoggedRun]) -> bytes:
    """A row an epoch of each run, a column a number, by their names in the metrics log."""
    names = dict.fromkeys(
        name for run in runs for line in run.epochs for name in line if name not in {"kind", "best"}
    )
    rows = [
        [run.name, place, place == run.best, *(line.get(name) for name in names)]
        for run in runs
        for place, line in zip(run.places, run.epochs, strict=True)
    ]
    return csv_bytes(["run", "number", "best", *names], rows)
