"""What all tests share."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says how busy the machine is, not whether a law holds.
hypothesis.settings.register_profile("steady", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("steady")

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Real images beside the repository, where a developer has them."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data: {SHARED_DATA} is absent")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for every test: nothing is read from or left on the machine.

    Of the built-in models the fake one alone is there; `SHIPPED` still tells where the others lie.
    """
    from fracture_core.models import library
    from fracture_core.settings import settings

    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FRACTURE_HOME", str(folder))
    roots = (tmp_path_factory.getbasetemp(), SHARED_DATA.parent)
    monkeypatch.setenv("FRACTURE_DATA_ROOTS", os.pathsep.join(map(str, roots)))
    monkeypatch.setattr(library, "SHIPPED", folder / "shipped")
    settings.cache_clear()
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, far slower on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def same_main() -> Iterator[None]:
    """A page that was run leaves its script as the main module, and processes that are started
    with `spawn` run that again.
    """
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's cache, empty, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder
