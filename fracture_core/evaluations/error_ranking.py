"""What a model does wrong at one confidence, the costliest errors first.

The cost of an error is the cost of its kind times a factor:

    missed lesion       1 + how far its best candidate lies below the confidence, as a share of it,
                        or 2 where there is no candidate
    any other finding   1 + its score
    image (classifier)  1 + the score of the class that it was given

In an image that is wrong as a whole, with something to find and nothing shown or nothing to find
and something shown, errors cost `whole_image` times that. With a factor of 2 or more they come
before all others of their kind. A critical confusion of classes costs `critical` times that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import UNKNOWN_CLASS, Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics.critical import critical_errors
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.error_types import TYPES, ErrorTypes, error_types
from fracture_core.metrics.pairs import box_pairs
from fracture_core.types import Int64s

KINDS = (
    "missed",
    "false positive",
    "wrong class",
    "wrong place",
    "wrong class and place",
    "duplicate",
)
MISSED, FALSE_POSITIVE, WRONG_CLASS = 0, 1, 2
_OF_TYPE = {
    "background": FALSE_POSITIVE,
    "class": WRONG_CLASS,
    "location": 3,
    "both": 4,
    "duplicate": 5,
}
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of one error of each kind, in any unit, and the factors of whole images and pairs.

    Raises ConfigError for one that is below 0 or not finite.
    """

    missed: float = 10.0
    false_positive: float = 3.0
    wrong_class: float = 4.0
    wrong_place: float = 3.0
    wrong_class_and_place: float = 4.0
    duplicate: float = 1.0
    whole_image: float = 2.0
    critical: float = 10.0

    def __post_init__(self) -> None:
        for name, value in zip(self.__slots__, (*self.by_kind, *self.factors), strict=True):
            if not 0 <= value < np.inf:
                raise ConfigError(name, expected="a cost of 0 or more", found=f"{value:g}")

    @property
    def by_kind(self) -> tuple[float, ...]:
        """The costs in the order of `KINDS`."""
        return (
            self.missed,
            self.false_positive,
            self.wrong_class,
            self.wrong_place,
            self.wrong_class_and_place,
            self.duplicate,
        )

    @property
    def factors(self) -> tuple[float, float]:
        """The factors for whole images and for critical pairs."""
        return self.whole_image, self.critical


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseErrors:
    """E errors in falling order of their cost; all arrays are (E,).

    `kind` is a position in `KINDS`. `image` is a position in `evaluation`, all of whose ground
    truths are known. `row` is a row of the ground truths where missed, else of what was found, and
    −1 for a classifier, whose errors are images. `gt_row` is the ground truth that the error is
    about, −1 = none. `label` is of the finding or of the missed ground truth, `true_label` of the
    ground truth it is about, −1 = none. `score` is of the finding, or of a missed ground truth's
    best candidate, nan = none. `iou` is with the ground truth it is about. `whole_image` marks
    errors in images that are wrong as a whole.
    """

    evaluation: Evaluation
    config: MatchConfig
    confidence: float
    kind: Int64s
    image: Int64s
    row: Int64s
    gt_row: Int64s
    label: Int64s
    true_label: Int64s
    score: Float64s
    iou: Float64s
    whole_image: Bools
    cost: Float64s

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, places: Int64s) -> "CaseErrors":
        """Return the errors at some places, in that order."""
        return replace(self, **{name: getattr(self, name)[places] for name in _ARRAYS})

    def counts(self) -> dict[str, int]:
        """Return how many errors are of each of `KINDS`."""
        numbers = np.bincount(self.kind, minlength=len(KINDS)).tolist()
        return dict(zip(KINDS, numbers, strict=True))


_ARRAYS = (
    "kind",
    "image",
    "row",
    "gt_row",
    "label",
    "true_label",
    "score",
    "iou",
    "whole_image",
    "cost",
)


def case_errors(
    evaluation: Evaluation,
    config: MatchConfig,
    confidence: float,
    costs: Costs | None = None,
    critical: Sequence[Pair] = (),
) -> CaseErrors:
    """Return all errors of an evaluation whose ground truths are known, as `matched()` gives it.

    A ground truth that a finding of the wrong class or place points at is not missed as well: it
    comes with that finding. `critical` pairs name the true class and what it was taken for. Raises
    ConfigError where one names no class of the evaluation.
    """
    chosen = costs or Costs()
    make = _of_classifier if evaluation.about.task == "classify" else _of_detector
    found = make(evaluation, config, confidence)
    cost = _costs(found, chosen) * _critical_factor(found, critical, chosen.critical)
    # Errors of equal cost stand in the order of images.
    order = np.lexsort((found.image, -cost))
    return replace(found, cost=cost).take(order)


def only(
    errors: CaseErrors,
    *,
    kinds: Sequence[str] = KINDS,
    label: int | None = None,
    whole_image: bool = False,
    images: Bools | None = None,
) -> CaseErrors:
    """Return the errors of some kinds, of a class, of whole images, and in marked (I,) images."""
    kept = np.isin(errors.kind, [KINDS.index(kind) for kind in kinds])
    if label is not None:
        kept &= (errors.label == label) | (errors.true_label == label)
    if whole_image:
        kept &= errors.whole_image
    if images is not None:
        kept &= images[errors.image]
    return errors.take(np.flatnonzero(kept))


def by_score(errors: CaseErrors) -> CaseErrors:
    """Return the errors with the highest score first and those without a score last."""
    return errors.take(np.argsort(-np.nan_to_num(errors.score, nan=-1.0), kind="stable"))


def by_name(errors: CaseErrors) -> CaseErrors:
    """Return the errors in the order of the names of their images, the costliest of each first."""
    names = np.argsort(np.argsort(np.array(errors.evaluation.sample_ids, dtype=object)))
    return errors.take(np.argsort(names[errors.image], kind="stable"))


HEADINGS = (
    "rank",
    "case",
    "study",
    "kind",
    "class",
    "true class",
    "score",
    "IoU",
    "x1 px",
    "y1 px",
    "x2 px",
    "y2 px",
    "whole image",
    "cost",
    "confidence",
    "NMS IoU",
    "match IoU",
)


def error_rows(errors: CaseErrors) -> Iterator[tuple[str, ...]]:
    """Yield a row of text for each error, under `HEADINGS`; a cell can be empty."""
    evaluation, names = errors.evaluation, (*errors.evaluation.about.classes, "")
    found = evaluation.found(errors.config.nms_iou)
    setting = tuple(
        f"{value:.9g}"
        for value in (errors.confidence, errors.config.nms_iou, errors.config.match_iou)
    )
    for i in range(len(errors)):
        image, row, kind = int(errors.image[i]), int(errors.row[i]), int(errors.kind[i])
        boxes = evaluation.ground_truths if kind == MISSED else found
        corners = ("", "", "", "") if row < 0 else tuple(f"{edge:g}" for edge in boxes.xyxy[row])
        yield (
            str(i + 1),
            evaluation.sample_ids[image],
            evaluation.group_ids[image],
            KINDS[kind],
            names[errors.label[i]],
            names[errors.true_label[i]],
            _number(errors.score[i]),
            _number(errors.iou[i]),
            *corners,
            "yes" if errors.whole_image[i] else "no",
            f"{errors.cost[i]:.4g}",
            *setting,
        )


def predicted_classes(evaluation: Evaluation, confidence: float) -> Int64s:
    """(I,) int64: what a classifier calls each image at a confidence.

    Where the image's score is at least that, it is the finding with the highest score, else
    healthy; where no class is healthy, it is the class with the highest score. Raises ValueError
    for a model without class scores.
    """
    scores = evaluation.class_scores
    if scores is None:
        raise ValueError("class_scores: expected those of a classifier, got none")
    about = evaluation.about
    if about.healthy not in about.classes[: scores.shape[1]]:
        return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)
    healthy = about.classes.index(about.healthy)
    findings = scores.astype(np.float64)
    findings[:, healthy] = -1.0
    shown = evaluation.image_scores.astype(np.float64) >= confidence
    return np.where(shown, np.argmax(findings, axis=1), healthy).astype(np.int64)


# ---- detectors ----------------------------------------------------------------------------------


def _of_detector(evaluation: Evaluation, config: MatchConfig, confidence: float) -> CaseErrors:
    found, ground_truths = evaluation.found(config.nms_iou), evaluation.ground_truths
    types = error_types(
        _comparable(found, config),
        _comparable(ground_truths, config),
        confidence,
        match_iou=config.match_iou,
    )
    positive = evaluation.positive
    shown = np.zeros(len(evaluation), dtype=np.bool_)
    shown[found.image[types.rows]] = True
    wrong = np.flatnonzero(types.kind != 0)
    rows, near = types.rows[wrong], types.gt_row[wrong]
    missed = np.flatnonzero(types.missed)
    best, best_iou = _best_below(found, ground_truths, config, confidence, types)
    kind_of = np.array([_OF_TYPE.get(name, FALSE_POSITIVE) for name in TYPES])
    images = np.concatenate([ground_truths.image[missed], found.image[rows]])
    return CaseErrors(
        evaluation=evaluation,
        config=config,
        confidence=confidence,
        kind=np.concatenate([np.full(len(missed), MISSED), kind_of[types.kind[wrong]]]),
        image=images,
        row=np.concatenate([missed, rows]),
        gt_row=np.concatenate([missed, near]),
        label=np.concatenate([ground_truths.labels[missed], found.labels[rows]]),
        true_label=np.concatenate(
            [ground_truths.labels[missed], np.append(ground_truths.labels, -1)[near]]
        ),
        score=np.concatenate([best[missed], found.scores[rows].astype(np.float64)]),
        iou=np.concatenate([best_iou[missed], _iou_with(found, rows, ground_truths, near)]),
        whole_image=positive[images] != shown[images],
        cost=np.zeros(len(images)),
    )


def _comparable(columns: DetectionTable, config: MatchConfig) -> DetectionTable:
    """The same table, with all labels 0 where classes do not count."""
    if config.class_aware:
        return columns
    return replace(columns, labels=np.zeros(len(columns), dtype=np.int64))


def _best_below(
    found: DetectionTable,
    ground_truths: DetectionTable,
    config: MatchConfig,
    confidence: float,
    types: ErrorTypes,
) -> tuple[Float64s, Float64s]:
    """(M,) of each missed ground truth the best score of a candidate that would match it if it were
    shown, and its IoU.

    Both are nan where there is none.
    """
    best, iou = (np.full(len(ground_truths), np.nan) for _ in range(2))
    ill = np.zeros(found.image_count, dtype=np.bool_)
    ill[ground_truths.image[types.missed]] = True
    # Only images with a missed ground truth matter; there are few.
    rows = np.flatnonzero(ill[found.image])
    some = _comparable(found.rows(ill[found.image]), config)
    pairs = box_pairs(
        some, _comparable(ground_truths, config), config.match_iou, class_aware=config.class_aware
    )
    scores = found.scores[rows[pairs.found]].astype(np.float64)
    hidden = np.flatnonzero((scores < confidence) & types.missed[pairs.ground_truth])
    # In rising order the best score is written last.
    order = hidden[np.argsort(scores[hidden], kind="stable")]
    best[pairs.ground_truth[order]], iou[pairs.ground_truth[order]] = (
        scores[order],
        pairs.iou[order],
    )
    return best, iou


def _iou_with(
    found: DetectionTable, rows: Int64s, ground_truths: DetectionTable, near: Int64s
) -> Float64s:
    """(E,) the IoU of each finding with the ground truth it is about, nan without one."""
    overlap = np.full(len(rows), np.nan)
    about = np.flatnonzero(near >= 0)
    a = found.xyxy[rows[about]].astype(np.float64)
    b = ground_truths.xyxy[near[about]].astype(np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = np.prod(np.maximum(sides, 0.0), axis=1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (a, b)]
    overlap[about] = inter / (areas[0] + areas[1] - inter)
    return overlap


# ---- classifiers --------------------------------------------------------------------------------


def _of_classifier(evaluation: Evaluation, config: MatchConfig, confidence: float) -> CaseErrors:
    """The images that are called something else than they are."""
    called, true = predicted_classes(evaluation, confidence), evaluation.image_classes
    wrong = np.flatnonzero((called != true) & (true != UNKNOWN_CLASS))
    names, healthy = evaluation.about.classes, evaluation.about.healthy
    nothing = names.index(healthy) if healthy in names else UNKNOWN_CLASS
    kind = np.full(len(wrong), WRONG_CLASS)
    kind[called[wrong] == nothing] = MISSED
    kind[true[wrong] == nothing] = FALSE_POSITIVE
    none = np.full(len(wrong), -1, dtype=np.int64)
    scores = evaluation.class_scores
    given = np.zeros((0, 1)) if scores is None else scores.astype(np.float64)
    return CaseErrors(
        evaluation=evaluation,
        config=config,
        confidence=confidence,
        kind=kind,
        image=wrong,
        row=none,
        gt_row=none,
        label=called[wrong],
        true_label=true[wrong],
        score=given[wrong, called[wrong]],
        iou=np.full(len(wrong), np.nan),
        whole_image=kind != WRONG_CLASS,
        cost=np.zeros(len(wrong)),
    )


# ---- cost ---------------------------------------------------------------------------------------


def _costs(errors: CaseErrors, costs: Costs) -> Float64s:
    sure = np.nan_to_num(errors.score)
    if errors.evaluation.about.task != "classify":
        confidence = max(errors.confidence, np.finfo(np.float64).tiny)
        below = np.clip((confidence - sure) / confidence, 0, 1)
        sure = np.where(errors.kind == MISSED, below, sure)
    base: Float64s = np.array(costs.by_kind)[errors.kind] * (1 + sure)
    return base * np.where(errors.whole_image, costs.whole_image, 1.0)


def _critical_factor(errors: CaseErrors, pairs: Sequence[Pair], factor: float) -> Float64s:
    """(E,) the factor where one class of a critical pair was taken for the other, else 1."""
    found = critical_errors(errors.true_label, errors.label, errors.evaluation.about.classes, pairs)
    factors = np.ones(len(errors))
    for each in found:
        factors[each.rows] = factor
    return factors


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"
