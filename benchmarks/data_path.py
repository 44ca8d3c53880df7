"""Speed of batches for training: the data path of the trainers against a plain loader as in R1.

The plain loader is what a simple training script has: a DataLoader with two workers, the HDF5 file
opened for every slice, float32, three equal channels, and torchvision's ColorJitter and
GaussianBlur image by image. Ours makes the same changes to the same slices in batches of the same
size, packed beforehand, in one channel as the trainers' networks take them, and once more spread to
three and scaled to [0, 1]. They take turns in one process, an epoch each; the median of the ratios
counts. The cost of packing, once for each data set, is a row of its own.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.rows import Row
from fracture_core.datasets import open_dataset
from fracture_core.demo.layouts import write_demo
from fracture_core.settings import settings
from trainers.config import Augment
from trainers.data_set_cache import pack_split
from trainers.family_configs import make_config
from trainers.packed import Packed
from trainers.sources import Source

STUDIES = 30
BATCH = 100
WORKERS = 2
ROUNDS = 5
LEAST_RATIO = 10
AUGMENT = Augment(brightness=0.3, contrast=0.3, blur=1.0, blur_sigma=(0.1, 2.0))


class PlainSlices(Dataset[tuple[Tensor, Tensor]]):
    """Slices as a plain script reads them: (3, H, W) float32 in [0, 1] and (M, 4) boxes."""

    def __init__(self, path: Path, rows: list[int]) -> None:
        self.path = path
        self.rows = rows
        self.change = v2.Compose(
            [v2.ColorJitter(brightness=0.3, contrast=0.3), v2.GaussianBlur(3, (0.1, 2.0))]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = self.rows[index]
        with h5py.File(self.path, "r") as file:
            image, boxes = file["images"][row], file["bboxes"][row]
        channels = torch.from_numpy(np.stack([image] * 3))
        return self.change(channels), torch.from_numpy(boxes)


def main() -> list[Row]:
    """Return the images per second of both loaders and of packing, and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FRACTURE_HOME"] = folder
        settings.cache_clear()
        try:
            return _compare(write_demo(Path(folder) / "demo", count=STUDIES, format="hdf5"))
        finally:
            del os.environ["FRACTURE_HOME"]
            settings.cache_clear()


def _compare(path: Path) -> list[Row]:
    dataset = open_dataset(path)
    config = make_config({"family": "hf_detr", "data": str(path)}, "benchmark")
    start = time.perf_counter()
    packed = pack_split(dataset, config, "train", lambda height, width: (height, width))
    packing = len(packed) / (time.perf_counter() - start)
    rows = [dataset.ids.index(each) for each in packed.ids]
    slices = PlainSlices(dataset.path if path.is_file() else next(path.glob("*.h5")), rows)
    loader = DataLoader(slices, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = Source(packed, device)
    paths: dict[str, Callable[[], Iterator[Tensor]]] = {
        "plain": lambda: (pixels.to(device) for pixels, _ in loader),
        "ours": lambda: _batches(source),
        "three": lambda: (pixels.expand(-1, 3, -1, -1).mul(1 / 255) for pixels in _batches(source)),
    }
    speeds = _speeds(paths, packed)
    name = f"R1's slices and changes, batch {BATCH}"
    return [
        Row(name=f"{name}: plain loader", value=_median(speeds["plain"]), unit="images/s"),
        Row(name=f"{name}: packed", value=_median(speeds["ours"]), unit="images/s"),
        Row(
            name=f"{name}: packed, three channels", value=_median(speeds["three"]), unit="images/s"
        ),
        Row(name="packed / plain", value=_ratio(speeds, "ours"), unit="×", least=LEAST_RATIO),
        Row(name="packed, three channels / plain", value=_ratio(speeds, "three"), unit="×"),
        Row(name="packing, once", value=packing, unit="images/s"),
    ]


def _batches(source: Source) -> Iterator[Tensor]:
    order = torch.randperm(len(source)).tolist()
    starts = range(0, len(source), BATCH)
    steps = (
        (order[start : start + BATCH], torch.Generator().manual_seed(start)) for start in starts
    )
    return (batch.pixels for batch in source.batches(steps, AUGMENT))


def _speeds(
    paths: dict[str, Callable[[], Iterator[Tensor]]], packed: Packed
) -> dict[str, list[float]]:
    """The images per second in each round but the first, which starts the workers."""
    speeds: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(ROUNDS + 1):
        for name, path in paths.items():
            start = time.perf_counter()
            count = sum(len(pixels) for pixels in path())
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            speeds[name].append(count / (time.perf_counter() - start))
            assert count == len(packed)
    return {name: metrics[1:] for name, metrics in speeds.items()}


def _median(metrics: list[float]) -> float:
    return statistics.median(metrics)


def _ratio(speeds: dict[str, list[float]], name: str) -> float:
    pairs = zip(speeds[name], speeds["plain"], strict=True)
    return _median([ours / plain for ours, plain in pairs])
