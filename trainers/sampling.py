"""Which images of the training split an epoch goes through."""

import torch
from torch import Tensor

from fracture_core.class_names import negative_among
from fracture_core.errors import ConfigError
from trainers.batches import NOTHING
from trainers.packed import Packed


def has_finding(packed: Packed, *, classifies: bool) -> Tensor:
    """(N,) bool: an object, or for a classifier a class that is not the negative one.

    Raises ConfigError for a classifier whose classes have no negative one.
    """
    if not classifies:
        return torch.from_numpy((packed.truth.labels != NOTHING).any(axis=1))
    negative = negative_among(packed.classes)
    if not negative:
        expected = "none, as no class stands for an image without a finding"
        raise ConfigError("normals", expected=expected, found=", ".join(packed.classes)[:200])
    return torch.from_numpy(packed.truth.image_classes != packed.classes.index(negative))


def rows_of_epoch(found: Tensor, normals: float | None, generator: torch.Generator) -> Tensor:
    """Rows in order: every image with a finding, and of the others `normals` for each of these.

    `found` is (N,) bool. Where there are fewer, or `normals` is None, all are taken.
    """
    if normals is None:
        return torch.arange(len(found))
    with_finding, without = (torch.nonzero(each)[:, 0] for each in (found, ~found))
    drawn = torch.randperm(len(without), generator=generator)
    drawn = drawn[: round(normals * len(with_finding))]
    return torch.cat([with_finding, without[drawn]]).sort().values
