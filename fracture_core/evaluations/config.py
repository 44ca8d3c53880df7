"""What is asked of an evaluation: config.json in its folder."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.files import write_text
from fracture_core.runs import EVALUATION


class EvaluateConfig(BaseModel):
    """A model to ask, by library id or name, and a split of a data set to ask it about.

    `data` is an absolute path · `split` "all" is every picture · `one_class`: every class of model
    and truth counts as one · `is_a` tells which classes count as another, as
    `class_names.bring_together` reads it · `limit` takes so many pictures, evenly spread, None =
    all · `nms_iou` and `match_iou` are those of the printed report: what is stored is raw.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["evaluation"] = EVALUATION
    model: str = Field(min_length=1, max_length=1_000)
    data: str = Field(min_length=1)
    split: str = "val"
    one_class: bool = False
    is_a: dict[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    nms_iou: float = Field(default=0.5, ge=0, le=1)
    match_iou: float = Field(default=0.5, gt=0, le=1)
    study_rule: str = "max"

    @classmethod
    def of(cls, **asked: object) -> Self:
        """As the constructor, with a ConfigError for a value that makes no sense."""
        try:
            return cls.model_validate(asked)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            found = repr(first["input"])[:200]
            raise ConfigError(name, expected=first["msg"], found=found) from error


def read_config(path: Path) -> EvaluateConfig:
    """Raises ConfigError for a file that cannot be read or makes no sense."""
    expected = "what is asked of an evaluation"
    try:
        return EvaluateConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ConfigError(path, expected=expected, found=found) from error
    except ValidationError as error:
        raise ConfigError(path, expected=expected, found=first_fault(error)) from error


def write_config(config: EvaluateConfig, path: Path) -> None:
    """By rename."""
    write_text(path, config.model_dump_json(indent=2) + "\n")
