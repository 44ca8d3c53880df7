"""The kinds of fracture in the synthetic radiographs, in the order of their labels."""

CLASSES = ("transverse", "oblique", "spiral", "comminuted", "greenstick")
