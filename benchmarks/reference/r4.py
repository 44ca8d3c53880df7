"""R4: EfficientNet with an attention gate on image files, each of the class in its first label."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.reference.loop import ReferenceLoop

_CLIP_NORM = 1.0
_WEIGHT_DECAY = 1e-2
_FOCAL_SHARE = 0.6
_FOCAL_GAMMA = 2.0
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """The training split of a YOLO folder: (3, S, S) float32 images, normalised, and their classes.

    Images without a label are left out; R4 took them for the first class.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.items = [
            (image, int(lines[0].split()[0]))
            for image in sorted((folder / "train" / "images").iterdir())
            if (lines := _label_lines(image))
        ]
        self._change = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomVerticalFlip(),
                transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.2),
                transforms.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1)),
                transforms.ToTensor(),
                transforms.Normalize(_MEAN, _STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.items[index]
        with Image.open(path) as image:
            return self._change(image.convert("RGB")), label


class R4Loop(ReferenceLoop):
    """Trains R4: two workers, float32, the loss as published: a focal term of the weighted mean."""

    def __init__(
        self,
        network: Any,
        data: Path,
        device: torch.device,
        *,
        batch: int = 32,
        size: int = 224,
        lr: float = 5e-4,
        class_count: int,
    ) -> None:
        dataset = ImageDataset(data, size)
        loader = DataLoader(
            dataset, batch_size=batch, shuffle=True, num_workers=2, persistent_workers=True
        )
        network = network.to(device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=_WEIGHT_DECAY)
        super().__init__(network, loader, optimiser, device)
        counts = np.bincount([label for _, label in dataset.items], minlength=class_count)
        balanced = counts.sum() / (class_count * np.maximum(counts, 1))
        self._weights = torch.tensor(balanced, dtype=torch.float32, device=device)

    def _step(self, batch: tuple[Tensor, Tensor]) -> float:
        pixels, labels = (each.to(self._device) for each in batch)
        self._optimiser.zero_grad()
        loss = self._loss(self.network(pixels).logits, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self._optimiser.step()
        return float(loss.item())

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weighted = functional.cross_entropy(logits, labels, weight=self._weights)
        focal = (1 - torch.exp(-weighted)) ** _FOCAL_GAMMA * weighted
        return (1 - _FOCAL_SHARE) * weighted + _FOCAL_SHARE * focal


def _label_lines(image: Path) -> list[str]:
    label = image.parents[1] / "labels" / f"{image.stem}.txt"
    return label.read_text(encoding="utf-8").split("\n")[0:1] if label.stat().st_size else []
