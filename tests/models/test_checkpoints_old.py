"""Files that `torch.save` wrote before PyTorch 1.6."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from fracture_core.errors import WeightsError
from fracture_core.models.checkpoints import state_dict
from fracture_core.models.checkpoints.archive import MAGIC
from fracture_core.models.checkpoints.limits import Refusal
from fracture_core.models.checkpoints.process import read_contents
from fracture_core.models.state_dicts import read_state

_MAGIC = int.from_bytes(MAGIC, "little")
_MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}


def save(content: Any, path: Path) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def written(content: bytes, path: Path, *, machine: object = None, keys: object = ()) -> Path:
    """A file of the old layout around any pickle."""
    parts = [pickle.dumps(part, 2) for part in (_MAGIC, 1001, machine or _MACHINE)]
    path.write_bytes(b"".join([*parts, content, pickle.dumps(list(keys), 2)]))  # type: ignore[call-overload]
    return path


class Bomb:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {Path.cwd() / 'exploded'}",)


def state() -> dict[str, Tensor]:
    whole = torch.arange(12.0).reshape(3, 4)
    return {
        "whole.weight": whole,
        "turned.weight": whole.t(),
        "row.weight": whole[1],
        "half.weight": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }


def test_tensors_are_those_that_were_saved(tmp_path: Path) -> None:
    found = read_state(save(state(), tmp_path / "w.pt"))
    assert found.keys() == state().keys()
    for name, tensor in state().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_a_state_dict_of_a_module(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found = read_state(save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "w.pt"))
    assert all(torch.equal(found[name], t) for name, t in network.state_dict().items())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_breaks_off(share: float, tmp_path: Path) -> None:
    file = save({"weight": torch.rand(50, 40)}, tmp_path / "w.pt")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"w\.pt: expected a PyTorch checkpoint"):
        read_state(file)


def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(pickle.dumps({"model": Bomb()}, 2), tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"a pickle that asks for .*system.*do not use"):
        read_state(file)
    for place in range(3):
        parts = [pickle.dumps(part, 2) for part in (_MAGIC, 1001, _MACHINE)]
        parts[place] = pickle.dumps((_MAGIC, Bomb()), 2)
        file.write_bytes(b"".join(parts))
        with pytest.raises(WeightsError):
            read_state(file)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("machine", "keys", "found"),
    [
        ({**_MACHINE, "little_endian": False}, (), "not little-endian"),
        ("a machine", (), "not little-endian"),
        (None, ("1",), "other than its tensors have"),
    ],
)
def test_layouts_that_cannot_be(
    machine: object, keys: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    file = written(pickle.dumps({"a": 1}, 2), tmp_path / "w.pt", machine=machine, keys=keys)
    with pytest.raises(WeightsError, match=found):
        read_contents(file, "state dict")


@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
@hypothesis_settings(max_examples=150, deadline=None)
def test_a_changed_byte_gives_tensors_or_a_weights_error(
    place: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = save({"weight": torch.zeros(4)}, tmp_path_factory.mktemp("w") / "w.pt")
    content = bytearray(file.read_bytes())
    content[place % len(content)] = value
    file.write_bytes(content)
    # In this process: another one a byte would take long.
    with contextlib.suppress(Refusal):
        assert state_dict.read_places(file)
