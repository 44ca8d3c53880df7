"""A run from its config to its card."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fracture_core import importing
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.errors import ConfigError
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.runs import RunFolder, beginning, stop_on_signal
from trainers.checks import check_classes, check_data, check_disk, check_machine, check_monitor
from trainers.config import TrainConfig
from trainers.data_set_cache import pack_split
from trainers.families import build_trainee
from trainers.family_configs import YoloConfig, read_config, write_config
from trainers.finalise import finalise
from trainers.label_map import class_names
from trainers.metrics_log import Journal
from trainers.packed import has_finding, rows_of_epoch
from trainers.recipes import find_recipe
from trainers.training_module import generator_at


def make_run(path: Path, recipe: str, data: str, changes: dict[str, object]) -> RunFolder:
    """A run folder that is ready to train; raises ConfigError and DatasetError."""
    config = find_recipe(recipe).config(str(Path(data).absolute()), changes)
    dataset = open_dataset(config.data)
    classes = class_names(dataset, config)
    check_data(config, dataset)
    check_classes(config, classes)
    with beginning(path) as run:
        write_config(config.model_copy(update={"classes": classes}), run.config)
    return run


def train_run(run: RunFolder) -> ModelCard | None:
    """Train, or go on where it stopped; None = it was asked to stop and has.

    Raises ConfigError, DatasetError, WeightsError and TrainingError, and leaves the last
    checkpoint as it was.
    """
    with run.claim():
        config = read_config(run.config)
        if run.card.is_file():
            advice = "Make a new run to train again."
            raise ConfigError(run.path, expected="a run to train", found="a card", advice=advice)
        check_machine(config)
        dataset = open_dataset(config.data)
        check_data(config, dataset)
        check_classes(config, class_names(dataset, config))
        run.stopped.unlink(missing_ok=True)
        with Journal(run) as journal, stop_on_signal() as stop:
            if isinstance(config, YoloConfig):
                model = _fit_yolo(config, dataset, run, journal, stop)
            else:
                model = _fit(config, dataset, run, journal, stop)
            if model is None:
                run.stopped.touch()
                return None
            return finalise(config, dataset, run, model, journal)


def _fit(
    config: TrainConfig,
    dataset: Dataset,
    run: RunFolder,
    journal: Journal,
    stop: Callable[[], bool],
) -> Model | None:
    with importing.LOCK:
        from trainers.classification import ClassifierTrainee
        from trainers.loop import Loop

    trainee = build_trainee(config, class_names(dataset, config), run.name)
    check_monitor(config)
    check_disk(run, trainee)
    for note in trainee.notes:
        journal.note(note)
    train = pack_split(dataset, config, config.train_split, trainee.size_of)
    valid = pack_split(dataset, config, config.valid_split, trainee.size_of)
    for packed, name in ((train, config.train_split), (valid, config.valid_split)):
        if packed.left_out:
            journal.note(f"{name}: {packed.left_out} images of unknown ground truth are left out")
    if isinstance(trainee, ClassifierTrainee):
        known = train.truth.image_classes
        if config.normals is not None:
            found = has_finding(train, classifies=True)
            known = known[rows_of_epoch(found, config.normals, generator_at(config.seed)).numpy()]
        trainee.set_class_counts(np.bincount(known, minlength=len(train.classes)).tolist())
    loop = Loop(config, trainee, train, valid, run, stop)
    return loop.best() if loop.run(journal) else None


def _fit_yolo(
    config: YoloConfig,
    dataset: Dataset,
    run: RunFolder,
    journal: Journal,
    stop: Callable[[], bool],
) -> Model | None:
    with importing.LOCK:
        from trainers.yolo import fit

    return fit(config, dataset, run, journal, stop)
