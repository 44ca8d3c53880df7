"""Between our training config and Ultralytics: its metrics by our names, its options from ours.

What Ultralytics' trainer cannot do is refused, and not passed over.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fracture_core.errors import ConfigError
from fracture_core.metrics.summary import defined
from fracture_core.models import quiet_ultralytics
from fracture_core.models.cards import Task
from trainers.config import Augment
from trainers.family_configs import YoloConfig

# ---- metrics ------------------------------------------------------------------------------------

_BOXES = ("loss", "ap", "ap50")
_MASKS = ("mask_ap", "mask_ap50")
_METRICS = {
    f"{prefix}{name}": f"metrics/{theirs}({kind})"
    for kind, prefix in (("B", ""), ("M", "mask_"))
    for name, theirs in (
        ("ap", "mAP50-95"),
        ("ap50", "mAP50"),
        ("precision", "precision"),
        ("recall", "recall"),
        # Not among Ultralytics' metrics by name; `mean_f1` puts them there.
        ("f1", "F1"),
    )
}
# Names of parts of the loss where ours are others.
_LOSSES = {"cls": "class", "seg": "mask", "sem": "semantic"}


def check_monitor(config: YoloConfig, task: Task) -> None:
    """Raise ConfigError for a watched metric that Ultralytics' validation does not compute."""
    known = _BOXES + (_MASKS if task == "segment" else ())
    if config.monitor not in known:
        expected = f"one of {', '.join(known)} to {task} with YOLO"
        raise ConfigError("monitor", expected=expected, found=repr(config.monitor))


def read_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of validation by our names; "loss" is the sum of the losses.

    Precision, recall and F1 are means over the classes at the confidence at which the mean F1 is
    highest, as Ultralytics defines them. Values that are not finite are left out: with norms that
    have seen few batches the loss can overflow.

    Example:
        >>> read_metrics({"metrics/mAP50(B)": 0.5, "val/box_loss": 1.0, "val/cls_loss": 2.0})
        {'ap50': 0.5, 'loss': 3.0, 'box': 1.0, 'class': 2.0}
    """
    found = {name: float(metrics[key]) for name, key in _METRICS.items() if key in metrics}
    validated = {key: value for key, value in metrics.items() if key.startswith("val/")}
    return defined({**found, **read_losses(validated)})


def read_losses(items: Mapping[str, Any]) -> dict[str, float]:
    """Return the parts of a loss by our names, after their sum as "loss".

    Example:
        >>> read_losses({"box_loss": 1.0, "seg_loss": 0.5})
        {'loss': 1.5, 'box': 1.0, 'mask': 0.5}
    """
    plain = {key.rpartition("/")[2].removesuffix("_loss"): float(v) for key, v in items.items()}
    parts = {_LOSSES.get(name, name): value for name, value in plain.items()}
    return {"loss": sum(parts.values(), 0.0), **parts}


def mean_f1(metrics: Any) -> dict[str, float]:
    """Return the mean F1 over the classes, of boxes and masks, by names such as Ultralytics has.

    `metrics` are those of its validator; where it found nothing, F1 is 0 as its precision is.
    """
    kinds = {"B": metrics.box, "M": getattr(metrics, "seg", None)}
    return {
        f"metrics/F1({kind})": float(found.f1.mean()) if len(found.f1) else 0.0
        for kind, found in kinds.items()
        if found is not None
    }


def read_rates(groups: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the learning rates of an optimiser's groups: "lr", and "lr_" with the others' names.

    Groups of one name have the rate of the first.

    Example:
        >>> read_rates([{"lr": 0.1, "param_group": "weight"}, {"lr": 0.2, "param_group": "bias"}])
        {'lr': 0.1, 'lr_bias': 0.2}
    """
    first, *others = groups
    rates = {f"lr_{group['param_group']}": float(group["lr"]) for group in reversed(others)}
    return {"lr": float(first["lr"]), **dict(reversed(rates.items()))}


# ---- options ------------------------------------------------------------------------------------

STRIDE = 32
# The parameters of a YoloNetwork that `trainers.yolo.networks` builds the network from; the others
# are settings of Ultralytics' trainer.
_ARCHITECTURE = {"name", "width", "depth"}
_OPTIMISERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
_AMP: dict[str, bool | str] = {"float32": False, "float16": True, "bfloat16": "bf16"}


def check_config(config: YoloConfig) -> None:
    """Raise ConfigError where the config asks for something that Ultralytics' trainer cannot do."""
    if config.input_size < 2 * STRIDE:
        raise ConfigError(
            "input_size", expected=f"at least {2 * STRIDE} pixels", found=f"{config.input_size}"
        )
    for name, expected in _refused(config):
        raise ConfigError(name, expected=expected, found="another", advice="YOLO cannot do that.")


def trainer_options(config: YoloConfig, task: str, *, on_gpu: bool) -> dict[str, Any]:
    """Return Ultralytics' settings of a training; raise ConfigError for a value that it refuses."""
    options: dict[str, Any] = {
        "task": task,
        "mode": "train",
        "epochs": config.epochs,
        "imgsz": whole_strides(config.input_size),
        "batch": max(1, config.batch // config.accumulate),
        "nbs": config.network.nbs or config.batch,
        "lr0": config.lr,
        "optimizer": _OPTIMISERS[config.optimiser],
        "weight_decay": config.weight_decay,
        "cos_lr": config.schedule == "cosine",
        "amp": _AMP[config.precision] if on_gpu else False,
        "channels_last": config.channels_last and on_gpu,
        "compile": config.compile,
        "seed": config.seed,
        "deterministic": True,
        "pretrained": False,
        "plots": False,
        "iou": config.nms_iou,
        **_augmentation(config.augment),
        **config.network.model_dump(exclude={*_ARCHITECTURE, "nbs"}),
    }
    _check_values(options)
    return options


def rate_at(config: YoloConfig, epoch: int) -> float:
    """Return the factor of the learning rate in an epoch (from 0), by the config's schedule."""
    if config.schedule == "step":
        return float(config.schedule_factor ** (epoch // config.schedule_every))
    last = config.network.lrf
    done = min(epoch / config.epochs, 1.0)
    if config.schedule == "cosine":
        last = config.schedule_factor
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2
    return 1 - done * (1 - last)


def whole_strides(side_px: int) -> int:
    """Round a side up to a multiple of the network's stride, 32 pixels.

    Example:
        >>> whole_strides(321)
        352
    """
    return -(-side_px // STRIDE) * STRIDE


def _refused(config: YoloConfig) -> Iterator[tuple[str, str]]:
    yield from _refused_augmentation(config.augment)
    for name in ("backbone_lr", "frozen_epochs", "frozen_names", "second_phase", "trackers"):
        usual = YoloConfig.model_fields[name].default
        if getattr(config, name) != usual:
            yield name, f"{usual or 'none'}"
    if config.schedule == "plateau":
        yield "schedule", "constant, step or cosine"
    if config.schedule != "constant" and config.network.lrf != 1:
        yield "network.lrf", "1 beside a schedule"
    if not config.fused:
        yield "fused", "True: Ultralytics fuses wherever it can"
    if config.batch % config.accumulate:
        yield "accumulate", "parts of equal size"


def _refused_augmentation(augment: Augment) -> Iterator[tuple[str, str]]:
    for name in ("contrast", "blur", "sizes", "crop_sizes"):
        usual = Augment.model_fields[name].default
        if getattr(augment, name) != usual:
            yield f"augment.{name}", f"{usual or 'none'}"
    low, high = augment.scale
    if not math.isclose(1 - low, high - 1, abs_tol=1e-6):
        yield "augment.scale", "as much smaller as larger, such as (0.5, 1.5)"


def _augmentation(augment: Augment) -> dict[str, float]:
    return {
        "fliplr": augment.flip,
        "flipud": augment.flip_vertical,
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        "hsv_v": augment.brightness,
        "degrees": augment.degrees,
        "translate": augment.shift,
        "scale": augment.scale[1] - 1,
        "erasing": 0.0,
    }


def _check_values(options: dict[str, Any]) -> None:
    try:
        quiet_ultralytics.part("ultralytics.cfg").get_cfg(overrides=dict(options))
    except (TypeError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise ConfigError(
            "network", expected="values that Ultralytics takes", found=said
        ) from error
