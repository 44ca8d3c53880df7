"""The model library: the models that are built in, and one folder for each that was added.

    models/<model_id>/card.json      written last and whole: a folder with a card is complete
    models/<model_id>/weights.pt

These folders lie under the home folder. Built in are the fake model and the models that come with
the package, in folders of the same form. Nothing here imports torch before a model is opened: a
card is read without its weights.
"""

import json
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.files import hash_file, making_folder, remove_folder, storing
from fracture_core.models import fake
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, read_card, write_card
from fracture_core.models.checkpoints.process import read_contents
from fracture_core.models.consensus_cards import (
    FAMILY,
    ConsensusArchitecture,
    check_members,
)
from fracture_core.models.families import family, family_of, find_family
from fracture_core.models.points import (
    Measurements,
    forget_points,
    read_beside,
    read_points,
    write_points,
)
from fracture_core.settings import settings

if TYPE_CHECKING:
    from fracture_core.nets.pretrained import Standard

BUILT_IN = (fake.CARD,)
SHIPPED = Path(__file__).parents[1] / "weights"
"""The folder of the models that come with the package."""
_MODEL_ID = re.compile(r"\w[\w.\-]{0,99}", re.ASCII)
_FOLDER_WEIGHTS = "model.safetensors"
_MOST_CONFIG_BYTES = 1 << 20
_FOLDER_FILES = ("config.json", "preprocessor_config.json", _FOLDER_WEIGHTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Usable cards, built-in ones first, and in `broken` what is wrong with the other folders."""

    cards: tuple[ModelCard, ...]
    broken: tuple[WeightsError, ...]


def read_library() -> Library:
    """Reads every model there is; a broken folder is reported and does not stop the others."""
    cards, broken = list(BUILT_IN), []
    for folder in (*_folders(SHIPPED), *_folders(settings().models)):
        try:
            _check_alone(folder)
            cards.append(_card_in(folder))
        except WeightsError as error:
            broken.append(error)
    for card in [card for card in cards if card.family == FAMILY]:
        try:
            check_members(card, {each.model_id: each for each in cards})
        except WeightsError as error:
            cards.remove(card)
            broken.append(error)
    return Library(cards=tuple(cards), broken=tuple(broken))


def list_cards() -> list[ModelCard]:
    """Returns the cards of all usable models, built-in ones first."""
    return list(read_library().cards)


def open_model(ref: str) -> Model:
    """Opens a model by library id, path to a `.pt` file, or a name that its family's library uses.

    Such names are hub ids, torchvision's names with or without weights, and Ultralytics' yaml
    names; without weights they are random, always the same ones. Nothing is cached: the caller
    keeps what it opens. Raises ConfigError for a name that is none of these, and WeightsError for
    weights that cannot be used or had.
    """
    for card in BUILT_IN:
        if card.model_id == ref:
            return family(card.family).load(card, settings().models)
    folder = _place_of(ref)
    if _MODEL_ID.fullmatch(ref) and folder.is_dir():
        card = _card_in(folder)
        _check_hash(card, folder)
        return family(card.family).load(card, folder)
    if ref.lower().endswith(".pt"):
        return _open_file(Path(ref).expanduser())
    return family(family_of(ref)).from_name(ref)


def add_model(
    file: Path,
    *,
    family_name: str = "yolo",
    classes: tuple[str, ...] | None = None,
    model_id: str | None = None,
    title: str | None = None,
    input_size: int | None = None,
    standardise: "Standard | None" = None,
) -> ModelCard:
    """Copies a weights file into the library and writes its card, which is returned.

    A folder that Hugging Face's `save_pretrained` wrote counts as a file of the family "hf_detr";
    where the weights in it are named, its config.json is read as well. The card of a consensus,
    whose members the library holds, counts as a file of the family "consensus". The id is the
    file's name where none is given, with a number behind it where that is taken. `input_size` is
    that of the card where the file does not tell it, and so is `standardise` for a classifier: the
    mean and deviation of the input. Where anything fails the library is as before. Raises
    WeightsError and ConfigError.
    """
    find_family(family_name)
    is_folder = file.is_dir() and family_name == "hf_detr"
    if not (file.is_file() or is_folder):
        found = "a folder" if file.is_dir() else "no such file"
        raise WeightsError(file, expected="a weights file", found=found)
    if family_name == FAMILY:
        card = family(FAMILY).describe(file, model_id=FAMILY, title=title or "", classes=classes)
        return keep_card(card, model_id=model_id)
    chosen = _free_id(file, model_id)
    try:
        with _new_folder(chosen) as part:
            copied = _copy_folder(file, part) if is_folder else _copy_file(file, part, family_name)
            # A file that cannot be read is refused before the family's library is imported, which
            # takes seconds. The fake family takes no file at all.
            if family_name != "fake":
                read_contents(
                    copied / _FOLDER_WEIGHTS if is_folder else copied,
                    "yolo" if family_name == "yolo" else "state dict",
                )
            adapter, named = family(family_name), title or file.stem
            card = adapter.describe(copied, model_id=chosen, title=named, classes=classes)
            weights = part / (card.weights_file if is_folder else copied.name)
            facts = {"weights_file": weights.name, "weights_sha256": hash_file(weights)}
            card = _as_told(card.model_copy(update=facts), input_size, standardise)
            write_card(card, part)
    except WeightsError as error:
        # The message names the file that was handed in, not our copy of it.
        raise WeightsError(
            file, expected=error.expected, found=error.found, advice=error.advice
        ) from error
    return card


def _as_told(card: ModelCard, input_size: int | None, standardise: "Standard | None") -> ModelCard:
    """The card with what somebody told of the input, in place of a guess and its note.

    Raises ConfigError where a detector's input is to be standardised otherwise.
    """
    facts: dict[str, object] = {}
    notes = []
    if input_size is not None:
        facts["input_size"] = input_size
        notes.append(f"The input size of {input_size} px was given.")
    if standardise is not None:
        if card.task != "classify":
            found = f"a model of the family {card.family}"
            raise ConfigError("standardise", expected="a classifier", found=found)
        facts["architecture"] = {**card.architecture, "standardise": standardise}
        notes.append(f"Its input is standardised as was given: {standardise}.")
    return card.model_copy(update={**facts, "note": " ".join(notes)}) if notes else card


def add_named(name: str, *, model_id: str | None = None, title: str | None = None) -> ModelCard:
    """Fetches a model by the name its family's library uses, keeps it, and returns its card.

    Raises ConfigError and WeightsError.
    """
    model = family(family_of(name)).from_name(name)
    chosen = _free_id(Path(model.card.model_id), model_id)
    with _new_folder(chosen) as part:
        model.save(part)
        facts = {"model_id": chosen, "title": title or model.card.title}
        card = read_card(part).model_copy(update=facts)
        write_card(card, part)
    return card


def keep_card(card: ModelCard, *, model_id: str | None = None) -> ModelCard:
    """Keeps a model that is its card alone, as a consensus is; raises ConfigError for a taken id.

    The card's own id is the id where none is given, with a number behind it where that is taken.
    """
    kept = card.model_copy(update={"model_id": _free_id(Path(card.model_id), model_id)})
    with _new_folder(kept.model_id) as part:
        write_card(kept, part)
    return kept


def add_folder(folder: Path, *, title: str | None = None) -> ModelCard:
    """Copies a model's folder into the library: its card, its weights and what was measured of it.

    A training writes such folders. Raises WeightsError for a folder that is no whole model.
    """
    card = read_card(folder)
    weights = _weights_in(card, folder)
    if not weights.is_file():
        raise WeightsError(folder, expected="the weights that its card names", found="none")
    _check_hash(card, folder)
    chosen = _free_id(Path(card.model_id), None)
    with _new_folder(chosen) as part:
        shutil.copyfile(weights, part / card.weights_file)
        facts = {"model_id": chosen, "title": title or card.title}
        measured = read_beside(card, folder)
        card = card.model_copy(update=facts)
        if measured is not None:
            write_points(measured.model_copy(update={"model_id": chosen}), card, part)
        write_card(card, part)
    return card


def rename_model(model_id: str, title: str) -> ModelCard:
    """Gives a model another title.

    Raises ConfigError for a built-in or unknown model or no title.
    """
    folder = _folder_of(model_id)
    if not title.strip():
        raise ConfigError("title", expected="a name for the model", found="nothing")
    card = _card_in(folder).model_copy(update={"title": title.strip()})
    write_card(card, folder)
    return card


def delete_model(model_id: str) -> None:
    """Removes a model's folder and its measurements.

    Raises ConfigError for a built-in or unknown one.
    """
    folder = _folder_of(model_id)
    with storing(folder):
        forget_points(model_id)
    remove_folder(folder)


def can_delete(model_id: str) -> bool:
    """Tells whether there is a folder of this id that was added, usable or not."""
    try:
        return _folder_of(model_id).is_dir()
    except ConfigError:
        return False


def weights_bytes(card: ModelCard) -> int:
    """Returns the bytes of a model's weights on disk, 0 where it has none.

    Those of a consensus are the weights of its members.
    """
    if card.family == FAMILY:
        members = ConsensusArchitecture.of(card).model_ids
        return sum(weights_bytes(each) for each in list_cards() if each.model_id in members)
    if not card.weights_file:
        return 0
    return _weights_in(card, _place_of(card.model_id)).stat().st_size


def points_of(card: ModelCard) -> Measurements | None:
    """Returns what was measured of a model, None = nothing.

    Raises ConfigError as `read_points` does.
    """
    return read_points(card, _place_of(card.model_id))


def store_points(measured: Measurements) -> Path:
    """Keeps measurements with the model's card, or for a built-in model under the home folder.

    Raises ConfigError where the library has no model of this id with these weights.
    """
    known = {card.model_id: card for card in list_cards()}
    card = known.get(measured.model_id)
    if card is None or card.weights_sha256 != measured.weights_sha256:
        raise ConfigError(
            measured.model_id,
            expected="a model of the library, with the weights that were measured",
            found="none of this id" if card is None else "other weights",
            advice="Add it to the library, and evaluate it there.",
        )
    forget_points(card.model_id)
    return write_points(
        measured, card, None if is_built_in(card.model_id) else _place_of(card.model_id)
    )


def is_built_in(model_id: str) -> bool:
    """Tells whether a model comes with the package; it can then be neither renamed nor deleted."""
    return model_id in _built_in_ids()


def _folder_of(model_id: str) -> Path:
    if is_built_in(model_id):
        raise ConfigError(model_id, expected="a model that was added", found="a built-in one")
    folder = settings().models / model_id
    if not _MODEL_ID.fullmatch(model_id) or not folder.is_dir():
        raise ConfigError(model_id, expected="a model of the library", found="none of this id")
    return folder


def _new_folder(model_id: str) -> AbstractContextManager[Path]:
    """A folder to be filled, which becomes the model's when the block ends without an error."""
    return making_folder(settings().models / model_id)


def _built_in_ids() -> set[str]:
    return {card.model_id for card in BUILT_IN} | {folder.name for folder in _folders(SHIPPED)}


def _place_of(model_id: str) -> Path:
    """The folder of a model, wherever it came from; there may be none of this id."""
    return (SHIPPED if is_built_in(model_id) else settings().models) / model_id


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    visible = (path for path in place.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.is_dir())


def _check_alone(folder: Path) -> None:
    """Raises WeightsError where an added model has the id of a built-in one.

    A newer release may bring a model of the same id as one that was added before.
    """
    if folder.parent != SHIPPED and is_built_in(folder.name):
        expected, found = "an id that no built-in model has", repr(folder.name)
        advice = "Give its folder, and the model_id on its card, another name."
        raise WeightsError(folder, expected=expected, found=found, advice=advice)


def _card_in(folder: Path) -> ModelCard:
    card = read_card(folder)
    if card.model_id != folder.name:
        found = f"the id {card.model_id!r}"
        raise WeightsError(folder, expected="a card with the folder's name as its id", found=found)
    if card.weights_file and not _weights_in(card, folder).is_file():
        found = f"no {card.weights_file}"
        raise WeightsError(folder, expected="the weights that its card names", found=found)
    return card


def _weights_in(card: ModelCard, folder: Path) -> Path:
    if Path(card.weights_file).name != card.weights_file:
        expected = "weights_file: a file name beside the card"
        raise WeightsError(folder, expected=expected, found=repr(card.weights_file))
    return folder / card.weights_file


def _check_hash(card: ModelCard, folder: Path) -> None:
    if not card.weights_file:
        return
    path = _weights_in(card, folder)
    digest = hash_file(path)
    if digest != card.weights_sha256:
        raise WeightsError(
            path,
            expected=f"sha256 {card.weights_sha256[:12]}… as on the card of {card.model_id}",
            found=f"{digest[:12]}…",
            advice="The file was changed after it was added; add it again.",
        )


def _open_file(path: Path) -> Model:
    if not path.is_file():
        raise WeightsError(
            path,
            expected="a weights file",
            found="no such file",
            advice="Ultralytics' own weights are at github.com/ultralytics/assets/releases; "
            "fetch the file and give its path.",
        )
    adapter = family("yolo")
    card = adapter.describe(path, model_id=_slug(path.stem), title=path.stem, classes=None)
    facts = {"weights_file": path.name, "weights_sha256": hash_file(path)}
    return adapter.load(card.model_copy(update=facts), path.parent)


def _free_id(file: Path, model_id: str | None) -> str:
    taken = _built_in_ids() | {folder.name for folder in _folders(settings().models)}
    if model_id is not None:
        if not _MODEL_ID.fullmatch(model_id):
            expected = "letters, digits, '_', '-' and '.', not beginning with '.' or '-'"
            raise ConfigError("model id", expected=expected, found=repr(model_id))
        if model_id in taken:
            raise ConfigError(model_id, expected="a free model id", found="one that is taken")
        return model_id
    base = _slug(file.stem)
    candidates = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)


def _slug(stem: str) -> str:
    cleaned = re.sub(r"[^\w.\-]+", "-", stem, flags=re.ASCII).lstrip(".-").rstrip("-")
    return cleaned[:80] or "model"


def _copy_file(file: Path, part: Path, family_name: str) -> Path:
    if family_name == "hf_detr" and _is_saved_model(file.parent):
        for name in _FOLDER_FILES[:-1]:
            if (file.parent / name).is_file():
                shutil.copyfile(file.parent / name, part / name)
    return Path(shutil.copyfile(file, part / f"weights{file.suffix.lower()}"))


def _is_saved_model(folder: Path) -> bool:
    """Tells whether the config.json beside weights is one of transformers, not of a run."""
    try:
        with (folder / _FOLDER_FILES[0]).open("rb") as file:
            config = json.loads(file.read(_MOST_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "model_type" in config


def _copy_folder(folder: Path, part: Path) -> Path:
    """Copies from a folder of unknown origin only the files that are needed."""
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, part / name)
    return part
