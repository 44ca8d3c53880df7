"""Paths and limits, read once from the environment variables FRACTURE_…"""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fracture_core.errors import ConfigError

RUNNERS = ("local", "inline", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are kept and what is allowed; in brackets the environment variable of each.

    `home` (FRACTURE_HOME) holds models, runs, evaluations and caches; `max_pixels`
    (FRACTURE_MAX_PIXELS) is the most pixels one file may have, all frames together. `runner`
    (FRACTURE_RUNNER: local, inline or ray) starts trainings; one that is asked to stop has
    `stop_seconds` (FRACTURE_STOP_SECONDS) before it is killed, and one that crashed is started
    again `retries` (FRACTURE_RETRIES) times. `ray_gpus` (FRACTURE_RAY_GPUS) are asked of a Ray
    cluster for each job that may use one. A device that has a training takes an evaluation too, and
    the other way round, while it has `share_gb` (FRACTURE_SHARE_GB) GB of memory free.

    The pages open data sets below `data_roots` alone (FRACTURE_DATA_ROOTS, folders separated as in
    PATH; empty = by default). The server answers to `allowed_hosts` (FRACTURE_ALLOWED_HOSTS, names
    separated by commas) beside the local ones, and listens for other machines only with
    `allow_remote` (FRACTURE_ALLOW_REMOTE: 0 or 1). Data sets that trainings keep in the cache are
    removed when not used for `cache_days` (FRACTURE_CACHE_DAYS), and the longest unused of them
    when they take more than `cache_gb` (FRACTURE_CACHE_GB) together. The HTTP service asks for the
    `api_key` (FRACTURE_API_KEY, 16 printable characters or more; empty = no key is asked for).
    """

    home: Path
    max_pixels: int
    runner: str
    stop_seconds: int
    retries: int
    ray_gpus: int
    share_gb: int
    data_roots: tuple[Path, ...]
    allowed_hosts: tuple[str, ...]
    allow_remote: bool
    cache_gb: int
    cache_days: int
    api_key: str = field(repr=False)

    @property
    def models(self) -> Path:
        """The folder of the library's models."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        """The folder of the trainings."""
        return self.home / "runs"

    @property
    def evaluations(self) -> Path:
        """The folder of the evaluations that no training ended with."""
        return self.home / "evaluations"

    @property
    def cache(self) -> Path:
        """The folder of what can be made again."""
        return self.home / "cache"


@cache
def settings() -> Settings:
    """Read the settings of this process, once; raises ConfigError for a value that cannot be."""
    home = os.environ.get("FRACTURE_HOME") or Path.home() / ".fracture-workbench"
    return Settings(
        home=Path(home).expanduser().absolute(),
        max_pixels=_whole("FRACTURE_MAX_PIXELS", default=400_000_000, least=1),
        runner=_one_of("FRACTURE_RUNNER", RUNNERS),
        stop_seconds=_whole("FRACTURE_STOP_SECONDS", default=60, least=1),
        retries=_whole("FRACTURE_RETRIES", default=1, least=0),
        ray_gpus=_whole("FRACTURE_RAY_GPUS", default=1, least=0),
        share_gb=_whole("FRACTURE_SHARE_GB", default=4, least=0),
        data_roots=_folders("FRACTURE_DATA_ROOTS"),
        allowed_hosts=tuple(filter(None, os.environ.get("FRACTURE_ALLOWED_HOSTS", "").split(","))),
        cache_gb=_whole("FRACTURE_CACHE_GB", default=100, least=0),
        cache_days=_whole("FRACTURE_CACHE_DAYS", default=30, least=1),
        allow_remote=_one_of("FRACTURE_ALLOW_REMOTE", ("0", "1")) == "1",
        api_key=_key("FRACTURE_API_KEY"),
    )


def _whole(name: str, *, default: int, least: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(name, expected=f"a whole number from {least}", found=repr(text))
    return int(text)


def _folders(name: str) -> tuple[Path, ...]:
    parts = filter(None, os.environ.get(name, "").split(os.pathsep))
    return tuple(Path(part).expanduser().absolute() for part in parts)


def _key(name: str) -> str:
    text = os.environ.get(name, "")
    usable = len(text) >= 16 and text.isascii() and text.isprintable() and " " not in text
    if text and not usable:
        found = f"{len(text)} characters, or others than those"
        expected = "16 printable ASCII characters or more, without spaces"
        raise ConfigError(name, expected=expected, found=found)
    return text


def _one_of(name: str, known: tuple[str, ...]) -> str:
    """The variable's value, by default the first of the known ones."""
    text = os.environ.get(name) or known[0]
    if text not in known:
        raise ConfigError(name, expected=f"one of {', '.join(known)}", found=repr(text))
    return text
