"""Speed of the metrics of a whole evaluation, against plain loops and against pycocotools.

There are as many images as in the published CT subset, 28,812, with 100 candidates each; a quarter
of the images has a fracture, as there. The sweeps are at R1's 25 confidences. The loops go image by
image and box by box over an array of boxes and one of scores for each image, as in a notebook; a
second kind goes over lists of numbers, which is as fast as plain Python can be. COCO's twelve
metrics begin with what each side stores: ours with columns in an .npz file, pycocotools with the
dictionaries that its `loadRes` takes. Both sides take turns; the median of the ratios counts.
"""

import contextlib
import gc
import io
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak_bytes
from benchmarks.rows import Row
from fracture_core.boxes import xyxy_to_xywh
from fracture_core.metrics import any_hit, coco, greedy
from fracture_core.metrics.bootstrap import bootstrap_all
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.metrics.froc import froc
from fracture_core.metrics.weighted import Auc, FrocSensitivity, ImageCounts

IMAGES, CANDIDATES, PATIENTS = 28_812, 100, 2_016
CONFIDENCES = np.arange(0.01, 0.5, 0.02)
MATCH_IOU = 0.5
COCO_IMAGES = 2_000
RESAMPLES = 1000
ROUNDS = 3
SWEEP_AT_LEAST, COCO_AT_LEAST = 100, 5
MEMORY_AT_MOST_GB, INTERVALS_AT_MOST_S = 2, 60

Counts = tuple[int, int, int]
# Boxes and scores of one image, the best first, and its ground-truth boxes; arrays or lists.
MedicalImage = tuple[Any, Any, Any]
# Takes a confidence and an image; returns true positives, false positives and false negatives.
Loop = Callable[[float, MedicalImage], Counts]


def main() -> list[Row]:
    """Return the rows of sweeps, COCO's metrics and intervals, and the peak memory of all."""
    found, ground_truths = make_columns(IMAGES)
    rows = [*_sweeps(found, ground_truths), *_coco(), *_intervals(found, ground_truths)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(_peak_gb)
    title = f"sweep, FROC, COCO and intervals of {len(found):,} candidates: peak memory"
    return [*rows, Row(name=title, value=peak, unit="GB", limit=MEMORY_AT_MOST_GB)]


def make_columns(images: int, seed: int = 0) -> tuple[DetectionTable, DetectionTable]:
    """Draw candidates and ground truth for a number of images, as two detection tables.

    Some candidates lie near each ground-truth box and many anywhere; few score high and most low.
    """
    rng = np.random.default_rng(seed)
    lesions = np.where(rng.random(images) < 0.25, rng.integers(1, 3, images), 0)
    owner = np.repeat(np.arange(images), lesions)
    truth_xyxy, xyxy = _random_boxes(rng, len(owner)), _random_boxes(rng, images * CANDIDATES)
    scores = rng.beta(0.5, 6, images * CANDIDATES)
    for _ in range(6):
        rows = owner * CANDIDATES + rng.integers(0, CANDIDATES, len(owner))
        xyxy[rows] = truth_xyxy + rng.normal(0, 4, truth_xyxy.shape)
        scores[rows] = rng.beta(2, 2, len(owner))
    xyxy[:, 2:] = np.maximum(xyxy[:, 2:], xyxy[:, :2] + 1)
    image = np.repeat(np.arange(images), CANDIDATES)
    rows = np.lexsort((-scores, image))
    found = _columns(images, image, xyxy[rows], scores[rows])
    return found, _columns(images, owner, truth_xyxy, np.ones(len(owner)))


def _random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    side = rng.uniform(8, 60, (count, 2))
    low = rng.uniform(0, 1, (count, 2)) * (256 - side)
    return np.concatenate([low, low + side], axis=1)


def _columns(
    images: int, image: np.ndarray, xyxy: np.ndarray, scores: np.ndarray
) -> DetectionTable:
    return DetectionTable(
        image_count=images,
        image=image,
        xyxy=xyxy.astype(np.float32),
        scores=scores.astype(np.float32),
        labels=np.zeros(len(image), dtype=np.int64),
        crowd=np.zeros(len(image), dtype=np.bool_),
    )


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    gc.collect()
    start = time.perf_counter()
    result = act()
    return result, time.perf_counter() - start


def _pair_rows(title: str, other: str, seconds: dict[str, list[float]], least: float) -> list[Row]:
    ratios = [slow / fast for slow, fast in zip(seconds[other], seconds["ours"], strict=True)]
    return [
        Row(name=f"{title}: {other}", value=statistics.median(seconds[other]), unit="s"),
        Row(name=f"{title}: ours", value=statistics.median(seconds["ours"]), unit="s"),
        Row(
            name=f"{title}: {other} / ours", value=statistics.median(ratios), unit="×", least=least
        ),
    ]


# ---- threshold sweeps ---------------------------------------------------------------------------


def _sweeps(found: DetectionTable, ground_truths: DetectionTable) -> list[Row]:
    arrays, lists = _images(found, ground_truths)
    rows = []
    for name, on_arrays, on_lists, sweep in (
        ("R2's greedy sweep", greedy_on_arrays, greedy_on_lists, greedy.sweep),
        ("R1's any-hit sweep", any_hit_on_arrays, any_hit_on_lists, any_hit.sweep),
    ):
        seconds: dict[str, list[float]] = {
            "loops over arrays": [],
            "loops over lists": [],
            "ours": [],
        }
        for _ in range(ROUNDS):
            whole, took = _timed(lambda: _loop(on_arrays, arrays))  # noqa: B023
            seconds["loops over arrays"].append(took)
            again, took = _timed(lambda: _loop(on_lists, lists))  # noqa: B023
            seconds["loops over lists"].append(took)
            swept, took = _timed(lambda: sweep(found, ground_truths, CONFIDENCES))  # noqa: B023
            seconds["ours"].append(took)
            ours = [(c.true_positives, c.false_positives, c.false_negatives) for c in swept]
            assert whole == again == ours
        title = f"{name}, {IMAGES:,} × {CANDIDATES}, {len(CONFIDENCES)} confidences"
        rows += _pair_rows(title, "loops over arrays", seconds, SWEEP_AT_LEAST)
        ratios = zip(seconds["loops over lists"], seconds["ours"], strict=True)
        ratio = statistics.median(slow / fast for slow, fast in ratios)
        rows.append(Row(name=f"{title}: loops over lists / ours", value=ratio, unit="×"))
    return rows


def _images(
    found: DetectionTable, ground_truths: DetectionTable
) -> tuple[list[MedicalImage], list[MedicalImage]]:
    """All images with arrays, and all images with lists of numbers."""
    boxes = found.xyxy.reshape(-1, CANDIDATES, 4)
    scores = found.scores.reshape(-1, CANDIDATES)
    there = np.split(ground_truths.xyxy, ground_truths.bounds()[1:-1])
    arrays = list(zip(boxes, scores, there, strict=True))
    return arrays, [(b.tolist(), s.tolist(), t.tolist()) for b, s, t in arrays]


def _loop(judge: Loop, images: list[MedicalImage]) -> list[Counts]:
    """The counts of a loop, summed over the images, at each confidence."""
    sums = []
    for confidence in CONFIDENCES.tolist():
        hits = false_positives = missed = 0
        for image in images:
            a, b, c = judge(confidence, image)
            hits, false_positives, missed = hits + a, false_positives + b, missed + c
        sums.append((hits, false_positives, missed))
    return sums


def greedy_on_lists(confidence: float, image: MedicalImage) -> Counts:
    """Match greedily, as R2 does, over lists.

    Each shown box takes the ground-truth box that it overlaps most, of those still free.
    """
    boxes, scores, ground_truths = image
    return _greedy(
        [b for b, s in zip(boxes, scores, strict=True) if s >= confidence], ground_truths
    )


def greedy_on_arrays(confidence: float, image: MedicalImage) -> Counts:
    """Match greedily, with boxes and scores as arrays."""
    boxes, scores, ground_truths = image
    return _greedy(boxes[scores.astype(np.float64) >= confidence], ground_truths)


def any_hit_on_lists(confidence: float, image: MedicalImage) -> Counts:
    """Match by any hit, as R1 does, over lists.

    An image is a true positive if any shown box hits any ground-truth box. Otherwise it is a false
    positive if a box is shown and a false negative if there is an object, which may be both.
    """
    boxes, scores, ground_truths = image
    return _any_hit(
        [b for b, s in zip(boxes, scores, strict=True) if s >= confidence], ground_truths
    )


def any_hit_on_arrays(confidence: float, image: MedicalImage) -> Counts:
    """Match by any hit, with boxes and scores as arrays."""
    boxes, scores, ground_truths = image
    return _any_hit(boxes[scores.astype(np.float64) >= confidence], ground_truths)


def _greedy(shown: Any, ground_truths: Any) -> Counts:
    hits = 0
    free = list(range(len(ground_truths)))
    for box in shown:
        best, best_iou = None, MATCH_IOU
        for j in free:
            iou = _plain_iou(box, ground_truths[j])
            if iou > best_iou or (best is None and iou == best_iou):
                best, best_iou = j, iou
        if best is not None:
            hits += 1
            free.remove(best)
    return hits, len(shown) - hits, len(free)


def _any_hit(shown: Any, ground_truths: Any) -> Counts:
    for box in shown:
        for ground_truth in ground_truths:
            if _plain_iou(box, ground_truth) > MATCH_IOU:
                return 1, 0, 0
    return 0, int(len(shown) > 0), int(len(ground_truths) > 0)


def _plain_iou(first: Any, second: Any) -> float:
    ax, ay, bx, by = first
    cx, cy, dx, dy = second
    width = min(bx, dx) - max(ax, cx)
    height = min(by, dy) - max(ay, cy)
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return inter / ((bx - ax) * (by - ay) + (dx - cx) * (dy - cy) - inter)


# ---- COCO's twelve metrics ----------------------------------------------------------------------


def _coco() -> list[Row]:
    found, ground_truths = make_columns(COCO_IMAGES, seed=1)
    title = f"COCO's twelve figures, {COCO_IMAGES:,} × {CANDIDATES}"
    seconds: dict[str, list[float]] = {"pycocotools": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.npz"
        np.savez(path, **_stored("found", found), **_stored("truths", ground_truths))
        truth_file, rows = _truth_file(ground_truths), _result_rows(found)
        for _ in range(ROUNDS):
            # Copied, because `loadRes` writes into what it is given.
            given = [dict(row) for row in rows]
            theirs, took = _timed(lambda: _pycocotools(truth_file, given))  # noqa: B023
            seconds["pycocotools"].append(took)
            ours, took = _timed(lambda: _our_twelve(path))
            seconds["ours"].append(took)
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    return _pair_rows(title, "pycocotools", seconds, COCO_AT_LEAST)


def _our_twelve(path: Path) -> list[float]:
    with np.load(path, allow_pickle=False) as stored:
        found, ground_truths = (_loaded(name, stored) for name in ("found", "truths"))
    metrics = coco.evaluate_boxes(found, ground_truths, 1)
    return [getattr(metrics, field.name) for field in fields(metrics)][:12]


def _stored(name: str, columns: DetectionTable) -> dict[str, np.ndarray]:
    parts = ("image", "xyxy", "scores", "labels", "crowd")
    whole = {f"{name}.{part}": getattr(columns, part) for part in parts}
    return {**whole, f"{name}.count": np.array(columns.image_count)}


def _loaded(name: str, stored: Any) -> DetectionTable:
    return DetectionTable(
        image_count=int(stored[f"{name}.count"]),
        image=stored[f"{name}.image"],
        xyxy=stored[f"{name}.xyxy"],
        scores=stored[f"{name}.scores"],
        labels=stored[f"{name}.labels"],
        crowd=stored[f"{name}.crowd"],
    )


def _result_rows(found: DetectionTable) -> list[dict[str, Any]]:
    xywh = xyxy_to_xywh(found.xyxy.astype(np.float64)).tolist()
    columns = zip(found.image.tolist(), xywh, found.scores.tolist(), strict=True)
    return [{"image_id": i, "category_id": 0, "bbox": b, "score": s} for i, b, s in columns]


def _truth_file(ground_truths: DetectionTable) -> Any:
    """The ground truth as pycocotools holds it once a file is read; reading is not timed."""
    from pycocotools.coco import COCO

    rows = [
        {**row, "id": i + 1, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
        for i, row in enumerate(_result_rows(ground_truths))
    ]
    held = COCO()
    held.dataset = {
        "info": {},
        "images": [
            {"id": i, "height": 256, "width": 256} for i in range(ground_truths.image_count)
        ],
        "categories": [{"id": 0, "name": "fracture"}],
        "annotations": rows,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        held.createIndex()
    return held


def _pycocotools(truth_file: Any, rows: list[dict[str, Any]]) -> list[float]:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth_file, truth_file.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats.tolist()


# ---- intervals and memory -----------------------------------------------------------------------


def _intervals(found: DetectionTable, ground_truths: DetectionTable) -> list[Row]:
    groups = [str(i % PATIENTS) for i in range(found.image_count)]
    prepared, preparing = _timed(lambda: _statistics(found, ground_truths))
    _, drawing = _timed(lambda: bootstrap_all(groups, prepared, count=RESAMPLES))
    title = "AUC, FROC and five figures at one confidence"
    return [
        Row(name=f"{title}: matching and sorting, once", value=preparing, unit="s"),
        Row(
            name=f"{title}: intervals, {RESAMPLES} resamples of {PATIENTS:,} patients",
            value=drawing,
            unit="s",
            limit=INTERVALS_AT_MOST_S,
        ),
    ]


def _statistics(
    found: DetectionTable, ground_truths: DetectionTable
) -> Callable[[np.ndarray], list[float]]:
    positive = np.diff(ground_truths.bounds()) > 0
    auc = Auc.of(found.scores[found.bounds()[:-1]], positive)
    curve = FrocSensitivity.of(found, ground_truths)
    counts = ImageCounts.of_findings(found, ground_truths, 0.3)

    def metrics(weights: np.ndarray) -> list[float]:
        return [
            auc(weights),
            *curve(weights),
            counts.sensitivity(weights),
            counts.precision(weights),
            counts.f1(weights),
            counts.fp_per_image(weights),
            counts.specificity(weights),
        ]

    return metrics


def _peak_gb() -> float:
    """The peak memory in GiB of this process: it draws the candidates and does all once."""
    found, ground_truths = make_columns(IMAGES)
    greedy.sweep(found, ground_truths)
    froc(found, ground_truths)
    coco.evaluate_boxes(found, ground_truths, 1)
    groups = [str(i % PATIENTS) for i in range(found.image_count)]
    bootstrap_all(groups, _statistics(found, ground_truths), count=50)
    return peak_bytes() / 2**30
