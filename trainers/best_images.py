"""Validation images with their labels beside what the network predicts, kept at each best epoch.

    images/best-epoch-0003.png    in the run's folder, one for each of the last best epochs

The same few images are drawn each time, so that the grids can be compared.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from fracture_core.datasets import Dataset
from fracture_core.drawing.boxes import gt_boxes, matched_boxes
from fracture_core.drawing.colours import GROUND_TRUTHS
from fracture_core.drawing.samples import draw_sample
from fracture_core.drawing.sheets import Panel, grid_of
from fracture_core.files import make_folder, replacing
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.runs import RunFolder
from fracture_core.types import Detections, Prediction, Sample
from trainers.config import TrainConfig
from trainers.data_set_cache import chosen_samples
from trainers.label_map import label_map
from trainers.packed import Packed
from trainers.training_module import NOTHING

COUNT = 8
"""How many images a grid has, those with a finding first."""
MOST_KEPT = 6
"""How many grids a run keeps, the latest."""
_SIDE_PX, _ACROSS = 220, 4


class BestImages:
    """Draws grids of the images that `find` returns, which is asked once and when first needed."""

    def __init__(
        self, run: RunFolder, config: TrainConfig, find: Callable[[], Sequence[Sample]]
    ) -> None:
        self._run = run
        self._config = config
        self._find = find

    def keep(self, model: Model, epoch: int) -> None:
        """Write the grid of a best epoch, and remove what is more than is kept.

        Raises StorageError.
        """
        if not self._samples:
            return
        panels = []
        for sample, prediction in zip(self._samples, model.predict(self._samples), strict=True):
            panels += _pair(sample, prediction, model.card, self._shown(prediction, model.card))
        path = self._run.images / f"best-epoch-{epoch:04}.png"
        make_folder(path.parent)
        with replacing(path) as part:
            grid_of(panels, _ACROSS, footer=f"Epoch {epoch}, the best so far.").save(part, "PNG")
        for old in self._run.best_images()[:-MOST_KEPT]:
            old.unlink(missing_ok=True)

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        return tuple(self._find())[:COUNT]

    def _shown(self, prediction: Prediction, card: ModelCard) -> Detections:
        shown = prediction.detections.above(self._config.shown_confidence)
        return shown.nms(self._config.merged_at) if card.needs_nms else shown


def first_of_split(dataset: Dataset, config: TrainConfig) -> tuple[Sample, ...]:
    """Return the first images with a finding of the validation split that a config uses."""
    labelling = label_map(dataset, config)
    samples = chosen_samples(dataset, config, config.valid_split)
    return tuple(each for each in samples if len(labelling.labels(each)))[:COUNT]


def first_packed(packed: Packed) -> tuple[Sample, ...]:
    """Return the first packed images, those with an object before those without."""
    empty = (packed.ground_truth.labels == NOTHING).all(axis=1)
    return packed.samples(np.argsort(empty, kind="stable")[:COUNT].tolist())


def _pair(
    sample: Sample, prediction: Prediction, card: ModelCard, shown: Detections
) -> list[Panel]:
    ground_truth = sample.ground_truth or Detections.empty()
    labels, said = _words(sample, prediction, card)
    boxes = () if card.task == "classify" else matched_boxes(shown, ground_truth)
    found = [box for box in boxes if box.kind not in GROUND_TRUTHS]
    masks = [(code, "truth") for code in ground_truth.masks]
    labelled = draw_sample(sample, gt_boxes(ground_truth), masks, side_px=_SIDE_PX, enlarge=True)
    own = [(code, box.kind) for code, box in zip(shown.masks, found, strict=False)]
    predicted = draw_sample(sample, boxes, own, side_px=_SIDE_PX, enlarge=True)
    if card.task != "classify":
        missed = sum(box.kind == "missed" for box in boxes)
        said = f"{len(ground_truth) - missed} of {len(ground_truth)} found"
    return [Panel(image=labelled, lines=(labels,)), Panel(image=predicted, lines=(said,))]


def _words(sample: Sample, prediction: Prediction, card: ModelCard) -> tuple[str, str]:
    scores, label = prediction.class_scores, sample.image_class
    if scores is None:
        return "label", ""
    best = int(scores.argmax())
    true = card.classes[label] if label is not None and label < len(card.classes) else "label"
    return true, f"{card.classes[best]} {scores[best]:.2f}"
