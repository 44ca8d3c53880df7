"""Writes the golden cases that hold the Python and the JavaScript rules together.

python tests/golden/make_golden.py
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np

from fracture_core import boxes, masks
from fracture_core.matching import match
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import (
    Evidence,
    Knots,
    Measurements,
    confidence_at,
    evidence_for,
    sensitivity_at,
)
from fracture_core.predictions import answer_of
from fracture_core.types import Detections, Window
from fracture_core.ui.widgets.case_viewer import ViewerState
from tests.support.threshold_lookup import fp_per_image_at, specificity_at

sys.path.append(str(Path(__file__).parents[2]))

from tests.support.agreement import agree
from tests.support.measurements import measured

FOLDER = Path(__file__).parent
SIZE = 400


def some_boxes(rng: np.random.Generator, count: int, *, grid: bool) -> np.ndarray:
    """Boxes in an image of 400 × 400; on a grid IoUs repeat and meet thresholds exactly."""
    corner = rng.uniform(0, SIZE * 0.7, (count, 2))
    side = rng.uniform(4, SIZE * 0.25, (count, 2))
    found = np.concatenate([corner, corner + side], axis=1)
    if grid:
        found = np.round(found / 25) * 25
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 25)
    return found.astype(np.float32)


def some_detections(rng: np.random.Generator, count: int, *, grid: bool) -> Detections:
    """Candidates with many equal scores, in falling order."""
    scores = np.sort(np.round(rng.uniform(0.01, 1, count), 2 if grid else 6))[::-1]
    return Detections.of(some_boxes(rng, count, grid=grid), scores, rng.integers(0, 3, count))


def some_truth(rng: np.random.Generator, count: int, candidates: Detections) -> Detections:
    """Half of the ground truths lie near a candidate, so that matches and duplicates occur."""
    corners = some_boxes(rng, count, grid=True)
    if len(candidates):
        near = rng.integers(0, len(candidates), count // 2)
        corners[: len(near)] = candidates.xyxy[near] + rng.integers(0, 4, (len(near), 4))
    return Detections.ground_truth(corners, rng.integers(0, 3, count))


def thresholds(rng: np.random.Generator, candidates: Detections) -> dict[str, object]:
    """Settings of which many meet a score or an IoU exactly."""
    exact_iou = boxes.iou(candidates.xyxy, candidates.xyxy).ravel()
    exact_iou = exact_iou[(exact_iou > 0) & (exact_iou < 1)]
    pool = [0.0, 0.05, 0.3, 0.5, 0.75, 1.0, *rng.choice(exact_iou, min(4, len(exact_iou)))]
    scores = [0.0, 0.25, 0.5, *candidates.scores[:: max(1, len(candidates) // 4)].tolist()]
    return {
        "confidence": float(rng.choice(scores)),
        "nms_iou": float(rng.choice(pool)),
        "match_iou": float(rng.choice(pool)),
        "rule": str(rng.choice(["iou", "centre"])),
        "class_aware": bool(rng.integers(0, 2)),
    }


def packed(detections: Detections) -> dict[str, object]:
    return {
        "xyxy": detections.xyxy.ravel().tolist(),
        "scores": detections.scores.tolist(),
        "labels": detections.labels.tolist(),
    }


def answer(candidates: Detections, ground_truth: Detections, settings: dict) -> dict[str, object]:
    """What Python says: positions shown, and the match of what is shown."""
    confident = candidates.above(settings["confidence"])
    kept = boxes.nms(confident.xyxy, confident.labels, settings["nms_iou"])
    found = match(
        confident.nms(settings["nms_iou"]),
        ground_truth,
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    return {
        "above": len(confident),
        "shown": kept.tolist(),
        "ground_truth_of": found.gt_of.tolist(),
        "iou": found.iou.tolist(),
        "duplicate_of": found.duplicate_of.tolist(),
        "missed": found.missed.tolist(),
        "kinds": list(found.kinds),
    }


def filter_cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(20)
    sizes = [(0, 0), (0, 3), (5, 0), (1, 1), (1000, 20)]
    sizes += [(int(rng.integers(2, 30)), int(rng.integers(1, 8))) for _ in range(120)]
    for number, (count, ground_truths) in enumerate(sizes):
        candidates = some_detections(rng, count, grid=number % 2 == 0)
        ground_truth = some_truth(rng, ground_truths, candidates)
        settings = thresholds(rng, candidates)
        if count == 1000:
            settings |= {"confidence": 0.1, "nms_iou": 0.4, "match_iou": 0.3}
        yield {
            "candidates": packed(candidates),
            "ground_truth": packed(ground_truth),
            "settings": settings,
            "expected": answer(candidates, ground_truth, settings),
        }


def some_team(rng: np.random.Generator, models: int, count: int, *, grid: bool) -> list[Detections]:
    """Models that point at much the same places, each a little off."""
    base = some_boxes(rng, max(count, 1), grid=grid)
    team = []
    for _ in range(models):
        near = base[rng.integers(0, len(base), count)]
        near = (
            near + rng.integers(0, 3, near.shape) if grid else near + rng.normal(0, 6, (count, 4))
        )
        corners = np.maximum(near.astype(np.float32), 0)
        corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 5)
        scores = np.sort(np.round(rng.uniform(0.01, 1, count), 1 if grid else 6))[::-1]
        team.append(Detections.of(corners, scores, rng.integers(0, 2, count)))
    return team


def agreement_answer(
    team: list[Detections], ground_truth: Detections, settings: dict
) -> dict[str, object]:
    found = agree(
        [one.above(settings["confidence"]).nms(settings["nms_iou"]) for one in team],
        ground_truth,
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    return {
        "members": [list(place.members) for place in found.places],
        "first": [place.first for place in found.places],
        "ground_truth": [place.ground_truth for place in found.places],
        "found_by": found.found_by,
    }


def agreement_cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(30)
    sizes = [(2, 0), (1, 6), (4, 120)]
    sizes += [(int(rng.integers(2, 5)), int(rng.integers(1, 14))) for _ in range(80)]
    for number, (models, count) in enumerate(sizes):
        team = some_team(rng, models, count, grid=number % 2 == 0)
        ground_truth = some_truth(rng, int(rng.integers(0, 6)), team[0])
        settings = thresholds(rng, team[0])
        if count == 120:
            settings |= {"confidence": 0.1, "nms_iou": 0.6, "match_iou": 0.4}
        yield {
            "team": [packed(one) for one in team],
            "ground_truth": packed(ground_truth),
            "settings": settings,
            "expected": agreement_answer(team, ground_truth, settings),
        }


def some_measurements(rng: np.random.Generator, count: int, *, grid: bool) -> Measurements:
    """A model's curve with `count` knots, and bins of which some are empty."""
    pool = np.arange(1, 101) / 100 if grid else np.float32(rng.uniform(0.01, 1, 400))
    confidences = np.sort(rng.choice(pool, count, replace=False).astype(np.float64))[::-1]
    hits, wrong, alarms = (np.cumsum(rng.integers(0, most, count)) for most in (3, 9, 2))
    left = int(rng.integers(0, 5)) if count else 0
    knots = Knots(
        confidences=tuple(confidences.tolist()),
        true_positives=tuple(hits.tolist()),
        false_positives=tuple(wrong.tolist()),
        false_alarms=tuple(alarms.tolist()),
        positives=int(hits[-1]) + left if count else 0,
        negatives=int(alarms[-1]) + left if count else 7,
        images=40,
    )
    totals = rng.integers(0, 40, 10) * (rng.random(10) < 0.8)
    bins = [
        Evidence(low=k / 10, high=(k + 1) / 10, right=int(total * rng.random()), total=int(total))
        for k, total in enumerate(totals)
    ]
    return measured(knots, points=(), evidence=tuple(bins))


def counted(share: Proportion) -> list[object]:
    """Count, total and interval; null where that is undefined."""
    return [share.count, share.total, list(share.interval) if share.total else None]


def level_answer(known: Measurements, asked: dict) -> dict[str, object]:
    """What Python says of confidences, levels and scores."""
    settings = [confidence_at(known, unit, level) for unit, level in asked["levels"]]
    found = [evidence_for(known, score) for score in asked["scores"]]
    return {
        "sensitivity": [counted(sensitivity_at(known, at)) for at in asked["confidences"]],
        "specificity": [counted(specificity_at(known, at)) for at in asked["confidences"]],
        "fp_per_image": [fp_per_image_at(known, at) for at in asked["confidences"]],
        "settings": [each and [each.confidence, each.met] for each in settings],
        "evidence": [each and [each.low, each.right, each.total] for each in found],
    }


def dial_answer(known: Measurements, candidates: Detections, state: ViewerState) -> list[int]:
    """How many findings two panes show, the first of a measured model, the second of another."""
    shown = [
        state.shown(candidates, needs_nms=True, pane=0, measured=known),
        state.shown(candidates, needs_nms=True, pane=1),
    ]
    return [len(each) for each in shown]


def level_cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(40)
    for number, count in enumerate([0, 1, 2, *rng.integers(3, 60, 40).tolist()]):
        known = some_measurements(rng, count, grid=number % 2 == 0)
        candidates = some_detections(rng, 40, grid=number % 2 == 0)
        asked = {
            "confidences": [0.0, 0.5, 1.0, *known.knots.confidences[::4], *rng.random(4).tolist()],
            "levels": [
                ["sensitivity", 0.0],
                ["sensitivity", 1.0],
                ["fp_per_image", 0.0],
                ["fp_per_image", 8.0],
                *([unit, float(rng.random())] for unit in ("sensitivity", "fp_per_image")),
            ],
            "scores": [0.0, 0.1, 0.3, 0.6, 1.0, *candidates.scores[:4].tolist()],
        }
        state = ViewerState(
            confidence=float(rng.choice(candidates.scores)),
            unit=["confidence", "sensitivity", "fp_per_image"][number % 3],
            level=float(np.round(rng.random(), 2)),
            own=((0.3, 0.6), (0.4, 1.0)) if number % 4 == 0 else (),
        )
        yield {
            "measured": known.model_dump(mode="json", include={"knots", "evidence"}),
            "asked": asked,
            "expected": level_answer(known, asked),
            "candidates": packed(candidates),
            "state": asdict(state),
            "shown": dial_answer(known, candidates, state),
        }


def answer_cases() -> Iterator[dict[str, object]]:
    """Every order of a score, two points and a confidence, equal and missing ones too."""
    places = (None, 0.2, 0.5, 0.8)
    for score, sensitive, specific, confidence in product(places, repeat=4):
        asked = {"sensitive": sensitive, "specific": specific, "confidence": confidence}
        found = answer_of(score, **asked)
        yield {"score": score, **asked, "expected": asdict(found)}


def window_cases() -> Iterator[dict[str, object]]:
    levels = np.arange(0, 65536, 397, dtype=np.uint16)
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        for center, width in ((32768.0, 65535.0), (400.25, 1800.0), (2048.0, 1.0), (-50.0, 350.5)):
            shown = Window(center=center, width=width, function=function).apply(levels[None])
            yield {
                "window": {"center": center, "width": width, "function": function},
                "levels": levels.tolist(),
                "shown": shown[0].tolist(),
            }


def mask_cases() -> Iterator[dict[str, object]]:
    """Noise, one pixel, an empty one, a ring, and a column that runs into the next."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:30, 0:40]
    distance = np.hypot(y - 14, x - 18)
    single = np.zeros((7, 5), dtype=bool)
    single[6, 4] = True
    full = np.ones((6, 4), dtype=bool)
    spill = np.zeros((6, 4), dtype=bool)
    spill[4:, 1] = spill[:2, 2] = True
    shapes = [rng.random((23, 17)) < 0.5, (distance < 12) & (distance > 6), single, full, spill]
    for mask in [*shapes, np.zeros((4, 4), dtype=bool)]:
        rows = ["".join("01"[int(value)] for value in row) for row in mask]
        yield {"rle": masks.encode(mask).as_coco(), "rows": rows}


def main() -> None:
    made = {
        "filter": filter_cases,
        "agreement": agreement_cases,
        "levels": level_cases,
        "answers": answer_cases,
        "windows": window_cases,
        "masks": mask_cases,
    }
    for name, cases in made.items():
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases())
        (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
