"""Everything a page shows of an evaluation while one confidence moves: counts at about 1,000 knots.

Between the knots nothing is estimated: at each the counts are exact, and the confidence can only
stop at a knot. They lie densely where sensitivity, false positives per image or the confidence
itself change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
import numpy.typing as npt

from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.calibration import Reliability, reliability
from fracture_core.metrics.cells import Cells, assign_cells
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.studies import study_positive, study_scores
from fracture_core.types import Int64s, Unit

BINS = 10
GRID = 200
_OF_HITS, _OF_WRONG, _OF_IMAGES = 260, 260, 60
MISSED, FALSE_POSITIVE = "missed", "false positive"
POSITIVE, NEGATIVE = "positive", "negative"
SHOWN, NOT_SHOWN = "finding shown", "none shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What is reached at one knot; shares of nothing are nan, undefined.

    Of lesions there are no `negatives`: None.
    """

    unit: Unit
    true_positives: int
    false_positives: int
    positives: int
    negatives: int | None
    images: int

    @property
    def missed(self) -> int:
        """The number of positives that are missed."""
        return self.positives - self.true_positives

    @property
    def sensitivity(self) -> Proportion:
        """The share of positives that are found, TP / (TP + FN)."""
        return Proportion(count=self.true_positives, total=self.positives)

    @property
    def precision(self) -> Proportion:
        """The positive predictive value, TP / (TP + FP)."""
        shown = self.true_positives + self.false_positives
        return Proportion(count=self.true_positives, total=shown)

    @property
    def specificity(self) -> Proportion:
        """The share of negatives that show nothing; of 0 for lesions."""
        negatives = self.negatives or 0
        silent = negatives - self.false_positives if negatives else 0
        return Proportion(count=silent, total=negatives)

    @property
    def negative_value(self) -> Proportion:
        """The negative predictive value, TN / (TN + FN); of 0 for lesions."""
        silent = self.specificity.count
        return Proportion(count=silent, total=silent + (self.missed if self.negatives else 0))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        whole = self.positives + self.true_positives + self.false_positives
        return 2 * self.true_positives / whole if whole else nan

    @property
    def fp_per_image(self) -> float:
        """The false positives divided by the number of images."""
        return self.false_positives / self.images if self.images else nan


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """The tally of one unit at every knot, of all classes or of the one called `name`.

    `true_positives` and `false_positives` are (C,) int64. `negatives` is None for lesions.
    """

    unit: Unit
    name: str = ""
    true_positives: Int64s
    false_positives: Int64s
    positives: int
    negatives: int | None
    images: int

    def __getitem__(self, place: int) -> Reached:
        """Return what is reached at one knot."""
        return Reached(
            unit=self.unit,
            true_positives=int(self.true_positives[place]),
            false_positives=int(self.false_positives[place]),
            positives=self.positives,
            negatives=self.negatives,
            images=self.images,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A confusion matrix at every knot, rows true.

    `cells` (n,) int64, rising, are the places (row × columns + column) that are ever more than 0,
    and `counts` (C, n) int64 what is in them, or (1, n) where the confidence does not matter.
    """

    name: Literal["findings", "images", "classes"]
    unit: Unit
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Int64s
    counts: Int64s

    def matrix(self, place: int) -> Int64s:
        """(rows, columns) int64 counts at one knot."""
        whole = np.zeros(len(self.rows) * len(self.columns), dtype=np.int64)
        whole[self.cells] = self.counts[min(place, len(self.counts) - 1)]
        return whole.reshape(len(self.rows), len(self.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTable:
    """At each of (C,) `confidences`, falling, the counts of what is scored at least that much.

    `tallies` are in the order lesions, images, studies; those that make no sense are left out:
    lesions of a classifier, images where no class means nothing to find, studies of one image each.
    `by_class` are lesions of each class where classes count. `reliability` is of the findings, or
    of the images of a classifier.
    """

    confidences: Float64s
    tallies: tuple[UnitCounts, ...]
    by_class: tuple[UnitCounts, ...]
    sheets: tuple[Sheet, ...]
    reliability: Reliability | None

    def place(self, confidence: float) -> int:
        """Return the knot nearest to a confidence."""
        return int(np.argmin(np.abs(self.confidences - confidence)))

    def counts_of(self, unit: Unit) -> UnitCounts | None:
        """Return the tally of one unit, None where there is none."""
        return next((each for each in self.tallies if each.unit == unit), None)


def dial_table(
    evaluation: Evaluation, config: MatchConfig, also: Sequence[float] = ()
) -> DialTable:
    """Return the counts of the images whose ground truth is known.

    At the confidences `also` there is a knot, too.
    """
    sweep_of = _of_classifier if evaluation.about.task == "classify" else _of_detector
    return sweep_of(evaluation.matched(), config, also)


def cell_images(
    evaluation: Evaluation, config: MatchConfig, sheet: Sheet, cell: tuple[int, int], at: float
) -> tuple[str, ...]:
    """Return the samples counted in one cell of a sheet, (row, column), at a confidence."""
    row, column = cell
    matched = evaluation.matched()
    if sheet.name == "findings":
        cells = assign_cells(matched.found(config.nms_iou), matched.ground_truths, config.match_iou)
        where = cells.images(at, row, column, len(evaluation.about.classes))
    elif sheet.name == "classes":
        where = np.flatnonzero((matched.image_classes == row) & (matched.called == column))
    else:
        shown = matched.scores(config.nms_iou) >= at
        where = np.flatnonzero((matched.positive == (row == 0)) & (shown == (column == 0)))
    return tuple(matched.sample_ids[i] for i in where)


# ---- detectors ----------------------------------------------------------------------------------


def _of_detector(evaluation: Evaluation, config: MatchConfig, also: Sequence[float]) -> DialTable:
    found, ground_truths = evaluation.found(config.nms_iou), evaluation.ground_truths
    right = greedy.match_all(found, ground_truths, config.match_iou, class_aware=config.class_aware)
    scores, studies = evaluation.scores(config.nms_iou), _studies(evaluation, config)
    images = [scores, studies[0]] if studies else [scores]
    knots = _knots(found.scores[right], found.scores[~right], images, also)
    knots = knots[knots > 0]
    first = _first_shown(found.scores, knots)
    lesions = _lesions(evaluation, first, right, len(knots))
    cells = assign_cells(found, ground_truths, config.match_iou)
    return DialTable(
        confidences=knots,
        tallies=(lesions, *_whole_images(evaluation, scores, studies, knots)),
        by_class=_by_class(evaluation, found, first, right, len(knots))
        if config.class_aware
        else (),
        sheets=(
            _findings_sheet(evaluation, found, cells, first, len(knots)),
            _images_sheet(evaluation.positive, scores, knots),
        ),
        reliability=reliability(found.scores, right, BINS) if len(found) else None,
    )


def _lesions(evaluation: Evaluation, first: Int64s, right: Bools, knots: int) -> UnitCounts:
    return UnitCounts(
        unit="lesion",
        true_positives=_risen(first[right], knots),
        false_positives=_risen(first[~right], knots),
        positives=len(evaluation.ground_truths),
        negatives=None,
        images=len(evaluation),
    )


def _by_class(
    evaluation: Evaluation, found: DetectionTable, first: Int64s, right: Bools, knots: int
) -> tuple[UnitCounts, ...]:
    """A tally of each class in ground truth or findings, where there is more than one class."""
    names = evaluation.about.classes
    support = np.bincount(evaluation.ground_truths.labels, minlength=len(names))
    calls = np.bincount(found.labels, minlength=len(names))
    occurring = np.flatnonzero(support + calls)
    if len(names) < 2:
        return ()
    return tuple(
        UnitCounts(
            unit="lesion",
            name=names[label],
            true_positives=_risen(first[right & own], knots),
            false_positives=_risen(first[~right & own], knots),
            positives=int(support[label]),
            negatives=None,
            images=len(evaluation),
        )
        for label in occurring
        for own in [found.labels == label]
    )


def _findings_sheet(
    evaluation: Evaluation, found: DetectionTable, cells: Cells, first: Int64s, knots: int
) -> Sheet:
    """Ground truths by the class they are found as.

    The last row holds the false positives and the last column the missed ground truths.
    """
    names = evaluation.about.classes
    side = len(names) + 1
    gt_class = np.append(evaluation.ground_truths.labels, side - 1)[cells.gt_row]
    places, counts = _counted(gt_class * side + found.labels, first, side * side, knots)
    support = np.bincount(evaluation.ground_truths.labels, minlength=side)
    rows = places // side
    whole = np.zeros((knots, side * side), dtype=np.int32)
    whole[:, places] = counts
    for label in np.flatnonzero(support):
        whole[:, label * side + side - 1] = support[label] - counts[:, rows == label].sum(axis=1)
    ever = np.flatnonzero(whole.any(axis=0))
    return Sheet(
        name="findings",
        unit="lesion",
        rows=(*names, FALSE_POSITIVE),
        columns=(*names, MISSED),
        cells=ever,
        counts=whole[:, ever].astype(np.int64),
    )


# ---- classifiers --------------------------------------------------------------------------------


def _of_classifier(evaluation: Evaluation, config: MatchConfig, also: Sequence[float]) -> DialTable:
    classes = _classes_sheet(evaluation)
    scores = evaluation.scores(config.nms_iou)
    if not evaluation.about.tells_findings:
        return DialTable(
            confidences=np.array([1.0]),
            tallies=(),
            by_class=(),
            sheets=(classes,),
            reliability=None,
        )
    positive, studies = evaluation.positive, _studies(evaluation, config)
    images = [studies[0]] if studies else []
    knots = _knots(scores[positive], scores[~positive], images, also)
    return DialTable(
        confidences=knots,
        tallies=tuple(_whole_images(evaluation, scores, studies, knots)),
        by_class=(),
        sheets=(_images_sheet(positive, scores, knots), classes),
        reliability=reliability(scores, positive, BINS) if len(scores) else None,
    )


def _classes_sheet(evaluation: Evaluation) -> Sheet:
    names = evaluation.about.classes
    side = len(names)
    places = evaluation.image_classes * side + evaluation.called
    whole = np.bincount(places, minlength=side * side)
    ever = np.flatnonzero(whole)
    return Sheet(
        name="classes",
        unit="image",
        rows=names,
        columns=names,
        cells=ever,
        counts=whole[None, ever].astype(np.int64),
    )


# ---- images and studies -----------------------------------------------------------------------


def _studies(evaluation: Evaluation, config: MatchConfig) -> tuple[Float64s, Bools] | None:
    """Scores and ground truths of studies; None where each study is one image."""
    groups = evaluation.group_ids
    if len(set(groups)) == len(groups):
        return None
    scores = study_scores(evaluation.scores(config.nms_iou), groups, config.study_rule).scores
    return scores, study_positive(evaluation.positive, groups)


def _whole_images(
    evaluation: Evaluation,
    scores: Float64s,
    studies: tuple[Float64s, Bools] | None,
    knots: Float64s,
) -> Iterator[UnitCounts]:
    units: list[tuple[Unit, Float64s, Bools]] = [("image", scores, evaluation.positive)]
    if studies:
        units.append(("study", *studies))
    for unit, values, positive in units:
        first = _first_shown(values, knots)
        yield UnitCounts(
            unit=unit,
            true_positives=_risen(first[positive], len(knots)),
            false_positives=_risen(first[~positive], len(knots)),
            positives=int(positive.sum()),
            negatives=int((~positive).sum()),
            images=len(values),
        )


def _images_sheet(positive: Bools, scores: Float64s, knots: Float64s) -> Sheet:
    first = _first_shown(scores, knots)
    hits, alarms = (_risen(first[marks], len(knots)) for marks in (positive, ~positive))
    ill, healthy = int(positive.sum()), int((~positive).sum())
    return Sheet(
        name="images",
        unit="image",
        rows=(POSITIVE, NEGATIVE),
        columns=(SHOWN, NOT_SHOWN),
        cells=np.arange(4),
        counts=np.stack([hits, ill - hits, alarms, healthy - alarms], axis=1),
    )


# ---- knots --------------------------------------------------------------------------------------


def _knots(
    hits: npt.ArrayLike,
    wrong: npt.ArrayLike,
    images: Sequence[Float64s],
    also: Sequence[float],
) -> Float64s:
    """At most about 1,000 confidences, falling.

    They are at steps of equal sensitivity, at equal ratios of false positives, which FROC is read
    in, at some scores of images and studies, and at round numbers; at all scores where there are
    few.
    """
    parts = [np.arange(1, GRID + 1) / GRID, np.asarray(also, dtype=np.float64)]
    parts.append(_spread(hits, _OF_HITS, even=True))
    parts.append(_spread(wrong, _OF_WRONG, even=False))
    parts += [_spread(values, _OF_IMAGES, even=True) for values in images]
    return np.unique(np.concatenate(parts))[::-1]


def _spread(scores: npt.ArrayLike, most: int, *, even: bool) -> Float64s:
    """Some of the distinct scores, the highest and the lowest among them."""
    falling = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    if len(falling) <= most:
        return falling
    last = len(falling) - 1
    steps = np.linspace(0, last, most) if even else np.geomspace(1, last + 1, most) - 1
    return falling[np.unique(np.round(steps).astype(np.int64))]


def _first_shown(scores: npt.ArrayLike, knots: Float64s) -> Int64s:
    """(N,) the first of falling knots at which each score is shown, C where at none."""
    rising = knots[::-1]
    at_most = np.searchsorted(rising, np.asarray(scores, dtype=np.float64), side="right")
    return np.asarray(len(knots) - at_most, dtype=np.int64)


def _risen(first: Int64s, knots: int) -> Int64s:
    """(C,) how many are shown at each knot."""
    return np.cumsum(np.bincount(first, minlength=knots + 1)[:knots]).astype(np.int64)


def _counted(place: Int64s, first: Int64s, places: int, knots: int) -> tuple[Int64s, Int64s]:
    """The places that occur, rising, and (C, n) how many are shown in each at each knot."""
    ever = np.flatnonzero(np.bincount(place, minlength=places))
    dense = np.zeros(places, dtype=np.int64)
    dense[ever] = np.arange(len(ever))
    cells = dense[place] * (knots + 1) + first
    steps = np.bincount(cells, minlength=len(ever) * (knots + 1)).reshape(len(ever), knots + 1)
    return ever, np.cumsum(steps[:, :knots], axis=1).T.astype(np.int64)
