"""Published weights that a network can begin from, by the names that `start` takes."""

from typing import get_args

from trainers.networks import Mobile

HUB_DETRS = ("facebook/detr-resnet-50", "facebook/detr-resnet-101")
SMALL_DETRS = ("rt_detr:small", "d_fine:small")
_PACKAGED = tuple(f"{name}:IMAGENET1K" for name in get_args(Mobile))
# torchvision has the second one for these alone.
_IMPROVED = ("resnet50", "resnet101", "resnet152", "efficientnet_b1")
_NAMES = {"COCO_V1", "IMAGENET1K_V1", "IMAGENET1K_V2", *_PACKAGED, *HUB_DETRS}


def published_starts(family: str, network: str) -> tuple[str, ...]:
    """The weights there are for a network of a family, the usual ones first; none for some.

    `network` is what `network.name`, or `network.backbone` of a DETR from scratch, is; for the
    DETR family of transformers also a hub id.
    """
    if family == "yolo":
        return (f"{network.removesuffix('.yaml')}.pt",)
    if family == "faster_rcnn":
        return _PACKAGED if network == "fasterrcnn_light" else ("COCO_V1",)
    if family == "retinanet":
        return () if network == "retinanet_light" else ("COCO_V1",)
    if family == "hf_detr":
        return ("mobilenet_v2:IMAGENET1K",) if network in SMALL_DETRS else (network,)
    if network in get_args(Mobile):
        return (f"{network}:IMAGENET1K",)
    return ("IMAGENET1K_V2", "IMAGENET1K_V1") if network in _IMPROVED else ("IMAGENET1K_V1",)


def may_begin(family: str, network: str, start: str) -> bool:
    """Whether a network can begin from a start by its name.

    Random weights (an empty name) fit all; what a path or a model of the library fits stands in it.
    """
    is_published = start in _NAMES or (family == "yolo" and "/" not in start and ".pt" in start)
    return not is_published or start in published_starts(family, network)
