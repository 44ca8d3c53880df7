"""Published weights that a network can begin from, by the names that `start` takes.

What a network begins from: a model whose weights are taken over, heads of other classes not.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import Tensor, nn

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.adapter import Adapter
from fracture_core.models.base import Model
from fracture_core.models.cards import CARD_FILE, ModelCard, read_card
from fracture_core.models.families import family, find_family
from fracture_core.models.hf_configs import CONFIG_FILE
from fracture_core.models.library import list_cards, open_model
from fracture_core.models.packaged import PACKAGED, load_packaged
from fracture_core.models.state_dicts import fit, read_state
from fracture_core.nets.mobile import MOBILES
from fracture_core.settings import settings
from trainers.networks import Mobile, Scalar

HUB_DETRS = ("facebook/detr-resnet-50", "facebook/detr-resnet-101")
SMALL_DETRS = ("rt_detr:small", "d_fine:small")
_PACKAGED = tuple(f"{name}:IMAGENET1K" for name in get_args(Mobile))
# torchvision has the second one for these alone.
_IMPROVED = ("resnet50", "resnet101", "resnet152", "efficientnet_b1")
_NAMES = {"COCO_V1", "IMAGENET1K_V1", "IMAGENET1K_V2", *_PACKAGED, *HUB_DETRS}


def published_starts(family: str, network: str) -> tuple[str, ...]:
    """The weights there are for a network of a family, the usual ones first; none for some.

    `network` is what `network.name`, or `network.backbone` of a DETR from scratch, is; for the
    DETR family of transformers also a hub id.
    """
    if family == "yolo":
        return (f"{network.removesuffix('.yaml')}.pt",)
    if family == "faster_rcnn":
        return _PACKAGED if network == "fasterrcnn_light" else ("COCO_V1",)
    if family == "retinanet":
        return () if network == "retinanet_light" else ("COCO_V1",)
    if family == "hf_detr":
        return ("mobilenet_v2:IMAGENET1K",) if network in SMALL_DETRS else (network,)
    if network in get_args(Mobile):
        return (f"{network}:IMAGENET1K",)
    return ("IMAGENET1K_V2", "IMAGENET1K_V1") if network in _IMPROVED else ("IMAGENET1K_V1",)


def may_begin(family: str, network: str, start: str) -> bool:
    """Whether a network can begin from a start by its name.

    Random weights (an empty name) fit all; what a path or a model of the library fits stands in it.
    """
    is_published = start in _NAMES or (family == "yolo" and "/" not in start and ".pt" in start)
    return not is_published or start in published_starts(family, network)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A model's card and its tensors on the CPU, by the names of its network."""

    card: ModelCard
    state: Mapping[str, Tensor]


def open_start(ref: str, families: Collection[str], *, names: str) -> Start:
    """A model of the library by its id, a folder with a card or config.json, or a weights file.

    `families` may be begun from, the first is assumed of a file where its tensors do not tell;
    `names` tells in words what else the family takes. Raises ConfigError and WeightsError.
    """
    path = Path(ref).expanduser()
    if ref in {card.model_id for card in list_cards()} or _is_broken_model(ref):
        model = open_model(ref)
    elif path.exists():
        model = _open_folder(path) if path.is_dir() else _open_file(path, families)
    else:
        expected = f"{names}, a model of the library or a weights file"
        raise ConfigError("start", expected=expected, found=repr(ref))
    if model.card.family not in families:
        expected = f"a model of the family {' or '.join(families)}"
        raise ConfigError("start", expected=expected, found=f"one of {model.card.family}")
    return taken_from(model)


def packaged_name(start: str, given: dict[str, Scalar], key: str) -> str:
    """The weights' own name, "IMAGENET1K", where `start` is "mobilenet_v2:IMAGENET1K".

    The network before the colon is put under `key` into the settings given for it; ConfigError
    where these name another. Any other start is returned as it is.
    """
    if start not in PACKAGED:
        return start
    network, _, weights = start.partition(":")
    if given.setdefault(key, network) != network:
        expected = f"{network}, whose weights the training begins from"
        raise ConfigError(f"network.{key}", expected=expected, found=repr(given[key]))
    return weights


def taken_from(model: Model) -> Start:
    """What a loaded model offers to begin from; raises ConfigError where that is nothing."""
    if not isinstance(model, Adapter):
        found = f"one of {model.card.family}"
        raise ConfigError("start", expected="a model that this loop can train", found=found)
    state = {name: tensor.cpu() for name, tensor in model.network.state_dict().items()}
    return Start(card=model.card, state=state)


def take_over(
    network: nn.Module,
    start: Start,
    classes: tuple[str, ...],
    *,
    heads: tuple[str, ...],
    canonical: Callable[[str], str] = str,
) -> tuple[str, ...]:
    """Copy the start's tensors; those under `heads` only where it has the same classes.

    Returns notes. Raises WeightsError where anything else differs by name or shape.
    """
    if start.card.classes == classes:
        fit(network, start.state, Path(start.card.title), canonical=canonical)
        return ()
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(heads)}
    rest = {name: t for name, t in start.state.items() if not name.startswith(heads)}
    fit(network, {**rest, **own}, Path(start.card.title), canonical=canonical)
    listed = ", ".join(start.card.classes[:8]) + "…" * (len(start.card.classes) > 8)
    return (f"{start.card.title} knows other classes ({listed}): the class head begins anew.",)


def begin_trunk(
    trunk: nn.Module, start: Start, classes: tuple[str, ...], prefix: str
) -> tuple[str, ...]:
    """Copy what the start has under `prefix` into the feature layers of another network.

    What the trunk lacks, such as a head, is left out. Returns notes; raises WeightsError.
    """
    own = trunk.state_dict()
    given = {name.removeprefix(prefix): tensor for name, tensor in start.state.items()}
    kept = {name: tensor for name, tensor in given.items() if name in own}
    plain = Start(card=start.card.model_copy(update={"classes": classes}), state=kept)
    take_over(trunk, plain, classes, heads=())
    return (f"The backbone begins from {start.card.title}, everything else anew.",)


def begin_packaged(trunk: nn.Module, name: str) -> tuple[str, ...]:
    """Load packaged weights into the feature layers of a network; notes as `begin_trunk`."""
    load_packaged(trunk, name)
    return (f"The backbone begins from {name}, everything else anew.",)


def mobile_in(start: Start) -> str | None:
    """The small network in a classifier or in a light Faster R-CNN; None = another one.

    Raises ConfigError for an EfficientNet that is none, as no detector has one.
    """
    facts = start.card.architecture
    if start.card.family == "efficientnet_gate" and facts["name"] not in MOBILES:
        expected = f"a model of another family, or one of {', '.join(MOBILES)}"
        raise ConfigError("start", expected=expected, found=f"an {facts['name']}")
    light = facts.get("light")
    name = str(light["backbone"] if isinstance(light, dict) else facts.get("name"))
    return name if name in MOBILES else None


def _is_broken_model(ref: str) -> bool:
    """Whether it is a folder of the library, which can tell what is wrong with it."""
    return Path(ref).name == ref and not Path(ref).exists() and (settings().models / ref).is_dir()


def _open_folder(folder: Path) -> Model:
    if (folder / CARD_FILE).is_file():
        card = read_card(folder)
        return family(card.family).load(card, folder)
    if (folder / CONFIG_FILE).is_file():
        adapter = family("hf_detr")
        card = adapter.describe(folder, model_id="start", title=folder.name, classes=None)
        return adapter.load(card, folder)
    expected = f"a {CARD_FILE} or {CONFIG_FILE} in it"
    raise WeightsError(folder, expected=expected, found="neither")


def _open_file(file: Path, families: Collection[str]) -> Model:
    name, count = _recognised(read_state(file), families, file)
    classes = tuple(f"class {label}" for label in range(count))
    adapter = family(name)
    card = adapter.describe(file, model_id="start", title=file.name, classes=classes)
    return adapter.load(card.model_copy(update={"weights_file": file.name}), file.parent)


def _recognised(
    state: Mapping[str, Tensor], families: Collection[str], file: Path
) -> tuple[str, int]:
    """The family of a file's tensors and its class count; the file's names may be prefixed."""
    for name in families:
        rows = find_family(name).class_rows
        for key, tensor in state.items():
            if rows is not None and (key == rows.tensor or key.endswith(f".{rows.tensor}")):
                return name, len(tensor) // rows.anchors - rows.others
    found = f"tensors such as {', '.join(list(state)[:3])}"
    expected = f"the weights of a network of the family {' or '.join(families)}"
    raise WeightsError(file, expected=expected, found=found[:200])
