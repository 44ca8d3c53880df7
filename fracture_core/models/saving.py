"""Models of our own on disk: safetensors beside a card."""

from pathlib import Path

from torch import nn

from fracture_core.files import hash_file, make_folder, replacing
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.state_dicts import read_state, save_state, save_tensors

WEIGHTS_FILE = "weights.safetensors"


def save_model(
    card: ModelCard, network: nn.Module, folder: Path, *, half: bool = False
) -> ModelCard:
    """Write weights, then the card, each by rename; returns the card as written.

    `half` writes float16, half the size; it is read back as float32. Raises WeightsError for
    weights beyond the range of float16 (±65,504).
    """
    make_folder(folder)
    with replacing(folder / WEIGHTS_FILE) as part:
        save_state(network, part, half=half)
    return _complete(card, folder)


def copy_halved(card: ModelCard, weights: Path, folder: Path) -> ModelCard:
    """Write the tensors of a weights file as float16, then the card; returns it as written.

    As `save_model` with `half`, without building the network.
    """
    make_folder(folder)
    with replacing(folder / WEIGHTS_FILE) as part:
        save_tensors(read_state(weights), part, half=True)
    return _complete(card, folder)


def _complete(card: ModelCard, folder: Path) -> ModelCard:
    facts = {
        "weights_file": WEIGHTS_FILE,
        "weights_sha256": hash_file(folder / WEIGHTS_FILE),
    }
    written = card.model_copy(update=facts)
    write_card(written, folder)
    return written
