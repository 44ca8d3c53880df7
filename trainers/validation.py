"""Validation after every epoch: the loss, and the project's own figures on the same pictures."""

import copy

import torch

from trainers.config import TrainConfig
from trainers.figures import (
    Figures,
    candidates,
    classifier_figures,
    defined,
    detector_figures,
    predict_all,
)
from trainers.packed import Packed
from trainers.seeds import generator_at, seed_everything
from trainers.sources import Source
from trainers.trainee import Trainee

_PLACE = 1_000_003


class Validator:
    """Figures of a network on packed pictures, which are what its adapter would make of them.

    Boxes are compared in packed pixels: scaling both sides alike changes no IoU.
    """

    def __init__(self, config: TrainConfig, packed: Packed, device: torch.device) -> None:
        self._config = config
        self._source = Source(packed, device, on_device=config.data_on_device)
        self._packed = packed

    def figures(self, trainee: Trainee) -> Figures:
        """Those that are numbers, by name; the network is left in the mode it was in."""
        was_training = trainee.training
        trainee.eval()
        found = defined({"loss": self._loss(trainee)}) | self._judge(trainee)
        trainee.train(was_training)
        return found

    @torch.no_grad()
    def _loss(self, trainee: Trainee) -> float:
        """Mean over the pictures; what is drawn at random is drawn the same each time."""
        seed, count, size = self._config.seed, len(self._packed), self._config.batch
        rows = [range(start, min(start + size, count)) for start in range(0, count, size)]
        steps = ((each, generator_at(seed, _PLACE)) for each in rows)
        total = 0.0
        for step, batch in enumerate(self._source.batches(steps)):
            seed_everything(seed, _PLACE, step)
            total += float(trainee(batch)["loss"]) * len(batch)
        return total / count

    def _judge(self, trainee: Trainee) -> Figures:
        model = trainee.wrap(copy.deepcopy(trainee.network))
        samples = self._packed.samples()
        predictions = predict_all(model, samples)
        if model.card.task == "classify":
            classes = self._packed.truth.image_classes.tolist()
            return classifier_figures(predictions, classes, model.card)
        found = candidates(predictions, model.card, self._config.nms_iou)
        truths = [sample.truth for sample in samples if sample.truth is not None]
        return detector_figures(found, truths, model.card, self._config)
