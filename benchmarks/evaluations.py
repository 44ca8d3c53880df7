"""Speed and memory of stored evaluations: a million boxes read, 28,812 images × 100 boxes merged.

Boxes are drawn at random, six in ten around three places of their image, as a detector's are. Each
task runs in a process of its own, so that the memory is its own. The best of three counts; all
metrics with intervals are computed once.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_bytes
from benchmarks.rows import Row
from fracture_core.evaluations import About, Evaluation, load_evaluation, report_of
from fracture_core.evaluations.evaluation import merge
from fracture_core.evaluations.folders import GROUND_TRUTHS, PREDICTIONS, Completed
from fracture_core.evaluations.storing import (
    GroundTruths,
    Predictions,
    write_ground_truths,
    write_predictions,
)
from fracture_core.metrics.detection_table import DetectionTable

MILLION_IMAGES, IMAGES, BOXES = 10_000, 28_812, 100
ROUNDS = 3
SIDE_PX = 256


def main() -> list[Row]:
    """Return the seconds of each task and the peak memory of its process."""
    with tempfile.TemporaryDirectory() as folder:
        _store(Path(folder))
        rows = []
        for task, words, limit in (
            ("load", "load a million boxes and their ground truth", 1.0),
            ("merge", f"merge {IMAGES:,} × {BOXES} boxes (NMS)", None),
            ("report", f"every figure of {IMAGES:,} × {BOXES} boxes, with intervals", None),
        ):
            command = [sys.executable, "-m", "benchmarks.evaluations", task, folder]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            rows += [
                Row(name=words, value=said["seconds"], unit="s", limit=limit),
                Row(name=f"{words}, memory", value=said["bytes"] / 1e9, unit="GB", limit=2.0),
            ]
    return rows


def _store(folder: Path) -> None:
    evaluation = _draw(MILLION_IMAGES)
    count = len(evaluation)
    ground_truths = GroundTruths(
        sample_ids=evaluation.sample_ids,
        group_ids=evaluation.group_ids,
        sizes_px=np.full((count, 2), SIDE_PX),
        known=evaluation.known,
        image_classes=evaluation.image_classes,
        boxes=evaluation.ground_truths,
        spacing_mm=np.full((count, 2), np.nan),
    )
    predictions = Predictions(
        positions=np.arange(count),
        raw=evaluation.raw,
        image_scores=evaluation.image_scores,
        class_scores=np.empty((count, 0), dtype=np.float32),
        seconds=evaluation.seconds,
    )
    write_ground_truths(ground_truths, folder / GROUND_TRUTHS)
    write_predictions(predictions, folder / PREDICTIONS)
    done = Completed(
        about=evaluation.about,
        images=count,
        boxes=len(predictions.raw),
        ground_truths=len(evaluation.ground_truths),
    )
    (folder / "evaluation.json").write_text(done.model_dump_json(), encoding="utf-8")


def _draw(images: int) -> Evaluation:
    """A random evaluation; half the images have one or two objects, a patient has four images."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(images), BOXES)
    places = rng.uniform(30, SIDE_PX - 30, (images, 3, 2))
    centre = rng.uniform(20, SIDE_PX - 20, (images * BOXES, 2))
    near = rng.random(len(image)) < 0.6
    chosen = places[image, rng.integers(0, 3, len(image))]
    centre[near] = chosen[near] + rng.normal(0, 4, (int(near.sum()), 2))
    scores = -np.sort(-rng.random((images, BOXES)).astype(np.float32), axis=1)
    found = _columns(images, image, centre, scores.ravel(), rng)
    with_truth = np.flatnonzero(rng.random(images) < 0.5)
    gt_image = np.repeat(with_truth, rng.integers(1, 3, len(with_truth)))
    where = places[gt_image, rng.integers(0, 3, len(gt_image))]
    ones = np.ones(len(gt_image), dtype=np.float32)
    return Evaluation(
        about=_about(),
        sample_ids=tuple(f"picture-{n}" for n in range(images)),
        group_ids=tuple(f"patient-{n // 4}" for n in range(images)),
        raw=found,
        ground_truths=_columns(images, gt_image, where, ones, rng),
        known=np.ones(images, dtype=np.bool_),
        image_scores=scores[:, 0],
        class_scores=None,
        image_classes=np.full(images, -1),
        seconds=np.zeros(images, dtype=np.float32),
        sizes_px=np.full((images, 2), SIDE_PX),
    )


def _columns(
    images: int,
    image: np.ndarray,
    centre: np.ndarray,
    scores: np.ndarray,
    rng: np.random.Generator,
) -> DetectionTable:
    half = rng.uniform(8, 16, (len(image), 2))
    xyxy = np.concatenate([np.maximum(centre - half, 0), centre + half], axis=1)
    return DetectionTable(
        image_count=images,
        image=image,
        xyxy=xyxy.astype(np.float32),
        scores=scores,
        labels=np.zeros(len(image), dtype=np.int64),
        crowd=np.zeros(len(image), dtype=np.bool_),
    )


def _about() -> About:
    return About(
        model_id="drawn",
        title="Drawn at random",
        family="fake",
        weights_sha256="",
        task="detect",
        classes=("fracture",),
        model_classes=1,
        healthy="",
        needs_nms=True,
        data="",
        data_name="drawn",
        data_stamp="",
        split="val",
        one_class=False,
        created_utc="",
        code_version="",
    )


def _run(task: str, folder: Path) -> None:
    """Print the seconds and bytes of one task; this process does nothing else."""
    work: Callable[[], object]
    if task == "load":
        rounds, work = ROUNDS, lambda: load_evaluation(folder)
    else:
        drawn = _draw(IMAGES)
        rounds, work = ROUNDS, lambda: merge(drawn.raw, 0.5)
        if task == "report":
            rounds, work = 1, lambda: report_of(drawn)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    most = peak_bytes()
    print(json.dumps({"seconds": min(seconds), "bytes": most}))


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]))
