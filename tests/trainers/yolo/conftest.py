"""The data set of the trainings, and one thread."""

from pathlib import Path

import pytest
import torch

from fracture_core.demo.layouts import write_demo

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve radiographs with outlines: 8 to train, 2 to validate on."""
    folder = tmp_path_factory.mktemp("data") / "demo"
    return write_demo(folder, count=12, seed=1, format="yolo", size=(160, 192))
