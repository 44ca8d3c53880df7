"""Slices of the RSNA layout, read one by one as in R1 and R2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

TRAIN = 0
Item = tuple[Tensor, Tensor]


class SliceDataset(Dataset[Item]):
    """The training split: (3, H, W) float32 in [0, 1], and (n, 4) boxes xyxy in pixels.

    The file is opened once by each worker and stays open.
    """

    def __init__(self, path: Path, change: Callable[[Tensor], Tensor] | None = None) -> None:
        self._path = path
        self._change = change
        self._file: Any = None
        with h5py.File(path, "r") as file:
            self._rows = np.flatnonzero(file["split"][:] == TRAIN)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        if self._file is None:
            self._file = h5py.File(self._path, "r")
        row = self._rows[index]
        image = self._file["images"][row].astype(np.float32)
        low, high = image.min(), image.max()
        image = (image - low) / max(high - low, 1e-6)
        pixels = torch.from_numpy(image).unsqueeze(0).repeat(3, 1, 1)
        if self._change is not None:
            pixels = self._change(pixels)
        boxes = torch.from_numpy(self._file["bboxes"][row])
        boxes = boxes[(boxes[:, 2] > 0) & (boxes[:, 3] > 0)]
        return pixels, torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
