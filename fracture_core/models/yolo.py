"""The YOLO family: detectors and segmenters of Ultralytics, raw and explained.

A finding is explained by HiResCAM (Draelos & Carin 2020) on the features that the head is given. A
candidate comes from one cell of one of the head's levels. The gradient of exactly that cell's class
logit, times the activation, summed over channels, is the share of each cell of the level in the
logit: of the few cells that the head sees from there, so that every finding has a map of its own.
Grad-CAM, which averages gradients over the level, marks everything of a class at once. With small
networks trained on simple shapes, HiResCAM had the most energy in the box (0.69 of it, Grad-CAM
0.29), and its maps resembled those with random weights least (rank correlation 0.05; 0.26 for maps
further back in the backbone).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fracture_core.boxes import Int64s
from fracture_core.errors import WeightsError
from fracture_core.models import gradcam
from fracture_core.models.adapter import RANDOM_FACTS, RANDOM_NOTE, Detector, save_model
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.checkpoints.yolo import DEFAULT_INPUT_SIZE
from fracture_core.models.letterbox import Letterbox, decode_masks
from fracture_core.models.yolo_architectures import (
    check_architecture,
    read_architecture,
    read_yolo_weights,
    task_of,
)
from fracture_core.models.yolo_networks import (
    build_network,
    load_network,
    random_network,
    set_even_odds,
)
from fracture_core.types import SCORE_FLOOR, Detections, Heatmap, Sample

# ---- explanation ---------------------------------------------------------------------------------

METHOD = "HiResCAM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What to explain: n candidates.

    `anchors` (n,) are their cells in the head, counted through its levels, `labels` (n,) the
    classes they were given, and `weights` (n,) what each counts.
    """

    anchors: Tensor
    labels: Tensor
    weights: Tensor


def evidence(head: Any, levels: Sequence[Tensor], candidates: Candidates) -> list[Tensor]:
    """Returns for each level (1, C, h, w) of the head's input a (h, w) map ≥ 0, in logits.

    Only the head's class branch runs, which keeps no state, and no gradient is left behind.
    """
    branches = (head.one2one if head.end2end else head.one2many)["cls_head"]
    maps: list[Tensor] = []
    start = 0
    for level, branch in zip(levels, branches, strict=True):
        cells = candidates.anchors - start
        here = (cells >= 0) & (cells < level.shape[-2] * level.shape[-1])
        start += level.shape[-2] * level.shape[-1]
        maps.append(_shares(level, branch, cells[here], candidates, here))
    return maps


def _shares(
    level: Tensor, branch: Any, cells: Tensor, candidates: Candidates, here: Tensor
) -> Tensor:
    if not len(cells):
        return level.new_zeros(level.shape[-2:])
    with torch.enable_grad():
        leaf = level.detach().requires_grad_()
        logits = branch(leaf)[0].flatten(1)[candidates.labels[here], cells]
        (gradient,) = torch.autograd.grad((logits * candidates.weights[here]).sum(), leaf)
    return (gradient * level)[0].sum(dim=0).clamp(min=0)


def over_image(maps: Sequence[Tensor], box: Letterbox) -> npt.NDArray[np.float32]:
    """Adds (h, w) maps that each tile the input, and spreads the sum over the image in it.

    The result is (height, width) float32.
    """
    spread = gradcam.over_input(maps, box.input_height, box.input_width)
    rows = slice(box.top, box.top + box.scaled_height)
    placed = spread[rows, box.left : box.left + box.scaled_width]
    return gradcam.over_image(placed, box.height, box.width)


# ---- model ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One sample's input: `placed` (h, w) uint8, and how the image lies in it."""

    sample_id: str
    placed: npt.NDArray[np.uint8]
    letterbox: Letterbox

    @property
    def shape(self) -> tuple[int, ...]:
        return self.placed.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """One sample's candidates, scored `SCORE_FLOOR` or more.

    They are `xyxy` (A, 4) in pixels of the input, the best class's `scores` (A,) and `labels` (A,),
    and `anchors` (A,), the cells of the head that gave them; for segmenters also `coefficients` (A,
    M) and `prototypes` (M, h, w).
    """

    xyxy: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    anchors: torch.Tensor
    coefficients: torch.Tensor
    prototypes: torch.Tensor | None


class YoloModel(Detector[_Prepared, list[_Raw]]):
    """A YOLO network with its card; all threads share one forward pass at a time."""

    _pixels_a_pass: ClassVar = {"cpu": 4 * 640 * 640, "cuda": 32 * 640 * 640}

    def __init__(self, card: ModelCard, network: Any) -> None:
        # Batch norms are folded into convolutions, as Ultralytics does before it predicts.
        super().__init__(card, network.fuse(verbose=False))
        self._stride = max(32, int(self._network.stride.max()))
        # The head remembers the grid of its last input, so two passes would disturb each other.
        self._lock = threading.Lock()

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`.

        The weights are a `.pt` of Ultralytics, safetensors, or random without a file.
        """
        weights, size = folder / card.weights_file, card.input_size
        if card.weights_file and weights.suffix.lower() != ".safetensors":
            return cls(card, build_network(read_yolo_weights(weights))[0])
        architecture = _architecture(card)
        if card.weights_file:
            return cls(card, load_network(architecture, weights, input_size=size))
        source = Path(card.model_id)
        return cls(card, random_network(architecture, source, input_size=size, seed=0))

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """See `Family.describe`.

        Raises WeightsError where `classes` are not as many as the file's.
        """
        read = read_yolo_weights(weights)
        network, task = build_network(read)
        if classes is not None and len(classes) != len(read.classes):
            found = f"{len(classes)}: {', '.join(classes)}"
            raise WeightsError(weights, expected=f"{len(read.classes)} class names", found=found)
        return ModelCard(
            model_id=model_id,
            title=title,
            family="yolo",
            task=task,
            classes=classes or read.classes,
            input_size=read.input_size,
            needs_nms=not _is_end_to_end(network),
            architecture=_account(network),
        )

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns an architecture of Ultralytics by its yaml's name, with random weights.

        Raises ConfigError for an unknown name.
        """
        architecture = check_architecture(read_architecture(name), Path(name))
        network = random_network(architecture, Path(name), input_size=DEFAULT_INPUT_SIZE, seed=0)
        card = ModelCard(
            model_id=name,
            title=f"{Path(name).stem} (random weights)",
            family="yolo",
            task=task_of(architecture),
            classes=tuple(f"class {label}" for label in range(architecture["nc"])),
            input_size=DEFAULT_INPUT_SIZE,
            needs_nms=not _is_end_to_end(network),
            architecture={"yaml": name, **_account(network)},
            training_data="none",
            training_licence="none",
            note=RANDOM_NOTE,
        )
        return cls(card, network)

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same architecture with weights drawn anew, every class at even odds.

        Ultralytics begins with odds so low that a network which learned nothing finds nothing.
        """
        card = self._card.model_copy(update=RANDOM_FACTS)
        architecture = check_architecture(self._network.yaml, Path(card.model_id))
        network = random_network(
            architecture, Path(card.model_id), input_size=card.input_size, seed=seed
        )
        set_even_odds(network)
        return type(self)(card, network)

    def save(self, folder: Path) -> ModelCard:
        """Writes safetensors and, last, the card with the architecture; returns that card."""
        card = self._card.model_copy(update={"architecture": self._recipe()})
        return save_model(card, self._network, folder)

    def _recipe(self) -> dict[str, object]:
        """Returns what it takes to build this network, and its size."""
        source = Path(self._card.model_id)
        return {"yaml": check_architecture(self._network.yaml, source), **_account(self._network)}

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns the HiResCAM of a finding (see the top of this module).

        None explains the best findings together, each weighted by its score. Raises IndexError
        where there is no such finding.
        """
        prepared = self._prepare(sample)
        output, predictions = self._run(self._pixels([prepared]))
        raw = self._read(output, predictions)[0]
        found, kept = self._ordered(raw, prepared.letterbox)
        rows = torch.from_numpy(kept[self._explained(found, index)]).to(self._device)
        candidates = Candidates(
            anchors=raw.anchors[rows], labels=raw.labels[rows], weights=raw.scores[rows]
        )
        maps = evidence(self._network.model[-1], predictions["feats"], candidates)
        values = over_image(maps, prepared.letterbox)
        return Heatmap.of(values, METHOD, self._target(found, index))

    def _prepare(self, sample: Sample) -> _Prepared:
        letterbox = Letterbox.fit(
            sample.height, sample.width, input_size=self._input_size, stride=self._stride
        )
        placed = letterbox.place(sample.shown())
        return _Prepared(sample_id=sample.sample_id, placed=placed, letterbox=letterbox)

    @property
    def _input_size(self) -> int:
        """The card's size, rounded up to whole strides."""
        return -(-self._card.input_size // self._stride) * self._stride

    def _pixels(self, batch: Sequence[_Prepared]) -> torch.Tensor:
        """Returns (B, C, h, w) pixels in [0, 1]."""
        grey = torch.from_numpy(np.stack([one.placed for one in batch])).to(self._device)
        channels = self._network.yaml["channels"]
        return (grey.float() / 255)[:, None].expand(-1, channels, -1, -1).contiguous()

    def _forward(self, batch: Sequence[_Prepared]) -> list[_Raw]:
        return self._read(*self._run(self._pixels(batch)))

    @torch.no_grad()
    def _run(self, pixels: torch.Tensor) -> tuple[Any, dict[str, Any]]:
        """Returns the network's decoded output, and what its head made of which features."""
        with self._lock:
            output, predictions = self._network(pixels)
        return output, predictions.get("one2one", predictions)

    @torch.no_grad()
    def _read(self, output: Any, predictions: dict[str, Any]) -> list[_Raw]:
        prototypes = None
        if self._card.task == "segment":
            output, prototypes = output
        chosen = None
        if _is_end_to_end(self._network):
            chosen = _chosen_anchors(self._network.model[-1], predictions["scores"])
        return [
            self._decode(
                one,
                None if chosen is None else chosen[i],
                None if prototypes is None else prototypes[i],
            )
            for i, one in enumerate(output)
        ]

    def _decode(
        self,
        output: torch.Tensor,
        chosen: torch.Tensor | None,
        prototypes: torch.Tensor | None,
    ) -> _Raw:
        """Reads one image's output (4 + K + M, A): boxes as centre and size, scores, coefficients.

        With the `chosen` anchors of an end-to-end head it is (A, 6 + M): boxes as corners, score
        and class, coefficients.
        """
        if chosen is not None:
            xyxy, coefficients = output[:, :4], output[:, 6:]
            scores, labels = output[:, 4], output[:, 5].long()
        else:
            rows, classes = output.T, len(self._card.classes)
            half = rows[:, 2:4] / 2
            xyxy = torch.cat([rows[:, :2] - half, rows[:, :2] + half], dim=1)
            coefficients = rows[:, 4 + classes :]
            scores, labels = rows[:, 4 : 4 + classes].max(dim=1)
        kept = torch.nonzero(scores >= SCORE_FLOOR)[:, 0]
        return _Raw(
            xyxy=xyxy[kept],
            scores=scores[kept],
            labels=labels[kept],
            anchors=kept if chosen is None else chosen[kept],
            coefficients=coefficients[kept],
            prototypes=prototypes,
        )

    def _to_detections(
        self, raw: list[_Raw], batch: Sequence[_Prepared]
    ) -> list[tuple[Detections, Int64s]]:
        return [
            self._outlined(*self._ordered(one, prepared.letterbox), one, prepared.letterbox)
            for one, prepared in zip(raw, batch, strict=True)
        ]

    def _outlined(
        self, found: Detections, kept: Int64s, raw: _Raw, letterbox: Letterbox
    ) -> tuple[Detections, Int64s]:
        """Adds the findings' masks, where the network has any."""
        if raw.prototypes is None:
            return found, kept
        coefficients = raw.coefficients[torch.from_numpy(kept).to(raw.coefficients.device)]
        return replace(
            found, masks=decode_masks(raw.prototypes, coefficients, found.xyxy, letterbox)
        ), kept

    def _ordered(self, raw: _Raw, letterbox: Letterbox) -> tuple[Detections, Int64s]:
        """Returns findings without masks, and the candidate that gave each."""
        return Detections.raw(
            letterbox.to_image(raw.xyxy.cpu().numpy()),
            raw.scores.cpu().numpy(),
            raw.labels.cpu().numpy(),
            height=letterbox.height,
            width=letterbox.width,
        )


def _chosen_anchors(head: Any, logits: torch.Tensor) -> torch.Tensor:
    """Returns (B, A) anchors that an end-to-end head keeps, from all its (B, K, cells) logits."""
    chosen: torch.Tensor = head.get_topk_index(logits.sigmoid().permute(0, 2, 1), head.max_det)[2]
    return chosen


def _is_end_to_end(network: Any) -> bool:
    return bool(network.end2end)


def _architecture(card: ModelCard) -> dict[str, Any]:
    """The checked architecture that a card names or spells out; raises WeightsError."""
    given = card.architecture.get("yaml")
    if isinstance(given, str):
        given = read_architecture(given)
    if not isinstance(given, dict):
        expected = "a card with the architecture (yaml) of its network"
        raise WeightsError(card.model_id, expected=expected, found="none")
    architecture = check_architecture(given, Path(card.model_id))
    if architecture["nc"] != len(card.classes):
        found = f"one of {architecture['nc']}"
        expected = f"a network of {len(card.classes)} classes as on its card"
        raise WeightsError(card.model_id, expected=expected, found=found)
    return architecture


def _account(network: Any) -> dict[str, object]:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"layers": len(network.model), "parameters": parameters}


ADAPTER: Family = YoloModel
