"""One YOLO training, from the data set to the model of its best weights."""

from collections.abc import Callable

import torch

from fracture_core.datasets import Dataset
from fracture_core.errors import TrainingError
from fracture_core.models import quiet_ultralytics
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, Task
from fracture_core.models.yolo import YoloModel
from fracture_core.runs import RunFolder
from trainers.checkpoints import BEST, LAST, Position, load_state
from trainers.checks import check_disk, check_machine
from trainers.config import TrainConfig
from trainers.journal import Journal
from trainers.labelling import class_names
from trainers.yolo.folder import YoloFolder, write_folder
from trainers.yolo.networks import Start, build_start, empty_network, layers_of
from trainers.yolo.options import check_config, check_monitor, trainer_options
from trainers.yolo.trainer import DetectTrainer, Plan, SegmentTrainer, Stopped


def fit(
    config: TrainConfig,
    dataset: Dataset,
    run: RunFolder,
    journal: Journal,
    stop: Callable[[], bool],
) -> Model | None:
    """Train to the end, from the run's last checkpoint if there is one; the model of the best
    weights. None = `stop` was true, which is asked after every batch: what was trained since the
    last whole epoch is then trained again.

    Raises ConfigError, DatasetError, WeightsError and TrainingError.
    """
    check_config(config)
    check_machine(config)
    start = build_start(config, class_names(dataset, config))
    check_monitor(config, start.task)
    check_disk(run, start.network)
    folder = write_folder(config, dataset, start.task)
    position = _position(run, journal)
    if position is None:
        for note in (*start.notes, *folder.notes, *_precision_notes(config)):
            journal.note(note)
    if position is None or not position.phase:
        parts = position.parts if position else config.accumulate
        plan = Plan(
            config=config.model_copy(update={"accumulate": parts}),
            folder=folder,
            network=start.network,
            checkpoints=run.checkpoints,
            journal=journal,
            stop=stop,
        )
        if not _train(plan, start.task, run):
            return None
    return _best_model(config, start, folder, run)


def _position(run: RunFolder, journal: Journal) -> Position | None:
    """Where the run stands; what was told after its last checkpoint is forgotten."""
    last = run.checkpoints / LAST
    position = load_state(last)[1] if last.is_file() else None
    done = position or Position()
    journal.rewind(phase=done.phase + 1, epoch=done.epoch + 1, step=done.step)
    return position


def _train(plan: Plan, task: Task, run: RunFolder) -> bool:
    """Whether it came to its end."""
    config, network = plan.config, plan.network
    device = _device(config)
    options = {
        **trainer_options(config, task, on_gpu=device.type == "cuda"),
        # Named, so that nothing is fetched; the network is handed over.
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
            return False
        except RuntimeError as error:
            if "out of memory" not in str(error).lower():
                raise
            raise _out_of_memory(config) from error
        finally:
            trainer.close()
    return True


def _out_of_memory(config: TrainConfig) -> TrainingError:
    return TrainingError(
        "memory",
        expected=f"room for pictures of {config.input_size} pixels",
        found=f"none left, even for a part of the batch of {config.batch}",
        advice="Choose a smaller input_size, batch or network.",
    )


def _device(config: TrainConfig) -> torch.device:
    use_gpu = config.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", 0) if use_gpu else torch.device("cpu")


def _precision_notes(config: TrainConfig) -> tuple[str, ...]:
    if _device(config).type == "cpu" and config.precision != "float32":
        return (f"on a CPU YOLO trains in float32, not in {config.precision}",)
    return ()


def _best_model(config: TrainConfig, start: Start, folder: YoloFolder, run: RunFolder) -> Model:
    network = empty_network(start.architecture, config.input_size)
    network.load_state_dict(load_state(run.checkpoints / BEST)[0]["ema"])
    card = ModelCard(
        model_id=run.name,
        title=run.name,
        family="yolo",
        task=start.task,
        classes=folder.classes,
        input_size=config.input_size,
        needs_nms=not bool(network.end2end),
        architecture={"yaml": start.architecture},
    )
    return YoloModel(card, network)
