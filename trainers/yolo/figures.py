"""What Ultralytics' validation finds, by our names, and which epoch is the best by it."""

from collections.abc import Mapping

from fracture_core.errors import ConfigError
from fracture_core.metrics.summary import defined
from fracture_core.models.cards import Task
from trainers.family_configs import YoloConfig

_BOXES = ("loss", "ap", "ap50")
_MASKS = ("mask_ap", "mask_ap50")
_FIGURES = {
    "ap": "metrics/mAP50-95(B)",
    "ap50": "metrics/mAP50(B)",
    "mask_ap": "metrics/mAP50-95(M)",
    "mask_ap50": "metrics/mAP50(M)",
}


def check_monitor(config: YoloConfig, task: Task) -> None:
    """Raises ConfigError for a figure that Ultralytics' validation does not give."""
    known = _BOXES + (_MASKS if task == "segment" else ())
    if config.monitor not in known:
        expected = f"one of {', '.join(known)} to {task} with YOLO"
        raise ConfigError("monitor", expected=expected, found=repr(config.monitor))


def read_figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """The figures that can be watched, by our names; the loss is that of validation.

    What is no number is left out: norms that have seen few batches can drive the loss beyond all.
    """
    found = {name: float(metrics[key]) for name, key in _FIGURES.items() if key in metrics}
    loss = float(sum(value for key, value in metrics.items() if key.startswith("val/")))
    return defined({**found, "loss": loss})
