"""Packages with weights of small networks, as the index has them but with random numbers."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fracture_core.models import packaged
from fracture_core.models.packaged import PACKAGED
from fracture_core.nets.mobile import MobileClassifier


def install(name: str, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Make `name` installed in a folder that Python looks into; returns its trunk's tensors.

    They stand in the file under other names and before those of a classifier.
    """
    weights = PACKAGED[name]
    torch.manual_seed(11)
    network = MobileClassifier(weights.network, class_count=5)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    renamed = {
        f"part{place}.{key.rpartition('.')[2]}": tensor
        for place, (key, tensor) in enumerate(network.state_dict().items())
    }
    file = folder / weights.file
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(renamed, file, _use_new_zipfile_serialization=False)
    facts = folder / f"{weights.package.replace('-', '_')}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Name: {weights.package}\nVersion: 1.0\n", encoding="utf-8")
    patch.syspath_prepend(str(folder))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    patch.setitem(packaged.PACKAGED, name, replace(weights, sha256=sha256))
    return {key: t.clone() for key, t in network.extractor.state_dict().items()}
