"""A run from its config to its card: made, trained, and its best checkpoint evaluated.

Layout of a finished run's folder, beside its weights:

    config.json               written when the run is made
    metrics.jsonl             the metrics log
    checkpoints/              last.pt and best.pt
    evaluations/validation/   operating points are chosen on it
    evaluations/test/         what these reach on other images, if the data set has the split
    points.json               operating points
    card.json                 the model card, which is written last: a run with a card is finished
"""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fracture_core import importing
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.errors import ConfigError
from fracture_core.evaluations import EvaluateConfig, Evaluation, apply_points, measure_points
from fracture_core.evaluations.folders import new_evaluation
from fracture_core.evaluations.running import evaluate_opened
from fracture_core.files import working_folder
from fracture_core.metrics.summary import Metrics, classifier_metrics, detector_metrics
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.points import Measurements, card_points, write_points
from fracture_core.runs import RunFolder, beginning, stop_on_signal
from fracture_core.scope import Scope, scope_of_images
from trainers.checks import check_classes, check_data, check_disk, check_machine, check_monitor
from trainers.config import TrainConfig
from trainers.data_set_cache import chosen_samples, pack_split
from trainers.families import build_module
from trainers.family_configs import YoloConfig, read_config, write_config
from trainers.label_map import class_names, counts_as_one
from trainers.metrics_log import MetricsLog
from trainers.packed import has_finding, rows_of_epoch
from trainers.recipes import find_recipe
from trainers.training_module import generator_at

# ---- evaluation and card ------------------------------------------------------------------------

_ON_THE_CARD = ("ap", "ap50", "mask_ap", "mask_ap50", "f1", "accuracy", "balanced_accuracy")


def finalise(
    config: TrainConfig, dataset: Dataset, run: RunFolder, model: Model, log: MetricsLog
) -> ModelCard:
    """Write the weights, the evaluations, points.json and the card; return the card.

    The metrics on the card are of the test split or, without one, of the validation split.
    """
    scope = scope_of_training(config, dataset)
    if scope is None:
        log.note("the scope is not stated: not every image tells its modality and body part")
    card = _save(config, run, model, scope)
    made = run.evaluations / "validation"
    valid = _evaluate(made, config, dataset, model, card, config.valid_split)
    measured, tested = _measure(valid, config, log), valid
    if not dataset.splits.get(config.test_split):
        missing = f"there is no split {config.test_split!r}"
        log.note(f"{missing}: evaluated on {config.valid_split!r}")
    elif config.test_split != config.valid_split:
        made = run.evaluations / "test"
        tested = _evaluate(made, config, dataset, model, card, config.test_split)
        measured = measured and apply_points(measured, tested)
    if measured is not None:
        write_points(measured, card, run.path)
    card = _with_metrics(card, config, tested, measured)
    write_card(card, run.path)
    return card


def scope_of_training(config: TrainConfig, dataset: Dataset) -> Scope | None:
    """Return the scope that was asked for, else that of the training images; None = not stated."""
    if config.scope is not None:
        return config.scope
    samples = chosen_samples(dataset, config, config.train_split)
    return scope_of_images([sample.attributes for sample in samples])


def _save(config: TrainConfig, run: RunFolder, model: Model, scope: Scope | None) -> ModelCard:
    """Put the weights in their place and return the card, still without metrics."""
    with working_folder(run.path, "model") as part:
        saved = model.save(part)
        (part / saved.weights_file).replace(run.path / saved.weights_file)
    return saved.model_copy(
        update={
            "model_id": run.name,
            # Not the network's title: all networks of a kind would look the same on every page.
            "title": run.name,
            "training_data": f"{Path(config.data).name}, split {config.train_split!r}",
            "training_licence": config.data_licence,
            "scope": scope,
            "code_version": version("fracture-workbench"),
        }
    )


def _evaluate(
    folder: Path, config: TrainConfig, dataset: Dataset, model: Model, card: ModelCard, split: str
) -> Evaluation:
    """An ordinary evaluation of the images themselves, not of the packed ones.

    An unfinished one, which a run left that was killed here, is replaced.
    """
    if folder.exists():
        shutil.rmtree(folder)
    asked = EvaluateConfig(
        model=card.model_id,
        data=config.data,
        split=split,
        one_class=counts_as_one(dataset, config),
        is_a=config.is_a,
        limit=config.limit or None,
        nms_iou=config.merged_at,
        match_iou=config.match_iou,
    )
    ids = dataset.splits[split]
    if config.limit:
        ids = tuple(each.sample_id for each in chosen_samples(dataset, config, split))
    return evaluate_opened(new_evaluation(asked, folder=folder), dataset, model, card, ids)


def _measure(valid: Evaluation, config: TrainConfig, log: MetricsLog) -> Measurements | None:
    """The operating points; None for a classifier without a class for images with no finding."""
    if not valid.about.tells_findings:
        return None
    measured = measure_points(valid, nms_iou=config.merged_at, match_iou=config.match_iou)
    for point in measured.points:
        if point.reason:
            log.note(f"no operating point for {point.rule}: {point.reason}")
    return measured


def _with_metrics(
    card: ModelCard, config: TrainConfig, tested: Evaluation, measured: Measurements | None
) -> ModelCard:
    matched, split = tested.matched(), tested.about.split
    metrics = _metrics(matched, config)
    return card.model_copy(
        update={
            "metrics": {
                f"{split} {name}": metrics[name] for name in _ON_THE_CARD if name in metrics
            },
            "operating_points": card_points(measured.points if measured else ()),
            "note": f"Trained by the recipe {config.recipe or 'of its own'}, seed {config.seed}; "
            f"operating points chosen on {config.valid_split!r}, metrics from "
            f"{len(matched)} images of {split!r}.",
        }
    )


def _metrics(matched: Evaluation, config: TrainConfig) -> Metrics:
    """The metrics that validation had in training, of an evaluation."""
    about = matched.about
    if about.task == "classify":
        return classifier_metrics(matched.image_classes, matched.called, len(about.classes))
    return detector_metrics(
        matched.found(config.merged_at),
        matched.ground_truths,
        len(about.classes),
        confidence=config.shown_confidence,
        match_iou=config.match_iou,
        masks=about.task == "segment",
    )


# ---- making and training a run ------------------------------------------------------------------


def make_run(path: Path, recipe: str, data: str, changes: dict[str, object]) -> RunFolder:
    """Make a run folder that is ready to train, with the classes of the data set in its config.

    Raises ConfigError for changes or a folder that cannot be used, and DatasetError for a data set
    that the recipe cannot learn from.
    """
    config = find_recipe(recipe).config(str(Path(data).absolute()), changes)
    dataset = open_dataset(config.data)
    classes = class_names(dataset, config)
    check_data(config, dataset)
    check_classes(config, classes)
    with beginning(path) as run:
        write_config(config.model_copy(update={"classes": classes}), run.config)
    return run


def train_run(run: RunFolder) -> ModelCard | None:
    """Train a run, or go on where it stopped; return its card, None where it was asked to stop.

    Raises ConfigError, DatasetError, WeightsError and TrainingError; the last checkpoint then stays
    and the run can go on from it.
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
        with MetricsLog(run) as log, stop_on_signal() as stop:
            if isinstance(config, YoloConfig):
                model = _fit_yolo(config, dataset, run, log, stop)
            else:
                model = _fit(config, dataset, run, log, stop)
            if model is None:
                run.stopped.touch()
                return None
            return finalise(config, dataset, run, model, log)


def _fit(
    config: TrainConfig,
    dataset: Dataset,
    run: RunFolder,
    log: MetricsLog,
    stop: Callable[[], bool],
) -> Model | None:
    with importing.LOCK:
        from trainers.classification import ClassifierModule
        from trainers.loop import Loop

    module = build_module(config, class_names(dataset, config), run.name)
    check_monitor(config)
    check_disk(run, module)
    for note in module.notes:
        log.note(note)
    train = pack_split(dataset, config, config.train_split, module.size_of)
    valid = pack_split(dataset, config, config.valid_split, module.size_of)
    for packed, name in ((train, config.train_split), (valid, config.valid_split)):
        if packed.left_out:
            log.note(f"{name}: {packed.left_out} images of unknown ground truth are left out")
    if isinstance(module, ClassifierModule):
        known = train.ground_truth.image_classes
        if config.normals is not None:
            found = has_finding(train, classifies=True)
            known = known[rows_of_epoch(found, config.normals, generator_at(config.seed)).numpy()]
        module.set_class_counts(np.bincount(known, minlength=len(train.classes)).tolist())
    loop = Loop(config, module, train, valid, run, stop)
    return loop.best() if loop.run(log) else None


def _fit_yolo(
    config: YoloConfig,
    dataset: Dataset,
    run: RunFolder,
    log: MetricsLog,
    stop: Callable[[], bool],
) -> Model | None:
    with importing.LOCK:
        from trainers.yolo import fit

    return fit(config, dataset, run, log, stop)
