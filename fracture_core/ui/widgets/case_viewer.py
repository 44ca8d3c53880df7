"""The viewer of one case as a Streamlit component: everything during a drag happens in the browser.

Image, ground truth and raw candidates travel once, by URL; the browser filters, merges, matches and
draws by the rules of `fracture_core.boxes` and `fracture_core.matching` and reports on release.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import streamlit as st

from fracture_core.class_names import NO_CLASS, IsA, bring_together
from fracture_core.drawing.colours import PALETTES
from fracture_core.errors import ConfigError
from fracture_core.matching import Rule
from fracture_core.models.cards import ModelCard
from fracture_core.models.points import (
    UNMEASURED_CONFIDENCE,
    LevelUnit,
    Measurements,
    Point,
    confidence_at,
    opening_of,
    tiers,
)
from fracture_core.scope import INSIDE, ScopeCheck
from fracture_core.types import Detections, Prediction, Sample
from fracture_core.ui.routes import Json, module_path, share_case, share_pixels
from fracture_core.ui.widgets.component import Handshake, component, nothing

Mode = Literal["together", "side_by_side"]
What = int | Literal["image", "gate"]
Unit = Literal["confidence"] | LevelUnit
MOST_PANES = 4
OPENING = "opening"
"""A confidence in the address that nobody chose."""
MOST_LEVEL: dict[Unit, float] = {"confidence": 8, "sensitivity": 1, "fp_per_image": 8}
_KINDS: dict[type, str] = {
    bool: "0 or 1",
    int: "a whole number",
    float: "a number",
    type(None): "a number",
    tuple: "confidence:nms, one for each model, with commas between",
}
_FOLDER = Path(__file__).parent / "viewer"
_QUERY_NAMES = {
    "confidence": "confidence",
    "unit": "dial",
    "level": "level",
    "nms_iou": "nms",
    "match_iou": "match",
    "rule": "rule",
    "class_aware": "same_class",
    "mode": "mode",
    "frame": "slice",
    "show_truth": "truth",
    "show_overlay": "overlay",
    "show_masks": "masks",
    "mask_opacity": "opacity",
    "map_opacity": "map",
    "show_lacking": "lacking",
    "own": "own",
}

_MOUNT = component("case_viewer", _FOLDER / "viewer.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One model's answer: `predictions` one a frame, None = not predicted yet.

    `measured` tells what its scores are worth and how certain a finding is, which the line style
    shows; None = not measured. `facts` stand below the title, `note` in the middle of the pane: why
    there is no answer. `has_gate`: the model has an attention gate. `scope`: whether the case lies
    within what the model was made for, what the banner says, and whether it was not read for that.
    """

    title: str
    card: ModelCard
    predictions: tuple[Prediction | None, ...]
    warnings: tuple[str, ...] = ()
    measured: Measurements | None = None
    facts: tuple[str, ...] = ()
    note: str = ""
    has_gate: bool = False
    scope: ScopeCheck = INSIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be explained: a raw candidate of a frame by position, the image, or the gate."""

    pane: int
    frame: int
    what: What


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationLink:
    """Where the viewer finds the answer to what was asked, done or on its way."""

    asked: Asked
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerState:
    """What decides which findings are shown and how they are matched; `frame` counts from 0.

    In a `unit` other than confidence every measured model goes by the confidence at which it
    reaches the `level`, a share or a number of false positives; one that is not measured goes by
    `confidence`. A confidence of None is one that nobody chose: each model goes by its opening one.
    `own` is a (confidence, nms_iou) for each pane, in place of the ones for all; empty means that
    all panes share one. `show_lacking` marks what others found in the pane of a model that did not.
    """

    confidence: float | None = None
    unit: Unit = "confidence"
    level: float = 0.9
    nms_iou: float = 0.5
    match_iou: float = 0.5
    rule: Rule = "iou"
    class_aware: bool = True
    mode: Mode = "together"
    frame: int = 0
    show_truth: bool = True
    show_overlay: bool = True
    show_masks: bool = True
    mask_opacity: float = 0.1
    map_opacity: float = 0.6
    show_lacking: bool = True
    own: tuple[tuple[float | None, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("confidence", "nms_iou", "match_iou", "mask_opacity", "map_opacity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(name, expected="a number from 0 to 1", found=repr(value))
        if self.unit not in MOST_LEVEL:
            units = "confidence, sensitivity or fp_per_image"
            raise ConfigError("unit", expected=units, found=repr(self.unit))
        most = MOST_LEVEL[self.unit]
        if not 0 <= self.level <= most:
            raise ConfigError(
                "level", expected=f"a number from 0 to {most}", found=repr(self.level)
            )
        if not all(0 <= value <= 1 for pair in self.own for value in pair if value is not None):
            raise ConfigError("own", expected="numbers from 0 to 1", found=repr(self.own))
        if self.rule not in ("iou", "centre"):
            raise ConfigError("rule", expected="iou or centre", found=repr(self.rule))
        if self.mode not in ("together", "side_by_side"):
            raise ConfigError("mode", expected="together or side_by_side", found=repr(self.mode))
        if self.frame < 0:
            raise ConfigError("frame", expected="0 or more", found=repr(self.frame))

    def to_query(self, default: Self | None = None) -> dict[str, str]:
        """What differs from `default` as names and values of a URL's query."""
        base = default or type(self)()
        return {
            _QUERY_NAMES[field.name]: _as_text(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(base, field.name)
        }

    @classmethod
    def from_query(cls, query: Mapping[str, str], default: Self | None = None) -> Self:
        """`default` with what the query says; ConfigError where a value makes no sense."""
        plain = cls()
        base = default or plain
        found: dict[str, Any] = {
            name: _from_text(query_name, query[query_name], getattr(plain, name))
            for name, query_name in _QUERY_NAMES.items()
            if query_name in query
        }
        return replace(base, **found)

    @staticmethod
    def query_names() -> tuple[str, ...]:
        """Every name that `to_query` may use, so that a page can clear what is no longer there."""
        return tuple(_QUERY_NAMES.values())

    def settings(
        self,
        measured: Measurements | None = None,
        pane: int = 0,
        opening: float = UNMEASURED_CONFIDENCE,
    ) -> tuple[float, float]:
        """The confidence and NMS IoU that the pane of a model goes by, which opens at `opening`."""
        common = (self.confidence, self.nms_iou)
        chosen, nms_iou = self.own[pane] if pane < len(self.own) else common
        confidence = opening if chosen is None else chosen
        if measured is not None and self.unit != "confidence":
            found = confidence_at(measured, self.unit, self.level)
            confidence = found.confidence if found else confidence
        return confidence, nms_iou

    def shown(
        self,
        detections: Detections,
        *,
        needs_nms: bool,
        pane: int = 0,
        measured: Measurements | None = None,
    ) -> Detections:
        """The findings that the viewer shows of raw detections in this pane."""
        confidence, nms_iou = self.settings(measured, pane)
        confident = detections.above(confidence)
        return confident.nms(nms_iou) if needs_nms else confident


def case_viewer(  # noqa: PLR0913 (one call with names)
    samples: Sequence[Sample],
    panes: Sequence[Pane],
    classes: Sequence[str],
    state: ViewerState,
    *,
    key: str,
    title: str,
    on_change: Callable[[], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_explain: Callable[[Asked], None] | None = None,
    on_read: Callable[[], None] | None = None,
    explanations: Sequence[ExplanationLink] = (),
    is_a: IsA | None = None,
    colours: str = "viewer",
) -> ViewerState:
    """Show one case, its samples being the frames, and return the state in force.

    `classes` name the labels of the ground truth; `is_a` tells which of them, and of the models',
    count as another. A `state` other than the one given in the run before takes effect in the
    browser; the same one leaves the reader's own settings alone. `on_step` is called with 1 or −1
    when the reader asks for the next or previous case; without it the viewer offers no such step.
    `on_explain` is called when the reader asks for an explanation; the answers there are, or are on
    their way, are `explanations`. `on_read` is called when the reader wants a case read that was
    held back. All of them run before the script, as Streamlit's callbacks do. `colours` name those
    of the boxes, one of `PALETTES`.
    """
    if not samples or len(panes) > MOST_PANES:
        raise ValueError(f"expected samples and at most {MOST_PANES} panes")
    case_id = _case_id(samples)
    handshake = Handshake(key, state, lambda value: _reported(value, state, case_id, len(samples)))
    data = {
        "module": module_path("viewer", "viewer.js"),
        "case": share_case(_pack_case(samples, panes, classes, is_a)),
        "case_id": case_id,
        "key": key,
        "title": title,
        "steps": on_step is not None,
        "explains": on_explain is not None,
        "explanations": [asdict(one.asked) | {"path": one.path} for one in explanations],
        "colours": dict(PALETTES[colours].colours),
        "forced": handshake.force(),
    }

    def step() -> None:
        if on_step is not None:
            on_step(int(st.session_state[key]["step"]))

    def explain() -> None:
        asked = st.session_state[key]["explain"]
        # What was asked of a case that is no longer shown is out of date.
        if on_explain is not None and asked["case_id"] == case_id:
            on_explain(_checked(asked, panes, len(samples)))

    def read() -> None:
        if on_read is not None and st.session_state[key]["read"]["case_id"] == case_id:
            on_read()

    result = _MOUNT(
        key=key,
        # In a list, because Streamlit imports pandas to look for tables in a mapping.
        data=[data],
        on_state_change=on_change or nothing,
        on_step_change=step,
        on_explain_change=explain,
        on_read_change=read,
    )
    return handshake.take(result)


def _checked(asked: Mapping[str, Any], panes: Sequence[Pane], frames: int) -> Asked:
    """What the browser asked for; ValueError where there is no such thing."""
    pane, frame, what = asked["pane"], asked["frame"], asked["what"]
    if not (0 <= pane < len(panes) and 0 <= frame < frames):
        raise ValueError(f"asked: no frame {frame} of pane {pane}")
    prediction = panes[pane].predictions[frame]
    found = 0 if prediction is None else len(prediction.detections)
    if what not in ("image", "gate") and not 0 <= what < found:
        raise ValueError(f"asked: no finding {what} of {found}")
    return Asked(pane=pane, frame=frame, what=what)


def _reported(value: object, state: ViewerState, case_id: str, frames: int) -> ViewerState:
    """The state the browser told of, else the given one; a frame counts for its own case only."""
    if not isinstance(value, dict):
        return replace(state, frame=min(state.frame, frames - 1))
    frame = min(int(value["frame"]), frames - 1) if value["case_id"] == case_id else 0
    names = {field.name for field in fields(ViewerState)}
    # JSON knows no tuples.
    own = tuple(
        (None if confidence is None else float(confidence), float(nms_iou))
        for confidence, nms_iou in value["own"]
    )
    return ViewerState(**{**{name: value[name] for name in names}, "frame": frame, "own": own})


def _case_id(samples: Sequence[Sample]) -> str:
    text = json.dumps([[s.sample_id, s.height, s.width] for s in samples])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pack_case(
    samples: Sequence[Sample], panes: Sequence[Pane], classes: Sequence[str], is_a: IsA | None
) -> Json:
    """Labels stay those of each list; "groups" tells which of them count as the same class."""
    lists = [classes, *(pane.card.classes for pane in panes)]
    groups, *of_panes = bring_together(*lists, is_a=is_a).moved
    return {
        "classes": list(classes),
        "groups": groups,
        "frames": [_pack_frame(sample, groups) for sample in samples],
        "panes": [
            _pack_pane(pane, len(samples))
            | {"groups": own, "comparable": not groups or bool({*own} & {*groups} - {NO_CLASS})}
            for pane, own in zip(panes, of_panes, strict=True)
        ],
    }


def _pack_frame(sample: Sample, groups: Sequence[int]) -> Json:
    ground_truth, label = sample.ground_truth, sample.image_class
    if ground_truth is not None and NO_CLASS in groups:
        ground_truth = ground_truth[
            np.flatnonzero(np.asarray(groups)[ground_truth.labels] != NO_CLASS)
        ]
    return {
        "id": sample.sample_id,
        "pixels": share_pixels(sample),
        "height": sample.height,
        "width": sample.width,
        "spacing_mm": sample.spacing_mm,
        "windows": [asdict(window) for window in sample.windows],
        "scale": asdict(sample.scale),
        "truth": _pack_detections(ground_truth),
        "image_class": label,
        "image_group": None if label is None else groups[label],
    }


def _pack_pane(pane: Pane, frames: int) -> Json:
    if len(pane.predictions) != frames:
        raise ValueError(f"predictions: expected {frames}, got {len(pane.predictions)}")
    return {
        "title": pane.title,
        "model_id": pane.card.model_id,
        "classes": list(pane.card.classes),
        "task": pane.card.task,
        "healthy": pane.card.architecture.get("healthy", ""),
        "has_gate": pane.has_gate,
        "needs_nms": pane.card.needs_nms,
        "warnings": list(pane.warnings),
        "measured": pane.measured and _pack_measured(pane.measured),
        "opening": asdict(opening_of(pane.card, pane.measured)),
        "facts": list(pane.facts),
        "note": pane.note,
        "scope": asdict(pane.scope),
        "predictions": [_pack_detections(p.detections if p else None) for p in pane.predictions],
        "image_scores": [p.image_score if p else None for p in pane.predictions],
        "class_scores": [_pack_scores(p) for p in pane.predictions],
    }


def _pack_measured(measured: Measurements) -> Json:
    dashed_above, solid_above = tiers(measured)
    return {
        "data": measured.data,
        "split": measured.split,
        "unit": measured.unit,
        "nms_iou": measured.nms_iou,
        "match_iou": measured.match_iou,
        "one_class": measured.one_class,
        "dashed_above": dashed_above,
        "solid_above": solid_above,
        "points": [_pack_point(each) for each in measured.points if each.confidence is not None],
        "knots": measured.knots.model_dump(),
        "evidence": [each.model_dump() for each in measured.evidence],
    }


def _pack_point(point: Point) -> Json:
    applied = point.applied and {
        "share": point.applied.sensitivity.model_dump(),
        "where": point.applied_to,
    }
    return {"rule": point.rule, "confidence": point.confidence, "applied": applied}


def _pack_detections(detections: Detections | None) -> Json | None:
    if detections is None:
        return None
    return {
        "count": len(detections),
        "xyxy": _base64(detections.xyxy.astype("<f4")),
        "scores": _base64(detections.scores.astype("<f4")),
        "labels": _base64(detections.labels.astype("<i4")),
        "masks": [mask.as_coco() for mask in detections.masks],
    }


def _pack_scores(prediction: Prediction | None) -> list[float] | None:
    if prediction is None or prediction.class_scores is None:
        return None
    return [float(score) for score in prediction.class_scores]


def _base64(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{_as_text(confidence)}:{nms_iou}" for confidence, nms_iou in value)
    if value is None:
        return OPENING
    return str(int(value)) if isinstance(value, bool) else str(value)


def _from_text(name: str, text: str, like: object) -> object:
    """The text as a value of the type of `like`; None is a number that may be left open."""
    try:
        if isinstance(like, bool):
            return {"0": False, "1": True}[text]
        if isinstance(like, tuple):
            pairs = [pair.split(":") for pair in text.split(",")] if text else []
            return tuple((_confidence(chosen), float(nms_iou)) for chosen, nms_iou in pairs)
        return _confidence(text) if like is None else type(like)(text)  # type: ignore[call-arg]
    except (KeyError, ValueError) as error:
        kind = _KINDS.get(type(like), "a word")
        raise ConfigError(f"?{name}=", expected=kind, found=repr(text)) from error


def _confidence(text: str) -> float | None:
    return None if text == OPENING else float(text)
