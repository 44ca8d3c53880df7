"""The DETR family of transformers, raw and explained.

It holds DETR, Conditional DETR, Deformable DETR, DAB-DETR, RT-DETR, RT-DETRv2, D-FINE and YOLOS.
transformers has renamed parts of its networks and renames them again when it saves, and its older
DETRs carry timm's names for the backbone, so tensors are compared by one `canonical` name.
Published weights are had by their hub id. Attention weights exist only where attention is computed
step by step ("eager"), which is slower; so the network predicts with the fused kernel, and a twin
that shares its tensors explains.
"""

import contextlib
import copy
import itertools
import re
import threading
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from fracture_core.errors import WeightsError
from fracture_core.models.adapter import RANDOM_NOTE, drawn_from
from fracture_core.models.architectures import named_classes
from fracture_core.models.attention_maps import class_and_box_evidence
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.hf_architectures import (
    ARCHITECTURES,
    Architecture,
    Config,
    named_config,
)
from fracture_core.models.hf_configs import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    Described,
    build_network,
    checked_config,
    hollow_network,
    read_config,
)
from fracture_core.models.hf_shapes import infer_config
from fracture_core.models.query_detector import Cells, LookedFor, QueryDetector, QueryOutputs
from fracture_core.models.quiet_transformers import part
from fracture_core.models.state_dicts import fit, read_state, unwrap
from fracture_core.settings import settings

# ---- names of tensors ----------------------------------------------------------------------------

_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\bbackbone\.conv_encoder\.model\.", "backbone.model."),
        (r"\.o_proj\.", ".out_proj."),
        (r"layers\.(\d+)\.mlp\.fc(\d)\.", r"layers.\1.fc\2."),
        (r"layers\.(\d+)\.mlp\.layers\.0\.", r"layers.\1.fc1."),
        (r"layers\.(\d+)\.mlp\.layers\.1\.", r"layers.\1.fc2."),
        (r"\bencoder\.aifi\.", "encoder.encoder."),
        (r"\bencoder\.interpolation\.mid_", "encoder.mid_"),
        (r"^(class|bbox)_embed\.(\d)", r"model.decoder.\1_embed.\2"),
        # Conditional DETR's decoder.
        (r"\.self_attn\.([qk])_(content|pos)_proj\.", r".sa_\1\2_proj."),
        (r"\.encoder_attn\.([qk])_(content|pos|pos_sine)_proj\.", r".ca_\1\2_proj."),
        (r"\.(sa|ca)_v_proj\.", r".\1.v_proj."),
        (r"(decoder\.layers\.\d+)\.self_attn\.v_proj\.", r"\1.sa.v_proj."),
        (r"(decoder\.layers\.\d+)\.encoder_attn\.v_proj\.", r"\1.ca.v_proj."),
        # timm's ResNet.
        (r"(backbone\.model)\.conv1\.", r"\1.embedder.embedder.convolution."),
        (r"(backbone\.model)\.bn1\.", r"\1.embedder.embedder.normalization."),
        (r"(backbone\.model)\.layer([1-4])\.(\d+)\.", r"\1.stage\2.\3."),
        (r"\.downsample\.0\.", ".shortcut.convolution."),
        (r"\.downsample\.1\.", ".shortcut.normalization."),
        (r"(\.stage\d\.\d+)\.conv1\.", r"\1.layer.0.convolution."),
        (r"(\.stage\d\.\d+)\.conv2\.", r"\1.layer.1.convolution."),
        (r"(\.stage\d\.\d+)\.conv3\.", r"\1.layer.2.convolution."),
        (r"(\.stage\d\.\d+)\.bn1\.", r"\1.layer.0.normalization."),
        (r"(\.stage\d\.\d+)\.bn2\.", r"\1.layer.1.normalization."),
        (r"(\.stage\d\.\d+)\.bn3\.", r"\1.layer.2.normalization."),
        (r"\.encoder\.stages\.0\.layers\.(\d+)\.", r".stage1.\1."),
        (r"\.encoder\.stages\.1\.layers\.(\d+)\.", r".stage2.\1."),
        (r"\.encoder\.stages\.2\.layers\.(\d+)\.", r".stage3.\1."),
        (r"\.encoder\.stages\.3\.layers\.(\d+)\.", r".stage4.\1."),
    )
)


@lru_cache(maxsize=50_000)
def canonical(name: str) -> str:
    """Returns a tensor's name in the one form that all versions of the library share here.

    Example:
        >>> canonical("model.backbone.conv_encoder.model.conv1.weight")
        'model.backbone.model.embedder.embedder.convolution.weight'
    """
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    return name


def architecture_of(names: Collection[str]) -> Architecture | None:
    """Returns the architecture whose mark is among the names, None where none is."""
    for architecture in ARCHITECTURES.values():
        # One name must do as a mark: two-stage Deformable DETR, for one, lacks query embeddings.
        if architecture.mark in names and not any(mark in names for mark in architecture.unmarked):
            return architecture
    return None


# ---- weights by hub id ---------------------------------------------------------------------------

WEIGHTS_FILE = "model.safetensors"
_TIMEOUT_SECONDS = 10
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Tells whether a name has the form "owner/model".

    Example:
        >>> is_hub_id("facebook/detr-resnet-50"), is_hub_id("detr:random")
        (True, False)
    """
    return bool(_HUB_ID.fullmatch(name))


def fetch(hub_id: str) -> Path:
    """Returns the folder with config.json and model.safetensors of a hub id.

    It looks in the cache under the home folder, then in the hub's own, then on the network unless
    HF_HUB_OFFLINE is set. Raises WeightsError, which says what to fetch and where to put it.
    """
    place = settings().cache / "huggingface" / hub_id.replace("/", "--")
    if (place / CONFIG_FILE).is_file() and (place / WEIGHTS_FILE).is_file():
        return place
    try:
        return _from_cache(hub_id) or _from_network(hub_id)
    except Exception as error:  # the hub's client raises whatever its transport raises
        url = f"https://huggingface.co/{hub_id}/resolve/main"
        files = f"{CONFIG_FILE}, {WEIGHTS_FILE} and {PROCESSOR_FILE}"
        raise WeightsError(
            hub_id,
            expected="a network, the hub's cache or a folder with the files",
            found=f"none of them ({type(error).__name__})",
            advice=f"Fetch {files} from {url}/ and put them into {place}.",
        ) from error


def _from_cache(hub_id: str) -> Path | None:
    """Returns the folder in the hub's cache, None where a file that is needed is not there."""
    hub = part("huggingface_hub")
    found = [hub.try_to_load_from_cache(hub_id, file) for file in (CONFIG_FILE, WEIGHTS_FILE)]
    return Path(found[0]).parent if all(isinstance(file, str) for file in found) else None


def _from_network(hub_id: str) -> Path:
    hub, errors = part("huggingface_hub"), part("huggingface_hub.errors")
    # Without a network this one request fails soon; a download would retry for half a minute.
    hub.get_hf_file_metadata(hub.hf_hub_url(hub_id, CONFIG_FILE), timeout=_TIMEOUT_SECONDS)
    folder = Path(hub.hf_hub_download(hub_id, CONFIG_FILE)).parent
    # Where the processor's file is missing, the architecture's usual input size holds.
    with contextlib.suppress(errors.EntryNotFoundError):
        hub.hf_hub_download(hub_id, PROCESSOR_FILE)
    hub.hf_hub_download(hub_id, WEIGHTS_FILE)
    return folder


# ---- models --------------------------------------------------------------------------------------

_RANDOM_CLASSES = 3


class HfDetrModel(QueryDetector):
    """A detector of transformers with its card."""

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        self._architecture = _architecture(card)
        detr_input = self._architecture.input(card.architecture, card.input_size)
        super().__init__(card, network, detr_input)
        self._lock = threading.Lock()
        self._twin: nn.Module | None = None

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        network = _network(card, folder / card.weights_file)
        _, state = _read(folder / card.weights_file)
        fit(network, state, folder / card.weights_file, canonical=canonical)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """See `Family.describe`; `weights` is a file, or a folder that `save_pretrained` wrote."""
        file = weights / WEIGHTS_FILE if weights.is_dir() else weights
        architecture, state = _read(file)
        described, heads, note = _described(file, architecture, state)
        names = named_classes(classes or described.classes, heads, weights)
        card = _card(described, names, model_id=model_id, title=title, note=note)
        fit(_network(card, file, build=hollow_network), state, weights, canonical=canonical)
        return card.model_copy(update={"weights_file": file.name})

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns a published model by its hub id, or a network with random weights.

        A hub id is such as "facebook/detr-resnet-50"; "detr:random" and "detr:tiny" have random
        weights, always the same ones. Raises ConfigError and WeightsError.
        """
        if is_hub_id(name):
            folder = fetch(name)
            model_id = name.replace("/", "--")
            card = cls.describe(folder, model_id=model_id, title=name, classes=None)
            return cls.load(card, folder)
        architecture, config, input_size = named_config(name)
        described = Described(
            architecture=architecture,
            config=config,
            classes=None,
            input_size=input_size,
            longest_edge=None,
            normalises=None,
        )
        card = _card(
            described,
            _numbered(_RANDOM_CLASSES),
            model_id=name.replace(":", "-"),
            title=f"{architecture.title} (random weights)",
            note=RANDOM_NOTE,
        )
        facts = {"training_data": "none", "training_licence": "none"}
        return cls._drawn(card.model_copy(update=facts), seed=0)

    @classmethod
    def _drawn(cls, card: ModelCard, seed: int) -> Self:
        with drawn_from(seed):
            return cls(card, _network(card, card.model_id))

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same architecture with weights drawn anew from `seed`."""
        return self._drawn(self._card, seed)

    @torch.no_grad()  # not inference_mode: transformers caches tensors that evidence needs later
    def _run(self, pixels: Tensor) -> QueryOutputs:
        return self._predictions(self._network(pixels))

    def _predictions(self, output: Any) -> QueryOutputs:
        of = (
            QueryOutputs.softmax if self._architecture.scores == "softmax" else QueryOutputs.sigmoid
        )
        return of(output.logits, output.pred_boxes)

    def _explain(self, pixels: Tensor, looked_for: LookedFor) -> Cells:
        explains = self._architecture.explains
        by = {
            "cross-attention": self._cross_attention,
            "token attention": self._token_attention,
            "evidence": self._evidence,
        }
        with self._lock:
            return Cells(values=by[explains](pixels, looked_for), method=_METHODS[explains])

    @torch.no_grad()
    def _cross_attention(self, pixels: Tensor, looked_for: LookedFor) -> Tensor:
        twin, grids = self._eager_twin(), list[tuple[int, int]]()
        hook = twin.model.input_projection.register_forward_hook(
            lambda _module, _args, cells: grids.append(cells.shape[-2:])
        )
        with hook:
            output = twin(pixels, output_attentions=True)
        heads = output.cross_attentions[-1][0]
        return looked_for.weigh(heads.mean(0)).view(grids[0])

    @torch.no_grad()
    def _token_attention(self, pixels: Tensor, looked_for: LookedFor) -> Tensor:
        twin = self._eager_twin()
        tokens: int = twin.config.num_detection_tokens
        patch: int = twin.config.patch_size
        heads = twin(pixels, output_attentions=True).attentions[-1][0]
        grid = (pixels.shape[-2] // patch, pixels.shape[-1] // patch)
        # The tokens are the class token, the patches, then the detection tokens.
        return looked_for.weigh(heads.mean(0)[-tokens:, 1:-tokens]).view(grid)

    @torch.enable_grad()
    def _evidence(self, pixels: Tensor, looked_for: LookedFor) -> Tensor:
        """Returns evidence on the backbone's maps; no later maps are of the image alone."""
        twin, features = self._eager_twin(), list[Tensor]()

        def watch(_module: nn.Module, _args: object, levels: list[tuple[Tensor, Tensor]]) -> object:
            features.extend(level.detach().requires_grad_() for level, _ in levels)
            return [(feature, mask) for feature, (_, mask) in zip(features, levels, strict=True)]

        with twin.model.backbone.register_forward_hook(watch):
            output = twin(pixels)
        rows = looked_for.find(self._predictions(output))
        logits = output.logits[0, rows, looked_for.predictions.labels[0, looked_for.queries]]
        box = (output.pred_boxes[0, rows] * looked_for.weights[:, None]).sum(0)
        return class_and_box_evidence((logits * looked_for.weights).sum(), box, features)

    def _eager_twin(self) -> Any:
        """Returns a copy of the network around the same tensors, for use under the lock only."""
        if self._twin is None:
            tensors = itertools.chain(self._network.parameters(), self._network.buffers())
            twin: Any = copy.deepcopy(self._network, {id(tensor): tensor for tensor in tensors})
            if self._architecture.explains != "evidence":
                twin.set_attn_implementation("eager")
            self._twin = twin
        return self._twin


_METHODS = {
    "cross-attention": "Cross-attention of the last decoder layer",
    "token attention": "Attention of the detection token",
    "evidence": "Gradient × activation, class and box",
}


def _architecture(card: ModelCard) -> Architecture:
    model_type = card.architecture.get("model_type")
    if model_type not in ARCHITECTURES:
        expected = f"model_type: one of {', '.join(ARCHITECTURES)}"
        raise WeightsError(card.model_id, expected=expected, found=repr(model_type)[:80])
    return ARCHITECTURES[str(model_type)]


def _network(
    card: ModelCard,
    source: str | Path,
    *,
    build: Callable[[Architecture, Config, int, str | Path], nn.Module] = build_network,
) -> nn.Module:
    architecture = _architecture(card)
    config = card.architecture.get("config")
    if not isinstance(config, dict):
        raise WeightsError(card.model_id, expected="a config on its card", found="none")
    checked = checked_config(
        architecture, {**config, "model_type": architecture.model_type}, source
    )
    return build(architecture, checked, len(card.classes), source)


def _read(file: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """Returns the architecture of a file, and its state dict by canonical names, unwrapped."""
    state = unwrap(read_state(file), lambda names: architecture_of(names) is not None)
    architecture = architecture_of(state or ())
    if state is None or architecture is None:
        expected = f"a network of transformers: {', '.join(ARCHITECTURES)}"
        raise WeightsError(file, expected=expected, found="a state dict of another network")
    return architecture, {canonical(name): tensor for name, tensor in state.items()}


def _described(
    file: Path, architecture: Architecture, state: dict[str, Tensor]
) -> tuple[Described, int, str]:
    """Returns what is known of a network, its class count, and a note for its card."""
    if (file.parent / CONFIG_FILE).is_file():
        described = read_config(file.parent)
        if described.architecture is architecture:
            return described, _class_count(architecture, state, file), ""
        found = f"the tensors of {architecture.title}"
        raise WeightsError(
            file, expected=f"{described.architecture.title} as its config says", found=found
        )
    config, classes = infer_config(architecture, state, file)
    described = Described(
        architecture=architecture,
        config=config,
        classes=None,
        input_size=None,
        longest_edge=None,
        normalises=None,
    )
    return described, classes, "Heads and input size are the usual ones: no config.json was given."


def _class_count(architecture: Architecture, state: dict[str, Tensor], file: Path) -> int:
    for name in _HEADS:
        if name in state:
            return state[name].shape[0] - (1 if architecture.scores == "softmax" else 0)
    raise WeightsError(file, expected="a class head", found="none")


_HEADS = (
    "class_labels_classifier.weight",
    "class_labels_classifier.layers.2.weight",
    "class_embed.weight",
    "model.enc_score_head.weight",
    "model.decoder.class_embed.0.weight",
)


def _card(
    described: Described, classes: tuple[str, ...], *, model_id: str, title: str, note: str
) -> ModelCard:
    architecture = described.architecture
    facts: Config = {"model_type": architecture.model_type, "config": described.config}
    if described.longest_edge is not None:
        facts["longest_edge"] = described.longest_edge
    if described.normalises is not None:
        facts["normalises"] = described.normalises
    return ModelCard(
        model_id=model_id,
        title=title,
        family="hf_detr",
        task="detect",
        classes=classes,
        input_size=described.input_size or architecture.input_size,
        needs_nms=False,
        architecture=facts,
        note=note,
    )


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {label}" for label in range(count))


ADAPTER: Family = HfDetrModel
