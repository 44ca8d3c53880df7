"""Checks before a training starts: machine, data, classes, watched metric and disk.

Each raises an error that says what was expected, what was found and what to do about it.
"""

from collections.abc import Mapping
from typing import TypeVar

import torch

from fracture_core.datasets import Dataset
from fracture_core.datasets.records import SplitCounts
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.runs import RunFolder
from trainers.checkpoints import check_room
from trainers.config import TrainConfig
from trainers.family_configs import ClassifierConfig
from trainers.training_module import TrainingModule

# In float32: weights and the optimiser's two moments in each of two checkpoints (last and best),
# and the weights of the finished model.
_BYTES_A_PARAMETER = 4 * (3 * 2 + 1)
_SPARE_BYTES = 50_000_000
C = TypeVar("C", bound=TrainConfig)


_ON_CPU = "It is trained on the CPU and so in float32: float16 needs a GPU."
# Measured: 6.6 times as long for a Faster R-CNN on MobileNetV2, see docs/experiments.md.
_SLOW_BFLOAT16 = (
    "This processor has no arithmetic for bfloat16 (AVX-512 BF16 or AMX): float32 is several times "
    "as fast. Set precision to float32."
)
_BFLOAT16_OF_X86 = ("avx512_bf16", "amx_bf16", "avx10_1", "avx10_2")


def fit_machine(config: C) -> tuple[C, str]:
    """Return the config as this machine can do it, and a sentence about what is different or "".

    On a CPU float16 becomes float32, and bfloat16 that it has to imitate is told. Raises
    ConfigError for a GPU that is asked for and not there.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        advice = "Set device to cpu or auto."
        raise ConfigError("device", expected="a GPU (cuda)", found="none", advice=advice)
    if has_gpu and config.device != "cpu":
        return config, ""
    if config.precision == "bfloat16" and imitates_bfloat16(torch.cpu.get_capabilities()):
        return config, _SLOW_BFLOAT16
    if config.precision == "float16":
        return config.model_copy(update={"precision": "float32"}), _ON_CPU
    return config, ""


def imitates_bfloat16(capabilities: Mapping[str, object]) -> bool:
    """Tell whether an x86 processor has no instructions for bfloat16, by what torch says of it."""
    is_x86 = capabilities.get("architecture") == "x86_64"
    return is_x86 and not any(capabilities.get(name) for name in _BFLOAT16_OF_X86)


def check_data(config: TrainConfig, dataset: Dataset) -> None:
    """Raise DatasetError for a data set that this network cannot learn from.

    The training and validation splits need images of known ground truth; for a detector each needs
    a box.
    """
    counts = dataset.summary()
    for name in (config.train_split, config.valid_split):
        _check_split(dataset, counts, name)
    if isinstance(config, ClassifierConfig):
        return
    for name, use in ((config.train_split, "learns from"), (config.valid_split, "is validated on")):
        if sum(counts[name].boxes.values()) == 0:
            raise DatasetError(
                dataset.path,
                expected=f"boxes in the split {name!r}, which a detector {use}",
                found=f"none in {counts[name].images} images",
            )


def check_classes(config: TrainConfig, classes: tuple[str, ...]) -> None:
    """Raise DatasetError where the classes are not those that the run was made for."""
    if config.classes and config.classes != classes:
        raise DatasetError(
            config.data,
            expected=f"the classes that the run was made for ({', '.join(config.classes)})",
            found=", ".join(classes),
            advice="Make a new run for the data set as it is now.",
        )


def check_monitor(config: TrainConfig) -> None:
    """Raise ConfigError where a phase watches a metric that this family's validation lacks."""
    for phase in config.phases:
        if phase.monitor not in config.monitors:
            expected = f"one of {', '.join(sorted(config.monitors))} for {config.family}"
            raise ConfigError("monitor", expected=expected, found=phase.monitor)


def check_disk(run: RunFolder, module: TrainingModule) -> None:
    """Raise StorageError where the checkpoints of the module will not fit on the disk."""
    needed = checkpoint_bytes(sum(each.numel() for each in module.parameters()))
    check_room(run.checkpoints, needed + _SPARE_BYTES)


def checkpoint_bytes(parameters: int) -> int:
    """Return about how many bytes the run of a network with so many parameters leaves on disk.

    Example:
        >>> checkpoint_bytes(1_000_000)
        28000000
    """
    return parameters * _BYTES_A_PARAMETER


def _check_split(dataset: Dataset, counts: Mapping[str, SplitCounts], name: str) -> None:
    if counts.get(name) is not None and counts[name].images > counts[name].unknown:
        return
    there = ", ".join(f"{split or 'none'} ({each.images})" for split, each in counts.items())
    found = (
        "only images of unknown ground truth in it" if name in counts else f"the splits: {there}"
    )
    raise DatasetError(
        dataset.path,
        expected=f"annotated images in the split {name!r}",
        found=found,
        advice="Name the splits (train_split, valid_split), or cut the data set by patient: "
        "python -m fracture_core convert SRC DST --to FORMAT --splits 70,15,15",
    )
