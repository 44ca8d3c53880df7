"""`python -m fracture_core demo`: a demo data set from the command line."""

from pathlib import Path

from fracture_core.demo.layouts import write_demo
from fracture_core.errors import ConfigError


def run(folder: Path, *, count: int, seed: int, format: str, size: str, boxes: bool) -> str:  # noqa: A002
    """Write the set and say in one sentence what was written.

    `size` is "" or WIDTHxHEIGHT in pixels; raises ConfigError where it is neither.
    """
    written = write_demo(
        folder, count=count, seed=seed, format=format, size=_parse_size(size), outlines=not boxes
    )
    things = {"hdf5": "CT studies", "dicom": "radiographs and a CT series"}
    return f"{written}: {count:,} {things.get(format, 'radiographs')}, {format}, seed {seed}."


def _parse_size(text: str) -> tuple[int, int] | None:
    """(height, width), None for none."""
    if not text:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError("size", expected="WIDTHxHEIGHT such as 640x768", found=repr(text))
    return int(height), int(width)
