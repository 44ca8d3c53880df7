"""Speed of our training loop beside the published ones, rebuilt: images per second, file to step.

Both train the same network from the same weights on the same demo data, an epoch each in turn, in
one process; the first epoch of each is not counted. Speeds are medians over the other epochs, and
the ratio is the median of the ratios of each turn. Packing is timed by itself. On a GPU everything
has the published size; without one small networks show that it runs. `python -m benchmarks
training:R1:small` measures one system at one of the two sizes.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.rows import Row
from benchmarks.training_data import own_home
from benchmarks.training_systems import SYSTEMS, Changes, Pair, Size, build_pair
from fracture_core.runs import RunFolder
from trainers.config import TrainConfig
from trainers.metrics_log import Line, MetricsLog

ROUNDS = {"published": 3, "small": 5}
SIZES = {
    "published": {
        "R1": Size(
            drawn=40, train=4000, valid=48, side=256, changes={"network.name": "detr:random"}
        ),
        "R2": Size(drawn=40, train=400, valid=48, side=256),
        "R4": Size(drawn=120, train=1920, valid=64, side=640),
    },
    "small": {
        "R1": Size(
            drawn=17,
            train=256,
            valid=24,
            side=128,
            changes={
                "network.name": "detr:tiny",
                "input_size": 128,
                "batch": 32,
                "precision": "float32",
            },
        ),
        "R2": Size(
            drawn=17,
            train=48,
            valid=24,
            side=128,
            changes={
                "network": {
                    "name": "fasterrcnn_light",
                    "backbone_width": 8,
                    "pyramid_width": 16,
                    "head_width": 32,
                },
                "input_size": 160,
            },
        ),
        "R4": Size(
            drawn=60,
            train=96,
            valid=16,
            side=256,
            changes={"network.name": "efficientnet_b0", "input_size": 64, "batch": 16},
        ),
    },
}
# What our loop can do on a GPU beside what it does by default; the reference has none of it.
FAST: Changes = {"precision": "bfloat16", "compile": True}
AT_LEAST = {"R1": 10.0, "R2": 5.0, "R4": 4.0}


def main(*asked: str) -> list[Row]:
    """Return the rows of the systems in `asked`, at the size in it; exits for an unknown word.

    Without systems all are measured; without a size, the published one on a GPU, else the small.
    """
    if unknown := set(asked) - set(SYSTEMS) - set(SIZES):
        raise SystemExit(f"training: expected of {(*SYSTEMS, *SIZES)}, found {sorted(unknown)}")
    usual = "published" if torch.cuda.is_available() else "small"
    scale = next((each for each in asked if each in SIZES), usual)
    systems = [each for each in SYSTEMS if each in asked] or SYSTEMS
    if scale == "small":
        # With networks this small more threads would be slower.
        torch.set_num_threads(1)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"\ntraining, {scale} size, {device}, {torch.get_num_threads()} threads of torch")
    with own_home() as folder:
        return [row for system in systems for row in _compare(system, scale, folder)]


def _compare(system: str, scale: str, folder: Path) -> list[Row]:
    size = SIZES[scale][system]
    data = size.write(system, folder / system)
    variants: list[Changes] = [{}]
    if torch.cuda.is_available():
        variants.append(FAST)
    rows: list[Row] = []
    for number, changes in enumerate(variants):
        epochs = {"epochs": ROUNDS[scale] + 1}
        run = folder / f"{system}-{number}"
        pair = build_pair(system, size, data, run, {**changes, **epochs})
        if number == 0:
            name = f"{system}: packing {len(pair.train):,} images, once"
            rows.append(Row(name=name, value=pair.packing_seconds, unit="s"))
        # The goal is set for our loop with its fastest settings.
        goal = AT_LEAST[system] if scale == "published" and changes else None
        rows += _rows(system, pair, goal)
        # Freed before the next one is built, so that two need not fit into memory.
        del pair
    return rows


def _rows(system: str, pair: Pair, goal: float | None) -> list[Row]:
    theirs, ours = _take_turns(pair)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    name = f"{system}, ours with {_flags(pair)}"
    return [
        Row(name=f"{system}, reference", value=statistics.median(theirs), unit="/s"),
        Row(name=name, value=statistics.median(ours), unit="/s"),
        Row(name=f"{name}: ratio", value=statistics.median(ratios), unit="×", least=goal),
    ]


def _take_turns(pair: Pair) -> tuple[list[float], list[float]]:
    """Images per second of the reference and of our loop, in each epoch after the first."""
    theirs: list[float] = []

    def train_reference() -> None:
        _wait_for_device()
        began = time.perf_counter()
        pair.reference.epoch()
        _wait_for_device()
        theirs.append(len(pair.train) / (time.perf_counter() - began))

    with _Turns(pair.run, train_reference) as log:
        pair.loop.run(log)
    return theirs[1:], log.speeds[1:]


class _Turns(MetricsLog):
    """A metrics log that lets the reference train an epoch after each of ours."""

    def __init__(self, run: RunFolder, other: Callable[[], None]) -> None:
        super().__init__(run)
        self._other = other
        self.speeds: list[float] = []

    def epoch(self, line: Line) -> None:
        # Written to the file, but not printed: only the table is.
        self.write({"kind": "epoch", **line})
        if line["epoch"] == 0:
            return
        self.speeds.append(float(str(line["pictures_per_second"])))
        self._other()


def _flags(pair: Pair) -> str:
    config: TrainConfig = pair.config
    if not torch.cuda.is_available():
        return config.precision
    names = ("compile", "channels_last", "fused", "data_on_device")
    return ", ".join([config.precision, *(name for name in names if getattr(config, name))])


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
