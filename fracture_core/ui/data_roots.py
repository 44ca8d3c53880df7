"""The folders that the pages may read and write: a path box reaches no further."""

import os
from pathlib import Path

from fracture_core.errors import DatasetError
from fracture_core.settings import settings
from fracture_core.ui.protection import is_local


def data_roots() -> tuple[Path, ...]:
    """FRACTURE_DATA_ROOTS and the demo data; by default the user's home and the working folder.

    The default holds on a server for this machine alone; any other has the demo data only.
    """
    demo = settings().home / "demo"
    if settings().data_roots or not is_local():
        return (*settings().data_roots, demo)
    return (Path.home(), Path.cwd(), demo)


def inside_roots(text: str) -> Path:
    """The path that was typed; DatasetError where its real place is outside all data roots.

    What lies outside is never looked at: the sentence is the same whether it exists or not.
    """
    try:
        path = Path(text).expanduser()
        real = Path(os.path.realpath(path))
    except (ValueError, RuntimeError):
        raise _outside(text) from None
    if any(real.is_relative_to(os.path.realpath(root)) for root in data_roots()):
        return path
    raise _outside(text)


def check_start(text: str) -> None:
    """Refuse weights to begin from whose path leads out of the data roots and the working folder.

    A name that is no path, such as a hub id, is one below the working folder and passes.
    """
    real = Path(os.path.realpath(Path(text)))
    if text.startswith("~") or not real.is_relative_to(os.path.realpath(Path.cwd())):
        inside_roots(text)


def _outside(text: str) -> DatasetError:
    return DatasetError(
        text.rstrip("/").rpartition("/")[2] or text,
        expected="a path inside this server's data folders",
        found="one outside them",
        advice="FRACTURE_DATA_ROOTS names the folders that the pages may open.",
    )
