"""R2: torchvision's Faster R-CNN on CT slices, first phase."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.reference.loop import ReferenceLoop
from benchmarks.reference.slices import Item, SliceDataset

_WEIGHT_DECAY = 1e-4
_EPOCHS_A_REDUCTION = 3
_REDUCTION = 0.1
# The stages of the backbone that torchvision trains where it begins from COCO's weights.
_TRAINED = ("layer2", "layer3", "layer4")


class R2Loop(ReferenceLoop):
    """Trains R2: no workers, float32; the network normalises and enlarges its images itself."""

    def __init__(
        self,
        network: Any,
        data: Path,
        device: torch.device,
        *,
        batch: int = 8,
        lr: float = 1e-4,
    ) -> None:
        loader = DataLoader(SliceDataset(data), batch_size=batch, shuffle=True, collate_fn=_collate)
        network = network.to(device)
        self._frozen = [
            part for name, part in network.backbone.body.items() if name not in _TRAINED
        ]
        for part in self._frozen:
            part.requires_grad_(False)
        optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=_WEIGHT_DECAY)
        super().__init__(network, loader, optimiser, device)
        self._schedule = torch.optim.lr_scheduler.StepLR(
            optimiser, step_size=_EPOCHS_A_REDUCTION, gamma=_REDUCTION
        )

    def epoch(self) -> None:
        super().epoch()
        self._schedule.step()

    def _start_training(self) -> None:
        super()._start_training()
        # Norms of frozen stages do not use the batch's statistics, as in our loop.
        for part in self._frozen:
            part.eval()

    def _step(self, batch: list[Item]) -> float:
        images = [image.to(self._device) for image, _ in batch]
        targets = [_target(boxes.to(self._device)) for _, boxes in batch]
        losses = self.network(images, targets)
        loss = sum(losses.values())
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.item())


def _target(boxes_xyxy: Tensor) -> dict[str, Tensor]:
    labels = torch.ones(len(boxes_xyxy), dtype=torch.long, device=boxes_xyxy.device)
    return {"boxes": boxes_xyxy, "labels": labels}


def _collate(items: list[Item]) -> list[Item]:
    return items
