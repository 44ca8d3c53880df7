"""Packs on disk: written whole or not at all, by one process at a time."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from fracture_core import importing
from fracture_core.errors import BadInput, DatasetError, StorageError
from fracture_core.files import make_folder, making_folder, remove_folder, storing, write_text
from fracture_core.settings import settings
from fracture_core.types import Sample
from trainers.cache_limits import hold, make_room
from trainers.packed import FACTS, PIXELS, TRUTH, Packed, Truth, load_packed
from trainers.reading import Reader, Shown

_SPARE_BYTES = 2**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a pack is to hold, and `fingerprint`, which tells any other pack from it."""

    fingerprint: str
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    truth: Truth

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W) of the pixels."""
        height, width = map(int, self.truth.sizes.max(axis=0))
        return len(self.samples), height, width

    def resize(self, row: int, shown: Shown) -> Shown:
        """(H, W) as shown → the whole canvas."""
        height, width = map(int, self.truth.sizes[row])
        canvas = np.zeros(self.shape[1:], dtype=np.uint8)
        canvas[:height, :width] = resize(shown, (height, width))
        return canvas


def load_or_write(plan: Plan, reader: Reader, *, left_out: int) -> Packed:
    """The pack from the cache, written first where it is absent, half-written or damaged.

    Raises DatasetError where a picture cannot be read, StorageError where there is no room.
    """
    with importing.LOCK:
        from filelock import FileLock

    folder = settings().cache / "packed" / plan.fingerprint
    if found := _load(folder, left_out):
        return found
    make_folder(folder.parent)
    with storing(folder.parent), FileLock(folder.with_suffix(".lock")):
        # Another process may have packed it meanwhile.
        if found := _load(folder, left_out):
            return found
        if folder.exists():
            remove_folder(folder)
        make_room(int(np.prod(plan.shape)) + _SPARE_BYTES)
        _write_whole(plan, reader, folder)
    packed = _load(folder, left_out)
    if packed is None:
        raise DatasetError(folder, expected="the pack just written", found="none")
    return packed


def _load(folder: Path, left_out: int) -> Packed | None:
    hold(folder)
    return load_packed(folder, left_out=left_out)


def _write_whole(plan: Plan, reader: Reader, folder: Path) -> None:
    """All of it or nothing."""
    _check_room(plan, folder.parent)
    try:
        with making_folder(folder) as part:
            _write(plan, reader, part)
    except StorageError as error:
        raise _refused(error.expected, error.found) from error


def _check_room(plan: Plan, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < np.prod(plan.shape) + _SPARE_BYTES:
        needed = (np.prod(plan.shape) + _SPARE_BYTES) / 1e9
        expected = f"{needed:,.1f} GB free for the images"
        raise _refused(expected, f"{free / 1e9:,.1f} GB free")


def _refused(expected: str, found: str) -> StorageError:
    place = settings().cache / "packed"
    advice = f"Everything in {place} may be removed; FRACTURE_HOME puts it elsewhere."
    return StorageError(place, expected=expected, found=found, advice=advice)


def _write(plan: Plan, reader: Reader, folder: Path) -> None:
    with (folder / PIXELS).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": plan.shape}
        np.lib.format.write_array_header_1_0(file, header)
        # Not through a memory map: on a full disk that kills the process.
        _write_pixels(plan, reader, file)
    plan.truth.save(folder / TRUTH)
    facts = {
        "fingerprint": plan.fingerprint,
        "shape": plan.shape,
        "classes": plan.classes,
        "ids": [each.sample_id for each in plan.samples],
        "groups": [each.group_id for each in plan.samples],
        "splits": [each.split for each in plan.samples],
    }
    write_text(folder / FACTS, json.dumps(facts))


def _write_pixels(plan: Plan, reader: Reader, file: IO[bytes]) -> None:
    with importing.LOCK:
        from tqdm import tqdm

    failed: list[tuple[str, BadInput]] = []
    row = 0
    with tqdm(total=len(plan.samples), unit="image", desc="packing", disable=None) as bar:
        for block in reader.blocks(plan.samples, plan.resize):
            for each in block:
                if isinstance(each, BadInput):
                    failed.append((plan.samples[row].sample_id, each))
                else:
                    file.write(each.data)
                row += 1
            bar.update(len(block))
    reader.raise_unreadable(failed)


def resize(shown: Shown, size: tuple[int, int]) -> Shown:
    """(H, W) uint8 → `size`, smoothed where it shrinks, as the families' adapters do."""
    if shown.shape == size:
        return shown
    with importing.LOCK:
        import torch
        from torchvision.transforms.v2 import functional

    grey = torch.from_numpy(np.ascontiguousarray(shown))[None]
    resized: Shown = functional.resize(grey, list(size), antialias=True)[0].numpy()
    return resized
