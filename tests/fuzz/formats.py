"""The formats that are tried: how to make a whole file of each, and how the product opens it."""

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from fracture_core.models import library
from fracture_core.models.state_dicts import read_state

Change = Callable[[bytes], bytes]
CLASSES = ("wrist", "elbow", "shoulder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`make` writes something whole into an empty folder and returns its path, a file or a folder
    of files, of which each mutant has one changed.

    `open` reads it as the product does and returns what its contents come to, such as a hash. It
    raises a WorkbenchError for what it refuses. `reseal` changes bytes behind a check sum or a
    length and makes those right again, so that damage gets past them. `has_check_sums` says that
    damage that is not resealed must never open as other contents.
    """

    make: Callable[[Path], Path]
    open: Callable[[Path], str]
    reseal: Callable[[bytes, Change], bytes] | None = None
    has_check_sums: bool = False


def _yolo(folder: Path) -> Path:
    from tests.support.yolo_files import save_checkpoint, yolo_network

    return save_checkpoint(yolo_network("yolov8n.yaml"), folder / "net.pt")


def _resnet_state() -> dict[str, torch.Tensor]:
    from tests.support.torchvision_files import resnet

    state: dict[str, torch.Tensor] = resnet().network.state_dict()
    return state


def _resnet_checkpoint(folder: Path) -> Path:
    path = folder / "net.pt"
    torch.save({"epoch": 3, "model": _resnet_state(), "args": {"lr": 0.1}}, path)
    return path


def _resnet_safetensors(folder: Path) -> Path:
    path = folder / "net.safetensors"
    save_file(_resnet_state(), path, metadata={"made by": "a test"})
    return path


def _scratch_safetensors(folder: Path) -> Path:
    network = library.open_model("scratch:tiny").network  # type: ignore[attr-defined]
    path = folder / "net.safetensors"
    save_file(network.state_dict(), path)
    return path


def _added_as(family_name: str) -> Callable[[Path], str]:
    """Adds it to the library and takes it out again; the hash is that of its tensors."""

    def add(path: Path) -> str:
        classes = None if family_name == "yolo" else CLASSES
        card = library.add_model(path, family_name=family_name, classes=classes)
        model = library.open_model(card.model_id)
        library.delete_model(card.model_id)
        if family_name == "yolo":
            return _hash_of(model._network.state_dict())  # type: ignore[attr-defined]
        return _hash_of(read_state(path))

    return add


def _hash_of(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _reseal_archive(data: bytes, change: Change) -> bytes:
    """The pickle changed, and packed with the right check sum."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as whole, zipfile.ZipFile(made, "w") as archive:
        for entry in whole.infolist():
            content = whole.read(entry)
            if entry.filename.endswith("/data.pkl"):
                content = change(content)
            archive.writestr(entry.filename, content)
    return made.getvalue()


def _reseal_header(data: bytes, change: Change) -> bytes:
    """The JSON changed, and its length told rightly."""
    length = struct.unpack_from("<Q", data)[0]
    header = change(data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


FORMATS: dict[str, Format] = {
    "pt-yolo": Format(
        make=_yolo, open=_added_as("yolo"), reseal=_reseal_archive, has_check_sums=True
    ),
    "pt-resnet": Format(
        make=_resnet_checkpoint,
        open=_added_as("resnet"),
        reseal=_reseal_archive,
        has_check_sums=True,
    ),
    "safetensors-resnet": Format(
        make=_resnet_safetensors, open=_added_as("resnet"), reseal=_reseal_header
    ),
    "safetensors-scratch": Format(
        make=_scratch_safetensors, open=_added_as("scratch_detr"), reseal=_reseal_header
    ),
}
