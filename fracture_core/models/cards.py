"""The model card: a JSON file beside a model's weights that says what is known of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import WeightsError, first_fault
from fracture_core.files import write_text
from fracture_core.scope import Scope

Task = Literal["detect", "segment", "classify"]
CARD_FILE = "card.json"
_RULE = r"^(max F1|(sensitivity ≥|specificity ≥|FP per image ≤) \d+(\.\d+)?)?$"


class ModelCard(BaseModel):
    """What is known of one model.

    `needs_nms` tells whether its overlapping candidates have to be suppressed. `operating_points`
    holds confidences chosen on validation, by the name of their rule; `opening_point` is the rule
    of the one at which pages open, such as "sensitivity ≥ 0.9", and "" means that of high
    sensitivity. `scope` says what images the model was made for; None means that this is not
    stated, as on cards from before there were scopes and of weights from elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str = Field(min_length=1, max_length=100, pattern=r"^\w[\w.\-]*$")
    title: str
    family: str
    task: Task
    classes: tuple[str, ...] = Field(min_length=1)
    input_size: int = Field(ge=32, le=4096)
    needs_nms: bool
    architecture: dict[str, object] = {}
    weights_file: str = ""
    weights_sha256: str = ""
    training_data: str = "unknown"
    training_licence: str = "unknown"
    scope: Scope | None = None
    metrics: dict[str, float] = {}
    operating_points: dict[str, float] = {}
    opening_point: str = Field(default="", pattern=_RULE)
    note: str = ""
    code_version: str = ""


def read_card(folder: Path) -> ModelCard:
    """Returns the card in a model's folder.

    Raises WeightsError where it is missing or malformed.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise WeightsError(folder, expected=f"a {CARD_FILE} in the model's folder", found="none")
    return read_card_file(path)


def read_card_file(path: Path) -> ModelCard:
    """Returns the card in a file; raises WeightsError where it is malformed."""
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise WeightsError(path, expected="a model card", found=_first_line(error)) from error


def write_card(card: ModelCard, folder: Path) -> None:
    """Writes a card whole or not at all, after all other files: a folder with a card is complete.

    Raises StorageError.
    """
    text = json.dumps(card.model_dump(mode="json"), indent=2) + "\n"
    write_text(folder / CARD_FILE, text)


def _first_line(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are not UTF-8"
    return first_fault(error)


def in_classes(card: ModelCard, classes: Sequence[str]) -> ModelCard:
    """Return the card as it is; the fake model invents findings in the classes of the data."""
    if card.family == "fake" and classes:
        return card.model_copy(update={"classes": tuple(classes)})
    return card
