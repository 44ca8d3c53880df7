"""Small YOLO networks with random weights whose scores and boxes spread, and files of them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fracture_core.models import quiet_ultralytics
from fracture_core.types import Detections, Sample, Window

# Networks as small as these gain nothing from threads, and lose much where others want them too.
torch.set_num_threads(1)

CLASSES = ("wrist", "elbow", "shoulder")
INPUT_SIZE = 160


def image(height: int = 120, width: int = 150, seed: int = 0) -> np.ndarray:
    """(H, W) uint8 noise with structure at several scales."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = sum(
        np.sin(rows / rng.uniform(4, 40) + rng.uniform(0, 6))
        * np.cos(columns / rng.uniform(4, 40) + rng.uniform(0, 6))
        for _ in range(6)
    )
    noisy = 128 + 35 * waves + rng.normal(0, 12, (height, width))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def sample(
    pixels: np.ndarray, windows: tuple[Window, ...] = (), ground_truth: Detections | None = None
) -> Sample:
    height, width = pixels.shape
    return Sample(
        sample_id=f"{height}x{width}",
        group_id="g",
        height=height,
        width=width,
        read=lambda: pixels,
        windows=windows,
        ground_truth=ground_truth,
    )


def yolo_network(name: str, *, mean_logit: float = -8.0, seed: int = 0) -> Any:
    """An Ultralytics network of three classes; boxes of a few strides, scores from 0 to 1."""
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    kind = tasks.SegmentationModel if "-seg" in name else tasks.DetectionModel
    with quiet_ultralytics.LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(name, nc=len(CLASSES), verbose=False).eval()
        network.names = dict(enumerate(CLASSES))
        _spread(network, mean_logit)
    return network


@torch.no_grad()
def _spread(network: Any, mean_logit: float) -> None:
    """Calibrate the batch norms on an image and scale the head's last layers."""
    grey = np.stack([image(256, 256, seed) for seed in range(4)])
    pixels = torch.from_numpy(grey)[:, None].expand(-1, 3, -1, -1) / 255
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    network.train()
    network(pixels)
    network.eval()
    head = network.model[-1]
    branches = [(head.cv2, head.cv3)]
    if getattr(head, "one2one_cv2", None) is not None:
        branches.append((head.one2one_cv2, head.one2one_cv3))
    for box_branch, class_branch in branches:
        for boxes, classes in zip(box_branch, class_branch, strict=True):
            classes[-1].weight.mul_(_gain(network, pixels, classes[-1], 6.0))
            classes[-1].bias.fill_(mean_logit)
            boxes[-1].weight.mul_(_gain(network, pixels, boxes[-1], 1.0))
            bins = boxes[-1].bias.view(4, -1)
            count = bins.shape[1]
            # Distances of some three strides, spread over the bins around.
            bins.copy_(-0.25 * (torch.arange(count) - 3) ** 2 if count > 1 else torch.tensor(3.0))


def _gain(network: Any, pixels: torch.Tensor, layer: torch.nn.Conv2d, deviation: float) -> float:
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network(pixels)
    hook.remove()
    return deviation / float(seen[0].std().clamp(min=1e-6))


def save_checkpoint(network: Any, path: Path, *, half: bool = True, **more: Any) -> Path:
    """A file as Ultralytics' trainer writes it: the averaged network in half precision."""
    saved = copy.deepcopy(network)
    saved = saved.half() if half else saved
    content = {"epoch": -1, "best_fitness": 0.5, "model": None, "ema": saved, "optimizer": None}
    content |= {"train_args": {"imgsz": INPUT_SIZE, "task": "detect"}, "version": "8.4", **more}
    torch.save(content, path)
    return path
