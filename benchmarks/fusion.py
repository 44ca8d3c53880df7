"""Accuracy of a consensus under every rule of fusion: python -m benchmarks fusion:FOLDER:FOLDER…

Each folder is a complete evaluation of a model of the library, all of the same images. No model
runs: stored predictions are read, fused under every rule, and matched with the ground truth. AP50
and AP50-95 are of boxes, AUC is of images by the score of their best box.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.rows import Row
from fracture_core.evaluations import Evaluation, load_evaluation
from fracture_core.metrics import coco
from fracture_core.metrics.classification import roc_auc
from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus import ConsensusModel
from fracture_core.models.consensus_making import Rule, Voice, consensus_card
from fracture_core.models.library import list_cards
from fracture_core.types import Detections, Heatmap, Prediction, Sample

SCORES = ("raw", "ppv")
FUSION_IOUS = (0.4, 0.55, 0.7)
GATES = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A model that returns the predictions of its stored evaluation instead of running."""

    card: ModelCard
    evaluation: Evaluation

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Return the stored predictions for the samples, by their ids."""
        raw, said = self.evaluation.raw, self.evaluation
        bounds = np.searchsorted(raw.image, np.arange(len(said) + 1))
        places = [said.sample_ids.index(sample.sample_id) for sample in samples]
        return [
            Prediction(
                model_id=self.card.model_id,
                sample_id=said.sample_ids[i],
                detections=Detections.of(
                    *(column[bounds[i] : bounds[i + 1]] for column in (raw.xyxy, raw.scores)),
                    raw.labels[bounds[i] : bounds[i + 1]],
                ),
                image_score=float(said.image_scores[i]),
                seconds=float(said.seconds[i]),
            )
            for i in places
        ]

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Raise NotImplementedError, as there is no network."""
        raise NotImplementedError

    def with_random_weights(self, seed: int) -> "Replayed":
        """Raise NotImplementedError, as there is no network."""
        raise NotImplementedError

    def save(self, folder: Path) -> ModelCard:
        """Raise NotImplementedError, as there is no network."""
        raise NotImplementedError


def main(*folders: str) -> list[Row]:
    """Return the metrics of each member alone, and of their consensus under every rule."""
    if len(folders) < 2:
        sys.exit("fusion: expected evaluations of two models or more, as in fusion:FOLDER:FOLDER")
    evaluations = [load_evaluation(Path(folder).expanduser()) for folder in folders]
    if len({each.sample_ids for each in evaluations}) > 1:
        sys.exit("fusion: expected evaluations of the same images")
    cards = {card.model_id: card for card in list_cards()}
    members = [
        Replayed(card=cards[each.about.model_id], evaluation=each.matched()) for each in evaluations
    ]
    finder = next(each for each in members if each.card.task != "classify")
    return [*_alone(members), *_together(members, finder.evaluation)]


def _alone(members: Sequence[Replayed]) -> Iterator[Row]:
    for member in members:
        evaluation = member.evaluation
        if member.card.task == "classify":
            auc = roc_auc(evaluation.image_scores, evaluation.positive)
            yield Row(name=f"{member.card.model_id}, AUC", value=auc, unit="")
        else:
            found = [each.detections for each in member.predict(_samples(evaluation))]
            suppressed = [each.nms(0.5) if member.card.needs_nms else each for each in found]
            yield from _rows(member.card.model_id, suppressed, evaluation)


def _together(members: Sequence[Replayed], of: Evaluation) -> Iterator[Row]:
    sorts = any(member.card.task == "classify" for member in members)
    for scores, fusion_iou, gate in product(SCORES, FUSION_IOUS, GATES if sorts else GATES[:1]):
        rule = Rule(scores=scores, fusion_iou=fusion_iou, gate=gate)
        voices = [Voice(model_id=member.card.model_id) for member in members]
        model = ConsensusModel(consensus_card(voices, rule, model_id="tried"), members)
        found = [each.detections for each in model.predict(_samples(of))]
        named = f"{scores}, IoU {fusion_iou:g}" + f", gate {gate:g}" * sorts
        yield from _rows(named, found, of)


def _rows(name: str, found: Sequence[Detections], of: Evaluation) -> Iterator[Row]:
    metrics = coco.evaluate_boxes(list(found), of.ground_truths, len(of.about.classes))
    best = [float(each.scores.max(initial=0)) for each in found]
    for what, value in (
        ("AP50", metrics.ap50),
        ("AP50-95", metrics.ap),
        ("AUC", roc_auc(best, of.positive)),
    ):
        yield Row(name=f"{name}, {what}", value=value, unit="")


def _samples(of: Evaluation) -> list[Sample]:
    """The images without their pixels, which fusion does not need."""
    if of.sizes_px is None:
        sys.exit("fusion: expected an evaluation that knows the sizes of its images")

    def read() -> np.ndarray:
        raise NotImplementedError

    return [
        Sample(sample_id=name, group_id=group, height=int(height), width=int(width), read=read)
        for name, group, (height, width) in zip(
            of.sample_ids, of.group_ids, of.sizes_px, strict=True
        )
    ]
