"""The answer to a case in three words, as cleared products give it: finding, doubt or none.

    >>> answer_of(0.84, sensitive=0.31, specific=0.7).kind
    'finding'

The viewer holds the same rule in `predictions.js`.

A model mapped over images and data sets, written down as COCO results.

The file is one JSON object with "info", "categories", "annotations" and "images". `COCO(file)`
opens it by itself, and each annotation is a COCO result too (image_id, category_id, bbox, score,
and segmentation where the model makes masks): `truth.loadRes(json.load(file)["annotations"])`, once
the image ids are the ground truth's. Images carry a path or sample id to join on. Category ids are
the model's classes, from 0.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from fracture_core import boxes
from fracture_core.datasets import Dataset, is_dataset, open_dataset
from fracture_core.errors import BadInput, ConfigError, ImageError
from fracture_core.files import replacing
from fracture_core.imaging.opening import open_image
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.models.points import Measurements, tiers
from fracture_core.scope import check_scope
from fracture_core.types import Detections, Prediction, Sample

Kind = Literal["finding", "doubt", "none", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAnswer:
    """`kind` "unknown": the points it takes to tell are missing.

    `above` is the confidence that nothing is scored at or above, of "none" alone · `hidden` what
    the points say of a best score that the chosen confidence hides, None = it hides no more.
    """

    kind: Kind
    above: float | None = None
    hidden: Kind | None = None


def answer_of(
    score: float | None,
    *,
    sensitive: float | None,
    specific: float | None,
    confidence: float | None = None,
) -> CaseAnswer:
    """What the best `score` of a case means, None = the model proposed nothing.

    `sensitive` and `specific` are the confidences of the model's two points, None = not measured ·
    `confidence` is the one that findings are shown from, None = all are. Where it hides all of them
    the answer is "none", whatever the points say of the best.
    """
    points = [point for point in (sensitive, specific) if point is not None]
    if not points:
        return CaseAnswer(kind="unknown")
    kind = _by_points(score, sensitive, specific)
    if confidence is not None and (score is None or score < confidence):
        return CaseAnswer(kind="none", above=confidence, hidden=None if kind == "none" else kind)
    return CaseAnswer(kind=kind, above=min(points) if kind == "none" else None)


def _by_points(score: float | None, sensitive: float | None, specific: float | None) -> Kind:
    if score is None:
        return "none"
    if specific is not None and score >= specific:
        return "finding"
    if sensitive is None:
        return "unknown"
    if score < sensitive:
        return "none"
    return "unknown" if specific is None else "doubt"


_BATCH = 8
Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to predict on: an image file with all its frames, or a sample of a data set."""

    name: str
    read: Callable[[], Sequence[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The product's one filter; None leaves that part out, both None is raw."""

    confidence: float | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("confidence", self.confidence), ("nms", self.nms_iou)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(name, expected="a number from 0 to 1", found=str(value))

    def apply(self, raw: Detections) -> Detections:
        shown = raw if self.confidence is None else raw.above(self.confidence)
        return shown if self.nms_iou is None else shown.nms(self.nms_iou)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model's raw prediction on one sample of an item; `frame` counts from 1, of `frames`."""

    item: Item
    sample: Sample
    frame: int
    frames: int
    prediction: Prediction


def find_items(paths: Sequence[Path]) -> tuple[list[Item], list[BadInput]]:
    """Files, folders of files and data sets → what there is to predict on, and what is unusable."""
    items: list[Item] = []
    errors: list[BadInput] = []
    for path in paths:
        try:
            items += _items_at(path)
        except BadInput as error:
            errors.append(error)
    return items, errors


def predict_items(model: Model, items: Iterable[Item]) -> Iterator[Answer | BadInput]:
    """Answers in the order of the items; what cannot be read comes as its error instead."""
    waiting: list[tuple[Item, Sample, int, int]] = []
    for item in items:
        try:
            samples = item.read()
        except BadInput as error:
            yield from _flush(model, waiting)
            yield error
            continue
        for frame, sample in enumerate(samples, start=1):
            waiting.append((item, sample, frame, len(samples)))
            if len(waiting) == _BATCH:
                yield from _flush(model, waiting)
    yield from _flush(model, waiting)


def write_predictions(
    model: Model,
    items: Sequence[Item],
    out: Path,
    *,
    keep: Filter,
    measured: Measurements | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[BadInput]:
    """Predict and write `out` as it goes, by rename when all is done; returns what was unreadable.

    What was `measured` of the model, None = nothing, answers each image by finding, doubt or none;
    "unknown" where it cannot, or does not lie in the model's scope. `progress` gets how many of the
    items are behind. Nothing is written where no item was usable. Raises ConfigError where `out`
    cannot be written, or the disk becomes full.
    """
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(str(out), expected="a file in a folder that exists", found="none")
    errors: list[BadInput] = []
    with replacing(out) as part:
        with part.open("w", encoding="utf-8") as file:
            writer = _Writer(file, model.card, keep, measured)
            for done in _counted(predict_items(model, items), items, progress):
                if isinstance(done, Answer):
                    writer.add(done)
                else:
                    errors.append(done)
            writer.finish()
        if not writer.images:
            part.unlink()
    return errors


def _items_at(path: Path) -> list[Item]:
    if not path.exists():
        raise ImageError(path, expected="an image, folder or data set", found="no such file")
    if is_dataset(path):
        dataset = open_dataset(path)
        return [Item(name=one, read=partial(_read_sample, dataset, one)) for one in dataset]
    if path.is_file():
        return [_image_item(path)]
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if not files:
        raise ImageError(path, expected="a data set or images", found="a folder without any")
    return [_image_item(file) for file in files]


def _image_item(path: Path) -> Item:
    return Item(name=str(path), read=lambda: open_image(path, path.name).samples())


def _read_sample(dataset: Dataset, sample_id: str) -> tuple[Sample]:
    sample = dataset[sample_id]
    # Read here, so that an unreadable image is reported by itself and not with its batch.
    pixels = sample.pixels
    return (replace(sample, read=lambda: pixels),)


def _flush(model: Model, waiting: list[tuple[Item, Sample, int, int]]) -> Iterator[Answer]:
    predictions = model.predict([sample for _, sample, _, _ in waiting]) if waiting else []
    for (item, sample, frame, frames), prediction in zip(waiting, predictions, strict=True):
        yield Answer(item=item, sample=sample, frame=frame, frames=frames, prediction=prediction)
    waiting.clear()


def _counted(
    results: Iterator[Answer | BadInput],
    items: Sequence[Item],
    progress: Callable[[int], object] | None,
) -> Iterator[Answer | BadInput]:
    behind = 0
    for result in results:
        yield result
        behind += isinstance(result, BadInput) or result.frame == result.frames
        if progress is not None:
            progress(min(behind, len(items)))


class _Writer:
    """Annotations go to the file at once, images are held back: they are few and small."""

    def __init__(
        self, file: TextIO, card: ModelCard, keep: Filter, measured: Measurements | None
    ) -> None:
        self._file = file
        self._card = card
        self._keep = keep
        self._sensitive, self._specific = tiers(measured) if measured else (None, None)
        self._annotations = 0
        self.images: list[Json] = []
        categories = [{"id": label, "name": name} for label, name in enumerate(card.classes)]
        points = {"sensitive_point": self._sensitive, "specific_point": self._specific}
        file.write(f'{{"info": {json.dumps(_info(card, keep) | points)},\n')
        file.write(f'"categories": {json.dumps(categories)},\n"annotations": [')

    def add(self, answer: Answer) -> None:
        image_id = len(self.images) + 1
        self.images.append(
            {
                "id": image_id,
                "file_name": answer.item.name,
                "sample_id": answer.sample.sample_id,
                "frame": answer.frame,
                "height": answer.sample.height,
                "width": answer.sample.width,
                "image_score": answer.prediction.image_score,
                "answer": self._answer(answer),
            }
        )
        for result in _results(self._keep.apply(answer.prediction.detections), image_id):
            self._annotations += 1
            before = "\n" if self._annotations == 1 else ",\n"
            line = json.dumps({"id": self._annotations, **result}, allow_nan=False)
            self._file.write(before + line)

    def _answer(self, answer: Answer) -> Kind:
        """By the image score of a classifier, the best candidate of a detector."""
        if check_scope(self._card.scope, answer.sample.attributes).standing != "inside":
            return "unknown"
        found = answer.prediction.detections
        score = float(found.scores[0]) if len(found) else None
        return answer_of(
            answer.prediction.image_score if self._card.task == "classify" else score,
            sensitive=self._sensitive,
            specific=self._specific,
            confidence=self._keep.confidence,
        ).kind

    def finish(self) -> None:
        images = ",\n".join(json.dumps(image, allow_nan=False) for image in self.images)
        self._file.write(f'\n],\n"images": [\n{images}\n]}}\n')


def _results(shown: Detections, image_id: int) -> Iterator[Json]:
    xywh = boxes.xyxy_to_xywh(shown.xyxy.astype(float))
    sizes = boxes.area(shown.xyxy)
    for i in range(len(shown)):
        result: Json = {
            "image_id": image_id,
            "category_id": int(shown.labels[i]),
            "bbox": xywh[i].tolist(),
            "score": float(shown.scores[i]),
            "area": float(sizes[i]),
            "iscrowd": 0,
        }
        if shown.masks:
            result["segmentation"] = shown.masks[i].as_coco()
        yield result


def _info(card: ModelCard, keep: Filter) -> Json:
    return {
        "description": f"Findings of {card.title}. Research use only.",
        "date_created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_id": card.model_id,
        "family": card.family,
        "weights_sha256": card.weights_sha256,
        "confidence": keep.confidence,
        "nms_iou": keep.nms_iou,
    }
