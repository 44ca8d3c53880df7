"""One model's raw predictions on a split, beside the ground truth: the source of every metric.

The raw predictions keep every candidate; `merge` applies NMS to all images at once, and
`match_image` tells what one image shows at a confidence.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from fracture_core import boxes
from fracture_core.boxes import area
from fracture_core.evaluations.attributes import Attribute, ScopeCounts
from fracture_core.matching import MatchConfig, match
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.pairs import group_keys
from fracture_core.models.cards import Task
from fracture_core.types import Detections, Float32s, Int64s

# ---- NMS -----------------------------------------------------------------------------------------

# So few rows that what is worked on stays in the processor's cache.
ROWS_AT_ONCE = 1 << 15


def merge(raw: DetectionTable, nms_iou: float) -> DetectionTable:
    """Return what class-wise NMS keeps of each image, as `Detections.nms` does.

    Within one image the kept boxes must be found one after the other, but images and classes do not
    affect each other: the best box of every group is kept in one step, what it overlaps is dropped
    in all groups together, and the best of what is left is next.
    """
    if nms_iou >= 1 or not len(raw):
        return raw
    group, _ = group_keys(raw, raw, class_aware=True)
    order = np.argsort(group, kind="stable")
    kept = np.zeros(len(raw), dtype=np.bool_)
    for rows in np.split(order, _cuts(group[order])):
        kept[rows] = _survivors(raw.xyxy[rows].astype(np.float64), group[rows], nms_iou)
    return raw.rows(kept)


def _cuts(group: Int64s) -> Int64s:
    """Where to cut between groups, about every `ROWS_AT_ONCE` rows."""
    firsts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    at = np.searchsorted(firsts, np.arange(ROWS_AT_ONCE, len(group), ROWS_AT_ONCE))
    cuts: Int64s = np.unique(firsts[at[at < len(firsts)]])
    return cuts


def _survivors(xyxy: Float64s, group: Int64s, nms_iou: float) -> Bools:
    """(N,) which rows NMS keeps; the rows stand group by group, the best first in each."""
    kept = np.zeros(len(group), dtype=np.bool_)
    corners, areas, left = np.ascontiguousarray(xyxy.T), area(xyxy), np.arange(len(group))
    while len(left):
        groups = group[left]
        is_best = np.diff(groups, prepend=groups[0] - 1) != 0
        kept[left[is_best]] = True
        best = np.repeat(left[is_best], np.diff(np.append(np.flatnonzero(is_best), len(left))))
        rest, best = left[~is_best], best[~is_best]
        left = rest[~_overlap(corners, areas, best, rest, nms_iou)]
    return kept


def _overlap(
    corners: Float64s, areas: Float64s, first: Int64s, second: Int64s, nms_iou: float
) -> Bools:
    """(P,) whether the IoU of two rows is above `nms_iou`, to the last bit as by `boxes.iou`."""
    x1, y1, x2, y2 = corners
    wide = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
    high = np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
    # Most boxes do not touch at all.
    near = np.flatnonzero((wide > 0) & (high > 0))
    inter = wide[near] * high[near]
    union = areas[first[near]] + areas[second[near]] - inter
    above = np.zeros(len(first), dtype=np.bool_)
    above[near] = inter / union > nms_iou
    return above


# ---- an evaluation -------------------------------------------------------------------------------

UNKNOWN_CLASS = -1
MOST_MERGED = 4


class About(BaseModel):
    """Which model predicted, and which images.

    `classes` are the model's, then those only the ground truth knows; the first `model_classes` are
    the model's. `healthy` is the class that means "nothing here", "" = there is none. `data_stamp`
    tells one state of the data set from another. `one_class` says that every class of model and
    ground truth counts as one, `is_a` which classes count as another. `kinds` are the data set's
    own classes where several of them count as one, else none. `scope` tells whether the model was
    made for these images, None = not recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    title: str
    family: str
    weights_sha256: str
    task: Task
    classes: tuple[str, ...]
    model_classes: int
    healthy: str
    needs_nms: bool
    data: str
    data_name: str
    data_stamp: str
    split: str
    one_class: bool
    created_utc: str
    code_version: str
    scope: ScopeCounts | None = None
    is_a: dict[str, str] = {}
    kinds: tuple[str, ...] = ()

    @property
    def tells_findings(self) -> bool:
        """Whether the model tells findings from none; a classifier needs a healthy class."""
        return self.task != "classify" or self.healthy in self.classes


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """I images with their raw predictions and ground truths, which are labelled in `about.classes`.

    `group_ids` are the patients or studies. `raw` holds every candidate, before NMS.
    `ground_truths` are of the images that are `known` (I,), no others. `image_scores` are (I,)
    float32, `class_scores` (I, K) of a classifier, else None. `image_classes` (I,) int64 are −1
    where unknown. `gt_kinds` (T,) int64 tells which of `about.kinds` each ground truth is, None =
    none are kept. `seconds` (I,) is the time each image took, and `stage_seconds` (I, 3) float32
    that of pre-process, inference and post-process, nan where the model does not tell, None where
    it was not kept. `sizes_px` (I, 2) int64 are height and width, None where nobody said.
    `spacing_mm` (I, 2) float64 is of rows and columns, nan where nobody said. `attributes` are what
    is known of the images in words. Raises ValueError for columns of other lengths.
    """

    about: About
    sample_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    raw: DetectionTable
    ground_truths: DetectionTable
    known: Bools
    image_scores: Float32s
    class_scores: Float32s | None
    image_classes: Int64s
    seconds: Float32s
    stage_seconds: Float32s | None = None
    sizes_px: Int64s | None = None
    spacing_mm: Float64s | None = None
    attributes: tuple[Attribute, ...] = ()
    gt_kinds: Int64s | None = None
    _merged: dict[float, DetectionTable] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = len(self.sample_ids)
        for name in ("group_ids", "known", "image_scores", "image_classes", "seconds"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: expected {count}, got {len(getattr(self, name))}")
        for name in ("raw", "ground_truths"):
            if getattr(self, name).image_count != count:
                found = getattr(self, name).image_count
                raise ValueError(f"{name}: expected {count} images, got {found}")
        for each in self.attributes:
            if len(each) != count:
                raise ValueError(f"{each.name}: expected {count} images, got {len(each)}")
        kinds = self.gt_kinds
        if kinds is not None and len(kinds) != len(self.ground_truths):
            raise ValueError(f"gt_kinds: expected {len(self.ground_truths)}, got {len(kinds)}")

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def has_masks(self) -> bool:
        """Whether the model outlines its findings and every ground truth is outlined, too."""
        sides = (self.raw, self.ground_truths)
        return self.about.task == "segment" and all(len(s.masks) == len(s) for s in sides)

    def found(self, nms_iou: float = 0.5) -> DetectionTable:
        """Return all candidates, after NMS where the model needs it; a few results are kept."""
        if not self.about.needs_nms:
            return self.raw
        found = self._merged.get(nms_iou)
        if found is None:
            found = merge(self.raw, nms_iou)
            # Each place of a slider is another IoU; the oldest results go.
            for place in list(self._merged)[: 1 - MOST_MERGED]:
                self._merged.pop(place, None)
            self._merged[nms_iou] = found
        return found

    def scores(self, nms_iou: float) -> Float64s:
        """(I,) float64: a classifier's own scores, else each best candidate's, 0 = none."""
        if self.about.task == "classify":
            return self.image_scores.astype(np.float64)
        return self.found(nms_iou).best_scores(0.0)

    @cached_property
    def positive(self) -> Bools:
        """(I,) whether there is anything to find in each image; False where nothing is known."""
        if self.about.task == "classify":
            if not self.about.tells_findings:
                return np.zeros(len(self), dtype=np.bool_)
            healthy = self.about.classes.index(self.about.healthy)
            known, ill = self.image_classes != UNKNOWN_CLASS, self.image_classes != healthy
            marks: Bools = known & ill
            return marks
        marks = np.zeros(len(self), dtype=np.bool_)
        marks[self.ground_truths.image] = True
        return marks

    @property
    def called(self) -> Int64s:
        """(I,) int64: the class with the highest score; ValueError without class scores."""
        if self.class_scores is None:
            raise ValueError("class_scores: expected those of a classifier, got none")
        best: Int64s = np.argmax(self.class_scores, axis=1).astype(np.int64)
        return best

    def matched(self) -> Self:
        """Return the evaluation of only the images whose ground truth is known."""
        return self if self.known.all() else self.images(self.known)

    def images(self, kept: Bools) -> Self:
        """Return the evaluation of only the marked (I,) images, in the same order."""
        where = np.flatnonzero(kept)
        kinds = self.gt_kinds
        return replace(
            self,
            sample_ids=tuple(self.sample_ids[i] for i in where),
            group_ids=tuple(self.group_ids[i] for i in where),
            raw=self.raw.images(kept),
            ground_truths=self.ground_truths.images(kept),
            known=self.known[kept],
            image_scores=self.image_scores[kept],
            class_scores=None if self.class_scores is None else self.class_scores[kept],
            image_classes=self.image_classes[kept],
            seconds=self.seconds[kept],
            stage_seconds=None if self.stage_seconds is None else self.stage_seconds[kept],
            sizes_px=None if self.sizes_px is None else self.sizes_px[kept],
            spacing_mm=None if self.spacing_mm is None else self.spacing_mm[kept],
            attributes=tuple(each.only(kept) for each in self.attributes),
            gt_kinds=None if kinds is None else kinds[kept[self.ground_truths.image]],
            _merged={},
        )


# ---- one image -----------------------------------------------------------------------------------

BoxKind = Literal[
    "ground truth", "missed", "true positive", "false positive", "duplicate", "finding", "candidate"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedBox:
    """A box of one image as a reader sees it: a ground truth, a finding, or a hidden candidate.

    `xyxy` are pixels of the image. `row` is in the ground truths, or in what was found, of the
    evaluation. `iou` is a finding's with its ground truth, else the best with any it may match, and
    nan for ground truths. "candidate" is the best one below the confidence, "finding" one of an
    image whose ground truth is unknown.
    """

    kind: BoxKind
    xyxy: tuple[float, float, float, float]
    label: int
    score: float
    iou: float
    row: int

    @property
    def is_ground_truth(self) -> bool:
        """Whether the box is a ground truth, missed or not."""
        return self.kind in ("ground truth", "missed")


def match_image(
    evaluation: Evaluation, sample_id: str, config: MatchConfig, confidence: float
) -> tuple[MatchedBox, ...]:
    """Return the ground truths of one image, then its shown findings, the best first.

    For each missed ground truth that has one, the best candidate below the confidence comes last.
    Raises ValueError for an unknown image.
    """
    place = evaluation.sample_ids.index(sample_id)
    found, found_start = _of_image(evaluation.found(config.nms_iou), place)
    ground_truth, gt_start = _of_image(evaluation.ground_truths, place)
    shown = found.above(confidence)
    matched = match(shown, ground_truth, config.match_iou, class_aware=config.class_aware)
    missed = set(matched.missed.tolist())
    known = bool(evaluation.known[place])
    made = [
        _box(ground_truth, i, "missed" if i in missed else "ground truth", np.nan, gt_start)
        for i in range(len(ground_truth))
    ]
    made += [
        _box(shown, i, kind if known else "finding", float(matched.iou[i]), found_start)
        for i, kind in enumerate(matched.kinds)
    ]
    for i in _best_below(found, ground_truth, sorted(missed), config, confidence):
        overlap = float(boxes.iou(found.xyxy[[i]], ground_truth.xyxy).max())
        made.append(_box(found, i, "candidate", overlap, found_start))
    return tuple(made)


def _of_image(columns: DetectionTable, place: int) -> tuple[Detections, int]:
    """The rows of one image as detections, and the number of the first of them."""
    start, stop = np.searchsorted(columns.image, [place, place + 1])
    rows = slice(int(start), int(stop))
    found = Detections.of(columns.xyxy[rows], columns.scores[rows], columns.labels[rows])
    return found, int(start)


def _box(found: Detections, i: int, kind: str, iou: float, start: int) -> MatchedBox:
    x1, y1, x2, y2 = (float(edge) for edge in found.xyxy[i])
    return MatchedBox(
        kind=kind,  # type: ignore[arg-type]
        xyxy=(x1, y1, x2, y2),
        label=int(found.labels[i]),
        score=float(found.scores[i]),
        iou=iou,
        row=start + i,
    )


def _best_below(
    found: Detections,
    ground_truth: Detections,
    missed: list[int],
    config: MatchConfig,
    confidence: float,
) -> list[int]:
    """For each missed ground truth the best candidate that would match it but is not shown."""
    hidden = np.flatnonzero(found.scores.astype(np.float64) < confidence)
    if not (len(hidden) and missed):
        return []
    overlap = boxes.iou(found.xyxy[hidden], ground_truth.xyxy[missed])
    enough = (overlap >= config.match_iou) & (overlap > 0)
    if config.class_aware:
        enough &= found.labels[hidden][:, None] == ground_truth.labels[missed][None, :]
    # Scores fall, so the first that is near enough is the best.
    firsts = {int(hidden[np.argmax(near)]) for near in enough.T if near.any()}
    return sorted(firsts)
