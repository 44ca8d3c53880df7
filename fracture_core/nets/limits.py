"""Checks of a network's parameters, made before memory is taken for it."""

from collections.abc import Collection

from fracture_core.errors import ConfigError


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise ConfigError unless `value` is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(name, expected=f"a whole number from {low} to {high}", found=repr(value))


def check_share(name: str, value: float) -> None:
    """Raise ConfigError unless `value` is in [0, 1)."""
    if not 0 <= value < 1:
        raise ConfigError(
            name, expected="a number from 0 up to, not including, 1", found=f"{value}"
        )


def check_weights(**weights: float) -> None:
    """Raise ConfigError unless every weight is finite and not negative and one is above 0."""
    for name, value in weights.items():
        if not 0 <= value < float("inf"):
            raise ConfigError(name, expected="a finite number of at least 0", found=f"{value}")
    if not any(weights.values()):
        raise ConfigError(", ".join(weights), expected="at least one above 0", found="only zeros")


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """Raise ConfigError unless `name` is one of `known`."""
    if name not in known:
        raise ConfigError(what, expected=f"one of {', '.join(known)}", found=repr(name))
