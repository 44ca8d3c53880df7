"""Validation loss of our loop against that of the published ones, rebuilt, after the same training.

For each of three seeds both train a small network from the same weights, with the same settings and
for as many epochs. Each draws order, augmentation and dropout in its own way, which is the noise
that the difference of the means is compared with. Both networks are validated by the project's own
validator. `python -m benchmarks learning:R1` compares one system.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.rows import Row
from benchmarks.training_data import own_home
from benchmarks.training_systems import SYSTEMS, Pair, Size, build_pair
from trainers.metrics_log import MetricsLog
from trainers.validation import Validator

SEEDS = (0, 1, 2)
# In standard deviations; a t test of three against three at 5 % would let 2.27 pass.
MOST_DEVIATIONS = 2.0
EPOCHS = {"R1": 5, "R2": 5, "R4": 20}
# Learning rates differ from the published ones on both sides, because the networks are small, begin
# with random weights, and see few images.
SIZES = {
    "R1": Size(
        drawn=60,
        train=0,
        valid=0,
        side=128,
        changes={
            "network.name": "detr:tiny",
            "input_size": 128,
            "batch": 8,
            "lr": 1e-3,
            "backbone_lr": 1e-3,
            "precision": "float32",
            "device": "cpu",
        },
    ),
    "R2": Size(
        drawn=20,
        train=64,
        valid=36,
        side=128,
        changes={
            "network": {
                "name": "fasterrcnn_light",
                "backbone_width": 8,
                "pyramid_width": 16,
                "head_width": 32,
            },
            "input_size": 160,
            "lr": 1e-3,
            "device": "cpu",
        },
    ),
    "R4": Size(
        drawn=150,
        train=0,
        valid=0,
        side=128,
        changes={
            "network.name": "efficientnet_b0",
            "input_size": 64,
            "batch": 16,
            "lr": 2e-4,
            "device": "cpu",
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The validation loss before training, after our loop, and after the reference."""

    before: float
    ours: float
    theirs: float


def main(*asked: str) -> list[Row]:
    """Return the rows of the systems in `asked`, none = all; exits for an unknown one."""
    if unknown := set(asked) - set(SYSTEMS):
        raise SystemExit(f"learning: expected of {SYSTEMS}, found {sorted(unknown)}")
    systems = asked or SYSTEMS
    # With networks this small more threads would be slower.
    torch.set_num_threads(1)
    print(f"\nlearning, seeds {SEEDS}, one thread of torch", flush=True)
    with own_home() as folder:
        return [row for system in systems for row in _compare(system, folder)]


def _compare(system: str, folder: Path) -> list[Row]:
    data = SIZES[system].write(system, folder / system)
    outcomes = []
    for seed in SEEDS:
        run = folder / f"{system}-seed-{seed}"
        changes = {"seed": seed, "epochs": EPOCHS[system]}
        outcomes.append(_train_both(build_pair(system, SIZES[system], data, run, changes)))
        print(f"{system}, seed {seed}: {outcomes[-1]}", flush=True)
    return _rows(system, outcomes)


def _train_both(pair: Pair) -> Outcome:
    validator = Validator(pair.config, pair.valid, next(pair.judge.parameters()).device)
    before = validator.metrics(pair.judge)["loss"]
    with MetricsLog(pair.run) as log:
        pair.loop.run(log)
    epochs = [line for line in pair.run.read_metrics() if line["kind"] == "epoch"]
    torch.manual_seed(pair.config.seed)
    for _ in range(pair.config.epochs):
        pair.reference.epoch()
    pair.judge.network.load_state_dict(pair.reference.network.state_dict())
    return Outcome(
        before=before,
        ours=float(str(epochs[-1]["val_loss"])),
        theirs=validator.metrics(pair.judge)["loss"],
    )


def _rows(system: str, outcomes: list[Outcome]) -> list[Row]:
    ours, theirs = [each.ours for each in outcomes], [each.theirs for each in outcomes]
    deviation = statistics.mean((statistics.variance(ours), statistics.variance(theirs))) ** 0.5
    apart = abs(statistics.mean(ours) - statistics.mean(theirs))
    before = statistics.mean(each.before for each in outcomes)
    found = {
        "before": before,
        "reference, mean": statistics.mean(theirs),
        "reference, deviation": statistics.stdev(theirs),
        "ours, mean": statistics.mean(ours),
        "ours, deviation": statistics.stdev(ours),
    }
    rows = [Row(name=f"{system}: {name}", value=value, unit="") for name, value in found.items()]
    name = f"{system}: difference of the means"
    return [*rows, Row(name=name, value=apart / deviation, unit="sd", limit=MOST_DEVIATIONS)]
