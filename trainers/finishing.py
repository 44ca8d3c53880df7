"""The end of a run: operating points on validation, one evaluation, the card last."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fracture_core.datasets import Dataset
from fracture_core.evaluations.measuring import Scored, Source, applied_to, measurements_of
from fracture_core.files import working_folder, write_text
from fracture_core.metrics import greedy
from fracture_core.metrics.columns import Columns
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.points import Measurements, write_points
from fracture_core.operating_points import (
    RULES,
    Curve,
    OperatingPoint,
    card_points,
    choose,
    classifier_curve,
    detector_curve,
    measure,
)
from fracture_core.runs import RunFolder
from fracture_core.scope import scope_of_images
from fracture_core.types import Detections, Prediction, Sample
from trainers.config import TrainConfig
from trainers.figures import (
    Figures,
    candidates,
    classifier_figures,
    detector_figures,
    predict_all,
)
from trainers.journal import Journal
from trainers.labelling import Labelling
from trainers.packing import chosen_samples

_ON_THE_CARD = ("ap", "ap50", "mask_ap", "mask_ap50", "f1", "accuracy", "balanced_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """A model's answers to one split; `scored` None where no score means "something is there"."""

    figures: Figures
    scored: Scored | None
    pictures: int

    @property
    def curve(self) -> Curve | None:
        return self.scored.curve if self.scored else None


def finish(
    config: TrainConfig, dataset: Dataset, run: RunFolder, model: Model, journal: Journal
) -> ModelCard:
    """Evaluate, write evaluation.json, the weights, points.json and the card, which it returns."""
    config = _with_scope(config, dataset, journal)
    labelling = Labelling.of(dataset, config)
    valid = _answer(config, dataset, config.valid_split, model, labelling)
    points = [] if valid.curve is None else [choose(valid.curve, rule) for rule in RULES]
    for point in points:
        if point.reason:
            journal.note(f"no operating point for {point.rule.name}: {point.reason}")
    split, tested = config.valid_split, valid
    if dataset.splits.get(config.test_split):
        split = config.test_split
        tested = _answer(config, dataset, split, model, labelling)
    else:
        journal.note(f"there is no split {config.test_split!r}: evaluated on {split!r}")
    record = {
        "chosen_on": config.valid_split,
        "evaluated_on": split,
        "pictures": tested.pictures,
        "figures": tested.figures,
        "operating_points": [_point(point, tested.curve) for point in points],
    }
    write_text(run.evaluation, json.dumps(record, indent=2) + "\n")
    measured = _measure(config, dataset, valid, None if tested is valid else tested)
    return _write(config, run, model, tested, split, points, measured)


def _with_scope(config: TrainConfig, dataset: Dataset, journal: Journal) -> TrainConfig:
    """With the scope that goes on the card: as asked for, else what all training pictures tell."""
    if config.scope is not None:
        return config
    samples = chosen_samples(dataset, config, config.train_split)
    scope = scope_of_images([sample.attributes for sample in samples])
    if scope is None:
        journal.note("the scope is not stated: not every picture tells its modality and body part")
    return config.model_copy(update={"scope": scope})


def _answer(
    config: TrainConfig, dataset: Dataset, split: str, model: Model, labelling: Labelling
) -> _Answers:
    """On the pictures themselves, not on the packed ones."""
    samples = chosen_samples(dataset, config, split)
    predictions = predict_all(model, samples)
    if model.card.task == "classify":
        classes = [labelling.image_class(sample) for sample in samples]
        figures = classifier_figures(predictions, classes, model.card)
        scored = _score_pictures(predictions, classes, model.card)
        return _Answers(figures=figures, scored=scored, pictures=len(samples))
    found = candidates(predictions, model.card, config.nms_iou)
    truths = [_truth(sample, labelling) for sample in samples]
    return _Answers(
        figures=detector_figures(found, truths, model.card, config),
        scored=_score_boxes(Columns.of(found), Columns.of(truths), config.match_iou),
        pictures=len(samples),
    )


def _score_boxes(found: Columns, truths: Columns, match_iou: float) -> Scored:
    return Scored(
        curve=detector_curve(found, truths, match_iou=match_iou),
        scores=found.scores.astype(np.float64),
        right=greedy.match_all(found, truths, match_iou),
    )


def _truth(sample: Sample, labelling: Labelling) -> Detections:
    truth = sample.truth or Detections.empty()
    return Detections.truth(truth.xyxy, labelling.labels(sample), truth.masks)


def _score_pictures(
    predictions: Sequence[Prediction], classes: Sequence[int], card: ModelCard
) -> Scored | None:
    """Whether anything is there, where one class says that nothing is."""
    healthy = str(card.architecture.get("healthy", ""))
    if healthy not in card.classes:
        return None
    scores = np.array([prediction.image_score for prediction in predictions], dtype=np.float64)
    positive = np.array(classes) != card.classes.index(healthy)
    return Scored(curve=classifier_curve(scores, positive), scores=scores, right=positive)


def _measure(
    config: TrainConfig, dataset: Dataset, valid: _Answers, tested: _Answers | None
) -> Measurements | None:
    """Of weights that have no hash yet."""
    if valid.scored is None:
        return None
    source = Source(
        model_id="",
        weights_sha256="",
        data=dataset.name,
        data_stamp="",
        split=config.valid_split,
        nms_iou=config.nms_iou,
        match_iou=config.match_iou,
        one_class=bool(config.merge_classes),
    )
    measured = measurements_of(source, valid.scored)
    if tested is None or tested.curve is None:
        return measured
    return applied_to(measured, tested.curve, f"{dataset.name}, split {config.test_split}")


def _point(point: OperatingPoint, tested: Curve | None) -> dict[str, Any]:
    found: dict[str, Any] = {"rule": point.rule.name, "unit": point.unit, "reason": point.reason}
    if point.confidence is None or tested is None:
        return {**found, "confidence": None}
    at = measure(tested, point.confidence)
    shares = {name: getattr(at, name) for name in ("sensitivity", "precision", "specificity")}
    return {
        **found,
        "confidence": point.confidence,
        "at_edge": point.at_edge,
        **{name: _share(share) for name, share in shares.items()},
        "false_positives_per_image": at.fp_per_image,
    }


def _share(share: Proportion) -> dict[str, object] | None:
    """None = of nothing."""
    if not share.total:
        return None
    low, high = share.interval
    return {"value": share.share, "low": low, "high": high, "n": share.total}


def _write(
    config: TrainConfig,
    run: RunFolder,
    model: Model,
    tested: _Answers,
    split: str,
    points: Sequence[OperatingPoint],
    measured: Measurements | None,
) -> ModelCard:
    """The weights beside the card, which comes last: then the run is a model of the library."""
    with working_folder(run.path, "model") as part:
        saved = model.save(part)
        (part / saved.weights_file).replace(run.path / saved.weights_file)
    data = Path(config.data).name
    card = saved.model_copy(
        update={
            "model_id": run.name,
            # Networks of one kind would else have one name on every page.
            "title": run.name,
            "training_data": f"{data}, split {config.train_split!r}",
            "training_licence": config.data_licence,
            "scope": config.scope,
            "metrics": {
                f"{split} {name}": tested.figures[name]
                for name in _ON_THE_CARD
                if name in tested.figures
            },
            "operating_points": card_points(points),
            "note": f"Trained by the recipe {config.recipe or 'of its own'}, seed {config.seed}; "
            f"operating points chosen on {config.valid_split!r}, figures from "
            f"{tested.pictures} pictures of {split!r}.",
            "code_version": version("fracture-workbench"),
        }
    )
    if measured is not None:
        whose = {"model_id": card.model_id, "weights_sha256": card.weights_sha256}
        write_points(measured.model_copy(update=whose), card, run.path)
    write_card(card, run.path)
    return card
