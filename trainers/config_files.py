"""Configs from plain values and as `config.json`; their family says which settings there are.

Before settings had sections they all stood side by side, in files and behind `--set`. Such flat
names are still read: each setting is moved into the section that it has now.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fracture_core.errors import ConfigError
from fracture_core.files import write_text
from trainers.config import Settings, TrainConfig
from trainers.family_configs import Classification, SetLossWeights, config_of

_SECTIONS: dict[str, type[Settings]]
_SECTIONS = {"classification": Classification, "set_loss": SetLossWeights}
_SECTION_OF = {name: section for section, kind in _SECTIONS.items() for name in kind.model_fields}


def make_config(values: Mapping[str, object], source: str) -> TrainConfig:
    """A config from plain values by dotted or flat name; raises ConfigError named after `source`.

    A later value counts: {"augment": {"flip": 0.5}, "augment.flip": 0.2} flips a fifth.
    """
    placed: dict[str, Any] = {}
    for name, value in values.items():
        _place(placed, name, value)
    kind = config_of(placed.get("family"))
    try:
        return kind.model_validate(placed)
    except ValidationError as error:
        raise _refused(source, kind, error, values) from error


def read_config(path: Path) -> TrainConfig:
    """The config in a file; raises ConfigError, also for unknown keys."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(path, expected="a training config", found=str(error)[:200]) from error
    if not isinstance(values, dict):
        raise ConfigError(path, expected="a training config", found=type(values).__name__)
    return make_config(_without_others(values), path.name)


def write_config(config: TrainConfig, path: Path) -> None:
    """Write by rename; raises StorageError."""
    write_text(path, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")


def _place(values: dict[str, Any], name: str, value: object) -> None:
    """`augment.flip` sets one setting of a group; the group's others stay."""
    first = name.partition(".")[0]
    dotted = f"{_SECTION_OF[first]}.{name}" if first in _SECTION_OF else name
    *groups, last = dotted.split(".")
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ConfigError(name, expected="a group of settings before the dot", found=group)
        values = inner
    values[last] = deepcopy(value)


def _without_others(values: dict[str, object]) -> dict[str, object]:
    """A flat file has the settings of every family; those of others never had an effect."""
    if not any(name in _SECTION_OF for name in values):
        return values
    own = config_of(values.get("family")).model_fields
    idle = {name for name, section in _SECTION_OF.items() if section not in own}
    idle |= {"nms_iou"} - set(own)
    return {name: value for name, value in values.items() if name not in idle}


def _refused(
    source: str, kind: type[TrainConfig], error: ValidationError, values: Mapping[str, object]
) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] != "extra_forbidden":
        return ConfigError(where, expected=f"a valid setting in {source}", found=first["msg"])
    # By the name that was given, where that is a flat one.
    where = next((name for name in values if _SECTION_OF.get(name) == where), where)
    known = ", ".join(_group_at(kind, first["loc"][:-1]).model_fields)
    return ConfigError(
        where,
        expected=f"a setting of a training of the family {kind.model_fields['family'].default}",
        found="none of that name",
        advice=f"There are: {known}.",
    )


def _group_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a place in a config is of."""
    for part in location:
        annotation = kind.model_fields[str(part)].annotation
        kind = next(
            each
            for each in (annotation, *get_args(annotation))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )
    return kind
