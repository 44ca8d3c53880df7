"""ImageNet weights, by torchvision's names of networks and weights, and ImageNet's colours."""

import pickle
import urllib.error
import zipfile
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from fracture_core.errors import WeightsError
from fracture_core.nets.limits import check_name

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], by which such networks' input is standardised."""
Standard = Literal["imagenet", "half"]
_Colours = tuple[float, float, float]
STANDARDS: dict[Standard, tuple[_Colours, _Colours]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation by name; "half" takes [0, 1] to [−1, 1]."""


def load_imagenet(network: nn.Module, model: str, weights: str) -> None:
    """Load torchvision's `weights` of its `model` into a network with the same parameters.

    Raises WeightsError where they are not at hand or are those of another network, and ConfigError
    for an unknown name.
    """
    state = imagenet_state(model, weights)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{model} {weights}", expected=f"weights of {model}", found="those of another network"
        ) from error


def imagenet_state(model: str, weights: str) -> dict[str, Tensor]:
    """Return the state dict of torchvision's `model`; `weights` is a name such as "IMAGENET1K_V2".

    It is read from torch's cache, or downloaded into it where the internet can be reached. Without
    either, WeightsError says which file to fetch and where to put it. Nothing pickled is executed.
    Raises ConfigError for an unknown name.
    """
    known = get_model_weights(model).__members__
    check_name(f"weights of {model}", weights, known)
    url: str = known[weights].url
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    try:
        state: dict[str, Tensor] = known[weights].get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise WeightsError(
            f"{model} {weights}",
            expected=f"a network or the file {place}",
            found="neither",
            advice=f"Fetch {url} and put it there.",
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(
            place,
            expected="torchvision's weights, whole",
            found="a file that cannot be read as such",
            advice=f"Delete it from {place.parent} and fetch {url} again.",
        ) from error
    return state
