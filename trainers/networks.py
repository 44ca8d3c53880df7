"""`config.network` checked against what an architecture can be told."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from fracture_core.errors import ConfigError
from trainers.config import Scalar, TrainConfig

T = TypeVar("T")


def network_settings(config: TrainConfig, known: Collection[str]) -> dict[str, Scalar]:
    """The settings by name; raises ConfigError for one that is not known."""
    for name in config.network:
        if name not in known:
            expected = f"a parameter of a {config.family} network ({', '.join(known)})"
            raise ConfigError(f"network.{name}", expected=expected, found="none of that name")
    return dict(config.network)


def checked(kind: type[T], values: Mapping[str, object]) -> T:
    """An architecture of these values; raises ConfigError where one is of another kind."""
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part in values) or "network"
        name = where if where == "network" else f"network.{where}"
        raise ConfigError(name, expected="a valid value", found=first["msg"]) from error
