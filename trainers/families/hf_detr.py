"""The DETR family of transformers in training.

DETR (Carion et al. 2020) and YOLOS (Fang et al. 2021) are trained with our set loss, which takes
all layers and images at once; the other architectures with the loss that transformers has for them.

DETR also has a forward pass of ours. The library's own reads back from the device in every encoder
layer, for which a GPU waits. With auxiliary losses it also normalises what one decoder layer hands
to the next, so that another network would be trained than the one that predicts. Here each layer's
output is normalised for the heads only, as in the paper.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.errors import ConfigError
from fracture_core.models.adapter import drawn_from
from fracture_core.models.cards import ModelCard
from fracture_core.models.hf_architectures import (
    ARCHITECTURES,
    Architecture,
    Config,
    named_config,
)
from fracture_core.models.hf_configs import build_network, checked_config
from fracture_core.models.hf_detr import HfDetrModel, canonical, is_hub_id
from fracture_core.models.packaged import PACKAGED
from fracture_core.models.quiet_transformers import attribute
from fracture_core.nets.detr import DetrOutput
from fracture_core.nets.mobile import MobileTrunk
from trainers.family_configs import HfDetrConfig, SetLossWeights
from trainers.frozen_batch_norm import fix_norms
from trainers.packed import Normalise, valid_where_padded
from trainers.starts import Start, begin_packaged, open_start, take_over, taken_from
from trainers.targets import build_criterion, set_losses, set_targets, targets_by_image
from trainers.training_module import Batch, Losses, TrainingModule

# ---- forward passes -----------------------------------------------------------------------------


def detr_output(
    network: Any, pixels: Tensor, valid: Tensor | None, *, auxiliary: bool
) -> DetrOutput:
    """Pass normalised (B, 3, H, W) pixels through DETR; return logits and boxes cxcywh in shares.

    `valid` is (B, H, W) bool and False in the padding, None = nothing is padded. With `auxiliary`
    the output has those of every decoder layer.
    """
    core = network.model
    maps = core.backbone.model(pixels).feature_maps[-1]
    cells_valid = None if valid is None else _cells(valid, maps)
    positions = core.position_embedding(
        shape=maps.shape, device=maps.device, dtype=pixels.dtype, mask=cells_valid
    )
    positions = positions.flatten(2).transpose(1, 2)
    tokens = core.input_projection(maps).flatten(2).transpose(1, 2)
    mask = None if cells_valid is None else cells_valid.flatten(1)[:, None, None]
    memory = _encode(core.encoder, tokens, positions, mask)
    queries = core.query_position_embeddings.weight.expand(len(pixels), -1, -1)
    layers = _decode(core.decoder, queries, memory, positions, mask)
    return _answer(network, torch.stack(layers if auxiliary else layers[-1:]))


def yolos_output(network: Any, pixels: Tensor, valid: Tensor | None) -> DetrOutput:
    """Pass pixels through YOLOS; `valid` is ignored, as YOLOS has no mask for its patches."""
    states = network.vit(pixels).last_hidden_state
    return _answer(network, states[None, :, -network.config.num_detection_tokens :])


def _cells(valid: Tensor, maps: Tensor) -> Tensor:
    """The (B, H, W) mask at the (B, h, w) cells of the maps, by the nearest pixel."""
    shrunk = functional.interpolate(valid[None].float(), size=maps.shape[-2:])
    return shrunk[0].bool()


def _encode(encoder: Any, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
    states = functional.dropout(tokens, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        attended, _ = layer.self_attn(
            hidden_states=states, attention_mask=mask, position_embeddings=positions
        )
        attended = functional.dropout(attended, p=layer.dropout, training=layer.training)
        states = layer.self_attn_layer_norm(states + attended)
        states = layer.final_layer_norm(states + layer.mlp(states))
    return states


def _decode(
    decoder: Any, queries: Tensor, memory: Tensor, positions: Tensor, mask: Tensor | None
) -> list[Tensor]:
    """The (B, Q, C) states after every decoder layer, normalised for the heads."""
    states, seen = torch.zeros_like(queries), list[Tensor]()
    for layer in decoder.layers:
        states = layer(
            states,
            None,
            positions,
            queries,
            memory,
            encoder_attention_mask=mask,
        )
        seen.append(decoder.layernorm(states))
    return seen


def _answer(network: Any, states: Tensor) -> DetrOutput:
    """What the heads make of (layers, B, Q, C) states, in float32 also under autocast."""
    with torch.autocast(states.device.type, enabled=False):
        logits = network.class_labels_classifier(states.float())
        boxes_cxcywh = network.bbox_predictor(states.float()).sigmoid()
    return DetrOutput(logits[-1], boxes_cxcywh[-1], logits[:-1], boxes_cxcywh[:-1], None)


# ---- the training module ------------------------------------------------------------------------

_OWN_SETTINGS = ("name", "longest_edge", "square", "auxiliary_loss")
# Parameters of the library's config that weigh the loss. Where the set loss is used, the config's
# section `set_loss` has them instead.
_OF_THE_LOSS = re.compile(r".*_(cost|coefficient)|auxiliary_loss")
_CLASS_HEADS = (
    "class_labels_classifier.",
    "class_embed.",
    "model.decoder.class_embed.",
    "model.denoising_class_embed.",
    "model.enc_score_head.",
)

# From the names of transformers' ResNet to those of torchvision's.
_PLAIN_NAMES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"embedder\.embedder\.convolution"), lambda _: "conv1"),
    (re.compile(r"embedder\.embedder\.normalization"), lambda _: "bn1"),
    (
        re.compile(r"stage(\d)\.(\d+)\.layer\.(\d)\.(conv|norm)\w+"),
        lambda m: f"layer{m[1]}.{m[2]}.{'conv' if m[4] == 'conv' else 'bn'}{int(m[3]) + 1}",
    ),
    (
        re.compile(r"stage(\d)\.(\d+)\.shortcut\.(conv|norm)\w+"),
        lambda m: f"layer{m[1]}.{m[2]}.downsample.{0 if m[3] == 'conv' else 1}",
    ),
)
# The library's names of the parts of a loss, where ours are others.
_PARTS = {"ce": "class", "vfl": "class", "bbox": "l1"}

Pass = Callable[[Any, Tensor, Tensor | None], DetrOutput]


class HfDetrModule(TrainingModule):
    """Trains a detector of transformers; norms that the library freezes, in backbones, stay fixed.

    Images that are smaller than their batch are masked, except for YOLOS, which has no mask.
    """

    def __init__(
        self, config: HfDetrConfig, card: ModelCard, network: Any, notes: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.notes = notes
        self._card = card
        self._architecture = ARCHITECTURES[str(card.architecture["model_type"])]
        self._input = self._architecture.input(card.architecture, card.input_size)
        self._normalise = Normalise("imagenet" if self._input.normalises else None)
        self._criterion = build_criterion(config.set_loss, len(card.classes))
        auxiliary = config.network.auxiliary_loss is not False
        self._pass = _pass_of(self._architecture, auxiliary=auxiliary)
        fix_norms(network, frozen_alone=True)

    @property
    def card(self) -> ModelCard:
        return self._card

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        return self._input.size(height, width)

    def forward(self, batch: Batch) -> Losses:
        valid = valid_where_padded(batch)
        pixels = self._normalise(batch.pixels, valid)
        if self._pass is None:
            return self._library_losses(pixels, valid, batch)
        output = self._pass(self.network, pixels, valid)
        return set_losses(self._criterion(output, set_targets(batch)))

    def wrap(self, network: nn.Module) -> HfDetrModel:
        return HfDetrModel(self._card, network)

    def stages(self) -> Sequence[nn.Module]:
        """Return the backbone's stages; YOLOS has none, as it reads patches of the image."""
        for module in self.network.modules():
            if type(module).__name__.endswith("Backbone"):
                backbone: Any = module
                trunk = getattr(backbone, "trunk", None)
                if isinstance(trunk, MobileTrunk):
                    return trunk.parts()
                return [backbone.embedder, *backbone.encoder.stages]
        return []

    def plain_name(self, name: str) -> str:
        name = canonical(name)
        for pattern, plain in _PLAIN_NAMES:
            if found := pattern.search(name):
                return plain(found) + name[found.end() :]
        return name

    def compile_network(self) -> None:
        """Compile our forward pass, or the network where the library's own pass is used."""
        if self._pass is None:
            super().compile_network()
        else:
            self._pass = torch.compile(self._pass)

    def _library_losses(self, pixels: Tensor, valid: Tensor | None, batch: Batch) -> Losses:
        labels = [_label(*ground_truth) for ground_truth in targets_by_image(batch)]
        if valid is None:
            valid = pixels.new_ones(pixels[:, 0].shape, dtype=torch.bool)
        answer = self.network(pixels, pixel_mask=valid.long(), labels=labels)
        # The library gives the parts of every layer; those of the last have no number in the name.
        plain = {_part(k): v.detach() for k, v in answer.loss_dict.items() if _is_of_last_layer(k)}
        return {"loss": answer.loss.float(), **plain}


def build(config: HfDetrConfig, classes: tuple[str, ...], model_id: str) -> HfDetrModule:
    """Build the training module.

    `config.start` is empty (random weights, and `network.name`, such as "detr:random" or
    "rt_detr:small", says of what); packaged weights for the backbone of a small one
    ("mobilenet_v2:IMAGENET1K"); a hub id; or a model of the library, a folder of `save_pretrained`
    or a file. Raises ConfigError and WeightsError.
    """
    start = _start(config)
    architecture, facts, input_size = _begun(config, start)
    settings = config.network.given()
    _check_parameters(settings, architecture)
    _check_loss_settings(config, architecture)
    facts["config"] |= {k: v for k, v in settings.items() if k not in _OWN_SETTINGS}
    if "longest_edge" in settings:
        facts["longest_edge"] = settings["longest_edge"]
    elif config.input_size != input_size:
        facts.pop("longest_edge", None)
    if "square" in settings:
        facts["square"] = settings["square"]
    _check_sizes(config, architecture)
    network = _network(architecture, facts["config"], config.seed, len(classes))
    notes: tuple[str, ...] = ()
    if config.start in PACKAGED:
        notes = begin_packaged(_trunk(network, config.start), config.start)
    elif start is not None:
        notes = take_over(network, start, classes, heads=_CLASS_HEADS, canonical=canonical)
    card = ModelCard(
        model_id=model_id,
        title=f"{architecture.title} of transformers",
        family="hf_detr",
        task="detect",
        classes=classes,
        input_size=config.input_size,
        needs_nms=False,
        architecture=facts,
    )
    return HfDetrModule(config, card, network, notes)


def _start(config: HfDetrConfig) -> Start | None:
    if not config.start or config.start in PACKAGED:
        return None
    if config.network.name is not None:
        found = repr(config.network.name)
        raise ConfigError("network.name", expected="none beside a start", found=found)
    if is_hub_id(config.start) and not Path(config.start).exists():
        return taken_from(HfDetrModel.from_name(config.start))
    return open_start(config.start, ("hf_detr",), names="a hub id")


def _trunk(network: nn.Module, start: str) -> MobileTrunk:
    """The small network in the backbone; raises ConfigError where the weights are of another."""
    wanted = "mobilenet_v2"
    for module in network.modules():
        if isinstance(module, MobileTrunk) and start.startswith(f"{wanted}:"):
            return module
    expected = f"{wanted} weights, and a network.name such as rt_detr:small that has it"
    raise ConfigError("start", expected=expected, found=repr(start))


def _begun(config: HfDetrConfig, start: Start | None) -> tuple[Architecture, Config, int]:
    """The architecture, its facts as on a card, and the usual size of its input in pixels."""
    if start is None:
        name = config.network.name or config.network.usual("name")
        architecture, found, size = named_config(name)
        return architecture, {"model_type": architecture.model_type, "config": found}, size
    facts: Config = dict(start.card.architecture)
    facts["config"] = dict(facts["config"])
    return ARCHITECTURES[facts["model_type"]], facts, start.card.input_size


def _network(architecture: Architecture, found: Config, seed: int, count: int) -> nn.Module:
    raw = {**found, "model_type": architecture.model_type}
    checked = checked_config(architecture, raw, "network")
    with drawn_from(seed):
        network = build_network(architecture, checked, count, "network").requires_grad_(True)
    _check_heads(network.config)
    return network


def _check_heads(built: Any) -> None:
    """Raise ConfigError where heads do not divide the width, which the library notices late."""
    for name in ("num_attention_heads", "encoder_attention_heads", "decoder_attention_heads"):
        heads = getattr(built, name, 1)
        if built.hidden_size % heads:
            expected = f"a divisor of the width, {built.hidden_size}"
            raise ConfigError(f"network.{name}", expected=expected, found=str(heads))


def _parameters(architecture: Architecture) -> list[str]:
    """The names of the plain fields of the library's config that can be set in training."""
    kind = attribute(architecture.config_class)
    plain = {
        name: getattr(kind, name, None)
        for name in vars(kind)["__annotations__"]
        if isinstance(getattr(kind, name, None), bool | int | float | str)
    }
    taken = checked_config(architecture, plain, "network")
    own_loss = not _has_set_loss(architecture)
    return [name for name in taken if name in plain and (own_loss or not _is_of_loss(name))]


def _check_parameters(given: Iterable[str], architecture: Architecture) -> None:
    known = (*_OWN_SETTINGS, *_parameters(architecture))
    for name in given:
        if name not in known:
            raise ConfigError(
                f"network.{name}",
                expected=f"a parameter of {architecture.title}",
                found="none of that name",
                advice=f"There are: {', '.join(known)}.",
            )


def _check_sizes(config: HfDetrConfig, architecture: Architecture) -> None:
    """Raise ConfigError for images of several sizes where the architecture takes one."""
    if config.augment.sizes and (architecture.square or architecture.multiple_of > 1):
        raise ConfigError(
            "augment.sizes",
            expected=f"none for {architecture.title}, whose input has one size",
            found=", ".join(map(str, config.augment.sizes)),
        )


def _check_loss_settings(config: HfDetrConfig, architecture: Architecture) -> None:
    if _has_set_loss(architecture):
        return
    for name, value in config.set_loss.model_dump().items():
        usual = SetLossWeights.model_fields[name].default
        if value != usual:
            raise ConfigError(
                f"set_loss.{name}",
                expected=f"its default ({usual}), as {architecture.title} has a loss of its own",
                found=str(value),
                advice="Weigh that by parameters of the network.",
            )
    if config.network.auxiliary_loss is not None:
        expected = f"none for {architecture.title}, which always judges every layer"
        found = str(config.network.auxiliary_loss)
        raise ConfigError("network.auxiliary_loss", expected=expected, found=found)


def _has_set_loss(architecture: Architecture) -> bool:
    return architecture.scores == "softmax"


def _is_of_loss(name: str) -> bool:
    return bool(_OF_THE_LOSS.fullmatch(name))


def _pass_of(architecture: Architecture, *, auxiliary: bool) -> Pass | None:
    """The forward pass for the set loss; None where the library's own loss is taken."""
    if not _has_set_loss(architecture):
        return None
    if architecture.model_type == "yolos":
        return yolos_output

    def matched(network: Any, pixels: Tensor, valid: Tensor | None) -> DetrOutput:
        return detr_output(network, pixels, valid, auxiliary=auxiliary)

    return matched


def _label(labels: Tensor, boxes_xyxy: Tensor, height: int, width: int) -> dict[str, Tensor]:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    sides = boxes_xyxy.new_tensor([width, height])
    cxcywh = torch.cat([(low + high) / 2 / sides, (high - low) / sides], dim=1)
    return {"class_labels": labels, "boxes": cxcywh}


def _part(name: str) -> str:
    """The name that the set loss has for a part of the library's loss."""
    plain = name.removeprefix("loss_")
    return _PARTS.get(plain, plain)


def _is_of_last_layer(name: str) -> bool:
    return name.startswith("loss_") and not re.search(r"_\d+$|_aux_|_dn_", name)
