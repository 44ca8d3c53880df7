"""One model's raw answers to one split, beside the truth: what every figure is computed from."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from fracture_core.evaluations.attributes import Attribute
from fracture_core.evaluations.merging import merge
from fracture_core.evaluations.scoping import ScopeCounts
from fracture_core.metrics.columns import Bools, Columns, Float64s
from fracture_core.models.cards import Task
from fracture_core.types import Float32s, Int64s

UNKNOWN_CLASS = -1
MOST_MERGED = 4


class About(BaseModel):
    """Who answered, and to what.

    `classes` are the model's, then those only the truth knows · `model_classes` says how many are
    the model's · `healthy` is the class that means "nothing here", "" = there is none ·
    `data_stamp` tells one state of the data set from another · `one_class`: every class of model
    and truth counts as one · `is_a` tells which classes counted as another · `kinds` are the data
    set's own classes where several of them count as one, else none · `scope`: whether the model was
    made for these images, None = that was not recorded yet.
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
        """Whether the model tells findings from none: a classifier needs a class for nothing."""
        return self.task != "classify" or self.healthy in self.classes


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """I pictures. Truths are labelled in `about.classes`.

    `sample_ids`, `group_ids` (I), the patient or study · `raw` every candidate, nothing merged ·
    `truths` of the pictures that are `known` (I,), no others · `image_scores` (I,) ·
    `class_scores` (I, K) of a classifier, else None · `image_classes` (I,) int64, −1 = unknown ·
    `truth_kinds` (T,) int64, which of `about.kinds` each truth is, None = none are kept ·
    `seconds` (I,) · `sizes_px` (I, 2) int64, height and width, None where nobody said ·
    `spacing_mm` (I, 2) float64 of rows and columns, nan where nobody said · `attributes` what is
    known of the pictures in words.
    """

    about: About
    sample_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    raw: Columns
    truths: Columns
    known: Bools
    image_scores: Float32s
    class_scores: Float32s | None
    image_classes: Int64s
    seconds: Float32s
    sizes_px: Int64s | None = None
    spacing_mm: Float64s | None = None
    attributes: tuple[Attribute, ...] = ()
    truth_kinds: Int64s | None = None
    _merged: dict[float, Columns] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = len(self.sample_ids)
        for name in ("group_ids", "known", "image_scores", "image_classes", "seconds"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: expected {count}, got {len(getattr(self, name))}")
        for name in ("raw", "truths"):
            if getattr(self, name).image_count != count:
                found = getattr(self, name).image_count
                raise ValueError(f"{name}: expected {count} images, got {found}")
        for each in self.attributes:
            if len(each) != count:
                raise ValueError(f"{each.name}: expected {count} images, got {len(each)}")
        kinds = self.truth_kinds
        if kinds is not None and len(kinds) != len(self.truths):
            raise ValueError(f"truth_kinds: expected {len(self.truths)}, got {len(kinds)}")

    def __len__(self) -> int:
        return len(self.sample_ids)

    def found(self, nms_iou: float = 0.5) -> Columns:
        """All candidates, merged where the model's boxes need it; the latest few are kept."""
        if not self.about.needs_nms:
            return self.raw
        found = self._merged.get(nms_iou)
        if found is None:
            found = merge(self.raw, nms_iou)
            # A slider has many places.
            for place in list(self._merged)[: 1 - MOST_MERGED]:
                self._merged.pop(place, None)
            self._merged[nms_iou] = found
        return found

    def scores(self, nms_iou: float) -> Float64s:
        """(I,) of each picture: a classifier's own, else its best candidate's, 0 = none."""
        if self.about.task == "classify":
            return self.image_scores.astype(np.float64)
        return self.found(nms_iou).best_scores(0.0)

    @cached_property
    def positive(self) -> Bools:
        """(I,) whether there is anything to find; False where nothing is known."""
        if self.about.task == "classify":
            if not self.about.tells_findings:
                return np.zeros(len(self), dtype=np.bool_)
            healthy = self.about.classes.index(self.about.healthy)
            known, ill = self.image_classes != UNKNOWN_CLASS, self.image_classes != healthy
            marks: Bools = known & ill
            return marks
        marks = np.zeros(len(self), dtype=np.bool_)
        marks[self.truths.image] = True
        return marks

    @property
    def called(self) -> Int64s:
        """(I,) the class with the highest score; ValueError for a model without such scores."""
        if self.class_scores is None:
            raise ValueError("class_scores: expected those of a classifier, got none")
        best: Int64s = np.argmax(self.class_scores, axis=1).astype(np.int64)
        return best

    def judged(self) -> Self:
        """Only the pictures of which the truth is known."""
        return self if self.known.all() else self.pictures(self.known)

    def pictures(self, kept: Bools) -> Self:
        """Only the marked (I,) pictures, in the same order."""
        where = np.flatnonzero(kept)
        kinds = self.truth_kinds
        return replace(
            self,
            sample_ids=tuple(self.sample_ids[i] for i in where),
            group_ids=tuple(self.group_ids[i] for i in where),
            raw=self.raw.pictures(kept),
            truths=self.truths.pictures(kept),
            known=self.known[kept],
            image_scores=self.image_scores[kept],
            class_scores=None if self.class_scores is None else self.class_scores[kept],
            image_classes=self.image_classes[kept],
            seconds=self.seconds[kept],
            sizes_px=None if self.sizes_px is None else self.sizes_px[kept],
            spacing_mm=None if self.spacing_mm is None else self.spacing_mm[kept],
            attributes=tuple(each.only(kept) for each in self.attributes),
            truth_kinds=None if kinds is None else kinds[kept[self.truths.image]],
            _merged={},
        )
