"""One picture of an evaluation as a reader sees it: its truth, what is shown of it, and why."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fracture_core import boxes
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.matching import MatchConfig, match
from fracture_core.metrics.columns import Columns
from fracture_core.types import Detections

BoxKind = Literal[
    "truth", "missed", "true positive", "false positive", "duplicate", "finding", "candidate"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBox:
    """`xyxy` in pixels of the picture · `row` in the truths, or in what was found, of its
    evaluation · `iou` of a finding with its truth, else the best with any it may match, nan for
    truths · "candidate" is the best one below the confidence, "finding" one that nothing is known
    about.
    """

    kind: BoxKind
    xyxy: tuple[float, float, float, float]
    label: int
    score: float
    iou: float
    row: int

    @property
    def is_truth(self) -> bool:
        return self.kind in ("truth", "missed")


def judge_picture(
    evaluation: Evaluation, sample_id: str, config: MatchConfig, confidence: float
) -> tuple[JudgedBox, ...]:
    """Truths first, then the shown findings, the best first; ValueError for an unknown picture.

    For each missed truth that has one, the best candidate below the confidence comes last.
    """
    place = evaluation.sample_ids.index(sample_id)
    found, found_start = _of_picture(evaluation.found(config.nms_iou), place)
    truth, truth_start = _of_picture(evaluation.truths, place)
    shown = found.above(confidence)
    judged = match(shown, truth, config.match_iou, class_aware=config.class_aware)
    missed = set(judged.missed.tolist())
    known = bool(evaluation.known[place])
    made = [
        _box(truth, i, "missed" if i in missed else "truth", np.nan, truth_start)
        for i in range(len(truth))
    ]
    made += [
        _box(shown, i, kind if known else "finding", float(judged.iou[i]), found_start)
        for i, kind in enumerate(judged.kinds)
    ]
    for i in _best_below(found, truth, sorted(missed), config, confidence):
        overlap = float(boxes.iou(found.xyxy[[i]], truth.xyxy).max())
        made.append(_box(found, i, "candidate", overlap, found_start))
    return tuple(made)


def _of_picture(columns: Columns, place: int) -> tuple[Detections, int]:
    """The rows of one picture, and the first of them."""
    start, stop = np.searchsorted(columns.image, [place, place + 1])
    rows = slice(int(start), int(stop))
    found = Detections.of(columns.xyxy[rows], columns.scores[rows], columns.labels[rows])
    return found, int(start)


def _box(found: Detections, i: int, kind: str, iou: float, start: int) -> JudgedBox:
    x1, y1, x2, y2 = (float(edge) for edge in found.xyxy[i])
    return JudgedBox(
        kind=kind,  # type: ignore[arg-type]
        xyxy=(x1, y1, x2, y2),
        label=int(found.labels[i]),
        score=float(found.scores[i]),
        iou=iou,
        row=start + i,
    )


def _best_below(
    found: Detections,
    truth: Detections,
    missed: list[int],
    config: MatchConfig,
    confidence: float,
) -> list[int]:
    """Of each missed truth the best scored candidate that satisfies the rule but is not shown."""
    hidden = np.flatnonzero(found.scores.astype(np.float64) < confidence)
    if not (len(hidden) and missed):
        return []
    overlap = boxes.iou(found.xyxy[hidden], truth.xyxy[missed])
    enough = (overlap >= config.match_iou) & (overlap > 0)
    if config.class_aware:
        enough &= found.labels[hidden][:, None] == truth.labels[missed][None, :]
    # Scores fall, so the first that is near enough is the best.
    firsts = {int(hidden[np.argmax(near)]) for near in enough.T if near.any()}
    return sorted(firsts)
