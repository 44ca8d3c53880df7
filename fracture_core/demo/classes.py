"""The classes and attributes of the synthetic radiographs.

`CLASSES` are kinds of fracture, in the order of their labels.
"""

from fracture_core.class_names import SYNTHETIC_KINDS as CLASSES

__all__ = ["CLASSES", "radiograph_attributes"]


def radiograph_attributes(body_part: str) -> dict[str, str]:
    """Returns what is known of a synthetic radiograph of one of `demo.radiograph.VIEWS`."""
    # The generator's "leg" is the lower leg alone.
    part = "lower leg" if body_part == "leg" else body_part
    return {"modality": "DX", "body part": part, "view": "frontal", "origin": "synthetic"}
