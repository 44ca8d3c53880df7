"""The check before a training: are data and settings sound, and what time and room will it take?

Time and memory are measured in a few steps on random images of the size and batch that the config
asks for. Reading and augmenting real images is not included, nor is validation.
"""

import resource
import shutil
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from fracture_core import importing
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.errors import WorkbenchError
from fracture_core.settings import settings
from trainers.checks import (
    check_classes,
    check_data,
    check_monitor,
    checkpoint_bytes,
    fit_machine,
)
from trainers.config import Phase, TrainConfig
from trainers.families import build_module
from trainers.family_configs import ClassifierConfig, YoloConfig
from trainers.label_map import class_names
from trainers.trackers import check_trackers
from trainers.training_module import Batch

_STEPS = 3
Level = Literal["ok", "warning", "error"]


class Finding(BaseModel):
    """The result of one check, as a sentence for a person."""

    model_config = ConfigDict(frozen=True)

    level: Level
    text: str


class Preflight(BaseModel):
    """The results of all checks and, where none is an error, what was measured.

    `parameters` of the network · `step_seconds` of one optimiser step · `steps` and `seconds` of
    all epochs of all phases · `memory_bytes` at the peak, of the GPU or else of the process ·
    `disk_bytes` of the packed data set and the checkpoints.
    """

    model_config = ConfigDict(frozen=True)

    findings: tuple[Finding, ...]
    classes: tuple[str, ...] = ()
    parameters: int = 0
    step_seconds: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    device: str = ""

    @property
    def may_start(self) -> bool:
        """Whether no check found an error."""
        return not any(finding.level == "error" for finding in self.findings)


def preflight(config: TrainConfig) -> Preflight:
    """Check everything that a config asks for, and measure a few steps.

    What is wrong is a finding of the level "error", and no exception.
    """
    findings: list[Finding] = []
    try:
        config, told = fit_machine(config)
        findings += [_warning(told)] if told else []
        check_trackers(config)
        dataset = open_dataset(config.data)
        classes = class_names(dataset, config)
        check_data(config, dataset)
        check_classes(config, classes)
        findings += _about_data(config, dataset)
        findings += _about_settings(config, dataset, classes)
        step, network = _build(config, classes)
        findings.append(_ok("The network can be built."))
        if getattr(network, "end2end", False):
            findings.append(_ok("It proposes each finding once: nms_iou has no effect."))
        measured = _measure(config, dataset, step, network, classes)
    except WorkbenchError as error:
        return Preflight(findings=(*findings, Finding(level="error", text=str(error))))
    except torch.OutOfMemoryError:
        text = "One step does not fit into memory: lower batch or input_size, or raise accumulate."
        return Preflight(findings=(*findings, Finding(level="error", text=text)))
    room = _about_room(measured.disk_bytes)
    return measured.model_copy(update={"findings": (*findings, room)})


def _about_data(config: TrainConfig, dataset: Dataset) -> list[Finding]:
    findings = []
    counts = dataset.summary()
    for name in (config.train_split, config.valid_split):
        split = counts[name]
        text = (
            f"{name}: {split.images:,} images, {split.with_findings:,} with findings, "
            f"{split.empty:,} without"
        )
        findings.append(_ok(f"{text}."))
        if split.unknown:
            left_out = f"{name}: {split.unknown:,} images of unknown ground truth will be left out."
            findings.append(_warning(left_out))
        if not isinstance(config, ClassifierConfig) and not split.empty:
            text = f"{name}: every image has a finding: specificity cannot be measured on it."
            findings.append(_warning(text))
    if not counts.get(config.test_split):
        text = f"No split {config.test_split!r}: the final metrics will be those of validation."
        findings.append(_warning(text))
    findings += [_warning(text) for text in dataset.warnings]
    return findings


def _about_settings(
    config: TrainConfig, dataset: Dataset, classes: tuple[str, ...]
) -> list[Finding]:
    """Settings that have no effect or not the one that is meant."""
    texts = [_about_warmup(phase, _epoch_steps(config, dataset)) for phase in config.phases]
    if isinstance(config, ClassifierConfig):
        texts.append(config.classification.without_effect(classes))
    return [_warning(text) for text in texts if text]


def _about_warmup(phase: Phase, epoch_steps: int) -> str:
    steps, warmup = phase.epochs * epoch_steps, phase.warmup(epoch_steps)
    if not warmup or warmup < steps:
        return ""
    return (
        f"The learning rate never leaves its warm-up of {warmup:,} steps, as all {phase.epochs:,} "
        f"epochs have {steps:,}: lower warmup_steps, or set it to 0 and warmup_epochs to a tenth "
        "of the epochs."
    )


def _epoch_steps(config: TrainConfig, dataset: Dataset) -> int:
    """How many steps an epoch has."""
    split = dataset.summary()[config.train_split]
    return -(-_limited(config, split.images - split.unknown) // config.batch)


def _build(config: TrainConfig, classes: tuple[str, ...]) -> tuple[Callable[[], Tensor], nn.Module]:
    """A function that computes a loss to call backward on, and the network on its device."""
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    part = -(-config.batch // config.accumulate)
    if isinstance(config, YoloConfig):
        with importing.LOCK:
            from trainers.yolo import build_checked

        network: nn.Module = build_checked(config, classes).network.to(device).train()
        side = -(-config.input_size // 32) * 32
        pixels = torch.rand(part, 3, side, side, device=device)
        return lambda: _sum(network(pixels)), network
    with importing.LOCK:
        from trainers.classification import ClassifierModule

    module = build_module(config, classes, "preflight").to(device)
    check_monitor(config)
    module.freeze(config.frozen_stages, config.frozen_names)
    module.train()
    if isinstance(module, ClassifierModule):
        module.set_class_counts([1] * len(classes))
    batch = _random_batch(part, *module.size_of(config.input_size, config.input_size), device)
    return lambda: module(batch)["loss"], module.network


def _random_batch(count: int, height: int, width: int, device: torch.device) -> Batch:
    drawn = torch.Generator().manual_seed(0)
    corner = torch.tensor([width, height], dtype=torch.float32)
    low, high = corner * 0.25, corner * 0.6
    return Batch(
        pixels=torch.rand(count, 1, height, width, generator=drawn) * 255,
        sizes=torch.tensor([[height, width]]).repeat(count, 1),
        boxes_xyxy=torch.cat([low, high]).expand(count, 1, 4).clone(),
        labels=torch.zeros(count, 1, dtype=torch.int64),
        image_classes=torch.zeros(count, dtype=torch.int64),
        rows=torch.arange(count),
    ).to(device)


def _measure(
    config: TrainConfig,
    dataset: Dataset,
    loss: Callable[[], Tensor],
    network: nn.Module,
    classes: tuple[str, ...],
) -> Preflight:
    device = next(network.parameters()).device
    precision = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(config.precision)
    seconds = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        for _ in range(config.accumulate):
            with torch.autocast(device.type, precision, enabled=precision is not None):
                value = loss()
            value.backward()  # type: ignore[no-untyped-call]
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        network.zero_grad(set_to_none=True)
    counts = dataset.summary()
    images = {
        name: _limited(config, counts[name].images - counts[name].unknown)
        for name in (config.train_split, config.valid_split)
    }
    steps = _epoch_steps(config, dataset)
    epochs = sum(phase.epochs for phase in config.phases)
    parameters = sum(each.numel() for each in network.parameters())
    packed = sum(images.values()) * config.input_size**2
    # The first step is left out: it also allocates memory and chooses kernels.
    step = median(seconds[1:])
    return Preflight(
        findings=(),
        classes=classes,
        parameters=parameters,
        step_seconds=step,
        steps=steps * epochs,
        seconds=step * steps * epochs,
        memory_bytes=_peak_bytes(device),
        disk_bytes=packed + checkpoint_bytes(parameters),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
    )


def _limited(config: TrainConfig, count: int) -> int:
    return min(count, config.limit) if config.limit else count


def _about_room(needed: int) -> Finding:
    home = settings().home
    there = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    text = f"Disk: about {needed / 1e9:.2f} GB needed, {free / 1e9:.1f} GB free."
    return Finding(level="error" if needed > free else "ok", text=text)


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in kilobytes, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def _sum(output: object) -> Tensor:
    """A number that depends on all of a network's outputs, so that it has all the gradients."""
    if isinstance(output, Tensor):
        return output.float().mean()
    if isinstance(output, dict):
        return _sum(list(output.values()))
    if isinstance(output, list | tuple):
        return torch.stack([_sum(each) for each in output]).sum()
    raise TypeError(f"expected tensors, found {type(output).__name__}")


def _ok(text: str) -> Finding:
    return Finding(level="ok", text=text)


def _warning(text: str) -> Finding:
    return Finding(level="warning", text=text)
