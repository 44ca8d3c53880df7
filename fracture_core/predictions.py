"""What a model's predictions on images and data sets say, and how they are written as COCO results.

A case is answered as cleared products do it: by finding, doubt or none. The viewer holds the same
rule in `ui/widgets/viewer/answers.js`.

A file of predictions is one JSON object with "info", "categories", "annotations" and "images".
`COCO(file)` opens it by itself, and each annotation is a COCO result too (image_id, category_id,
bbox, score, and segmentation where the model makes masks):
`ground_truth.loadRes(json.load(file)["annotations"])`, once the image ids are the ground truth's.
Images carry a path or sample id to join on. Category ids are the model's classes, from 0.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from fracture_core import boxes
from fracture_core.datasets import Dataset, is_dataset, open_dataset
from fracture_core.datasets.writing import safe_path, stem_of
from fracture_core.errors import BadInput, ConfigError, ImageError
from fracture_core.files import replacing
from fracture_core.imaging.opening import open_image
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.models.points import Measurements, tiers
from fracture_core.scope import check_scope
from fracture_core.types import Detections, Prediction, Sample

# ---- the answer to a case -----------------------------------------------------------------------

Kind = Literal["finding", "doubt", "none", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAnswer:
    """The answer to a case; the kind "unknown" means that the operating points for it are missing.

    `above`, of the kind "none" alone, is the confidence that no score reaches · `hidden` is what
    the best score would have meant had the confidence not hidden it, None = nothing else.
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
    """Return what the best `score` of a case means; None = the model proposed nothing.

    `sensitive` and `specific` are the confidences of the model's two operating points, None = not
    measured. Findings are shown from `confidence` on, None = all of them; where it hides them all
    the answer is "none", whatever the points say of the best score.

    Example:
        >>> answer_of(0.84, sensitive=0.31, specific=0.7).kind
        'finding'
        >>> answer_of(0.5, sensitive=0.31, specific=0.7).kind
        'doubt'
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


def answer_to_image(
    card: ModelCard,
    measured: Measurements | None,
    attributes: Mapping[str, str],
    prediction: Prediction,
    confidence: float | None,
) -> CaseAnswer:
    """Return the answer to an image with these attributes, shown from `confidence` on.

    It goes by the image score of a classifier and by the best candidate of a detector. It is
    "unknown" where nothing was `measured` (None), and outside of the model's scope.
    """
    if check_scope(card.scope, attributes).standing != "inside":
        return CaseAnswer(kind="unknown")
    found = prediction.detections
    best = float(found.scores[0]) if len(found) else None
    sensitive, specific = tiers(measured) if measured else (None, None)
    return answer_of(
        prediction.image_score if card.task == "classify" else best,
        sensitive=sensitive,
        specific=specific,
        confidence=confidence,
    )


# ---- predictions of many images -----------------------------------------------------------------

_BATCH = 8
Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to predict on: an image file with all its frames, or a sample of a data set.

    `read` returns its samples, one for each frame; it raises BadInput. `classes` are those of the
    ground truth, none where the item has no data set.
    """

    name: str
    read: Callable[[], Sequence[Sample]]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The one filter of predictions: a confidence threshold, then NMS with an NMS IoU.

    None leaves that part out; with both None predictions stay raw. Raises ConfigError for a number
    outside of [0, 1].
    """

    confidence: float | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("confidence", self.confidence), ("nms", self.nms_iou)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(name, expected="a number from 0 to 1", found=str(value))

    def apply(self, raw: Detections) -> Detections:
        """Return the detections that the filter leaves."""
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


@dataclass(frozen=True, slots=True)
class FileNames:
    """Names files after images: each name once, also where A and a are the same to the disk."""

    _taken: set[str] = field(default_factory=set)

    def of(self, answer: Answer) -> str:
        """Return the image's name without suffix, with the number of its frame where it has several
        and another number behind it where the name is taken.
        """
        item = answer.item
        stem = safe_path(stem_of(item.name if item.classes else Path(item.name).name))
        if answer.frames > 1:
            stem = f"{stem}-{answer.frame:04}"
        free = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(self._taken) + 2))
        name = next(each for each in free if each.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return name


def find_items(paths: Sequence[Path]) -> tuple[list[Item], list[BadInput]]:
    """Find what there is to predict on in files, folders of files and data sets.

    Returns the items, and an error for each path that cannot be used.
    """
    items: list[Item] = []
    errors: list[BadInput] = []
    for path in paths:
        try:
            items += _items_at(path)
        except BadInput as error:
            errors.append(error)
    return items, errors


def predict_items(model: Model, items: Iterable[Item]) -> Iterator[Answer | BadInput]:
    """Predict in batches; an item that cannot be read gives its error in its place.

    What comes out is in the order of the items and their frames.
    """
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
    each: Callable[[Answer], object] | None = None,
) -> list[BadInput]:
    """Predict and write the COCO file `out`, by rename at the end; return what was unreadable.

    The operating points that were `measured` of the model, None = none, give each image its answer:
    finding, doubt or none, and "unknown" without points or outside of the model's scope. `progress`
    gets the number of items that are done, `each` every answer. Nothing is written where no item
    was usable. Raises ConfigError where `out` cannot be written, StorageError where the disk is
    full.
    """
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(str(out), expected="a file in a folder that exists", found="none")
    errors: list[BadInput] = []
    with replacing(out) as part:
        with part.open("w", encoding="utf-8") as file:
            writer = _Writer(file, model.card, keep, measured)
            for done in counted(predict_items(model, items), items, progress):
                if isinstance(done, Answer):
                    writer.add(done)
                    if each is not None:
                        each(done)
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
        return [
            Item(name=one, read=partial(_read_sample, dataset, one), classes=dataset.classes)
            for one in dataset
        ]
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
    # The pixels are read now, and not in a batch, so that an unreadable image fails by itself.
    pixels = sample.pixels
    return (replace(sample, read=lambda: pixels),)


def _flush(model: Model, waiting: list[tuple[Item, Sample, int, int]]) -> Iterator[Answer]:
    predictions = model.predict([sample for _, sample, _, _ in waiting]) if waiting else []
    for (item, sample, frame, frames), prediction in zip(waiting, predictions, strict=True):
        yield Answer(item=item, sample=sample, frame=frame, frames=frames, prediction=prediction)
    waiting.clear()


def counted(
    results: Iterator[Answer | BadInput],
    items: Sequence[Item],
    progress: Callable[[int], object] | None,
) -> Iterator[Answer | BadInput]:
    """Pass results on; `progress` gets the number of the `items` that are done."""
    behind = 0
    for result in results:
        yield result
        behind += isinstance(result, BadInput) or result.frame == result.frames
        if progress is not None:
            progress(min(behind, len(items)))


class _Writer:
    """Writes annotations to the file at once; images, few and small, are kept for the end."""

    def __init__(
        self, file: TextIO, card: ModelCard, keep: Filter, measured: Measurements | None
    ) -> None:
        self._file = file
        self._card = card
        self._keep = keep
        self._measured = measured
        self._annotations = 0
        self.images: list[Json] = []
        categories = [{"id": label, "name": name} for label, name in enumerate(card.classes)]
        sensitive, specific = tiers(measured) if measured else (None, None)
        points = {"sensitive_point": sensitive, "specific_point": specific}
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
        told, said = answer.sample.attributes, answer.prediction
        return answer_to_image(self._card, self._measured, told, said, self._keep.confidence).kind

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
