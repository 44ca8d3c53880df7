"""Metrics logs as the trainers write them, of every kind of network, made up in no time."""

from collections.abc import Sequence

PLACE = {"kind": "epoch", "phase": 1, "of": 3, "step": 2, "steps": 2, "time": 1.0}
BOXES = ("precision", "recall", "f1", "ap", "ap50")
MASKS = tuple(f"mask_{name}" for name in BOXES)
OF_OURS = (*BOXES, "ap75", "ar100", "any_hit_precision", "any_hit_recall", "any_hit_f1")
# By family: the parts of the loss, the metrics of validation, and the groups of parameters.
LOGGED: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "yolo": (("box", "class", "dfl"), BOXES, ("lr", "lr_bn", "lr_bias")),
    "yolo-seg": (("box", "class", "dfl", "mask"), (*BOXES, *MASKS), ("lr", "lr_bn", "lr_bias")),
    "detr": (("class", "l1", "giou"), OF_OURS, ("lr", "lr_backbone")),
    "faster_rcnn": (("objectness", "proposal_box", "class", "box"), OF_OURS, ("lr", "lr_backbone")),
    "retinanet": (("class", "box"), OF_OURS, ("lr", "lr_backbone")),
    "classifier": (
        ("cross_entropy", "focal", "accuracy"),
        ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"),
        ("lr",),
    ),
    "of another package": (("stretch",), ("found_breaks",), ("lr",)),
}


def lines_of(
    parts: Sequence[str], metrics: Sequence[str], rates: Sequence[str], best: int = 2
) -> list[dict[str, object]]:
    """An epoch 0 and three more, as the trainers log them."""
    valid = [f"val_{name}" for name in dict.fromkeys(("loss", *parts, *metrics))]
    start = {**PLACE, "epoch": 0, "step": 0, "steps": 0, "best": False}
    lines = [{**start, **dict.fromkeys(valid, 0.9), "validation_seconds": 1.0}]
    for epoch in (1, 2, 3):
        numbers = dict.fromkeys(("loss", *parts, *valid, *rates), 1.0 / epoch)
        lines.append({**PLACE, "epoch": epoch, **numbers, "seconds": 9.0, "best": epoch <= best})
    return lines
