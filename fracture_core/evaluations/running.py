"""A data set predicted once, in parts that survive a stop, a crash and a kill; a run that goes on
begins after the last whole part.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fracture_core import class_names
from fracture_core.class_names import NO_CLASS, relabel
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.datasets.layout import split_name
from fracture_core.errors import BadInput, ConfigError
from fracture_core.evaluations.attributes import count_scope
from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.evaluations.folders import (
    GROUND_TRUTHS,
    PARTS,
    PREDICTIONS,
    STARTED,
    Completed,
    ProgressLines,
    Unreadable,
    load_evaluation,
)
from fracture_core.evaluations.labelling import Labelling, label
from fracture_core.evaluations.matched_models import EvaluateConfig, read_config
from fracture_core.evaluations.storing import (
    GroundTruthBuilder,
    GroundTruths,
    Predictions,
    pick_ground_truths,
    read_predictions,
    write_ground_truths,
    write_predictions,
)
from fracture_core.files import write_text
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, in_classes
from fracture_core.models.fake import FakeModel
from fracture_core.models.library import list_cards, open_model
from fracture_core.runs import EVALUATION, RunFolder
from fracture_core.types import Prediction, Sample

BATCH = 16
PART_IMAGES = 512
PART_SECONDS = 20.0
ALL = "all"
_NOTICES = TypeAdapter(tuple[Unreadable, ...])
Progress = Callable[[int, int], object]


def run_evaluation(
    folder: Path,
    progress: Progress = lambda done, of: None,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Predict what is not predicted yet; None = it was asked to stop, and what it has is kept.

    `progress` is given the numbers of images done and asked for. An evaluation that is complete is
    only read. One that was stopped and resumed equals one that never was, but for `seconds`. Raises
    ConfigError, DatasetError and WeightsError.
    """
    run = open_evaluation(folder)
    with run.claim():
        if run.evaluation.is_file():
            return load_evaluation(run.path)
        run.stopped.unlink(missing_ok=True)
        config = read_config(run.config)
        dataset = open_dataset(Path(config.data))
        ids = ids_of(dataset, config)
        model = _open(config.model, dataset)
        if not _answer(run, dataset, model, model.card, ids, progress, stop):
            run.stopped.touch()
            return None
    return load_evaluation(run.path)


def evaluate_opened(
    run: RunFolder, dataset: Dataset, model: Model, card: ModelCard, ids: Sequence[str]
) -> Evaluation:
    """Evaluate in a new folder, with a model and a data set that are open already.

    `card` is the one that the model is going to have, `ids` are the images to predict. Raises as
    `run_evaluation`.
    """
    with run.claim():
        _answer(run, dataset, model, card, ids)
    return load_evaluation(run.path)


def _answer(
    run: RunFolder,
    dataset: Dataset,
    model: Model,
    card: ModelCard,
    ids: Sequence[str],
    progress: Progress = lambda done, of: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    config = read_config(run.config)
    labelling = label(card, dataset, one_class=config.one_class, is_a=config.is_a)
    about, ground_truths, unreadable = _begin(run, config, dataset, card, labelling, ids)
    work = _Work(run, dataset, model, labelling, ground_truths)
    if not work.go_on(progress, stop):
        return False
    _complete(run, about, ground_truths, (*unreadable, *work.unreadable()))
    return True


def open_evaluation(folder: Path) -> RunFolder:
    """Return the folder of an evaluation that is there; raises ConfigError."""
    run = RunFolder(path=folder.absolute())
    if run.kind != EVALUATION:
        found = "something else in it" if run.path.is_dir() else "no such folder"
        advice = "Make one with: python -m fracture_core evaluate --model ID --data PATH"
        raise ConfigError(run.path, expected="an evaluation", found=found, advice=advice)
    return run


def check_evaluation(config: EvaluateConfig) -> None:
    """Check by annotations and card that it can be run; raises as `run_evaluation`."""
    dataset = open_dataset(Path(config.data))
    ids = ids_of(dataset, config)
    known = {card.model_id: card for card in list_cards()}
    card = known.get(config.model) or open_model(config.model).card
    card = in_classes(card, dataset.classes)
    labelling = label(card, dataset, one_class=config.one_class, is_a=config.is_a)
    if not any(_is_matched(dataset, each, labelling) for each in ids):
        raise _no_ground_truth(dataset, config)


def with_kept_classes(config: EvaluateConfig) -> EvaluateConfig:
    """Return the config with the classes that were confirmed to be the same, kept from before.

    A config that counts all as one class, or says which class counts as another, stays as it is.
    """
    if config.is_a or config.one_class:
        return config
    known = {card.model_id: card for card in list_cards()}
    card = known.get(config.model) or open_model(config.model).card
    dataset = open_dataset(Path(config.data))
    is_a = class_names.kept(in_classes(card, dataset.classes).classes, dataset.classes)
    return config.model_copy(update={"is_a": is_a or {}})


def ids_of(dataset: Dataset, config: EvaluateConfig) -> tuple[str, ...]:
    """Return the images of the split asked for, evenly spread where there is a limit.

    Raises ConfigError where there is no split of that name.
    """
    splits = dataset.splits
    name = split_name(config.split)
    ids = dataset.ids if name == ALL else splits.get(name, ())
    if not ids or not name:
        known = [each for each in splits if each]
        raise ConfigError(
            dataset.name,
            expected=f"a split ({', '.join([*known, ALL])})",
            found=repr(config.split),
            advice=f"'{ALL}' is every image." if not known else "",
        )
    if config.limit is None or config.limit >= len(ids):
        return tuple(ids)
    # Evenly spread, as neighbours are often of one patient.
    return tuple(ids[k * len(ids) // config.limit] for k in range(config.limit))


def _open(ref: str, dataset: Dataset) -> Model:
    model = open_model(ref)
    card = in_classes(model.card, dataset.classes)
    return model if card == model.card else FakeModel(card)


def _is_matched(dataset: Dataset, sample_id: str, labelling: Labelling) -> bool:
    try:
        return labelling.knows(dataset[sample_id])
    except BadInput:
        return False


def _begin(
    run: RunFolder,
    config: EvaluateConfig,
    dataset: Dataset,
    card: ModelCard,
    labelling: Labelling,
    ids: Sequence[str],
) -> tuple[About, GroundTruths, tuple[Unreadable, ...]]:
    """Collect the ground truth, or find that nothing has changed since it was collected."""
    told: list[Mapping[str, str]] = []
    ground_truths, unreadable, stamp = _collect(dataset, labelling, ids, told)
    if not len(ground_truths):
        raise _none_readable(dataset.name, unreadable)
    if not ground_truths.known.any():
        raise _no_ground_truth(dataset, config)
    about = About(
        model_id=card.model_id,
        title=card.title,
        family=card.family,
        weights_sha256=card.weights_sha256,
        task=card.task,
        classes=labelling.classes,
        model_classes=labelling.model_classes,
        healthy=labelling.healthy,
        needs_nms=card.needs_nms,
        data=str(dataset.path.absolute()),
        data_name=dataset.name,
        data_stamp=stamp,
        split=split_name(config.split),
        one_class=config.one_class,
        is_a=config.is_a,
        kinds=labelling.kinds,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("fracture-workbench"),
        scope=count_scope(card.scope, told),
    )
    started = run.path / STARTED
    if started.is_file():
        return _unchanged(started, about), ground_truths, unreadable
    write_ground_truths(ground_truths, run.path / GROUND_TRUTHS)
    write_text(started, about.model_dump_json(indent=1))
    return about, ground_truths, unreadable


def _unchanged(path: Path, now: About) -> About:
    """What it was started with; raises ConfigError where model or data are not the same now."""
    try:
        before = About.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(path, expected="what it was started with", found="other text") from error
    # One that began before scopes or kinds were recorded goes on without them.
    moments = {"created_utc": "", "code_version": "", "kinds": before.kinds}
    if before.scope is None:
        now = now.model_copy(update={"scope": None})
    if before.model_copy(update=moments) != now.model_copy(update=moments):
        changed = "data set" if before.data_stamp != now.data_stamp else "model or its card"
        raise ConfigError(
            path.parent,
            expected="model and data set as they were when it began",
            found=f"a changed {changed}",
            advice="Start a new evaluation.",
        )
    return before


def _collect(
    dataset: Dataset,
    labelling: Labelling,
    ids: Sequence[str],
    told: list[Mapping[str, str]],
) -> tuple[GroundTruths, tuple[Unreadable, ...], str]:
    """The ground truth of every image, those that cannot be read, and a stamp of all that is known.

    The stamp is in the data set's own classes. `told` gets the attributes of each image. No pixels
    are read, though a size can need the file.
    """
    ground_truths, unreadable = GroundTruthBuilder(), []
    stamp = hashlib.sha256(repr(dataset.classes).encode())
    for sample_id in ids:
        try:
            sample = dataset[sample_id]
            ground_truth = labelling.ground_truth(sample)
        except BadInput as error:
            unreadable.append(Unreadable(sample_id=sample_id, sentence=str(error)))
            continue
        for part in _facts(sample):
            stamp.update(part)
        told.append(sample.attributes)
        ground_truths.sample_ids.append(sample_id)
        ground_truths.group_ids.append(sample.group_id)
        ground_truths.sizes_px.append((sample.height, sample.width))
        ground_truths.image_classes.append(labelling.image_class(sample))
        ground_truths.known.append(labelling.knows(sample))
        ground_truths.boxes.append(ground_truth)
        ground_truths.spacing_mm.append(sample.spacing_mm or (np.nan, np.nan))
        ground_truths.attributes.append(sample.attributes)
        if labelling.kinds:
            ground_truths.kinds.append(labelling.gt_kinds(sample))
    return ground_truths.build(), tuple(unreadable), stamp.hexdigest()


def _facts(sample: Sample) -> Iterator[bytes]:
    """Everything that is known of an image but its pixels."""
    names = (sample.sample_id, sample.group_id, sample.height, sample.width, sample.image_class)
    yield repr((*names, sample.ground_truth is None)).encode()
    if sample.ground_truth is not None:
        yield sample.ground_truth.xyxy.tobytes() + sample.ground_truth.labels.tobytes()
        yield from (mask.counts for mask in sample.ground_truth.masks)


class _Work:
    """Predicts the images of one run, part by part.

    Batches begin at multiples of `BATCH` whatever happened before, so that a model's predictions,
    which can depend on what else is in a batch, are the same.
    """

    def __init__(
        self,
        run: RunFolder,
        dataset: Dataset,
        model: Model,
        labelling: Labelling,
        ground_truths: GroundTruths,
    ) -> None:
        self._run = run
        self._dataset = dataset
        self._model = model
        self._labelling = labelling
        self._ground_truths = ground_truths
        self._parts = run.path / PARTS
        self._parts.mkdir(exist_ok=True)

    def go_on(self, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Predict to the end; False = asked to stop before."""
        start, count = _answered(self._parts), len(self._ground_truths)
        with ProgressLines(self._run, progress, start, count) as lines:
            while start < count:
                end = self._answer_part(start, lines, stop)
                if stop() and end < count:
                    return False
                start = end
        return True

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Return the images of all parts that could not be read."""
        files = sorted(self._parts.glob("*.json"))
        return tuple(each for file in files for each in _NOTICES.validate_json(file.read_bytes()))

    def _answer_part(self, start: int, lines: ProgressLines, stop: Callable[[], bool]) -> int:
        """Predict whole batches until it is enough or takes too long; return where it ended."""
        positions: list[int] = []
        predictions: list[Prediction] = []
        notices: list[Unreadable] = []
        began, end = time.monotonic(), start
        last = min(start + PART_IMAGES, len(self._ground_truths))
        while end < last and not stop() and time.monotonic() - began < PART_SECONDS:
            batch = range(end, min(end + BATCH, len(self._ground_truths)))
            samples = [sample for at in batch if (sample := self._read(at, notices)) is not None]
            found = self._model.predict([sample for _, sample in samples]) if samples else []
            positions += [at for at, _ in samples]
            predictions += [self._relabelled(each) for each in found]
            end = batch.stop
            lines.say(end)
        if end > start:
            self._write_part(start, end, Predictions.of(positions, predictions), notices)
        return end

    def _read(self, position: int, notices: list[Unreadable]) -> tuple[int, Sample] | None:
        """The sample with its pixels read; None for one that cannot be read, which is noted."""
        sample_id = self._ground_truths.sample_ids[position]
        try:
            sample = self._dataset[sample_id]
            pixels = sample.pixels
        except BadInput as error:
            notices.append(Unreadable(sample_id=sample_id, sentence=str(error)))
            return None
        return position, replace(sample, read=lambda: pixels)

    def _relabelled(self, found: Prediction) -> Prediction:
        """The prediction in the classes of the evaluation."""
        moved = self._labelling.answered
        if moved == tuple(range(len(moved))):
            return found
        boxes = relabel(found.detections, moved)
        scores = found.class_scores
        if scores is not None:
            told = np.asarray(moved) != NO_CLASS
            numbers, weights = np.asarray(moved)[told], scores[told]
            sums = np.bincount(numbers, weights=weights, minlength=self._labelling.model_classes)
            scores = np.minimum(sums, 1.0).astype(np.float32)
        return replace(found, detections=boxes, class_scores=scores)

    def _write_part(
        self, start: int, end: int, predictions: Predictions, notices: Sequence[Unreadable]
    ) -> None:
        """Unreadable images first: a part is whole once its predictions are there."""
        name = f"{start:09}-{end:09}"
        write_text(self._parts / f"{name}.json", _NOTICES.dump_json(tuple(notices)).decode())
        write_predictions(predictions, self._parts / f"{name}.npz")


def _answered(parts: Path) -> int:
    """Where the parts end that follow each other from the first image; other files are removed."""
    end = 0
    for path in sorted(parts.iterdir()):
        start, _, stop = path.stem.partition("-")
        whole = path.with_suffix(".npz").is_file() and path.suffix in (".npz", ".json")
        if not whole or not (start.isdecimal() and stop.isdecimal()) or int(start) != end:
            path.unlink()
        elif path.suffix == ".npz":
            end = int(stop)
    return end


def _complete(
    run: RunFolder, about: About, ground_truths: GroundTruths, unreadable: tuple[Unreadable, ...]
) -> None:
    """Write one file of all predictions, then the one that says that it is complete."""
    parts = sorted((run.path / PARTS).glob("*.npz"))
    predictions = Predictions.joined(
        [read_predictions(part, ground_truths.sizes_px) for part in parts]
    )
    if not len(predictions):
        raise _none_readable(about.data_name, unreadable)
    write_predictions(predictions, run.path / PREDICTIONS)
    matched = pick_ground_truths(ground_truths, predictions.positions)
    done = Completed(
        about=about,
        images=len(predictions),
        boxes=len(predictions.raw),
        ground_truths=len(matched.boxes),
        unreadable=unreadable,
    )
    write_text(run.evaluation, done.model_dump_json(indent=1) + "\n")
    shutil.rmtree(run.path / PARTS)


def _no_ground_truth(dataset: Dataset, config: EvaluateConfig) -> ConfigError:
    return ConfigError(
        f"{dataset.name}, split {config.split!r}",
        expected="a ground truth to compare with",
        found="images that nothing is known of",
        advice="Evaluate on annotated images.",
    )


def _none_readable(name: str, unreadable: Sequence[Unreadable]) -> ConfigError:
    return ConfigError(
        name,
        expected="images that can be read",
        found=f"none of {len(unreadable)}",
        advice=unreadable[0].sentence if unreadable else "",
    )
