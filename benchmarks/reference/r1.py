"""R1: transformers' DETR on CT slices."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.reference.loop import ReferenceLoop
from benchmarks.reference.slices import Item, SliceDataset

_CLIP_NORM = 0.1
_WEIGHT_DECAY = 1e-3
_FROZEN_STAGES = 2
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class R1Loop(ReferenceLoop):
    """Trains R1: two workers, float16 with a gradient scaler on a GPU, transformers' own loss.

    Images are normalised on the device, batch by batch, which costs least.
    """

    def __init__(
        self,
        network: Any,
        data: Path,
        device: torch.device,
        *,
        batch: int = 100,
        lr: float = 1e-4,
        backbone_lr: float = 1e-5,
    ) -> None:
        change = transforms.Compose(
            [
                transforms.ColorJitter(brightness=0.3, contrast=0.3),
                transforms.GaussianBlur(3, (0.1, 2.0)),
            ]
        )
        loader = DataLoader(
            SliceDataset(data, change),
            batch_size=batch,
            shuffle=True,
            num_workers=2,
            collate_fn=_collate,
            persistent_workers=True,
        )
        network = network.to(device)
        _freeze(network)
        named = list(network.named_parameters())
        groups = [
            {"params": [each for name, each in named if "backbone" not in name]},
            {"params": [each for name, each in named if "backbone" in name], "lr": backbone_lr},
        ]
        optimiser = torch.optim.AdamW(groups, lr=lr, weight_decay=_WEIGHT_DECAY)
        super().__init__(network, loader, optimiser, device)
        self._half = device.type == "cuda"
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._half)
        self._mean = torch.tensor(_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(_STD, device=device).view(3, 1, 1)

    def _step(self, batch: tuple[Tensor, list[dict[str, Tensor]]]) -> float:
        pixels, targets = batch
        pixels = (pixels.to(self._device) - self._mean) / self._std
        labels = [{name: each.to(self._device) for name, each in one.items()} for one in targets]
        self._optimiser.zero_grad()
        with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._half):
            loss = self.network(pixel_values=pixels, labels=labels).loss
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return float(loss.item())


def _freeze(network: Any) -> None:
    """Freeze the stem and the first stages."""
    backbone = network.model.backbone.model
    for part in (backbone.embedder, *backbone.encoder.stages[:_FROZEN_STAGES]):
        part.requires_grad_(False)


def _collate(items: list[Item]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    pixels = torch.stack([image for image, _ in items])
    height, width = pixels.shape[-2:]
    sides = torch.tensor([width, height, width, height])
    targets = []
    for _, xyxy in items:
        centres, sizes = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
        boxes = torch.cat([centres, sizes], dim=1) / sides
        targets.append({"class_labels": torch.zeros(len(xyxy), dtype=torch.long), "boxes": boxes})
    return pixels, targets
