"""Several models over a data set in numbers: who they are, their curves over one another with the
threshold of each, every metric, and how they differ.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from math import isnan

import numpy as np
import streamlit as st

from fracture_core.csv_text import csv_bytes
from fracture_core.evaluations.comparison import (
    FEW_RESAMPLES,
    MANY_CANDIDATES,
    MOST_FP,
    RESAMPLES,
    Line,
    Overlay,
    froc_overlay,
    image_tests,
    lines,
    pr_overlay,
    roc_overlay,
    test_count,
)
from fracture_core.evaluations.matched_models import MatchedModel, Threshold
from fracture_core.evaluations.report import UNDEFINED, measured_text
from fracture_core.evaluations.timing import timing
from fracture_core.metrics.bootstrap import Interval
from fracture_core.metrics.paired import Difference, McNemar
from fracture_core.models.library import read_library, weights_bytes
from fracture_core.operating_points import Curve as Counted
from fracture_core.operating_points import measure
from fracture_core.types import STAGE_NAMES, Unit
from fracture_core.ui.compare.set_comparison import ComparedModel, drawn_at, drawn_of_all
from fracture_core.ui.widgets.curve_chart import Curve, Panel, curve_chart
from fracture_core.ui.widgets.tables import show_table
from fracture_core.ui.widgets.text import literal

_SHARE = (0.0, 1.02)


def show_curves(
    models: Sequence[ComparedModel], thresholds: Sequence[Threshold], unit: Unit, name: str
) -> None:
    """PR and FROC of lesions where all find boxes; PR and ROC of images where one does not."""
    panels = [
        Panel(
            title=f"precision per {unit}",
            x=f"sensitivity per {unit}",
            curves=_curves(models, thresholds, lambda one: pr_overlay(one, unit), _pr_point(unit)),
            x_range=_SHARE,
            y_range=_SHARE,
        )
    ]
    if unit == "lesion":
        panels.append(_froc(models, thresholds))
    else:
        panels.append(
            Panel(
                title="sensitivity per image",
                x="1 − specificity per image",
                curves=_curves(models, thresholds, roc_overlay, _roc_point),
                x_range=_SHARE,
                y_range=_SHARE,
            )
        )
    curve_chart(panels, key="set-curves", name=f"{name}-curves")


def _froc(models: Sequence[ComparedModel], thresholds: Sequence[Threshold]) -> Panel:
    curves = _curves(models, thresholds, froc_overlay, _froc_point)
    reach = max((max(each.x, default=0.0) for each in curves), default=0.0)
    return Panel(
        title="sensitivity per lesion",
        x="false positives per image",
        curves=curves,
        x_range=(0.0, min(MOST_FP, 1.05 * reach) or 1.0),
        y_range=_SHARE,
    )


Point = Callable[[MatchedModel, float], tuple[float, float] | None]


def _curves(
    models: Sequence[ComparedModel],
    thresholds: Sequence[Threshold],
    draw: Callable[[MatchedModel], Overlay],
    point: Point,
) -> list[Curve]:
    curves = []
    for n, (each, threshold) in enumerate(zip(models, thresholds, strict=True)):
        line = draw(each.matched)
        if not len(line.x):
            continue
        curves.append(Curve(name=each.title, run=n, x=line.x.tolist(), y=line.y.tolist()))
        at = None if threshold.confidence is None else point(each.matched, threshold.confidence)
        if at is not None and not np.isnan(at).any():
            curves.append(Curve(name=f"{each.title}, here", run=n, x=[at[0]], y=[at[1]], mark=True))
    return curves


def _pr_point(unit: Unit) -> Point:
    def at(one: MatchedModel, confidence: float) -> tuple[float, float] | None:
        curve = one.curve(unit)
        if curve is None:
            return None
        found = measure(curve, confidence)
        return found.sensitivity.share, found.precision.share

    return at


def _froc_point(one: MatchedModel, confidence: float) -> tuple[float, float] | None:
    if one.lesions is None:
        return None
    found = measure(one.lesions, confidence)
    return found.fp_per_image, found.sensitivity.share


def _roc_point(one: MatchedModel, confidence: float) -> tuple[float, float]:
    curve: Counted = one.images
    found = measure(curve, confidence)
    return 1 - found.specificity.share, found.sensitivity.share


_LEVEL = 0.05
_TIME, _SIZE, _MS = "Median time, ms/image", "Size, MB", "%.3g"
_STAGES = tuple(f"{name}, ms" for name in STAGE_NAMES)


def show_models(models: Sequence[ComparedModel], thresholds: Sequence[Threshold]) -> None:
    """Who they are, where the dial puts each, and what it costs to run them."""
    sizes = {
        card.model_id: weights_bytes(card) for card in read_library().cards if card.family != "fake"
    }
    rows = []
    for each, threshold in zip(models, thresholds, strict=True):
        evaluation = each.matched.evaluation
        about, time = evaluation.about, timing(evaluation, np.median)
        size = sizes.get(about.model_id)
        rows.append(
            {
                "Model": each.title,
                "Family": about.family,
                "Confidence": threshold.confidence,
                _TIME: time.total_ms,
                **dict(zip_longest(_STAGES, time.stages_ms)),
                _SIZE: size / 1e6 if size else None,
            }
        )
    show_table(rows, {"Confidence": "%.4f", _SIZE: "%.1f", **dict.fromkeys((_TIME, *_STAGES), _MS)})
    for each, threshold in zip(models, thresholds, strict=True):
        if threshold.confidence is None:
            st.caption(
                literal(f"{each.title}: {threshold.reason}; its metrics here are undefined.")
            )


def show_metrics(
    models: Sequence[ComparedModel], thresholds: Sequence[Threshold], reference: int, name: str
) -> None:
    """Every figure with its interval and its difference from the reference; as CSV as well."""
    made = lines(
        [each.matched for each in models],
        [drawn_at(each, threshold) for each, threshold in zip(models, thresholds, strict=True)],
        [drawn_of_all(each) for each in models],
        reference,
    )
    tests = image_tests([each.matched for each in models], thresholds, reference)
    rows = [_row(models, line, reference) for line in made]
    show_table(rows, height="content")
    _show_image_tests(models, tests, reference)
    _say_tests(models, test_count(made, tests))
    st.download_button(
        "Table as CSV",
        lambda: as_csv(models, made, tests, thresholds),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _row(models: Sequence[ComparedModel], line: Line, reference: int) -> dict[str, str]:
    row = {
        "Metric": line.name,
        "Of": "what is shown" if line.at_dial else "all candidates",
        "Per": line.unit,
        "n": " / ".join(dict.fromkeys(f"{count:,}" for count in line.counts)),
    }
    for each, value in zip(models, line.values, strict=True):
        row[each.title] = _value(value)
    ours = models[reference].letter
    for each, difference in zip(models, line.differences, strict=True):
        if difference is not None:
            row[f"{each.letter} − {ours}"] = _difference(difference)
    return row


def _value(found: Interval) -> str:
    return measured_text(found.value, found.low, found.high, 3)


def _difference(found: Difference) -> str:
    if isnan(found.value):
        return UNDEFINED
    if isnan(found.p_value):
        return _signed(found.value)
    ends = f"({_signed(found.low)} to {_signed(found.high)})"
    return f"{_signed(found.value)}{'' if isnan(found.low) else f' {ends}'}, p {_p(found.p_value)}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _show_image_tests(
    models: Sequence[ComparedModel], tests: Sequence[McNemar | None], reference: int
) -> None:
    """Per image, as sentences: the counts say more than the p value."""
    ours = models[reference].letter
    for each, test in zip(models, tests, strict=True):
        if test is not None:
            st.markdown(
                f"**Per image**, right or wrong at this dial (exact McNemar): only {each.letter} "
                f"is right in {test.only_first:,}, only {ours} in {test.only_second:,} images; "
                f"p {literal(_p(test.p_value))}"
            )


def _say_tests(models: Sequence[ComparedModel], count: int) -> None:
    evaluation = models[0].matched.evaluation
    studies = len(set(evaluation.group_ids))
    most = max(len(each.matched.found) for each in models)
    fewer = f" ({FEW_RESAMPLES} for metrics of all candidates)" if most > MANY_CANDIDATES else ""
    st.caption(
        f"Intervals are 95 %, by {RESAMPLES:,} resamples{fewer} of {studies:,} studies or "
        "patients, the same ones for all models; where all of these agree, by the counts alone, or "
        "none. McNemar takes images as independent, which those of one patient are not."
    )
    if count:
        st.caption(
            f"This page makes **{count} tests**: with no difference at all about "
            f"{count * _LEVEL:.1f} of them would still come out below p = {_LEVEL:g}. All together "
            f"hold below p = {_LEVEL / count:.2g} (Bonferroni)."
        )


# ---- file ---------------------------------------------------------------------------------------

HEADINGS = (
    "metric",
    "per",
    "n",
    "model",
    "confidence",
    "value",
    "low",
    "high",
    "difference from reference",
    "difference low",
    "difference high",
    "p value",
)


def as_csv(
    models: Sequence[ComparedModel],
    made: Sequence[Line],
    tests: Sequence[McNemar | None],
    thresholds: Sequence[Threshold],
) -> bytes:
    """A row a figure and model, then a row a test; empty where something is undefined."""
    rows = [
        _csv_row(line, n, each, thresholds[n]) for line in made for n, each in enumerate(models)
    ]
    for each, test in zip(models, tests, strict=True):
        if test is not None:
            cells = ["only this right", test.only_first, "only reference right", test.only_second]
            rows.append(
                ["McNemar", "image", "", each.matched.title, *cells, _rounded(test.p_value)]
            )
    return csv_bytes(HEADINGS, rows)


def _csv_row(line: Line, n: int, model: ComparedModel, threshold: Threshold) -> list[object]:
    value, difference = line.values[n], line.differences[n]
    numbers = [value.value, value.low, value.high]
    if difference is not None:
        numbers += [difference.value, difference.low, difference.high, difference.p_value]
    given = threshold.confidence if line.at_dial else None
    head = [line.name, line.unit, line.counts[n], model.matched.title]
    return [*head, None if given is None else float(f"{given:.9g}"), *map(_rounded, numbers)]


def _rounded(number: float) -> float:
    """To six digits: more are no news."""
    return float(f"{number:.6g}")
