"""Paths and limits, read once from the environment."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fracture_core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are kept and what is allowed.

    `home` (FRACTURE_HOME) holds models, demo data and caches; `max_pixels` (FRACTURE_MAX_PIXELS)
    is the most pixels one file may have, all frames together.
    """

    home: Path
    max_pixels: int

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def cache(self) -> Path:
        return self.home / "cache"


@cache
def settings() -> Settings:
    """The settings of this process."""
    home = os.environ.get("FRACTURE_HOME") or Path.home() / ".fracture-workbench"
    return Settings(
        home=Path(home).expanduser().absolute(),
        max_pixels=_positive("FRACTURE_MAX_PIXELS", default=400_000_000),
    )


def _positive(name: str, *, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) == 0:
        raise ConfigError(name, expected="a whole number above 0", found=repr(text))
    return int(text)
