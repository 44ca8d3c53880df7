"""The model of a run that did not end: its best checkpoint so far, taken into the library as that.

Such a model was chosen on validation and never evaluated: its card says how far the training came,
has no operating points, and of its metrics only the watched one at the epoch that is kept.
"""

from importlib.metadata import version
from pathlib import Path

from fracture_core.datasets import open_dataset
from fracture_core.errors import ConfigError
from fracture_core.files import hash_file, working_folder
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.library import add_folder
from fracture_core.runs import EVALUATION, RunFolder, open_run
from fracture_core.settings import settings
from trainers.checkpoints import BEST, Position, load_state
from trainers.config import TrainConfig
from trainers.family_configs import read_config
from trainers.running import scope_of_training
from trainers.validation import best_so_far


def add_run(path: Path) -> ModelCard:
    """Add the model of a run to the library and return its card.

    Of a finished run it is the finished model, of any other the best checkpoint so far, marked as
    stopped. Raises ConfigError for a run that still goes on or has no checkpoint yet, and
    WeightsError.
    """
    run = open_run(path)
    if run.kind == EVALUATION:
        raise ConfigError(run.path, expected="a training", found="an evaluation")
    if run.card.is_file():
        return add_folder(run.path)
    if not (run.checkpoints / BEST).is_file():
        advice = "Train it for an epoch at least."
        raise ConfigError(
            run.path, expected="a run with a best checkpoint", found="none", advice=advice
        )
    with run.claim(), working_folder(settings().models, "stopped") as part:
        _write_model(run, part)
        return add_folder(part)


def _write_model(run: RunFolder, folder: Path) -> None:
    config = read_config(run.config)
    position = load_state(run.checkpoints / BEST)[1]
    model = best_so_far(run)
    saved = model.save(folder)
    facts = _facts(run, config, position)
    digest = hash_file(folder / saved.weights_file)
    write_card(saved.model_copy(update={**facts, "weights_sha256": digest}), folder)


def _facts(run: RunFolder, config: TrainConfig, position: Position) -> dict[str, object]:
    of = sum(phase.epochs for phase in config.phases)
    metrics = {}
    if position.best is not None:
        metrics[f"{config.valid_split} {config.monitor}"] = position.best
    return {
        "model_id": run.name,
        "title": f"{run.name} (stopped)",
        "training_data": f"{Path(config.data).name}, split {config.train_split!r}",
        "training_licence": config.data_licence,
        "scope": scope_of_training(config, open_dataset(config.data)),
        "metrics": metrics,
        "note": f"Stopped: the training did not end. These are the weights of epoch "
        f"{position.best_epoch} of {of}, the best so far on {config.valid_split!r}; it was not "
        "evaluated and has no operating points.",
        "code_version": version("fracture-workbench"),
    }
