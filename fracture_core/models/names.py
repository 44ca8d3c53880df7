"""Which family knows a model by a name that is neither in the library nor a file."""

import re
from pathlib import Path

from fracture_core.errors import ConfigError

_HUB_ID = re.compile(r"\w[\w.\-]*/\w[\w.\-]*", re.ASCII)
_BY_BEGINNING = {
    "fasterrcnn_": "faster_rcnn",
    "efficientnet_": "efficientnet_gate",
    "resnet": "resnet",
    "scratch:": "scratch_detr",
}

EXAMPLES = (
    "facebook/detr-resnet-50",
    "fasterrcnn_resnet50_fpn:COCO_V1",
    "efficientnet_b4:IMAGENET1K_V1",
    "resnet50:IMAGENET1K_V2",
    "yolo11n.yaml",
)
"""Names of each kind: a hub id, torchvision's with and without weights, Ultralytics' networks."""


def family_of(name: str) -> str:
    """The family that knows a name; ConfigError where none does."""
    if name.lower().endswith((".yaml", ".yml")):
        return "yolo"
    for beginning, family_name in _BY_BEGINNING.items():
        if name.startswith(beginning):
            return family_name
    # A detector of transformers is "owner/model", or "architecture:random" for random weights.
    if _HUB_ID.fullmatch(name) and not Path(name).suffix:
        return "hf_detr"
    if name.endswith((":random", ":small", ":tiny")):
        return "hf_detr"
    raise ConfigError(
        name,
        expected="a model of the library, a .pt file or a known name",
        found="none of these",
        advice=f"Names look like {', '.join(EXAMPLES)}.",
    )
