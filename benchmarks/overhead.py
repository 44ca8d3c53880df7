"""Overhead of each family's adapter: `predict` against the bare forward pass of the same network.

Both see the same eight images, which are as large as the network's input; `predict` begins with the
samples and ends with detections, the bare pass begins with the tensor. They take turns, and the
median of the ratios counts. Memory is the peak of a process that does one or the other, on a CPU
above what it held before.
"""

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row
from fracture_core.models.base import Model
from fracture_core.models.families import family
from fracture_core.types import SCORE_FLOOR, Sample

BATCH = 8
CANDIDATES = 100
ROUNDS = 9
SLOWER_AT_MOST = 1.10
LARGER_AT_MOST = 1.2
# Networks that are used in practice, yet small enough for a machine without a GPU.
NETWORKS = {
    "faster_rcnn": ("fasterrcnn_mobilenet_v3_large_320_fpn", 320),
    "yolo": ("yolov8n.yaml", 640),
    "yolo segment": ("yolov8n-seg.yaml", 640),
    "yolo end to end": ("yolov10n.yaml", 640),
    "hf_detr": ("detr:random", 320),
    "scratch_detr": ("scratch:random", 320),
    "efficientnet_gate": ("efficientnet_b0", 224),
    "resnet": ("resnet18", 224),
}


def main() -> list[Row]:
    """Return time and memory of each family, as multiples of the bare forward pass."""
    return [row for case in NETWORKS for row in (_time(case), _memory(case))]


def _time(case: str) -> Row:
    predict, bare = _pair(case)
    for act in (predict, bare):
        act()
    ratios = []
    for turn in range(ROUNDS):
        first, second = (predict, bare) if turn % 2 else (bare, predict)
        seconds = {first: _seconds(first), second: _seconds(second)}
        ratios.append(seconds[predict] / seconds[bare])
    name = f"{case}, {NETWORKS[case][0]}: time of predict"
    return Row(name=name, value=statistics.median(ratios), unit="×", limit=SLOWER_AT_MOST)


def _memory(case: str) -> Row:
    """The row of memory; its value is NaN where neither CUDA nor Linux counts the peak."""
    peaks = [_peak_elsewhere(case, which) for which in (0, 1)]
    name = f"{case}, {NETWORKS[case][0]}: memory of predict"
    if None in peaks:
        return Row(name=f"{name} (not measured here)", value=float("nan"), unit="×")
    predict, bare = peaks
    return Row(name=name, value=predict / bare, unit="×", limit=LARGER_AT_MOST)


def _seconds(act: Callable[[], object]) -> float:
    _wait_for_device()
    start = time.perf_counter()
    act()
    _wait_for_device()
    return time.perf_counter() - start


def _wait_for_device() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _pair(case: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """`predict` and the bare forward pass, on the same network and images."""
    import torch

    name, size = NETWORKS[case]
    model: Any = _model(case.split(maxsplit=1)[0], name, size)
    samples = [_sample(seed, size) for seed in range(BATCH)]
    network = model._network
    with torch.no_grad():
        prepared = [model._prepare(sample) for sample in samples]
        if model.card.family == "faster_rcnn":
            pixels = [
                torch.from_numpy(one.shown).float().expand(3, -1, -1) / 255 for one in prepared
            ]
            pixels = [one.to(model._device) for one in pixels]
        else:
            pixels = model._pixels(prepared)

    @torch.inference_mode()
    def bare() -> object:
        return network(pixels)

    return lambda: model.predict(samples), bare


def _model(family_name: str, name: str, size: int) -> Model:
    made: Any = family(family_name).from_name(name)
    if family_name == "yolo":
        return _spread_yolo(made, name)
    if made.card.input_size == size:
        return made
    return type(made)(made.card.model_copy(update={"input_size": size}), made._network)


def _spread_yolo(made: Any, name: str) -> Model:
    """A YOLO with spread scores and shifted biases, so that it finds about CANDIDATES in an image.

    With random weights alone it finds nothing.
    """
    import torch

    threads = torch.get_num_threads()
    from tests.support.yolo_files import CLASSES, yolo_network

    # Importing the tests' helper sets one thread, for their tiny networks.
    torch.set_num_threads(threads)
    network = yolo_network(name)
    network.end2end = not made.card.needs_nms
    card = made.card.model_copy(update={"classes": CLASSES})
    model = type(made)(card, network)
    sample = _sample(0, card.input_size)
    with torch.no_grad():
        _, predictions = model._run(model._pixels([model._prepare(sample)]))
        best = predictions["scores"][0].amax(dim=0).sort(descending=True).values
        head = network.model[-1]
        branches = (head.one2one if head.end2end else head.one2many)["cls_head"]
        for branch in branches:
            branch[-1].bias += math.log(SCORE_FLOOR) - best[CANDIDATES]
    return model


def _sample(seed: int, size: int) -> Sample:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    waves = np.sin(rows / rng.uniform(4, 40)) * np.cos(columns / rng.uniform(4, 40))
    pixels = np.clip(128 + 70 * waves + rng.normal(0, 12, (size, size)), 0, 255).astype(np.uint8)
    return Sample(sample_id=str(seed), group_id="g", height=size, width=size, read=lambda: pixels)


def _peak_elsewhere(case: str, which: int) -> int | None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_bytes, (case, which))


def _peak_bytes(case: str, which: int) -> int | None:
    """The peak memory of `predict` (0) or the bare pass (1) in bytes; None = it is not counted."""
    import torch

    if torch.cuda.is_available():
        act = _pair(case)[which]
        torch.cuda.reset_peak_memory_stats()
        act()
        return torch.cuda.max_memory_allocated()
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    _pair(case)
    before = _status_bytes("VmRSS")
    act = _pair(case)[which]
    reset.write_text("5")
    act()
    return _status_bytes("VmHWM") - before


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
