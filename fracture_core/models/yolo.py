"""The YOLO family: detectors and segmenters of Ultralytics, raw."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from fracture_core.errors import WeightsError
from fracture_core.models.cards import ModelCard
from fracture_core.models.letterbox import Letterbox
from fracture_core.models.yolo_masks import decode_masks
from fracture_core.models.yolo_networks import build_network, random_network
from fracture_core.models.yolo_weights import DEFAULT_INPUT_SIZE, read_yolo_weights
from fracture_core.types import SCORE_FLOOR, Detections, Prediction, Sample

# What one forward pass may hold: input pixels, so that large inputs make small batches.
_PIXELS_A_PASS = {"cpu": 4 * 640 * 640, "cuda": 32 * 640 * 640}
_SAMPLES_AT_A_TIME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One sample's input: `placed` (h, w) uint8, and how the picture lies in it."""

    sample_id: str
    placed: npt.NDArray[np.uint8]
    letterbox: Letterbox


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """One sample's candidates from the floor up: `xyxy` (A, 4) in pixels of the input, the best
    class's `scores` (A,) and `labels` (A,); for segmenters also `coefficients` (A, M) and
    `prototypes` (M, h, w).
    """

    xyxy: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    coefficients: torch.Tensor
    prototypes: torch.Tensor | None


class YoloModel:
    """A YOLO network with its card. The forward pass is one at a time, for all threads."""

    def __init__(self, card: ModelCard, network: Any) -> None:
        self._card = card
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Fused as Ultralytics does before it predicts.
        self._network = network.to(self._device).fuse(verbose=False).eval()
        self._stride = max(32, int(self._network.stride.max()))
        # The head keeps the grid of the last input in itself.
        self._lock = threading.Lock()

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        if not card.weights_file:
            network, _, _ = random_network(str(card.architecture.get("yaml", "")))
        else:
            network, _ = build_network(read_yolo_weights(folder / card.weights_file))
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
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
        network, task, classes = random_network(name)
        card = ModelCard(
            model_id=name,
            title=f"{Path(name).stem} (random weights)",
            family="yolo",
            task=task,
            classes=tuple(f"class {label}" for label in range(classes)),
            input_size=DEFAULT_INPUT_SIZE,
            needs_nms=not _is_end_to_end(network),
            architecture={"yaml": name, **_account(network)},
            training_data="none",
            training_licence="none",
            note="Random weights: this network has learned nothing and finds nothing.",
        )
        return cls(card, network)

    @property
    def card(self) -> ModelCard:
        return self._card

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found: list[Prediction] = []
        for start in range(0, len(samples), _SAMPLES_AT_A_TIME):
            prepared = [self._prepare(s) for s in samples[start : start + _SAMPLES_AT_A_TIME]]
            answers: dict[int, Prediction] = {}
            for batch in self._batches(prepared):
                found_there = self._predict_batch([prepared[i] for i in batch])
                answers.update(zip(batch, found_there, strict=True))
            found += [answers[i] for i in range(len(prepared))]
        return found

    def _batches(self, prepared: list[_Prepared]) -> Iterator[list[int]]:
        """Positions in batches of one input shape, so that a sample's answer never depends on
        its neighbours.
        """
        shapes: dict[tuple[int, ...], list[int]] = {}
        for position, one in enumerate(prepared):
            shapes.setdefault(one.placed.shape, []).append(position)
        for (height, width), positions in shapes.items():
            most = max(1, _PIXELS_A_PASS[self._device.type] // (height * width))
            for start in range(0, len(positions), most):
                yield positions[start : start + most]

    def _predict_batch(self, batch: list[_Prepared]) -> list[Prediction]:
        start = time.perf_counter()
        raw = self._forward(batch)
        found = [self._to_detections(r, p.letterbox) for r, p in zip(raw, batch, strict=True)]
        seconds = (time.perf_counter() - start) / len(batch)
        return [
            Prediction(
                model_id=self._card.model_id,
                sample_id=prepared.sample_id,
                detections=detections,
                image_score=float(detections.scores.max(initial=0)),
                seconds=seconds,
            )
            for prepared, detections in zip(batch, found, strict=True)
        ]

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

    @torch.inference_mode()
    def _forward(self, batch: list[_Prepared]) -> list[_Raw]:
        grey = torch.from_numpy(np.stack([one.placed for one in batch])).to(self._device)
        channels = self._network.yaml["channels"]
        pixels = (grey.float() / 255)[:, None].expand(-1, channels, -1, -1).contiguous()
        with self._lock:
            output = self._network(pixels)[0]
        prototypes = None
        if self._card.task == "segment":
            output, prototypes = output
        decode = self._decode_end_to_end if _is_end_to_end(self._network) else self._decode
        return [
            decode(one, None if prototypes is None else prototypes[i])
            for i, one in enumerate(output)
        ]

    def _decode(self, output: torch.Tensor, prototypes: torch.Tensor | None) -> _Raw:
        """(4 + K + M, A), boxes as centre and size."""
        classes = len(self._card.classes)
        rows = output.T
        cxcywh, coefficients = rows[:, :4], rows[:, 4 + classes :]
        scores, labels = rows[:, 4 : 4 + classes].max(dim=1)
        half = cxcywh[:, 2:] / 2
        xyxy = torch.cat([cxcywh[:, :2] - half, cxcywh[:, :2] + half], dim=1)
        return _above_floor(xyxy, scores, labels, coefficients, prototypes)

    def _decode_end_to_end(self, output: torch.Tensor, prototypes: torch.Tensor | None) -> _Raw:
        """(A, 6 + M), boxes as corners, the best A already chosen by the network."""
        scores, labels = output[:, 4], output[:, 5].long()
        return _above_floor(output[:, :4], scores, labels, output[:, 6:], prototypes)

    def _to_detections(self, raw: _Raw, letterbox: Letterbox) -> Detections:
        found, kept = Detections.raw(
            letterbox.to_picture(raw.xyxy.cpu().numpy()),
            raw.scores.cpu().numpy(),
            raw.labels.cpu().numpy(),
            height=letterbox.height,
            width=letterbox.width,
        )
        if raw.prototypes is None:
            return found
        coefficients = raw.coefficients[torch.from_numpy(kept).to(raw.coefficients.device)]
        codes = decode_masks(raw.prototypes, coefficients, found.xyxy, letterbox)
        return Detections(xyxy=found.xyxy, scores=found.scores, labels=found.labels, masks=codes)


def _above_floor(
    xyxy: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
    coefficients: torch.Tensor,
    prototypes: torch.Tensor | None,
) -> _Raw:
    kept = scores >= SCORE_FLOOR
    return _Raw(
        xyxy=xyxy[kept],
        scores=scores[kept],
        labels=labels[kept],
        coefficients=coefficients[kept],
        prototypes=prototypes,
    )


def _is_end_to_end(network: Any) -> bool:
    return bool(network.end2end)


def _account(network: Any) -> dict[str, object]:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"layers": len(network.model), "parameters": parameters}
