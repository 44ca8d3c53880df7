"""Curves of several models over one another, each with the dial's threshold."""

from collections.abc import Callable, Sequence

import numpy as np

from fracture_core.evaluations.comparison import (
    MOST_FP,
    Overlay,
    froc_overlay,
    pr_overlay,
    roc_overlay,
)
from fracture_core.evaluations.matched_models import MatchedModel, Threshold
from fracture_core.operating_points import Curve as Counted
from fracture_core.operating_points import measure
from fracture_core.types import Unit
from fracture_core.ui.curve_chart import Curve, Panel, curve_chart
from fracture_core.ui.set_comparison import ComparedModel

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
