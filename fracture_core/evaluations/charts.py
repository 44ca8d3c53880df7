"""The charts of a report: PNG and SVG, in colours that colour-blind people tell apart.

Each curve is drawn from all candidates; the operating points on it have their 95 % intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fracture_core import importing
from fracture_core.evaluations.class_curves import (
    ALL_CLASSES,
    ClassCurve,
    CurvesByOverlap,
    class_curves,
    curves_csv,
)
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.report import MetricValue, Report, Table
from fracture_core.evaluations.report_boxes import FROC, POINTS, rate_name
from fracture_core.files import replacing, write_text
from fracture_core.metrics import greedy
from fracture_core.metrics.calibration import Reliability, reliability
from fracture_core.metrics.classification import SHARES, Shares, shares_of
from fracture_core.metrics.detection_table import Float64s
from fracture_core.metrics.froc import RATES, froc
from fracture_core.metrics.rates import precision_recall, roc
from fracture_core.types import Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colours of Okabe and Ito; each goes with a shape of its own, for those who see no colours.
_CURVE = "#0072B2"
_MARKS = (("#D55E00", "o"), ("#009E73", "s"), ("#CC79A7", "^"), ("#E69F00", "D"), ("#000000", "v"))
_COLOURS = (_CURVE, *(colour for colour, _ in _MARKS[:-1]), "#56B4E9", "#F0E442")
_STYLES = ("-", "--", ":", "-.")
_GREY = "#767676"
_INCHES = (5.2, 4.4)
_DOTS_PER_INCH = 160
_MOST_CORNERS = 1_500
_MOST_CLASSES = 24
FORMATS = ("png", "svg")
_Draw = Callable[["Axes"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """What is drawn on each of some axes, two in a row, with one legend below them."""

    draws: tuple[_Draw, ...]
    legend: bool = False


def write_charts(evaluation: Evaluation, report: Report, folder: Path) -> list[Path]:
    """Draw the charts for the model's task, in every format, and return their paths.

    A curve of nothing, without a ground truth or without a negative, is left out. The points of the
    curves by class are written as curves.csv, too. Raises StorageError where a file cannot be
    written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    matched = evaluation.matched()
    drawn: dict[str, _Draw] = {}
    charts: dict[str, _Chart] = {}
    if report.about.task == "classify":
        if report.points:
            _add_images(drawn, matched, report)
    else:
        _add_lesions(drawn, matched, report)
        _add_images(drawn, matched, report)
        curves = class_curves(matched, report.config)
        if curves:
            write_text(folder / "curves.csv", curves_csv(curves))
        charts |= _class_charts(curves)
    for table in report.tables:
        if table.title == "Confusion" and len(table.columns) <= _MOST_CLASSES:
            for shares in SHARES:
                name = "confusion" if shares == "counts" else f"confusion-{shares}"
                drawn[name.replace(" ", "-")] = _confusion(table, shares)
    charts |= {name: _Chart(draws=(draw,)) for name, draw in drawn.items()}
    return [path for name, chart in charts.items() for path in _save(chart, folder / name)]


def _class_charts(curves: CurvesByOverlap) -> dict[str, _Chart]:
    """A chart of boxes and one of masks, where there are any: four axes with a line a class."""
    return {
        f"curves-{overlap}": _Chart(
            draws=tuple(_class_lines(some, at) for at in range(4)), legend=True
        )
        for overlap, some in curves.items()
        if len(some) <= _MOST_CLASSES
    }


def _class_lines(curves: Sequence[ClassCurve], at: int) -> _Draw:
    """The lines of every class at one place of `ClassCurve.lines`."""

    def draw(axes: "Axes") -> None:
        for n, curve in enumerate(curves):
            x_name, y_name, x, y = list(curve.lines())[at]
            style = _STYLES[n // len(_COLOURS)]
            width = 2.5 if curve.name == ALL_CLASSES else 1.2
            colour = _COLOURS[n % len(_COLOURS)]
            axes.plot(x, y, style, color=colour, linewidth=width, label=curve.title)
            axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel=x_name, ylabel=y_name)

    return draw


def _add_lesions(drawn: dict[str, _Draw], matched: Evaluation, report: Report) -> None:
    found, ground_truths = matched.found(report.nms_iou), matched.ground_truths
    if len(ground_truths) and len(found):
        counts = greedy.sweep(found, ground_truths, match_iou=report.match_iou)
        drawn["precision-recall"] = _precision_recall(
            counts.recall, counts.precision, report, "lesion", ("sensitivity", "precision")
        )
        curve = froc(found, ground_truths, match_iou=report.match_iou)
        drawn["froc"] = _froc(curve.fp_per_image, curve.sensitivity, report)
    if len(found):
        right = greedy.match_all(found, ground_truths, report.match_iou)
        drawn["reliability"] = _reliability(reliability(found.scores, right), "Findings", "right")


def _add_images(drawn: dict[str, _Draw], matched: Evaluation, report: Report) -> None:
    scores, positive = matched.image_scores, matched.positive
    if 0 < positive.sum() < len(positive):
        curve = roc(scores, positive)
        drawn["roc-images"] = _roc(curve.false_positive_rate, curve.sensitivity, curve.auc, report)
    if report.about.task == "classify":
        if positive.any():
            found = precision_recall(scores, positive)
            drawn["precision-recall"] = _precision_recall(
                found.recall, found.precision, report, "image", ("sensitivity", "PPV")
            )
        bins = reliability(scores, positive)
        drawn["reliability"] = _reliability(bins, "Images", "with something to find")


def _save(chart: _Chart, stem: Path) -> list[Path]:
    # Without pyplot, which opens windows and shares its state with other threads.
    with importing.LOCK:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    written = []
    # Text stays text in SVG, and the same metrics make the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": stem.name}):
        side = 1 if len(chart.draws) == 1 else 2
        image = Figure(figsize=(side * _INCHES[0], side * _INCHES[1]), layout="constrained")
        FigureCanvasAgg(image)
        for place, draw in enumerate(chart.draws, start=1):
            axes = image.add_subplot(side, side, place)
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes)
        if chart.legend:
            handles, names = image.axes[0].get_legend_handles_labels()
            image.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8)
        for form in FORMATS:
            path = stem.with_name(f"{stem.name}.{form}")
            facts = {"Date": None} if form == "svg" else None
            with replacing(path) as part:
                image.savefig(part, format=form, dpi=_DOTS_PER_INCH, metadata=facts)
            written.append(path)
    return written


def _precision_recall(
    recall: Float64s, precision: Float64s, report: Report, unit: Unit, names: tuple[str, str]
) -> _Draw:
    def draw(axes: "Axes") -> None:
        x, y = _thin(recall, precision)
        axes.plot(x, y, color=_CURVE, drawstyle="steps-pre")
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03))
        axes.set_xlabel(f"Sensitivity (recall), per {unit}")
        what = "findings" if unit == "lesion" else "images"
        axes.set_ylabel(f"Precision (PPV), of {what}")
        _mark_points(axes, report, unit, names[0], names[1])

    return draw


def _froc(fp_per_image: Float64s, sensitivity: Float64s, report: Report) -> _Draw:
    def draw(axes: "Axes") -> None:
        x, y = _thin(fp_per_image, sensitivity)
        axes.plot(np.maximum(x, 1e-3), y, color=_CURVE, drawstyle="steps-post")
        at = [report.metric(FROC, "sensitivity", "lesion", rate_name(rate)) for rate in RATES]
        _error_bars(axes, np.array(RATES), at)
        axes.set_xscale("log")
        axes.set(xlim=(min(RATES) / 2, max(RATES) * 2), ylim=(0, 1.03))
        axes.set_xticks(RATES, [f"{rate:g}" if rate >= 1 else f"1/{1 / rate:g}" for rate in RATES])
        axes.minorticks_off()
        axes.set_xlabel("False positives per image")
        axes.set_ylabel("Sensitivity, per lesion")

    return draw


def _roc(wrong: Float64s, sensitivity: Float64s, auc: float, report: Report) -> _Draw:
    def draw(axes: "Axes") -> None:
        axes.plot((0, 1), (0, 1), color=_GREY, linestyle=":", linewidth=1)
        x, y = _thin(wrong, sensitivity)
        axes.plot(x, y, color=_CURVE, label=f"AUC {auc:.3f}")
        axes.set(xlim=(-0.01, 1.03), ylim=(-0.01, 1.03))
        axes.set_xlabel("1 − specificity, per image")
        axes.set_ylabel("Sensitivity, per image")
        _mark_points(axes, report, "image", "specificity", "sensitivity", falling=True)

    return draw


def _reliability(bins: Reliability, what: str, right: str) -> _Draw:
    def draw(axes: "Axes") -> None:
        there = bins.totals > 0
        x, y = bins.mean_score[there], bins.share[there]
        low, high = (bins.intervals[there, k] for k in (0, 1))
        axes.plot((0, 1), (0, 1), color=_GREY, linestyle=":", linewidth=1)
        axes.errorbar(
            x, y, yerr=_lengths(y, low, high), color=_CURVE, marker="o", capsize=3, linewidth=1
        )
        for place, share, count in zip(x, y, bins.totals[there], strict=True):
            # The number stands clear of the axis and of the error bar.
            offset = (0, 7) if share < 0.1 else (5, -11)
            axes.annotate(f"{count:,}", (place, share), offset, textcoords="offset points", size=7)
        axes.set(xlim=(0, 1.03), ylim=(-0.01, 1.03))
        axes.set_xlabel("Mean score of the bin (numbers: how many)")
        axes.set_ylabel(f"{what} {right}, share")

    return draw


def _confusion(table: Table, shares: Shares) -> _Draw:
    """Counts or shares as numbers; the shade is the share of the row, or of the column."""
    shade_of: Shares = "by column" if shares == "by column" else "by row"

    def draw(axes: "Axes") -> None:
        counts = np.array(table.counts, dtype=np.int64)
        shades, numbers = shares_of(counts, shade_of), shares_of(counts, shares)
        axes.imshow(np.nan_to_num(shades), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), number in np.ndenumerate(numbers):
            colour = "white" if shades[row, column] > 0.5 else "black"
            text = f"{number:,.0f}" if shares == "counts" else f"{number:.2f}".replace("nan", "–")
            axes.text(column, row, text, ha="center", va="center", color=colour, size=8)
        axes.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right")
        axes.set_yticks(range(len(table.rows)), table.rows)
        axes.set_xlabel(f"Found as, {'images' if table.unit == 'image' else 'findings'}")
        of = shade_of.removeprefix("by ")
        axes.set_ylabel(f"True class, per {table.unit} (shade: share of {of})")

    return draw


def _mark_points(
    axes: "Axes", report: Report, unit: Unit, of_x: str, of_y: str, *, falling: bool = False
) -> None:
    """Draw the operating points with both intervals; `falling`: the axis shows 1 − x."""
    met = [point for point in report.points if point.confidence is not None]
    for point, (colour, shape) in zip(met, _MARKS, strict=False):
        x = report.metric(POINTS, of_x, unit, point.rule)
        y = report.metric(POINTS, of_y, unit, point.rule)
        if not (x.is_defined and y.is_defined):
            continue
        place, low, high = x.value, x.low, x.high
        if falling:
            place, low, high = 1 - x.value, 1 - x.high, 1 - x.low
        axes.errorbar(
            [place],
            [y.value],
            xerr=_lengths(np.array([place]), np.array([low]), np.array([high])),
            yerr=_lengths(np.array([y.value]), np.array([y.low]), np.array([y.high])),
            color=colour,
            marker=shape,
            capsize=3,
            linestyle="none",
            label=f"{point.rule}: confidence ≥ {point.confidence:.2f}",
        )
    if met:
        axes.legend(frameon=False, fontsize=8)


def _error_bars(axes: "Axes", x: Float64s, metrics: Sequence[MetricValue]) -> None:
    y, low, high = (
        np.array([getattr(each, name) for each in metrics]) for name in ("value", "low", "high")
    )
    bars = _lengths(y, low, high)
    axes.errorbar(x, y, yerr=bars, color=_MARKS[0][0], marker="o", capsize=3, linestyle="none")


def _lengths(value: Float64s, low: Float64s, high: Float64s) -> Float64s:
    """(2, N) the lengths of error bars below and above, 0 where there is no interval."""
    return np.nan_to_num(np.maximum(np.stack([value - low, high - value]), 0))


def _thin(x: Float64s, y: Float64s) -> tuple[Float64s, Float64s]:
    """No more corners than anybody can see: even steps along the curve, dense at its beginning."""
    count = len(x)
    if count <= _MOST_CORNERS:
        return x, y
    along = np.abs(np.diff(y, prepend=y[0])).cumsum()
    even = np.searchsorted(along, np.linspace(0, along[-1], _MOST_CORNERS // 2))
    early = np.geomspace(1, count, _MOST_CORNERS // 2).astype(np.int64) - 1
    kept = np.unique(np.concatenate([np.minimum(even, count - 1), early, [count - 1]]))
    return x[kept], y[kept]
