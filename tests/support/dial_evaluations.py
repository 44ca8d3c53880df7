"""Evaluations made of numbers, for the tests of the dial."""

import numpy as np

from fracture_core.evaluations import About, Evaluation
from fracture_core.metrics.detection_table import DetectionTable

ABOUT = About(
    model_id="m",
    title="M",
    family="fake",
    weights_sha256="",
    task="detect",
    classes=("a", "b", "c"),
    model_classes=3,
    healthy="",
    needs_nms=False,
    data="/nowhere",
    data_name="nowhere",
    data_stamp="1",
    split="val",
    one_class=False,
    created_utc="2026-01-01T00:00:00+00:00",
    code_version="0",
)


def columns(images: int, rows: list[tuple]) -> DetectionTable:
    """Rows of (image, x, score, label): boxes of 10 × 10 px at x, in any order."""
    rows = sorted(rows, key=lambda row: (row[0], -row[2]))
    x = np.array([row[1] for row in rows], dtype=np.float32)
    boxes = np.stack([x, np.zeros_like(x), x + 10, np.full_like(x, 10)], axis=1)
    return DetectionTable(
        image_count=images,
        image=np.array([row[0] for row in rows], dtype=np.int64),
        xyxy=boxes.reshape(-1, 4).astype(np.float32),
        scores=np.array([row[2] for row in rows], dtype=np.float32),
        labels=np.array([row[3] for row in rows], dtype=np.int64),
        crowd=np.zeros(len(rows), dtype=np.bool_),
    )


def detector(
    images: int, found: list[tuple], ground_truths: list[tuple], groups=None, known=None, **about
) -> Evaluation:
    """Of found (image, x, score, label) and ground truths (image, x, label)."""
    return Evaluation(
        about=ABOUT.model_copy(update=about),
        sample_ids=tuple(f"s{n}" for n in range(images)),
        group_ids=tuple(groups or (f"g{n}" for n in range(images))),
        raw=columns(images, found),
        ground_truths=columns(
            images, [(image, x, 1.0, label) for image, x, label in ground_truths]
        ),
        known=np.ones(images, dtype=np.bool_) if known is None else np.array(known),
        image_scores=np.zeros(images, dtype=np.float32),
        class_scores=None,
        image_classes=np.full(images, -1, dtype=np.int64),
        seconds=np.zeros(images, dtype=np.float32),
    )


def classifier(
    scores: list[list[float]], ground_truth: list[int], healthy: str = "healthy", **about
):
    """Of (I, 3) scores of healthy, a and b; ground truth −1 is unknown."""
    given = np.array(scores, dtype=np.float32).reshape(-1, 3)
    images = len(given)
    nothing = columns(images, [])
    classes = ("healthy", "a", "b")
    changes = {"task": "classify", "classes": classes, "healthy": healthy, **about}
    return Evaluation(
        about=ABOUT.model_copy(update=changes),
        sample_ids=tuple(f"s{n}" for n in range(images)),
        group_ids=tuple(f"g{n}" for n in range(images)),
        raw=nothing,
        ground_truths=nothing,
        known=np.array(ground_truth) >= 0,
        image_scores=1 - given[:, 0],
        class_scores=given,
        image_classes=np.array(ground_truth, dtype=np.int64),
        seconds=np.zeros(images, dtype=np.float32),
    )


def simulated(images: int, candidates: int, classes: int = 1, seed: int = 0) -> Evaluation:
    """As a detector of CT slices answers: one slice in four has a ground truth, most candidates are
    false positive and score low; three images a study.
    """
    rng = np.random.default_rng(seed)
    count = images * candidates
    names = tuple(f"class {n}" for n in range(classes))
    ill = np.flatnonzero(rng.random(images) < 0.25)
    x = rng.integers(0, 200, len(ill))
    gt_labels = rng.integers(0, classes, len(ill))
    scores = rng.beta(0.4, 8, (images, candidates))
    places = rng.integers(0, 400, (images, candidates))
    labels = rng.integers(0, classes, (images, candidates))
    # The first candidate of most images with a ground truth lies on it.
    hit = rng.random(len(ill)) < 0.8
    places[ill[hit], 0] = x[hit] + rng.integers(-3, 4, hit.sum())
    labels[ill[hit], 0] = gt_labels[hit]
    scores[ill[hit], 0] = rng.beta(3, 2, hit.sum())
    scores = np.clip(scores, 0.001, 1).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, places, labels = (
        np.take_along_axis(each, order, axis=1).reshape(count) for each in (scores, places, labels)
    )
    return Evaluation(
        about=ABOUT.model_copy(update={"classes": names, "model_classes": classes}),
        sample_ids=tuple(f"s{n}" for n in range(images)),
        group_ids=tuple(f"g{n // 3}" for n in range(images)),
        raw=_columns(images, np.repeat(np.arange(images), candidates), places, scores, labels),
        ground_truths=_columns(images, ill, x, np.ones(len(ill), dtype=np.float32), gt_labels),
        known=np.ones(images, dtype=np.bool_),
        image_scores=scores.reshape(images, candidates)[:, 0],
        class_scores=None,
        image_classes=np.full(images, -1, dtype=np.int64),
        seconds=np.zeros(images, dtype=np.float32),
    )


def _columns(images: int, image, x, scores, labels) -> DetectionTable:
    left = x.astype(np.float32)
    zero = np.zeros_like(left)
    return DetectionTable(
        image_count=images,
        image=image.astype(np.int64),
        xyxy=np.stack([left, zero, left + 10, zero + 10], axis=1),
        scores=scores,
        labels=labels.astype(np.int64),
        crowd=np.zeros(len(left), dtype=np.bool_),
    )
