"""Synthetic radiographs and CT studies with their ground truth: for the quick start and for tests.

The names are imported on first use, as the generator needs SciPy and the demo case does not.
"""

from typing import TYPE_CHECKING

from fracture_core import importing

if TYPE_CHECKING:
    from fracture_core.demo.case import demo_case
    from fracture_core.demo.classes import CLASSES
    from fracture_core.demo.layouts import FORMATS, write_demo
    from fracture_core.demo.samples import (
        CT_CLASSES,
        demo_samples,
        demo_studies,
        make_radiograph,
        make_study,
    )

_MODULES = {
    "CLASSES": "classes",
    "CT_CLASSES": "samples",
    "FORMATS": "layouts",
    "demo_case": "case",
    "demo_samples": "samples",
    "demo_studies": "samples",
    "make_radiograph": "samples",
    "make_study": "samples",
    "write_demo": "layouts",
}

__all__ = [
    "CLASSES",
    "CT_CLASSES",
    "FORMATS",
    "demo_case",
    "demo_samples",
    "demo_studies",
    "make_radiograph",
    "make_study",
    "write_demo",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importing.load(f"{__name__}.{_MODULES[name]}"), name)
