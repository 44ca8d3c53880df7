"""Predictions as image files: what each model found beside the ground truth, models side by side.

Every model goes by a confidence of its own, the one at which the pages open it, unless one is asked
for; the caption of its panel says which. A finding is true where it overlaps a ground-truth box of
its class by an IoU of 0.5, classes brought together as the reader confirmed them.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fracture_core.class_names import bring_together, kept_among, relabel
from fracture_core.drawing.boxes import DrawnBox, matched_boxes
from fracture_core.drawing.colours import GROUND_TRUTHS, VIEWER, Palette, find_palette
from fracture_core.drawing.samples import draw_sample
from fracture_core.drawing.sheets import Panel, sheet_of
from fracture_core.errors import BadInput, ConfigError
from fracture_core.files import make_folder, replacing
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import open_model, points_of
from fracture_core.models.points import Measurements, opening_of
from fracture_core.predictions import (
    Answer,
    FileNames,
    Filter,
    Item,
    counted,
    find_items,
    predict_items,
    write_predictions,
)
from fracture_core.scope import check_scope
from fracture_core.types import Detections, Prediction, Sample

MOST_MODELS = 4
_NMS_IOU = 0.5
# The longer side of all panels together, and of a single one at least.
_MOST_PX, _LEAST_PX = 1600, 640
_MOST_CLASSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of a model's raw predictions is drawn, and in `words` why from that confidence."""

    card: ModelCard
    keep: Filter
    words: str

    @classmethod
    def of(cls, card: ModelCard, measured: Measurements | None, asked: Filter) -> "Shown":
        """Return what was asked for, and where nothing was, what the pages open with."""
        opening = opening_of(card, measured)
        words = f"shown from {opening.confidence:.3f}, {opening.rule or opening.reason}"
        confidence = opening.confidence
        if asked.confidence is not None:
            confidence, words = asked.confidence, f"shown from {asked.confidence:.3f}"
        nms_iou = _NMS_IOU if asked.nms_iou is None and card.needs_nms else asked.nms_iou
        return cls(card=card, keep=Filter(confidence=confidence, nms_iou=nms_iou), words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """Where predictions are drawn: one PNG an image or frame, with a panel for each of `shown`."""

    folder: Path
    shown: Sequence[Shown]
    palette: Palette = VIEWER
    names: FileNames = field(default_factory=FileNames)

    def draw(self, answers: Sequence[Answer]) -> Path:
        """Write what the models, in the order of `shown`, predict on one image; return the file.

        Raises StorageError.
        """
        side = max(_LEAST_PX, _MOST_PX // len(self.shown))
        longest = max(answers[0].sample.height, answers[0].sample.width)
        side = min(side, max(_LEAST_PX, longest))
        panels = [
            panel_of(
                shown, answer.sample, answer.prediction, answer.item.classes, side, self.palette
            )
            for shown, answer in zip(self.shown, answers, strict=True)
        ]
        path = self.folder / f"{self.names.of(answers[0])}.png"
        make_folder(path.parent)
        with replacing(path) as part:
            sheet_of([panels]).save(part, "PNG")
        return path


def draw_predictions(
    models: Sequence[Model],
    items: Sequence[Item],
    folder: ImageFolder,
    *,
    progress: Callable[[int], object] | None = None,
) -> list[BadInput]:
    """Predict with all models, image by image, and draw; return what was unreadable.

    Raises ConfigError for more models than fit side by side, and StorageError.
    """
    if len(models) > MOST_MODELS:
        expected = f"at most {MOST_MODELS} models side by side"
        raise ConfigError("--model", expected=expected, found=str(len(models)))
    first, *others = models
    results = [counted(predict_items(first, items), items, progress)]
    results += [predict_items(model, items) for model in others]
    errors: list[BadInput] = []
    for of_models in zip(*results, strict=True):
        answers = [each for each in of_models if isinstance(each, Answer)]
        errors += [each for each in of_models[:1] if isinstance(each, BadInput)]
        if len(answers) == len(models):
            folder.draw(answers)
    return errors


def panel_of(
    shown: Shown,
    sample: Sample,
    prediction: Prediction,
    classes: Sequence[str],
    side_px: int,
    palette: Palette = VIEWER,
) -> Panel:
    """Return one model's panel: the image with what it found and the ground truth, and a caption.

    `classes` are those of the ground truth. Raises ConfigError where what the reader confirmed of
    classes cannot be used.
    """
    found, ground_truth, boxes = _compared(shown, sample, prediction, classes, palette)
    kinds = [box.kind for box in boxes]
    own = kinds[len(ground_truth) :]
    # Masks are there for all boxes of a kind or for none of them.
    masks = [*zip(ground_truth.masks, kinds, strict=False), *zip(found.masks, own, strict=False)]
    image = draw_sample(sample, boxes, masks, side_px=side_px, enlarge=True, palette=palette)
    lines = (shown.card.title, *_said(shown, sample, prediction, boxes, classes))
    return Panel(image=image, lines=lines)


def _compared(
    shown: Shown,
    sample: Sample,
    prediction: Prediction,
    classes: Sequence[str],
    palette: Palette,
) -> tuple[Detections, Detections, tuple[DrawnBox, ...]]:
    """What is shown and the ground truth, in the classes of both, and the boxes of the two."""
    own = shown.card.classes
    together = bring_together(own, classes, is_a=kept_among([own, classes]))
    found = relabel(shown.keep.apply(prediction.detections), together.moved[0])
    found = found[:1] if palette.best_only else found
    if sample.ground_truth is None:
        return found, Detections.empty(), matched_boxes(found, None, together.names)
    ground_truth = relabel(sample.ground_truth, together.moved[1])
    if shown.card.task == "classify":
        # It was never asked for boxes, so it misses none.
        boxes = matched_boxes(ground_truth, ground_truth, together.names)[: len(ground_truth)]
        return found, ground_truth, boxes
    # Where no class is shared every box would be false, whatever it lies on.
    aware = together.share and bool(classes)
    boxes = matched_boxes(found, ground_truth, together.names, class_aware=aware)
    return found, ground_truth, boxes


def _said(
    shown: Shown,
    sample: Sample,
    prediction: Prediction,
    boxes: Sequence[DrawnBox],
    classes: Sequence[str],
) -> list[str]:
    lines = []
    if prediction.class_scores is not None:
        lines.append(_class_scores(shown.card, prediction))
    else:
        count = sum(box.kind not in GROUND_TRUTHS for box in boxes)
        lines.append(f"{count} {'finding' if count == 1 else 'findings'} {shown.words}")
    lines.append(_ground_truth(shown, sample, boxes, classes))
    scope = check_scope(shown.card.scope, sample.attributes)
    return lines if scope.standing == "inside" else [*lines, scope.sentence]


def _class_scores(card: ModelCard, prediction: Prediction) -> str:
    scores = prediction.class_scores
    if scores is None:
        return ""
    best = np.argsort(-scores)[:_MOST_CLASSES]
    return ", ".join(f"{card.classes[label]} {scores[label]:.2f}" for label in best)


def _ground_truth(
    shown: Shown, sample: Sample, boxes: Sequence[DrawnBox], classes: Sequence[str]
) -> str:
    known = [box.kind for box in boxes if box.kind in GROUND_TRUTHS]
    label = sample.image_class
    named = f", labelled {classes[label]}" if label is not None and label < len(classes) else ""
    if sample.ground_truth is None:
        return f"ground truth unknown{named}"
    if not known:
        return f"ground truth: nothing there{named}"
    words = f"{len(known)} ground-truth {'box' if len(known) == 1 else 'boxes'}"
    if shown.card.task == "classify":
        return f"{words}{named}"
    return f"{len(known) - known.count('missed')} of {words} found{named}"


# ---- the command ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What `python -m fracture_core predict` is asked for; None = not asked for.

    `out` is the COCO file, `draw` the folder of images, `colours` a name of `PALETTES`.
    """

    out: Path | None = None
    draw: Path | None = None
    colours: str = "viewer"
    confidence: float | None = None
    nms_iou: float | None = None


def run(paths: Sequence[Path], names: Sequence[str], wishes: Wishes) -> int:
    """Predict, write and draw; return the exit code, 1 where something could not be read.

    Raises ConfigError where neither a file nor images are asked for, and as `open_model` does.
    """
    if wishes.out is None and wishes.draw is None:
        raise ConfigError("predict", expected="--out, --draw or both", found="neither")
    if wishes.out is not None and len(names) > 1:
        advice = "Write a file for each, or draw them side by side with --draw alone."
        found = f"{len(names)} models"
        raise ConfigError("--out", expected="the findings of one model", found=found, advice=advice)
    keep, palette = (
        Filter(confidence=wishes.confidence, nms_iou=wishes.nms_iou),
        find_palette(wishes.colours),
    )
    models = [open_model(name) for name in names]
    shown = [Shown.of(model.card, points_of(model.card), keep) for model in models]
    drawn = None
    if wishes.draw is not None:
        drawn = ImageFolder(folder=wishes.draw, shown=shown, palette=palette)
    items, errors = find_items(paths)
    with tqdm(total=len(items), unit="image", disable=None) as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        if wishes.out is None and drawn is not None:
            errors += draw_predictions(models, items, drawn, progress=show)
        elif wishes.out is not None:
            errors += write_predictions(
                models[0],
                items,
                wishes.out,
                keep=keep,
                measured=points_of(models[0].card),
                progress=show,
                each=None if drawn is None else lambda answer: drawn.draw([answer]),
            )
    for error in errors:
        print(error, file=sys.stderr)
    return int(bool(errors))
