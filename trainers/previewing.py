"""What a run that still goes has learnt so far."""

from fracture_core import importing
from fracture_core.datasets import open_dataset
from fracture_core.models.base import Model
from fracture_core.runs import RunFolder
from fracture_core.types import Sample
from trainers.checkpoints import BEST, load_state
from trainers.config_files import read_config
from trainers.families import build_trainee
from trainers.family_configs import YoloConfig
from trainers.label_map import label_map
from trainers.packing import chosen_samples


def best_so_far(run: RunFolder) -> Model:
    """The model of the best checkpoint; raises ConfigError where there is none yet."""
    config = read_config(run.config)
    state, _ = load_state(run.checkpoints / BEST)
    if isinstance(config, YoloConfig):
        with importing.LOCK:
            from trainers.yolo.fitting import best_model
            from trainers.yolo.networks import build_start

        return best_model(config, build_start(config, config.classes), config.classes, run)
    trainee = build_trainee(config, config.classes, run.name)
    trainee.load_state_dict(state["trainee"])
    return trainee.wrap(trainee.network)


def validation_samples(run: RunFolder, count: int) -> tuple[Sample, ...]:
    """The first `count` pictures of the validation split that have a finding."""
    config = read_config(run.config)
    dataset = open_dataset(config.data)
    labelling = label_map(dataset, config)
    samples = chosen_samples(dataset, config, config.valid_split)
    found = [each for each in samples if len(labelling.labels(each))]
    return tuple(found[:count])
