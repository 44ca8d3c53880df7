"""The YOLO network that a training begins with: an architecture, and weights taken over or random.

Weights come from a model of the library, a run, a file of Ultralytics (.pt) or of tensors
(.safetensors). No code in such a file is run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.files import hash_file
from fracture_core.models.cards import CARD_FILE, ModelCard, Task, read_card
from fracture_core.models.library import read_library
from fracture_core.models.state_dicts import read_state
from fracture_core.models.yolo_architectures import (
    check_architecture,
    read_architecture,
    read_yolo_weights,
    task_of,
)
from fracture_core.models.yolo_networks import random_network
from fracture_core.settings import settings
from trainers.checkpoints import BEST, load_state
from trainers.family_configs import YoloConfig

_LEAST_SIDE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a training begins with: the network on the CPU, its task, and notes for the log.

    `architecture` is checked and has as many classes as the run.
    """

    architecture: dict[str, Any]
    network: Any
    task: Task
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """Weights to begin from; no code in their file was run."""

    path: Path
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    tensors: dict[str, torch.Tensor]


def build_start(config: YoloConfig, classes: tuple[str, ...]) -> Start:
    """Build the network on the CPU, with the weights of `config.start` or random ones.

    Weights are taken over by name and shape; those that give the scores only where the classes are
    the same, in the same order. Raises ConfigError and WeightsError.
    """
    given = _read_weights(config) if config.start else None
    architecture = _architecture(config, given, len(classes))
    source = Path(config.start or str(config.network.name))
    network = random_network(
        architecture, source, input_size=config.input_size, seed=config.seed
    ).requires_grad_(True)
    notes = () if given is None else (_take_over(network, given, classes),)
    return Start(
        architecture=architecture, network=network, task=task_of(architecture), notes=notes
    )


def empty_network(architecture: dict[str, Any], input_size: int) -> Any:
    """Return a network of an architecture with random weights, to load others into."""
    return random_network(architecture, Path("checkpoint"), input_size=input_size, seed=0)


def layers_of(network: Any, stages: int) -> int:
    """Return how many layers the first `stages` stages of the backbone have.

    A stage begins with a layer that halves the image; the last one has everything that follows it
    in the backbone.
    """
    heights: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: heights.append(out.shape[-2]))
        for layer in network.model[: len(network.yaml["backbone"])]
    ]
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, network.yaml["channels"], _LEAST_SIDE, _LEAST_SIDE))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(height >= _LEAST_SIDE >> stages for height in heights)


def _architecture(config: YoloConfig, given: _Weights | None, classes: int) -> dict[str, Any]:
    name = config.network.name
    if name is not None:
        found = read_architecture(str(name))
    elif given is not None:
        found = given.architecture
    else:
        raise ConfigError(
            "network.name",
            expected="an architecture such as yolo11n.yaml, or weights to start from",
            found="neither",
        )
    asked = config.network
    if asked.depth or asked.width:
        depth, width, most = _multiples(found)
        row = [asked.depth or depth, asked.width or width, most]
        found = {**found, "scales": {"": row}, "scale": ""}
    return check_architecture({**found, "nc": classes}, Path(str(name or config.start)))


def _multiples(architecture: dict[str, Any]) -> tuple[Any, Any, Any]:
    scales = architecture.get("scales")
    if scales:
        depth, width, most = scales[architecture.get("scale") or next(iter(scales))]
        return depth, width, most
    return architecture.get("depth_multiple", 1), architecture.get("width_multiple", 1), 8192


def _read_weights(config: YoloConfig) -> _Weights:
    start = config.start
    folder = settings().models / start
    if any(card.model_id == start for card in read_library().cards) and folder.is_dir():
        return _read_model(read_card(folder), folder)
    path = Path(start).expanduser()
    if (path / CARD_FILE).is_file():
        return _read_model(read_card(path), path)
    suffix = path.suffix.lower()
    if suffix not in (".pt", ".safetensors"):
        expected = (
            "a model of the library, a finished run, a weights file of Ultralytics (.pt) "
            "or the tensors of one (.safetensors)"
        )
        raise ConfigError("start", expected=expected, found=repr(start))
    if not path.is_file():
        raise WeightsError(
            path,
            expected="a weights file",
            found="no such file",
            advice="Ultralytics' own weights are at github.com/ultralytics/assets/releases.",
        )
    return _read_tensors(path, config) if suffix == ".safetensors" else _read_file(path)


def _read_model(card: ModelCard, folder: Path) -> _Weights:
    path = folder / card.weights_file
    if card.family != "yolo":
        raise ConfigError("start", expected="a model of the family yolo", found=card.family)
    if hash_file(path) != card.weights_sha256:
        raise WeightsError(path, expected="the file that its card names", found="a changed one")
    if path.suffix.lower() != ".safetensors":
        return _read_file(path)
    best = folder / "checkpoints" / BEST
    tensors = load_state(best)[0]["ema"] if best.is_file() else read_state(path)
    if not any(".bn." in name for name in tensors):
        raise WeightsError(
            path,
            expected="weights that can be trained further",
            found="ones whose batch norms were folded into the convolutions for prediction",
            advice="Start from the folder of the run that trained it, or from a .pt file.",
        )
    yaml: Any = card.architecture["yaml"]
    architecture = check_architecture(yaml, path)
    return _Weights(path=path, architecture=architecture, classes=card.classes, tensors=tensors)


def _read_file(path: Path) -> _Weights:
    read = read_yolo_weights(path)
    architecture = check_architecture(read.architecture, path)
    tensors = read.read_tensors()
    return _Weights(path=path, architecture=architecture, classes=read.classes, tensors=tensors)


def _read_tensors(path: Path, config: YoloConfig) -> _Weights:
    """The weights in a file of tensors only, whose architecture the config has to name."""
    name = config.network.name
    if name is None:
        found = f"only tensors ({path.name}), which do not say of which network"
        raise ConfigError(
            "network.name", expected="an architecture such as yolo11n.yaml", found=found
        )
    architecture = check_architecture(read_architecture(str(name)), path)
    return _Weights(
        path=path, architecture=architecture, classes=(), tensors=dict(read_state(path))
    )


def _take_over(network: Any, given: _Weights, classes: tuple[str, ...]) -> str:
    state = network.state_dict()
    scores = () if given.classes == classes else _score_names(network)
    _check_kinds(given, state)
    taken = {
        name: tensor.float()
        for name, tensor in given.tensors.items()
        if name in state and state[name].shape == tensor.shape and name not in scores
    }
    if len(taken) * 2 < len(state):
        found = f"{len(taken)} that fit of {len(state)}"
        raise WeightsError(given.path, expected="weights of this architecture", found=found)
    network.load_state_dict(taken, strict=False)
    return f"{len(taken)} of {len(state)} tensors were taken over from {given.path.name}"


def _check_kinds(given: _Weights, state: dict[str, torch.Tensor]) -> None:
    """Raise WeightsError where a tensor is of whole numbers and should not be, or the reverse."""
    for name, tensor in given.tensors.items():
        if name in state and tensor.is_floating_point() != state[name].is_floating_point():
            expected = f"{name} of {state[name].dtype}"
            raise WeightsError(given.path, expected=expected, found=f"{tensor.dtype}")


def _score_names(network: Any) -> tuple[str, ...]:
    """The last layers of the branches that give a score for each class."""
    head, number = network.model[-1], len(network.model) - 1
    return tuple(
        f"model.{number}.{branch}.{level}.{len(layers) - 1}.{kind}"
        for branch in ("cv3", "one2one_cv3")
        for level, layers in enumerate(getattr(head, branch, None) or ())
        for kind in ("weight", "bias")
    )
