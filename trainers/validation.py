"""Validation: the loss and the project's own metrics after every epoch, on the packed images.

A page can also look at what a run has learnt while it still trains (`best_so_far`).
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from fracture_core import importing
from fracture_core.datasets import open_dataset
from fracture_core.metrics.summary import Metrics, classifier_metrics, defined, detector_metrics
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.runs import RunFolder
from fracture_core.types import Detections, Int64s, Prediction, Sample
from trainers.checkpoints import BEST, MODULE, load_state
from trainers.config import TrainConfig
from trainers.data_set_cache import chosen_samples
from trainers.families import build_module
from trainers.family_configs import YoloConfig, read_config
from trainers.label_map import label_map
from trainers.packed import Packed
from trainers.sources import Source
from trainers.training_module import TrainingModule, generator_at, seed_everything

# A place of its own for validation's random numbers, which no step of a training has.
_PLACE = 1_000_003
_AT_A_TIME = 64


class Validator:
    """Computes the metrics of a network on packed images.

    These are what its adapter would make of the originals. Boxes are matched in packed pixels:
    scaling predictions and ground truth alike changes no IoU.
    """

    def __init__(self, config: TrainConfig, packed: Packed, device: torch.device) -> None:
        self._config = config
        self._source = Source(packed, device, on_device=config.data_on_device)
        self._packed = packed

    def metrics(self, module: TrainingModule) -> Metrics:
        """Return the losses and the metrics by name, without those that are undefined.

        The module is left in the mode, training or eval, that it was in.
        """
        was_training = module.training
        module.eval()
        found = defined(self._losses(module)) | self._measure(module)
        module.train(was_training)
        return found

    @torch.no_grad()
    def _losses(self, module: TrainingModule) -> Metrics:
        """The mean losses over the images; random numbers in them are the same each time."""
        seed, count, size = self._config.seed, len(self._packed), self._config.batch
        rows = [range(start, min(start + size, count)) for start in range(0, count, size)]
        steps = ((each, generator_at(seed, _PLACE)) for each in rows)
        totals: Metrics = {}
        for step, batch in enumerate(self._source.batches(steps)):
            seed_everything(seed, _PLACE, step)
            losses = module(batch)
            # Read at once: each reading makes a GPU wait.
            values = torch.stack([value.float() for value in losses.values()]).tolist()
            for name, value in zip(losses, values, strict=True):
                totals[name] = totals.get(name, 0.0) + value * len(batch)
        return {name: total / count for name, total in totals.items()}

    def _measure(self, module: TrainingModule) -> Metrics:
        model = module.wrap(copy.deepcopy(module.network))
        samples = self._packed.samples()
        predictions = predict_all(model, samples)
        if model.card.task == "classify":
            classes = self._packed.ground_truth.image_classes
            return classifier_metrics(classes, called(predictions), len(model.card.classes))
        ground_truths = [
            sample.ground_truth for sample in samples if sample.ground_truth is not None
        ]
        return detector_metrics(
            candidates(predictions, model.card, self._config.merged_at),
            ground_truths,
            len(model.card.classes),
            confidence=self._config.shown_confidence,
            match_iou=self._config.match_iou,
            masks=model.card.task == "segment",
        )


def predict_all(model: Model, samples: Sequence[Sample]) -> list[Prediction]:
    """Return raw predictions for all samples, made in parts, so that few images are in memory."""
    found: list[Prediction] = []
    for start in range(0, len(samples), _AT_A_TIME):
        found += model.predict(samples[start : start + _AT_A_TIME])
    return found


def candidates(
    predictions: Sequence[Prediction], card: ModelCard, nms_iou: float
) -> list[Detections]:
    """Return the detections of each prediction, after NMS where the network's boxes need it."""
    raw = [prediction.detections for prediction in predictions]
    return [each.nms(nms_iou) for each in raw] if card.needs_nms else raw


def called(predictions: Sequence[Prediction]) -> Int64s:
    """Return the class of the highest score of each of a classifier's predictions, (N,) int64."""
    scores = [each.class_scores for each in predictions if each.class_scores is not None]
    return np.array([each.argmax() for each in scores], dtype=np.int64)


def best_so_far(run: RunFolder) -> Model:
    """Return the model of a run's best checkpoint; raise ConfigError where there is none yet."""
    config = read_config(run.config)
    state, _ = load_state(run.checkpoints / BEST)
    if isinstance(config, YoloConfig):
        with importing.LOCK:
            from trainers.yolo.fitting import best_model
            from trainers.yolo.networks import build_start

        return best_model(config, build_start(config, config.classes), config.classes, run)
    module = build_module(config, config.classes, run.name)
    module.load_state_dict(state[MODULE])
    return module.wrap(module.network)


def validation_samples(run: RunFolder, count: int) -> tuple[Sample, ...]:
    """Return the first `count` images with a finding of the validation split that a run uses."""
    config = read_config(run.config)
    dataset = open_dataset(config.data)
    labelling = label_map(dataset, config)
    samples = chosen_samples(dataset, config, config.valid_split)
    found = [each for each in samples if len(labelling.labels(each))]
    return tuple(found[:count])
