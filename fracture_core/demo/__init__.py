"""Synthetic radiographs and CT studies with their truth: for the quick start and for tests."""

from fracture_core.demo.fractures import CLASSES
from fracture_core.demo.layouts import FORMATS, write_demo
from fracture_core.demo.samples import (
    CT_CLASSES,
    demo_case,
    demo_samples,
    demo_studies,
    make_radiograph,
    make_study,
)

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
