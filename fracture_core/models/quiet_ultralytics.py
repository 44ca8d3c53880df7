"""Ultralytics, imported so that it calls nobody, installs nothing and leaves torch as it was.

By itself it looks up host names, sends usage events, fetches fonts, installs packages, replaces
`torch.save`, and sets the process to one thread. Everything of it is reached through `part`.
"""

import atexit
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from fracture_core import importing
from fracture_core.drawing.text import font_file
from fracture_core.errors import StorageError
from fracture_core.files import make_folder, replacing, write_text
from fracture_core.settings import settings

_ENVIRONMENT = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    # Architectures are built without `eval`.
    "ULTRALYTICS_SAFE_LOAD": "1",
}
_OFF = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
_MESSAGES = ("vscode_msg", "openvino_msg")
_FONTS = ("Arial.ttf", "Arial.Unicode.ttf")
_DETERMINISM = ("CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED")
# Ultralytics keeps state in its classes while it builds a network: one build at a time. Whoever
# holds this lock may take `importing.LOCK`, but not the other way round: no module may build a
# network while it is imported, or two threads could wait for each other.
LOCK = threading.RLock()


def part(name: str) -> ModuleType:
    """Imports and returns a module by its full name, such as "ultralytics.nn.tasks"."""
    with importing.LOCK:
        _import_quietly()
        return importing.load(name)


@contextmanager
def training(device: torch.device) -> Iterator[None]:
    """Lets Ultralytics train on this device while the block is open, and call nobody.

    Its trainers add callbacks that send what is done, fetch weights to try half precision out, and
    set threads, environment and determinism of the process; environment and determinism are put
    back in the end.
    """
    callbacks, engine = part("ultralytics.utils.callbacks"), part("ultralytics.engine.trainer")
    quiet = {
        (callbacks, "add_integration_callbacks"): lambda instance: None,
        (engine, "check_amp"): lambda network: True,
        (engine, "select_device"): lambda name: device,
    }
    before = {(owner, name): getattr(owner, name) for owner, name in quiet}
    environment = {name: os.environ.get(name) for name in _DETERMINISM}
    try:
        for (owner, name), value in quiet.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
        part("ultralytics.utils.torch_utils").unset_deterministic()
        for name, text in environment.items():
            os.environ.pop(name, None)
            os.environ.update({name: text} if text is not None else {})


def _import_quietly() -> None:
    if "ultralytics.utils" in sys.modules:
        return
    folder = _config_folder()
    os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=str(folder))
    threads, cv_threads, save = torch.get_num_threads(), cv2.getNumThreads(), torch.save
    omp, printing = os.environ.get("OMP_NUM_THREADS"), np.get_printoptions()
    importing.load("ultralytics.utils")
    torch.set_num_threads(threads)
    torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
    torch.save = save
    cv2.setNumThreads(cv_threads)
    np.set_printoptions(**printing)
    if omp is None:
        os.environ.pop("OMP_NUM_THREADS", None)


def _config_folder() -> Path:
    """Returns a folder under the home folder, or a temporary one where that cannot be written to.

    Nothing in it is worth keeping, so no model is refused for a full or read-only disk.
    """
    kept = settings().cache / "ultralytics"
    try:
        _prepare(kept / "Ultralytics")
    except StorageError:
        passing = Path(tempfile.mkdtemp(prefix="ultralytics-"))
        atexit.register(shutil.rmtree, passing, ignore_errors=True)
        _prepare(passing / "Ultralytics")
        return passing
    return kept


def _prepare(folder: Path) -> None:
    """Writes the settings that Ultralytics finds, and the fonts that it would fetch."""
    make_folder(folder)
    off = dict.fromkeys((*_OFF, *_MESSAGES), False)
    folders = {
        name: str(folder.parent / name) for name in ("datasets_dir", "weights_dir", "runs_dir")
    }
    text = json.dumps({**off, **folders, "api_key": "", "openai_api_key": ""})
    write_text(folder / "settings.json", text)
    for name in _FONTS:
        if not (folder / name).is_file():
            with replacing(folder / name) as aside:
                shutil.copyfile(font_file(), aside)
