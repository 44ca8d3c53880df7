"""Ground truths and predictions in columns, as they lie in the folder of an evaluation.

    truths.npz      ids, groups, sizes, ground truths and attributes of all images asked for,
                    written before the first prediction
    parts/          predictions of some images after another, while it runs
    answers.npz     all of them

A box takes 22 bytes: corners and score as float32, the class as int16; its image is told by the
number of boxes of each image. Masks are one run of bytes with the length of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from math import nan
from pathlib import Path

import numpy as np

from fracture_core.errors import ConfigError
from fracture_core.evaluations import attributes
from fracture_core.evaluations.array_files import (
    Array,
    are_sound,
    read_arrays,
    texts_of,
    texts_to_arrays,
    write_arrays,
)
from fracture_core.evaluations.attributes import Attribute, attributes_of
from fracture_core.masks import Rle
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.types import Detections, Float32s, Int64s, Prediction, StageSeconds

_BOXES = {
    "counts": ("<i4", 1),
    "xyxy": ("<f4", 2),
    "scores": ("<f4", 1),
    "labels": ("<i2", 1),
    "mask_lengths": ("<i4", 1),
    "masks": ("|u1", 1),
}
_GROUND_TRUTHS = {
    **_BOXES,
    "id_lengths": ("<i4", 1),
    "ids": ("|u1", 1),
    "group_lengths": ("<i4", 1),
    "groups": ("|u1", 1),
    "sizes_px": ("<i4", 2),
    "known": ("|b1", 1),
    "image_classes": ("<i2", 1),
}
# Evaluations from before these were stored do not have them.
_KNOWN = {"spacing_mm": ("<f4", 2), **attributes.ARRAYS}
_KINDS = {"kinds": ("<i2", 1)}
_STAGES = {"stage_seconds": ("<f4", 2)}
STAGES = tuple(each.name for each in fields(StageSeconds))
"""The names of the columns of `stage_seconds`."""
_PREDICTIONS = {
    **_BOXES,
    "positions": ("<i4", 1),
    "image_scores": ("<f4", 1),
    "class_scores": ("<f4", 2),
    "seconds": ("<f4", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruths:
    """The ground truths of all images asked for, as in `Evaluation`.

    `spacing_mm` is nan where nobody said. `kinds` (T,) int64 are the evaluation's `gt_kinds`.
    """

    sample_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    sizes_px: Int64s
    known: Bools
    image_classes: Int64s
    boxes: DetectionTable
    spacing_mm: Float64s
    attributes: tuple[Attribute, ...] = ()
    kinds: Int64s | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """The predictions of A images, else as in `Evaluation`.

    `positions` (A,) int64, rising, are the images' places among the ground truths. `class_scores`
    are (A, K), with K = 0 for detectors. `stage_seconds` (A, 3) are those of `STAGES`, nan where
    the model does not tell them; None where nothing was kept of them.
    """

    positions: Int64s
    raw: DetectionTable
    image_scores: Float32s
    class_scores: Float32s
    seconds: Float32s
    stage_seconds: Float32s | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, positions: Sequence[int], predictions: Sequence[Prediction]) -> "Predictions":
        """Gather the predictions of some images; all of a classifier have class scores.

        Raises ValueError where some have class scores and others have none.
        """
        given = [each.class_scores for each in predictions if each.class_scores is not None]
        if given and len(given) != len(predictions):
            raise ValueError(f"class_scores: expected {len(predictions)}, got {len(given)}")
        scores = np.stack(given) if given else np.empty((len(predictions), 0))
        return cls(
            positions=np.array(positions, dtype=np.int64),
            raw=DetectionTable.of([each.detections for each in predictions]),
            image_scores=np.array([each.image_score for each in predictions], dtype=np.float32),
            class_scores=scores.astype(np.float32),
            seconds=np.array([each.seconds for each in predictions], dtype=np.float32),
            stage_seconds=_stages_of([each.stages for each in predictions]),
        )

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Join parts, one after another; there must be at least one."""
        raws = [part.raw for part in parts]
        counts = np.cumsum([0, *(raw.image_count for raw in raws)])
        starts = counts[:-1]
        raw = DetectionTable(
            image_count=int(counts[-1]),
            image=np.concatenate([r.image + s for r, s in zip(raws, starts, strict=True)]),
            xyxy=np.concatenate([raw.xyxy for raw in raws]),
            scores=np.concatenate([raw.scores for raw in raws]),
            labels=np.concatenate([raw.labels for raw in raws]),
            crowd=np.concatenate([raw.crowd for raw in raws]),
            masks=tuple(mask for raw in raws for mask in raw.masks),
        )
        return cls(
            positions=np.concatenate([part.positions for part in parts]),
            raw=raw,
            image_scores=np.concatenate([part.image_scores for part in parts]),
            class_scores=np.concatenate([part.class_scores for part in parts]),
            seconds=np.concatenate([part.seconds for part in parts]),
            stage_seconds=np.concatenate([_stages_or_nan(part) for part in parts]),
        )


def _stages_of(told: Sequence[StageSeconds | None]) -> Float32s:
    rows = [(nan,) * len(STAGES) if one is None else astuple(one) for one in told]
    return np.array(rows, dtype=np.float32).reshape(-1, len(STAGES))


def _stages_or_nan(part: Predictions) -> Float32s:
    # A part from before these were kept is joined with one that has them.
    if part.stage_seconds is None:
        return np.full((len(part), len(STAGES)), nan, dtype=np.float32)
    return part.stage_seconds


@dataclass(slots=True, kw_only=True)
class GroundTruthBuilder:
    """Collects the ground truths of one image after another, in lists of one entry an image."""

    sample_ids: list[str] = field(default_factory=list)
    group_ids: list[str] = field(default_factory=list)
    sizes_px: list[tuple[int, int]] = field(default_factory=list)
    image_classes: list[int] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    boxes: list[Detections] = field(default_factory=list)
    spacing_mm: list[tuple[float, float]] = field(default_factory=list)
    attributes: list[Mapping[str, str]] = field(default_factory=list)
    kinds: list[Int64s] = field(default_factory=list)

    def build(self) -> GroundTruths:
        # A table has masks of all its boxes or none, but a data set may outline only some images.
        """Return the collected ground truths in columns."""
        outlined = all(len(one.masks) == len(one) for one in self.boxes)
        boxes = self.boxes if outlined else [replace(one, masks=()) for one in self.boxes]
        return GroundTruths(
            sample_ids=tuple(self.sample_ids),
            group_ids=tuple(self.group_ids),
            sizes_px=np.array(self.sizes_px, dtype=np.int64).reshape(-1, 2),
            known=np.array(self.known, dtype=np.bool_),
            image_classes=np.array(self.image_classes, dtype=np.int64),
            boxes=DetectionTable.of(boxes),
            spacing_mm=np.array(self.spacing_mm, dtype=np.float64).reshape(-1, 2),
            attributes=attributes_of(self.attributes),
            kinds=np.concatenate(self.kinds) if self.kinds else None,
        )


def write_ground_truths(ground_truths: GroundTruths, path: Path) -> None:
    """Write a file, which is renamed into place; raises StorageError."""
    ids, id_lengths = texts_to_arrays(ground_truths.sample_ids)
    groups, group_lengths = texts_to_arrays(ground_truths.group_ids)
    write_arrays(
        path,
        {
            **_box_arrays(ground_truths.boxes),
            "id_lengths": id_lengths,
            "ids": ids,
            "group_lengths": group_lengths,
            "groups": groups,
            "sizes_px": ground_truths.sizes_px.astype("<i4"),
            "known": ground_truths.known,
            "image_classes": ground_truths.image_classes.astype("<i2"),
            "spacing_mm": ground_truths.spacing_mm.astype("<f4"),
            **attributes.to_arrays(ground_truths.attributes, len(ground_truths)),
            **({} if ground_truths.kinds is None else {"kinds": ground_truths.kinds.astype("<i2")}),
        },
    )


def read_ground_truths(path: Path, *, kinds: int = 0) -> GroundTruths:
    """Read ground truths, each of which is one of so many `kinds`, 0 = kinds are not kept.

    Raises ConfigError for a file that is missing, damaged or not consistent.
    """
    arrays = read_arrays(path, _GROUND_TRUTHS | _KINDS if kinds else _GROUND_TRUTHS, _KNOWN)
    count = len(arrays["id_lengths"])
    _require(path, arrays, count, ("counts", "group_lengths", "known", "image_classes"))
    if arrays["sizes_px"].shape != (count, 2) or (arrays["sizes_px"] < 1).any():
        raise ConfigError(path, expected=f"the sizes of {count} images", found="others")
    if (arrays["image_classes"] < -1).any():
        raise ConfigError(path, expected="classes from 0, or −1", found="others")
    sizes_px = arrays["sizes_px"].astype(np.int64)
    return GroundTruths(
        sample_ids=texts_of(path, arrays["id_lengths"], arrays["ids"]),
        group_ids=texts_of(path, arrays["group_lengths"], arrays["groups"]),
        sizes_px=sizes_px,
        known=arrays["known"],
        image_classes=arrays["image_classes"].astype(np.int64),
        boxes=_as_columns(path, arrays, sizes_px),
        spacing_mm=_spacing(path, arrays, count),
        attributes=(
            attributes.from_arrays(path, arrays, count) if "attribute_codes" in arrays else ()
        ),
        kinds=_as_kinds(path, arrays, kinds) if kinds else None,
    )


def _spacing(path: Path, arrays: dict[str, Array], count: int) -> Float64s:
    if "spacing_mm" not in arrays:
        return np.full((count, 2), np.nan)
    spacing: Float64s = arrays["spacing_mm"].astype(np.float64)
    if spacing.shape != (count, 2) or (spacing <= 0).any():
        raise ConfigError(path, expected=f"the spacing of {count} images", found="others")
    return spacing


def _as_kinds(path: Path, arrays: dict[str, Array], count: int) -> Int64s:
    _require(path, arrays, len(arrays["labels"]), ("kinds",))
    found: Int64s = arrays["kinds"].astype(np.int64)
    if ((found < 0) | (found >= count)).any():
        raise ConfigError(path, expected=f"kinds below {count}", found="others")
    return found


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write a file, which is renamed into place; raises StorageError."""
    write_arrays(
        path,
        {
            **_box_arrays(predictions.raw),
            "positions": predictions.positions.astype("<i4"),
            "image_scores": predictions.image_scores,
            "class_scores": predictions.class_scores,
            "seconds": predictions.seconds,
            "stage_seconds": _stages_or_nan(predictions),
        },
    )


def read_predictions(path: Path, sizes_px: Int64s) -> Predictions:
    """Read predictions; `sizes_px` (I, 2) are height and width of all images asked for.

    Raises ConfigError for a file that is missing, damaged or not consistent.
    """
    arrays = read_arrays(path, _PREDICTIONS, _STAGES)
    count = len(arrays["positions"])
    _require(path, arrays, count, ("counts", "image_scores", "class_scores", "seconds"))
    positions = arrays["positions"].astype(np.int64)
    inside = count == 0 or (positions[0] >= 0 and positions[-1] < len(sizes_px))
    if not inside or (np.diff(positions) <= 0).any():
        expected = f"rising positions below {len(sizes_px)}"
        raise ConfigError(path, expected=expected, found="others")
    for name in ("image_scores", "class_scores"):
        # The comparison is false also for nan.
        if not ((arrays[name] >= 0) & (arrays[name] <= 1)).all():
            raise ConfigError(path, expected=f"{name} from 0 to 1", found="others")
    return Predictions(
        positions=positions,
        raw=_as_columns(path, arrays, sizes_px[positions]),
        image_scores=arrays["image_scores"],
        class_scores=arrays["class_scores"],
        seconds=arrays["seconds"],
        stage_seconds=_stages_in(path, arrays, count),
    )


def _stages_in(path: Path, arrays: dict[str, Array], count: int) -> Float32s | None:
    """None for an evaluation from before they were kept."""
    if "stage_seconds" not in arrays:
        return None
    found: Float32s = arrays["stage_seconds"]
    # The comparison is false for nan, which stands for what is not known.
    if found.shape != (count, len(STAGES)) or (found < 0).any() or np.isinf(found).any():
        expected = f"the seconds of {len(STAGES)} stages of {count} images"
        raise ConfigError(path, expected=expected, found="others")
    return found


def pick_ground_truths(ground_truths: GroundTruths, positions: Int64s) -> GroundTruths:
    """Return the ground truths of the images at (A,) rising positions."""
    if len(positions) == len(ground_truths):
        return ground_truths
    kept = np.zeros(len(ground_truths), dtype=np.bool_)
    kept[positions] = True
    return GroundTruths(
        sample_ids=tuple(ground_truths.sample_ids[i] for i in positions),
        group_ids=tuple(ground_truths.group_ids[i] for i in positions),
        sizes_px=ground_truths.sizes_px[positions],
        known=ground_truths.known[positions],
        image_classes=ground_truths.image_classes[positions],
        boxes=ground_truths.boxes.images(kept),
        spacing_mm=ground_truths.spacing_mm[positions],
        attributes=tuple(each.only(kept) for each in ground_truths.attributes),
        kinds=None
        if ground_truths.kinds is None
        else ground_truths.kinds[kept[ground_truths.boxes.image]],
    )


def _box_arrays(boxes: DetectionTable) -> dict[str, Array]:
    codes = [mask.counts for mask in boxes.masks]
    return {
        "counts": np.bincount(boxes.image, minlength=boxes.image_count).astype("<i4"),
        "xyxy": boxes.xyxy,
        "scores": boxes.scores,
        "labels": boxes.labels.astype("<i2"),
        "mask_lengths": np.array([len(code) for code in codes], dtype="<i4"),
        "masks": np.frombuffer(b"".join(codes), dtype=np.uint8),
    }


def _as_columns(path: Path, arrays: dict[str, Array], sizes_px: Int64s) -> DetectionTable:
    counts = arrays["counts"]
    total = int(counts.sum(dtype=np.int64))
    if (counts < 0).any() or arrays["xyxy"].shape != (total, 4):
        expected, found = f"{total} boxes of 4 numbers", f"shape {arrays['xyxy'].shape}"
        raise ConfigError(path, expected=expected, found=found)
    _require(path, arrays, total, ("scores", "labels"))
    _check_boxes(path, arrays)
    image = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    try:
        return DetectionTable(
            image_count=len(counts),
            image=image,
            xyxy=arrays["xyxy"],
            scores=arrays["scores"],
            labels=arrays["labels"].astype(np.int64),
            crowd=np.zeros(total, dtype=np.bool_),
            masks=_as_masks(path, arrays, image, sizes_px),
        )
    except ValueError as error:
        raise ConfigError(path, expected="boxes in order", found=str(error)[:200]) from error


def _check_boxes(path: Path, arrays: dict[str, Array]) -> None:
    """As `Detections` checks them; a comparison with what is no number is false."""
    xyxy, scores, labels = arrays["xyxy"], arrays["scores"], arrays["labels"]
    # Infinite corners are not below infinity.
    shaped = (xyxy[:, :2] >= 0).all() and (xyxy[:, :2] < xyxy[:, 2:]).all()
    if not (shaped and (xyxy[:, 2:] < np.inf).all()):
        raise ConfigError(path, expected="boxes with x1 < x2 and y1 < y2", found="others")
    if not ((scores >= 0) & (scores <= 1)).all() or (labels < 0).any():
        raise ConfigError(path, expected="scores from 0 to 1, classes from 0", found="others")


def _as_masks(
    path: Path, arrays: dict[str, Array], image: Int64s, sizes_px: Int64s
) -> tuple[Rle, ...]:
    lengths, data = arrays["mask_lengths"], arrays["masks"].tobytes()
    if not len(lengths):
        return ()
    ends = np.cumsum(lengths, dtype=np.int64)
    if (lengths < 0).any() or len(lengths) != len(image) or ends[-1] != len(data):
        expected, found = f"{len(image)} masks in {len(data)} bytes", f"{len(lengths)} masks"
        raise ConfigError(path, expected=expected, found=found)
    pixels = np.prod(sizes_px, axis=1)[image]
    if not are_sound(arrays["masks"], lengths.astype(np.int64), pixels):
        raise ConfigError(path, expected="masks that fill their images", found="other codes")
    starts, stops = (ends - lengths).tolist(), ends.tolist()
    heights, widths = sizes_px[image].T.tolist()
    return tuple(
        Rle(height=height, width=width, counts=data[start:stop])
        for height, width, start, stop in zip(heights, widths, starts, stops, strict=True)
    )


def _require(path: Path, arrays: dict[str, Array], count: int, names: Sequence[str]) -> None:
    for name in names:
        if len(arrays[name]) != count:
            found = str(len(arrays[name]))
            raise ConfigError(path, expected=f"'{name}' of {count}", found=found)
