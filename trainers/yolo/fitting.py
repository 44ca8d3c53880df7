"""A YOLO training from the data set to the model of its best weights.

Ultralytics' trainer does the steps; this gives it the network, the folder of images and the
options, resumes it from the run's checkpoints, and halves its parts when memory runs out.
"""

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import torch

from fracture_core.datasets import Dataset
from fracture_core.errors import TrainingError
from fracture_core.models import quiet_ultralytics
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, Task
from fracture_core.models.yolo import YoloModel
from fracture_core.runs import RunFolder
from trainers.best_images import BestImages, first_of_split
from trainers.checkpoints import BEST, LAST, Position, load_state
from trainers.checks import check_disk, check_machine
from trainers.family_configs import YoloConfig
from trainers.label_map import class_names
from trainers.metrics_log import MetricsLog
from trainers.yolo.folder import write_folder
from trainers.yolo.networks import Start, build_start, empty_network, layers_of
from trainers.yolo.options import check_config, check_monitor, trainer_options
from trainers.yolo.plan import Plan, Stopped, told_of_parts
from trainers.yolo.trainer import DetectTrainer, SegmentTrainer

Outcome = Literal["end", "stop", "memory"]
# Parts of the error messages of CUDA and of PyTorch on a CPU.
_MEMORY_RAN_OUT = ("out of memory", "can't allocate memory", "not enough memory")


def fit(
    config: YoloConfig,
    dataset: Dataset,
    run: RunFolder,
    log: MetricsLog,
    stop: Callable[[], bool],
) -> Model | None:
    """Train to the end, from the run's last checkpoint if there is one; return the best model.

    Returns None where `stop`, which is asked after every batch, was true. Batches since the last
    complete epoch are then trained again when the run goes on. Raises ConfigError, DatasetError,
    WeightsError and TrainingError.
    """
    check_machine(config)
    classes = class_names(dataset, config)
    start = build_checked(config, classes)
    check_disk(run, start.network)
    folder = write_folder(config, dataset, start.task)
    position = _position(run, log)
    if position is None:
        for note in (*start.notes, *folder.notes):
            log.note(note)
    if position is not None and position.phase:
        return best_model(config, start, folder.classes, run)
    plan = Plan(
        config=_in_parts(config, position.parts if position else config.accumulate),
        folder=folder,
        network=start.network,
        checkpoints=run.checkpoints,
        log=log,
        stop=stop,
        keep_images=_kept_images(config, dataset, start, run),
        halves=_device(config).type == "cpu" and config.precision == "bfloat16",
    )
    outcome = _train(plan, start.task, run)
    while outcome == "memory":
        plan = _halved(plan, classes)
        _position(run, log)
        outcome = _train(plan, start.task, run)
    return best_model(config, start, folder.classes, run) if outcome == "end" else None


def _kept_images(
    config: YoloConfig, dataset: Dataset, start: Start, run: RunFolder
) -> Callable[[int], None]:
    classes = class_names(dataset, config)
    images = BestImages(run, config, partial(first_of_split, dataset, config))
    return lambda epoch: images.keep(best_model(config, start, classes, run), epoch)


def build_checked(config: YoloConfig, classes: tuple[str, ...]) -> Start:
    """Return the network to begin with, on the CPU.

    Raises ConfigError where the config asks for something that YOLO cannot do, and as `build_start`
    does.
    """
    check_config(config)
    start = build_start(config, classes)
    check_monitor(config, start.task)
    return start


def _in_parts(config: YoloConfig, parts: int) -> YoloConfig:
    return config.model_copy(update={"accumulate": parts})


def _halved(plan: Plan, classes: tuple[str, ...]) -> Plan:
    """The plan to go on from the last checkpoint with half as many images in each part."""
    config = plan.config
    parts = 2 * config.accumulate
    if parts > config.batch:
        raise TrainingError(
            "memory",
            expected=f"room for an image of {config.input_size} pixels",
            found=f"none left, even for a single one of the batch of {config.batch}",
            advice="Choose a smaller input_size or network.",
        )
    gc.collect()
    torch.cuda.empty_cache()
    plan.log.note(told_of_parts(config.batch, parts))
    return replace(
        plan, config=_in_parts(config, parts), network=build_start(config, classes).network
    )


def _position(run: RunFolder, log: MetricsLog) -> Position | None:
    """Where the run stands, None at its start; the log is cut back to the last checkpoint."""
    last = run.checkpoints / LAST
    position = load_state(last)[1] if last.is_file() else None
    done = position or Position()
    log.rewind(phase=done.phase + 1, epoch=done.epoch + 1, step=done.step)
    return position


def _train(plan: Plan, task: Task, run: RunFolder) -> Outcome:
    """Train, and tell how it ended: as planned, by request, or because memory ran out."""
    config, network = plan.config, plan.network
    device = _device(config)
    options = {
        **trainer_options(config, task, on_gpu=device.type == "cuda"),
        # Ultralytics wants a name and would download weights of another one; it is not used, as the
        # trainer is given the network.
        "model": "yolo11n.yaml",
        "data": str(plan.folder.path),
        "save_dir": str(run.path / "ultralytics"),
        "device": "0" if device.type == "cuda" else "cpu",
        "freeze": layers_of(network, config.frozen_stages),
    }
    if network.end2end:
        options["nms"] = False
    kind = SegmentTrainer if task == "segment" else DetectTrainer
    with quiet_ultralytics.training(device):
        trainer = kind(plan, options)
        try:
            trainer.train()
        except Stopped:
            return "stop"
        except RuntimeError as error:
            if not any(words in str(error).lower() for words in _MEMORY_RAN_OUT):
                raise
            return "memory"
        finally:
            trainer.close()
    return "end"


def _device(config: YoloConfig) -> torch.device:
    use_gpu = config.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", 0) if use_gpu else torch.device("cpu")


def best_model(config: YoloConfig, start: Start, classes: tuple[str, ...], run: RunFolder) -> Model:
    """Return the model of a run's best checkpoint so far; raise ConfigError where there is none."""
    network = empty_network(start.architecture, config.input_size)
    network.load_state_dict(load_state(run.checkpoints / BEST)[0]["ema"])
    card = ModelCard(
        model_id=run.name,
        title=run.name,
        family="yolo",
        task=start.task,
        classes=classes,
        input_size=config.input_size,
        needs_nms=not bool(network.end2end),
        architecture={"yaml": start.architecture},
    )
    return YoloModel(card, network)
