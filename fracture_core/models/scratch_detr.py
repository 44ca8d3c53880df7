"""DETR from scratch (`fracture_core.nets.detr`) as a model: raw, and explained by its attention."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.adapter import RANDOM_NOTE, drawn_from
from fracture_core.models.architectures import named_classes, shape_of
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.query_detector import (
    Cells,
    DetrInput,
    LookedFor,
    QueryDetector,
    QueryOutputs,
)
from fracture_core.models.state_dicts import fit, read_state, unwrap
from fracture_core.nets.backbone import FULL_WIDTH
from fracture_core.nets.detr import Detr, DetrArchitecture, build_detr
from fracture_core.nets.mobile import mobile_name
from fracture_core.nets.resnet import RESNETS

INPUT_SIZE = 800
"""Images become squares of this side in pixels, which makes the batches uniform."""

_MARKS = frozenset({"class_head.weight", "box_head.4.weight", "projection.weight"})
_TWO_STAGE_QUERIES = 100
_HEADS = 8
_MOST_PARAMETERS = 1_000_000_000
_RANDOM_CLASSES = 3
_NAMED = {
    "scratch:random": (DetrArchitecture(class_count=_RANDOM_CLASSES), INPUT_SIZE),
    "scratch:tiny": (
        DetrArchitecture(
            class_count=_RANDOM_CLASSES,
            query_count=30,
            backbone="resnet18",
            backbone_width=8,
            width=32,
            encoder_depth=1,
            decoder_depth=2,
            feedforward_width=32,
        ),
        64,
    ),
}


class ScratchDetrModel(QueryDetector):
    """A `Detr` with its card, whose `architecture` holds the fields of `DetrArchitecture`."""

    _network: Detr

    def __init__(self, card: ModelCard, network: Detr) -> None:
        size = DetrInput(shortest_edge=card.input_size, longest_edge=None)
        super().__init__(card, network, size)

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        network = _build(_architecture(card), card.model_id)
        file = folder / card.weights_file
        fit(network, _read(file), file)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """See `Family.describe`.

        What the tensors do not tell is taken to be the usual, as a note says.
        """
        state = _read(weights)
        architecture = _infer(state, weights)
        names = named_classes(classes, architecture.class_count, weights)
        fit(_hollow(architecture, weights), state, weights)
        note = "The number of heads and the input size are taken to be the usual ones."
        if architecture.two_stage:
            note += f" So are its {architecture.query_count} queries."
        return _card(architecture, names, model_id=model_id, title=title, note=note)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns "scratch:random" or "scratch:tiny", whose random weights are always the same.

        Raises ConfigError for other names.
        """
        if name not in _NAMED:
            raise ConfigError(name, expected=" or ".join(_NAMED), found="another name")
        architecture, input_size = _NAMED[name]
        card = _card(
            architecture,
            tuple(f"class {label}" for label in range(_RANDOM_CLASSES)),
            model_id=name.replace(":", "-"),
            title="DETR from scratch (random weights)",
            note=RANDOM_NOTE,
        )
        facts = {
            "input_size": input_size,
            "training_data": "none",
            "training_licence": "none",
        }
        return cls._drawn(card.model_copy(update=facts), seed=0)

    @classmethod
    def _drawn(cls, card: ModelCard, seed: int) -> Self:
        with drawn_from(seed):
            return cls(card, _build(_architecture(card), card.model_id))

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same architecture with weights drawn anew from `seed`."""
        return self._drawn(self._card, seed)

    @torch.inference_mode()
    def _run(self, pixels: Tensor) -> QueryOutputs:
        output = self._network(pixels)
        return QueryOutputs.softmax(output.logits, output.boxes_cxcywh)

    @torch.inference_mode()
    def _explain(self, pixels: Tensor, looked_for: LookedFor) -> Cells:
        attention = self._network(pixels, with_attention=True).attention[0]
        method = "Cross-attention of the last decoder layer"
        cells = looked_for.weigh(attention.flatten(1)).view(attention.shape[-2:])
        return Cells(values=cells, method=method)


def _architecture(card: ModelCard) -> DetrArchitecture:
    known = {field.name: field.type for field in dataclasses.fields(DetrArchitecture)}
    for name, value in card.architecture.items():
        if name not in known or not isinstance(value, int | float | str):
            expected = f"a DETR's parameters ({', '.join(known)}) on its card"
            raise WeightsError(card.model_id, expected=expected, found=f"{name}: {value!r}"[:100])
    if card.architecture.get("class_count") != len(card.classes):
        found = f"class_count {card.architecture.get('class_count')!r}"
        raise WeightsError(card.model_id, expected=f"{len(card.classes)} classes", found=found)
    fields: dict[str, object] = dict(card.architecture)
    return DetrArchitecture(**fields)  # type: ignore[arg-type]


def _build(architecture: DetrArchitecture, source: str | Path) -> Detr:
    """Returns a network with new weights.

    Raises WeightsError where it cannot or may not be built.
    """
    _hollow(architecture, source)
    return build_detr(architecture)


def _hollow(architecture: DetrArchitecture, source: str | Path) -> Detr:
    """Returns a network without memory; raises WeightsError where it cannot or may not be built."""
    if architecture.in_channels != 3:
        raise WeightsError(source, expected="3 channels", found=str(architecture.in_channels))
    try:
        with torch.device("meta"):
            hollow = build_detr(architecture)
        count = sum(tensor.numel() for tensor in hollow.state_dict().values())
        if count > _MOST_PARAMETERS:
            expected = f"at most {_MOST_PARAMETERS:,} parameters"
            raise WeightsError(source, expected=expected, found=f"{count:,}")
        return hollow
    except (ConfigError, TypeError) as error:
        expected, found = "a DETR that can be built", str(error)[:200]
        raise WeightsError(source, expected=expected, found=found) from error


def _read(file: Path) -> dict[str, Tensor]:
    state = unwrap(read_state(file), _is_detr)
    if state is None:
        expected = "the state dict of a DETR from scratch"
        raise WeightsError(file, expected=expected, found="one of another network")
    return state


def _is_detr(names: Collection[str]) -> bool:
    return _MARKS.issubset(names)


def _infer(state: Mapping[str, Tensor], source: Path) -> DetrArchitecture:
    """Returns the architecture from the tensors' names and shapes; raises WeightsError."""
    classes, width = shape_of(state, "class_head.weight", 2, source)
    hidden, _ = shape_of(state, "transformer.decoder.0.feedforward.0.weight", 2, source)
    backbone, backbone_width, in_channels = _backbone(state, source)
    norms = [name for name in state if name.startswith("backbone.")]
    two_stage = "proposals.class_head.weight" in state
    queries = _TWO_STAGE_QUERIES if two_stage else shape_of(state, "queries", 2, source)[0]
    return DetrArchitecture(
        class_count=classes - 1,
        query_count=queries,
        two_stage=two_stage,
        backbone=backbone,
        backbone_depth=_count(state, r"backbone\.layer(\d)\."),
        backbone_width=backbone_width,
        in_channels=in_channels,
        # A frozen norm has no counter.
        frozen_norm=not any(name.endswith("num_batches_tracked") for name in norms),
        width=width,
        head_count=_HEADS,
        encoder_depth=_count(state, r"transformer\.encoder\.(\d+)\."),
        decoder_depth=_count(state, r"transformer\.decoder\.(\d+)\."),
        feedforward_width=hidden,
        norm_first="transformer.encoder_norm.weight" in state,
    )


def _backbone(state: Mapping[str, Tensor], source: Path) -> tuple[str, int, int]:
    """Returns the backbone's name, its width and the channels of its input."""
    mobile = mobile_name(state, "backbone.")
    if mobile is not None:
        return mobile, FULL_WIDTH, 3
    width, channels, *_ = shape_of(state, "backbone.stem.0.weight", 4, source)
    deep = "backbone.layer1.0.conv3.weight" in state
    block = "bottleneck" if deep else "basic"
    stages = _count(state, r"backbone\.layer(\d)\.")
    depths = tuple(_count(state, rf"backbone\.layer{n}\.(\d+)\.") for n in range(1, stages + 1))
    for name, (known_block, known_depths) in RESNETS.items():
        if depths and (known_block, known_depths[:stages]) == (block, depths):
            return name, width, channels
    found = f"{block} blocks, {depths} a stage"
    raise WeightsError(source, expected=f"one of {', '.join(RESNETS)}", found=found)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _card(
    architecture: DetrArchitecture,
    classes: tuple[str, ...],
    *,
    model_id: str,
    title: str,
    note: str,
) -> ModelCard:
    return ModelCard(
        model_id=model_id,
        title=title,
        family="scratch_detr",
        task="detect",
        classes=classes,
        input_size=INPUT_SIZE,
        needs_nms=False,
        architecture=dataclasses.asdict(architecture),
        note=note,
    )


ADAPTER: Family = ScratchDetrModel
