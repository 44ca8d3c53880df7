"""What is known of the synthetic radiographs: kinds of fracture, in the order of their labels, and
attributes.
"""

from fracture_core.class_names import SYNTHETIC_KINDS as CLASSES

__all__ = ["CLASSES", "radiograph_attributes"]


def radiograph_attributes(body_part: str) -> dict[str, str]:
    """What is known of a synthetic radiograph; `body_part` is one of `demo.radiograph.VIEWS`."""
    # The generator's "leg" is the shank alone.
    part = "lower leg" if body_part == "leg" else body_part
    return {"modality": "DX", "body part": part, "view": "frontal", "origin": "synthetic"}
