"""The value types that pass between readers, models, filters, metrics and pages.

Every module of the project agrees on these conventions: boxes are xyxy float32 in pixels of the
original image, classes are 0…K−1 without a background class, and images are grey with 0 darkest.
The types are immutable, and the arrays in them are read-only copies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from fracture_core import boxes
from fracture_core.masks import Rle

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Values = npt.NDArray[np.float32]
Unit = Literal["lesion", "image", "study"]
"""What a metric counts: single findings, whole images or whole studies."""

SCORE_FLOOR = 0.001
"""`Detections.raw` drops what is scored lower."""
MAX_CANDIDATES = 1_000
"""`Detections.raw` keeps so many detections of an image at most, the best scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Boxes of one image with scores and classes, the best scored first.

    `xyxy` (N, 4) float32 in pixels, x1 < x2, y1 < y2, no corner negative · `scores` (N,) float32 in
    [0, 1], falling · `labels` (N,) int64 ≥ 0 · `masks` N run-length codes, or none at all.
    Arrays that break a rule raise ValueError.

    Example:
        >>> found = Detections.of([[0, 0, 4, 4], [8, 8, 9, 9]], scores=[0.9, 0.2], labels=[0, 1])
        >>> len(found), len(found.above(0.5))
        (2, 1)
    """

    xyxy: Float32s
    scores: Float32s
    labels: Int64s
    masks: tuple[Rle, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self, "xyxy", np.float32)
        _freeze(self, "scores", np.float32)
        _freeze(self, "labels", np.int64)
        count = len(self.xyxy)
        _require(self.xyxy.ndim == 2 and self.xyxy.shape[1:] == (4,), "xyxy", "(N, 4)", self.xyxy)
        _require(self.scores.shape == (count,), "scores", f"({count},)", self.scores)
        _require(self.labels.shape == (count,), "labels", f"({count},)", self.labels)
        _require(bool(np.isfinite(self.xyxy).all()), "xyxy", "finite numbers", self.xyxy)
        _require(bool(boxes.has_area(self.xyxy).all()), "xyxy", "x1 < x2 and y1 < y2", self.xyxy)
        _require(bool((self.xyxy >= 0).all()), "xyxy", "no negative corner", self.xyxy)
        in_range = (self.scores >= 0) & (self.scores <= 1)
        _require(bool(in_range.all()), "scores", "values in [0, 1]", self.scores)
        falling = self.scores[:-1] >= self.scores[1:]
        _require(bool(falling.all()), "scores", "falling order", self.scores)
        _require(bool((self.labels >= 0).all()), "labels", "classes from 0", self.labels)
        if len(self.masks) not in (0, count):
            raise ValueError(f"masks: expected none or {count}, got {len(self.masks)}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: npt.NDArray[np.bool_] | Int64s | slice) -> Self:
        """Return the detections at `index`; raises ValueError where their scores would rise."""
        where = np.arange(len(self))[index]
        return type(self)(
            xyxy=self.xyxy[where],
            scores=self.scores[where],
            labels=self.labels[where],
            masks=tuple(self.masks[i] for i in where) if self.masks else (),
        )

    @classmethod
    def empty(cls) -> Self:
        """Return zero detections; as ground truth they say "annotated, and nothing there"."""
        return cls.of(np.empty((0, 4)), np.empty(0), np.empty(0))

    @classmethod
    def of(
        cls,
        xyxy: npt.ArrayLike,
        scores: npt.ArrayLike,
        labels: npt.ArrayLike,
        masks: tuple[Rle, ...] = (),
    ) -> Self:
        """Make detections of anything array-like that obeys the rules; raises ValueError."""
        return cls(
            xyxy=np.asarray(xyxy, dtype=np.float32).reshape(-1, 4),
            scores=np.asarray(scores, dtype=np.float32),
            labels=np.asarray(labels, dtype=np.int64),
            masks=masks,
        )

    @classmethod
    def ground_truth(
        cls,
        xyxy: npt.ArrayLike,
        labels: npt.ArrayLike,
        masks: tuple[Rle, ...] = (),
    ) -> Self:
        """Make the ground truth (GT) of an image: detections whose scores are all 1."""
        corners = np.asarray(xyxy, dtype=np.float32).reshape(-1, 4)
        return cls.of(corners, np.ones(len(corners)), labels, masks)

    @classmethod
    def raw(
        cls,
        xyxy: npt.ArrayLike,
        scores: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        height: int,
        width: int,
    ) -> tuple[Self, Int64s]:
        """Put the N boxes of a model in order and return them with the rows that were kept.

        Boxes are clipped to the image of `height` × `width` px. Those that are not finite, have no
        area or score below `SCORE_FLOOR` are dropped, and at most `MAX_CANDIDATES` are kept. The
        rows, (kept,) int64, best first, let an adapter fetch what belongs to them (masks, queries).
        """
        corners = np.asarray(xyxy, dtype=np.float32).reshape(-1, 4)
        score = np.asarray(scores, dtype=np.float32)
        finite = np.isfinite(corners).all(axis=1) & np.isfinite(score)
        corners = boxes.clip(corners, height, width)
        usable = finite & boxes.has_area(corners) & (score >= SCORE_FLOOR)
        order = np.argsort(-score, kind="stable")
        kept = order[usable[order]][:MAX_CANDIDATES]
        found = cls.of(corners[kept], score[kept], np.asarray(labels)[kept])
        return found, kept.astype(np.int64)

    def above(self, confidence: float) -> Self:
        """Return the detections scored at least `confidence`, compared as float64."""
        return self[self.scores.astype(np.float64) >= confidence]

    def nms(self, nms_iou: float) -> Self:
        """Suppress what overlaps a better box of its class by more than `nms_iou`; see `boxes.nms`.

        A threshold of 1 keeps everything.
        """
        return self[boxes.nms(self.xyxy, self.labels, nms_iou)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which pixel values are spread over black to white (DICOM PS3.3 C.11.2.1.2).

    `center` and `width` are in units of the pixels they are applied to; `function` is DICOM's VOI
    LUT function: "LINEAR", "LINEAR_EXACT" or "SIGMOID". Raises ValueError for another function, a
    centre that is not finite or a width that is too small.

    Example:
        >>> Window(center=100, width=200).apply(np.array([[0, 100, 200]], dtype=np.uint8)).tolist()
        [[0, 128, 255]]
    """

    center: float
    width: float
    function: str = "LINEAR_EXACT"
    name: str = ""

    def __post_init__(self) -> None:
        if self.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise ValueError(f"function: expected a VOI LUT function, got {self.function!r}")
        least = 1.0 if self.function == "LINEAR" else 0.0
        if not (self.width >= least and self.width > 0 and np.isfinite(self.center)):
            raise ValueError(f"window: expected a width above 0, got {self.center}/{self.width}")

    def apply(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """Return uint8 levels for the screen, 0 black to 255 white, of unsigned `pixels` (H, W)."""
        levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float64)
        return self._shown(levels)[pixels]

    def _shown(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        center, width = self.center, self.width
        if self.function == "SIGMOID":
            # Far ends overflow to inf and come out as exactly 0, as they should.
            with np.errstate(over="ignore"):
                share = 1 / (1 + np.exp(-4 * (values - center) / width))
        elif self.function == "LINEAR":
            if width == 1:
                share = (values > center - 0.5).astype(np.float64)
            else:
                share = (values - (center - 0.5)) / (width - 1) + 0.5
        else:
            share = (values - center) / width + 0.5
        return np.floor(np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueScale:
    """The modality transform: value in `unit` (such as "HU") = pixel × `slope` + `offset`."""

    slope: float = 1.0
    offset: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image or slice, with what is known of it.

    `sample_id` is stable and never a position in a list · `group_id` is the patient or study, which
    lies in one split alone, or there is leakage · `height` and `width` in pixels · `read` returns
    the pixels, see there · `windows` are the ways to show them, the first by default; none means
    the full range of the data type · `scale` gives the values of the modality · `spacing_mm` (row,
    column) or None · `ground_truth` None = unknown, empty = annotated and nothing there ·
    `image_class` for classifiers, None = unknown · `split` such as "train", "" = none ·
    `attributes` what is known of the image in the words of `fracture_core.attributes`, and `notes`
    sentences about them, such as where file and table contradict each other.
    """

    sample_id: str
    group_id: str
    height: int
    width: int
    read: Callable[[], Pixels] = field(repr=False, compare=False)
    windows: tuple[Window, ...] = ()
    scale: ValueScale = ValueScale()
    spacing_mm: tuple[float, float] | None = None
    ground_truth: Detections | None = None
    image_class: int | None = None
    split: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> Pixels:
        """(H, W) uint8 or uint16 grey, 0 darkest, read anew on each access.

        Raises ValueError where `read` returns another shape or type.
        """
        pixels = self.read()
        if pixels.shape != (self.height, self.width):
            raise ValueError(f"pixels: expected {(self.height, self.width)}, got {pixels.shape}")
        if pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels: expected uint8 or uint16, got {pixels.dtype}")
        return pixels

    def shown(self) -> npt.NDArray[np.uint8]:
        """Return (H, W) uint8, the pixels through the first window: what every model sees."""
        pixels = self.pixels
        window = self.windows[0] if self.windows else full_range(pixels.dtype)
        return window.apply(pixels)


def full_range(dtype: npt.DTypeLike) -> Window:
    """Return the window that shows every value of an unsigned type: 0 black, its maximum white."""
    top = float(np.iinfo(dtype).max)
    return Window(center=top / 2, width=top)


def ms_text(ms: float) -> str:
    """Return milliseconds to three digits, or whole.

    Example:
        >>> ms_text(5.678), ms_text(1234.5)
        ('5.68', '1,234')
    """
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


STAGE_NAMES = ("pre-process", "inference", "post-process")
"""The stages of a prediction, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeconds:
    """The time of one image in seconds, by stage; images of one batch share it alike.

    `preprocess` makes the network's input of the pixels, `inference` is the network alone, and
    `postprocess` makes findings of what it gives.

    Example:
        >>> StageSeconds(preprocess=0.25, inference=1.0, postprocess=0.5).total
        1.75
    """

    preprocess: float
    inference: float
    postprocess: float

    @property
    def total(self) -> float:
        """The sum of all stages."""
        return self.preprocess + self.inference + self.postprocess

    @property
    def text(self) -> str:
        """All stages in words, in milliseconds."""
        stages = (self.preprocess, self.inference, self.postprocess)
        named = zip(STAGE_NAMES, stages, strict=True)
        return f"{', '.join(f'{name} {ms_text(1000 * each)}' for name, each in named)} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One model's raw prediction on one sample, made in `seconds`.

    `detections` as `Detections.raw` leaves them, nothing suppressed · `class_scores` (K,) float32
    of classifiers, None of detectors · `image_score` in [0, 1] is a score, not a probability ·
    `stages` is None where the model does not tell them apart. Raises ValueError for an image score
    out of range or too many detections.
    """

    model_id: str
    sample_id: str
    detections: Detections
    image_score: float
    seconds: float
    class_scores: Float32s | None = None
    stages: StageSeconds | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.image_score <= 1:
            raise ValueError(f"image_score: expected a value in [0, 1], got {self.image_score}")
        if len(self.detections) > MAX_CANDIDATES:
            raise ValueError(f"detections: expected ≤ {MAX_CANDIDATES}, got {len(self.detections)}")
        if self.class_scores is not None:
            _freeze(self, "class_scores", np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How N detections of one image match its ground truth, in the order of the detections.

    `gt_of` (N,) int64, the index of the GT box a detection is matched with, −1 = none · `iou` (N,)
    float64 with that box, else the highest with any GT box of a comparable class · `duplicate_of`
    (N,) int64, the GT box that an unmatched detection satisfies too but a better scored one has
    taken, −1 = none · `missed` int64, the GT boxes without a detection: the false negatives.
    """

    gt_of: Int64s
    iou: npt.NDArray[np.float64]
    duplicate_of: Int64s
    missed: Int64s

    def __post_init__(self) -> None:
        _freeze(self, "gt_of", np.int64)
        _freeze(self, "iou", np.float64)
        _freeze(self, "duplicate_of", np.int64)
        _freeze(self, "missed", np.int64)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each detection is: "true positive", "false positive" or "duplicate"."""
        pairs = zip(self.gt_of, self.duplicate_of, strict=True)
        return tuple(
            "true positive" if ground_truth >= 0 else "duplicate" if twin >= 0 else "false positive"
            for ground_truth, twin in pairs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Where a model found the evidence for one finding or for one class.

    `values` (H, W) float32 in [0, 1] on the pixels of the sample, the maximum 1 unless all is 0 ·
    `strength` ≥ 0, in the unit of the method: the maximum that `values` were divided by, so that
    weak evidence can be shown weak · `method` such as "Grad-CAM" · `target` names in words what is
    explained. Raises ValueError where a rule is broken.
    """

    values: Float32s
    strength: float
    method: str
    target: str

    def __post_init__(self) -> None:
        _freeze(self, "values", np.float32)
        _require(self.values.ndim == 2, "values", "(H, W)", self.values)
        in_range = (self.values >= 0) & (self.values <= 1)
        _require(bool(in_range.all()), "values", "values in [0, 1]", self.values)
        if not (self.strength >= 0 and np.isfinite(self.strength)):
            raise ValueError(f"strength: expected a finite value ≥ 0, got {self.strength}")

    @classmethod
    def of(cls, raw: npt.ArrayLike, method: str, target: str) -> Self:
        """Scale (H, W) evidence to [0, 1]; NaN and negative values, evidence against, become 0."""
        evidence = np.maximum(np.nan_to_num(np.asarray(raw, dtype=np.float64)), 0)
        strength = float(evidence.max(initial=0))
        values: Float32s = (evidence / strength if strength > 0 else evidence).astype(np.float32)
        return cls(values=values, strength=strength, method=method, target=target)


def _freeze(owner: object, name: str, dtype: npt.DTypeLike) -> None:
    array = np.array(getattr(owner, name), dtype=dtype)
    array.setflags(write=False)
    object.__setattr__(owner, name, array)


def _require(holds: bool, name: str, expected: str, got: npt.NDArray[np.generic]) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got shape {got.shape}: {got!r}")
