"""What a network begins from: published weights, a model of the library, a folder or a file.

Tensors are taken over by name; class heads only where the classes are the same. The names that the
setting `start` takes for published weights are here, too.
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

# ---- names of published weights -----------------------------------------------------------------

HUB_DETRS = ("facebook/detr-resnet-50", "facebook/detr-resnet-101")
SMALL_DETRS = ("rt_detr:small", "d_fine:small")
_PACKAGED = tuple(f"{name}:IMAGENET1K" for name in get_args(Mobile))
# The networks for which torchvision has IMAGENET1K_V2, too.
_IMPROVED = ("resnet50", "resnet101", "resnet152", "efficientnet_b1")
_NAMES = {"COCO_V1", "IMAGENET1K_V1", "IMAGENET1K_V2", *_PACKAGED, *HUB_DETRS}


def published_starts(family: str, network: str) -> tuple[str, ...]:
    """Return the names of the published weights for a network of a family, the usual ones first.

    `network` is the setting `network.name` or, for a DETR from scratch, `network.backbone`; for the
    DETR family of transformers it may also be a hub id. For some networks there are none.

    Example:
        >>> published_starts("resnet", "resnet18"), published_starts("yolo", "yolo11n.yaml")
        (('IMAGENET1K_V1',), ('yolo11n.pt',))
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
    """Return whether a network can begin from a start, as far as the start's name tells.

    Random weights (an empty name) fit every network. Of paths and models of the library the name
    does not tell, so the answer is True.
    """
    is_published = start in _NAMES or (family == "yolo" and "/" not in start and ".pt" in start)
    return not is_published or start in published_starts(family, network)


# ---- opening a start ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A model to begin from: its card, and its tensors on the CPU by the names of its network."""

    card: ModelCard
    state: Mapping[str, Tensor]


def open_start(ref: str, families: Collection[str], *, names: str) -> Start:
    """Open a model of the library, by its id, a folder with card or config.json, or a weights file.

    The model has to be of one of `families`; a file belongs to the first of them whose class head
    it has. `names` says in the error what else `start` can be. Raises ConfigError and WeightsError.
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
    """Split the name of packaged weights: of "mobilenet_v2:IMAGENET1K" return "IMAGENET1K".

    The network before the colon is put into `given` under `key`; raises ConfigError where another
    one is given there. Any other start is returned as it is.

    Example:
        >>> given: dict[str, Scalar] = {}
        >>> packaged_name("mobilenet_v2:IMAGENET1K", given, "name"), given
        ('IMAGENET1K', {'name': 'mobilenet_v2'})
    """
    if start not in PACKAGED:
        return start
    network, _, weights = start.partition(":")
    if given.setdefault(key, network) != network:
        expected = f"{network}, whose weights the training begins from"
        raise ConfigError(f"network.{key}", expected=expected, found=repr(given[key]))
    return weights


def taken_from(model: Model) -> Start:
    """Return a loaded model as a start; raise ConfigError for one without a network of its own."""
    if not isinstance(model, Adapter):
        found = f"one of {model.card.family}"
        raise ConfigError("start", expected="a model that this loop can train", found=found)
    state = {name: tensor.cpu() for name, tensor in model.network.state_dict().items()}
    return Start(card=model.card, state=state)


# ---- taking weights over ------------------------------------------------------------------------


def take_over(
    network: nn.Module,
    start: Start,
    classes: tuple[str, ...],
    *,
    heads: tuple[str, ...],
    canonical: Callable[[str], str] = str,
) -> tuple[str, ...]:
    """Copy the start's tensors into a network; those under `heads` only if the classes are equal.

    `heads` are prefixes of names; `canonical` brings names into a common form. Returns notes for
    the metrics log. Raises WeightsError where any other tensor differs by name or shape.
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
    """Copy the start's tensors under `prefix` into the feature layers of another network.

    Tensors that the trunk does not have, such as those of a head, are left out. Returns notes for
    the metrics log; raises WeightsError where the trunk's tensors are not all there.
    """
    own = trunk.state_dict()
    given = {name.removeprefix(prefix): tensor for name, tensor in start.state.items()}
    kept = {name: tensor for name, tensor in given.items() if name in own}
    plain = Start(card=start.card.model_copy(update={"classes": classes}), state=kept)
    take_over(trunk, plain, classes, heads=())
    return (f"The backbone begins from {start.card.title}, everything else anew.",)


def begin_packaged(trunk: nn.Module, name: str) -> tuple[str, ...]:
    """Load packaged weights into the feature layers of a network; return notes for the log."""
    load_packaged(trunk, name)
    return (f"The backbone begins from {name}, everything else anew.",)


def mobile_in(start: Start) -> str | None:
    """Return the name of the small network (`nets.mobile`) in a start, None where it has another.

    The start is a classifier or a light Faster R-CNN. Raises ConfigError for an EfficientNet with
    attention gate on a large network, as no other family has those features.
    """
    facts = start.card.architecture
    if start.card.family == "efficientnet_gate" and facts["name"] not in MOBILES:
        expected = f"a model of another family, or one of {', '.join(MOBILES)}"
        raise ConfigError("start", expected=expected, found=f"an {facts['name']}")
    light = facts.get("light")
    name = str(light["backbone"] if isinstance(light, dict) else facts.get("name"))
    return name if name in MOBILES else None


def _is_broken_model(ref: str) -> bool:
    """Whether `ref` is a folder of the library without a valid card; opening it tells the fault."""
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
    """The family of a file's tensors and its class count; the names may have a prefix."""
    for name in families:
        rows = find_family(name).class_rows
        for key, tensor in state.items():
            if rows is not None and (key == rows.tensor or key.endswith(f".{rows.tensor}")):
                return name, len(tensor) // rows.anchors - rows.others
    found = f"tensors such as {', '.join(list(state)[:3])}"
    expected = f"the weights of a network of the family {' or '.join(families)}"
    raise WeightsError(file, expected=expected, found=found[:200])
