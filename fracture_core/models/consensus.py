"""The consensus family: several models of the library read an image, and their boxes are fused.

A member may be *flipped* (augmentation at test time): it reads the mirrored image, and what it
finds is mirrored back. Each member's candidates go through NMS where the member needs that, its
scores are turned into positive predictive values where the card says so, and what is left of all
members is fused (`fracture_core.fusion`). A member that classifies finds no boxes: its score of the
image raises or lowers the scores of all boxes, by the card's `gate`. The score of the image is the
mean of the members' scores, by weight.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from fracture_core import boxes, masks
from fracture_core.boxes import Float64s, Int64s
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.files import make_folder
from fracture_core.fusion import Candidates, fuse
from fracture_core.models.base import Family, Model
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.consensus_cards import (
    ConsensusArchitecture,
    Member,
    check_members,
    on_curve,
    shared_classes,
)
from fracture_core.models.consensus_making import described, read_consensus
from fracture_core.models.library import list_cards, open_model
from fracture_core.types import Detections, Heatmap, Pixels, Prediction, Sample

# ---- mirroring -----------------------------------------------------------------------------------


def mirrored(sample: Sample) -> Sample:
    """Returns the sample with left and right exchanged, without its ground truth."""

    def read() -> Pixels:
        turned: Pixels = sample.pixels[:, ::-1].copy()
        return turned

    return replace(sample, read=read, ground_truth=None)


def mirror_boxes(xyxy: Float64s, width: int) -> Float64s:
    """Mirrors (N, 4) boxes in an image `width` px wide; done twice it changes nothing.

    Example:
        >>> mirror_boxes(np.array([[0.0, 0.0, 2.0, 3.0]]), width=10).tolist()
        [[8.0, 0.0, 10.0, 3.0]]
    """
    left, top, right, bottom = xyxy.T
    return np.stack([width - right, top, width - left, bottom], axis=1)


def mirror_heatmap(heatmap: Heatmap) -> Heatmap:
    """Returns the map of the mirrored image as it lies on the image itself."""
    return replace(heatmap, values=heatmap.values[:, ::-1])


# ---- consensus -----------------------------------------------------------------------------------

MOST_A_MEMBER = 100
"""How many of a member's best boxes take part at most; COCO counts no more than these either."""
_RANDOM_NOTE = "Random weights: these networks have learned nothing and find nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """A member with its model; its class k is the class `moved[k]` of the consensus."""

    member: Member
    model: Model
    moved: Int64s

    @property
    def finds_boxes(self) -> bool:
        return self.model.card.task != "classify"

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return self.model.predict([self._seen(sample) for sample in samples])

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        heatmap = self.model.explain(self._seen(sample), index)
        return mirror_heatmap(heatmap) if self.member.flipped else heatmap

    def _seen(self, sample: Sample) -> Sample:
        return mirrored(sample) if self.member.flipped else sample

    def scale(self, scores: Float64s) -> Float64s:
        return on_curve(scores, self.member.ppv)

    def image_score(self, prediction: Prediction) -> float:
        return float(self.scale(np.array([prediction.image_score]))[0])

    def kept(self, found: Detections, nms_iou: float) -> Int64s:
        """Returns the positions of its best candidates, after NMS where the model needs it."""
        if not self.model.card.needs_nms:
            return np.arange(len(found), dtype=np.int64)[:MOST_A_MEMBER]
        return boxes.nms(found.xyxy, found.labels, nms_iou)[:MOST_A_MEMBER]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """A fused prediction, and where it came from.

    Each of its N boxes is traced to the strongest box of its cluster: `voices` (N,) names the
    member that found it, and `rows` (N,) its row in that member's own prediction. `loudest` is the
    member that finds boxes and whose score of the image, times its weight, is the highest.
    """

    prediction: Prediction
    voices: Int64s
    rows: Int64s
    loudest: int


class ConsensusModel:
    """Several models that answer as one; it is safe for many threads, as its members are."""

    def __init__(self, card: ModelCard, members: Sequence[Model]) -> None:
        self._card = card
        self._architecture = ConsensusArchitecture.of(card)
        _, moved = shared_classes([model.card for model in members])
        self._voices = tuple(
            _Voice(member=member, model=model, moved=np.array(places, dtype=np.int64))
            for member, model, places in zip(
                self._architecture.members, members, moved, strict=True
            )
        )
        self._weights = np.array([voice.member.weight for voice in self._voices])
        # (members, classes): a member has no weight for a class that it does not know.
        self._class_weights = np.zeros((len(self._voices), len(card.classes)))
        for row, voice in zip(self._class_weights, self._voices, strict=True):
            row[voice.moved] = voice.member.weight
        self._finders = np.array([voice.finds_boxes for voice in self._voices])

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """Opens each member once; raises WeightsError where one is gone or has other weights."""
        members = check_members(card, {each.model_id: each for each in list_cards()})
        models = {model_id: open_model(model_id) for model_id in {m.model_id for m in members}}
        return cls(card, [models[member.model_id] for member in members])

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """Returns the card of a consensus from elsewhere; `weights` is its card.json.

        Raises WeightsError where the library lacks a member, and where `classes` are given: they
        are those of the members.
        """
        if classes is not None:
            found = f"names for {len(classes)}"
            raise WeightsError(weights, expected="the classes of its members", found=found)
        architecture = read_consensus(weights)
        known = {card.model_id: card for card in list_cards()}
        return described(architecture, known, model_id=model_id, title=title)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Raises ConfigError: no consensus is known by name outside of the library."""
        raise ConfigError(name, expected="a consensus of the library", found="another name")

    @property
    def card(self) -> ModelCard:
        """What is known of the consensus."""
        return self._card

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Returns the members' predictions, fused; see `Model.predict`."""
        return [joined.prediction for joined in self._join_all(samples)]

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns the map of the member whose box is the strongest in a finding's cluster, for it.

        None asks the loudest member about the whole image. Raises IndexError where there is no such
        finding.
        """
        (joined,) = self._join_all([sample])
        if index is None:
            voice = self._voices[joined.loudest]
            heatmap = voice.explain(sample, None)
            return replace(heatmap, target=f"{heatmap.target}, by {_name(voice)}")
        count = len(joined.prediction.detections)
        if not 0 <= index < count:
            raise IndexError(f"index: expected one of {count} findings, got {index}")
        voice = self._voices[int(joined.voices[index])]
        heatmap = voice.explain(sample, int(joined.rows[index]))
        label = self._card.classes[joined.prediction.detections.labels[index]]
        return replace(heatmap, target=f"finding {index + 1}, {label}, by {_name(voice)}")

    def with_random_weights(self, seed: int) -> "ConsensusModel":
        """Returns the same consensus of members with random weights.

        Members with random weights are not in the library, so what `save` writes of it cannot be
        loaded.
        """
        drawn = {
            voice.member.model_id: voice.model.with_random_weights(seed) for voice in self._voices
        }
        card = self._card.model_copy(update={"weights_sha256": "", "note": _RANDOM_NOTE})
        return ConsensusModel(card, [drawn[voice.member.model_id] for voice in self._voices])

    def save(self, folder: Path) -> ModelCard:
        """Writes the card alone, as the weights are the members' own; returns the card."""
        make_folder(folder)
        write_card(self._card, folder)
        return self._card

    def _join_all(self, samples: Sequence[Sample]) -> list[_Joined]:
        predictions = [voice.predict(samples) for voice in self._voices]
        return [
            self._join(sample, heard)
            for sample, heard in zip(samples, zip(*predictions, strict=True), strict=True)
        ]

    def _join(self, sample: Sample, heard: Sequence[Prediction]) -> _Joined:
        start = time.perf_counter()
        rows = [
            voice.kept(answer.detections, self._architecture.nms_iou)
            for voice, answer in zip(self._voices, heard, strict=True)
        ]
        image_scores = np.array(
            [voice.image_score(one) for voice, one in zip(self._voices, heard, strict=True)]
        )
        candidates = self._candidates(heard, rows, sample.width)
        fused = fuse(candidates, self._class_weights, self._architecture.fusion_iou)
        scores = fused.scores * self._gate(image_scores)
        size = {"height": sample.height, "width": sample.width}
        found, order = Detections.raw(fused.xyxy, scores, fused.labels, **size)
        strongest = fused.strongest[order]
        voices, own_rows = candidates.models[strongest], np.concatenate(rows)[strongest]
        if self._card.task == "segment":
            found = self._with_masks(found, heard, voices, own_rows)
        prediction = Prediction(
            model_id=self._card.model_id,
            sample_id=sample.sample_id,
            detections=found,
            image_score=float(np.clip(np.average(image_scores, weights=self._weights), 0, 1)),
            seconds=sum(each.seconds for each in heard) + time.perf_counter() - start,
        )
        loudest = int(np.argmax(self._weights * image_scores * self._finders))
        return _Joined(prediction=prediction, voices=voices, rows=own_rows, loudest=loudest)

    def _candidates(
        self, heard: Sequence[Prediction], rows: Sequence[Int64s], width: int
    ) -> Candidates:
        """Returns all members' kept boxes, on the image itself and in the consensus's classes."""
        parts = []
        for place, (voice, answer, kept) in enumerate(zip(self._voices, heard, rows, strict=True)):
            found = answer.detections
            xyxy = found.xyxy[kept].astype(np.float64)
            if voice.member.flipped:
                xyxy = mirror_boxes(xyxy, width)
            scores = voice.scale(found.scores[kept].astype(np.float64))
            labels = voice.moved[found.labels[kept]] if len(kept) else kept
            parts.append((xyxy, scores, labels, np.full(len(kept), place)))
        xyxy, scores, labels, models = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Candidates(xyxy=xyxy, scores=scores, labels=labels, models=models)

    def _gate(self, image_scores: Float64s) -> float:
        """Returns by what, in [0, 1], the members that classify multiply the scores of boxes."""
        sorts = ~self._finders
        if not sorts.any():
            return 1.0
        mean = np.average(image_scores[sorts], weights=self._weights[sorts])
        return float(np.clip(mean, 0, 1) ** self._architecture.gate)

    def _with_masks(
        self, found: Detections, heard: Sequence[Prediction], voices: Int64s, rows: Int64s
    ) -> Detections:
        """Gives each box the mask of the strongest box in its cluster, cut to the fused box."""
        codes = []
        for xyxy, place, row in zip(found.xyxy, voices.tolist(), rows.tolist(), strict=True):
            code = heard[place].detections.masks[row]
            if self._voices[place].member.flipped:
                code = masks.mirror(code)
            left, top = np.floor(xyxy[:2]).astype(int).tolist()
            right, bottom = np.ceil(xyxy[2:]).astype(int).tolist()
            codes.append(masks.crop(code, left, top, right, bottom))
        return Detections(
            xyxy=found.xyxy, scores=found.scores, labels=found.labels, masks=tuple(codes)
        )


def _name(voice: _Voice) -> str:
    return f"{voice.model.card.title}{' (mirrored)' * voice.member.flipped}"


ADAPTER: Family = ConsensusModel
