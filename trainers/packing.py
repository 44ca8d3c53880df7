"""Packing: a data set is read and resized once, and kept until it or the settings change.

A pack is named after everything that decides its content: the ids in order with what is known of
each picture (annotations by value, so that any change that matters counts and no other does), the
sizes, and of each picture's file the path, size, and times of last change. A file that was replaced
by another of the same length with both times set back is not noticed; nothing else escapes.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from fracture_core.conversion.resizing import resize_finding
from fracture_core.conversion.workspace import write_json
from fracture_core.datasets import Dataset
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.masks import Rle
from fracture_core.settings import settings
from fracture_core.types import Sample
from trainers.batches import NOTHING
from trainers.config import TrainConfig
from trainers.labelling import Labelling
from trainers.packed import FACTS, PIXELS, TRUTH, Packed, Truth, load_packed
from trainers.reading import Reader, Shown, raise_unreadable

SizeOf = Callable[[int, int], tuple[int, int]]
_VERSION = 1
_SPARE_BYTES = 2**26


def pack_split(dataset: Dataset, config: TrainConfig, split: str, size_of: SizeOf) -> Packed:
    """A split as the config wants it; raises ConfigError, DatasetError.

    `size_of` gives the network's input for a picture's height and width.
    """
    if split not in dataset.splits:
        raise _no_split(dataset, split)
    labelling = Labelling.of(dataset, config)
    return pack(
        dataset,
        dataset.splits[split],
        size_of=size_of,
        labelling=labelling,
        limit=config.limit,
        seed=config.seed,
    )


def chosen_samples(dataset: Dataset, config: TrainConfig, split: str) -> Sequence[Sample]:
    """The pictures of a split that `pack_split` packs, as they are; raises ConfigError."""
    if split not in dataset.splits:
        raise _no_split(dataset, split)
    labelling = Labelling.of(dataset, config)
    known = [
        each for each in map(dataset.__getitem__, dataset.splits[split]) if labelling.knows(each)
    ]
    return _draw(known, config.limit, config.seed)


def pack(
    dataset: Dataset,
    ids: Sequence[str],
    *,
    size_of: SizeOf,
    labelling: Labelling,
    limit: int = 0,
    seed: int = 0,
    masks: bool = False,
) -> Packed:
    """Those pictures of which something is known, at most `limit` of them drawn by the seed.

    Taken from the cache where it is there. `masks` packs outlines as well. Raises DatasetError
    where a picture cannot be read or nothing is left, ConfigError where there is no room.
    """
    reader = Reader(dataset=dataset, workers=os.cpu_count() or 1)
    samples = reader.samples(ids)
    usable = [sample for sample in samples if labelling.knows(sample)]
    if not usable:
        raise DatasetError(
            dataset.name,
            expected="pictures of which the truth is known",
            found=f"none among {len(samples):,}",
        )
    plan = _Plan.of(dataset, _draw(usable, limit, seed), size_of, labelling, masks)
    return _load_or_write(plan, reader, left_out=len(samples) - len(usable))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """What a pack is to hold; `shape` (N, H, W) of its pixels."""

    samples: Sequence[Sample]
    classes: tuple[str, ...]
    truth: Truth
    fingerprint: str

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        samples: Sequence[Sample],
        size_of: SizeOf,
        labelling: Labelling,
        masks: bool,
    ) -> "_Plan":
        truth = _truth(samples, cache(size_of), labelling, masks)
        names = [f"{_VERSION}", *labelling.classes, *(_file_facts(dataset, samples))]
        names += [f"{each.sample_id}\0{each.group_id}\0{each.split}" for each in samples]
        digest = hashlib.sha256("\n".join(names).encode())
        for array in truth.arrays().values():
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return cls(
            samples=samples,
            classes=labelling.classes,
            truth=truth,
            fingerprint=digest.hexdigest()[:32],
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = map(int, self.truth.sizes.max(axis=0))
        return len(self.samples), height, width

    def resize(self, row: int, shown: Shown) -> Shown:
        """(H, W) as shown → the whole canvas."""
        height, width = map(int, self.truth.sizes[row])
        canvas = np.zeros(self.shape[1:], dtype=np.uint8)
        canvas[:height, :width] = resize(shown, (height, width))
        return canvas


def resize(shown: Shown, size: tuple[int, int]) -> Shown:
    """(H, W) uint8 → `size`, smoothed where it shrinks, as the families' adapters do."""
    if shown.shape == size:
        return shown
    import torch
    from torchvision.transforms.v2 import functional

    grey = torch.from_numpy(np.ascontiguousarray(shown))[None]
    resized: Shown = functional.resize(grey, list(size), antialias=True)[0].numpy()
    return resized


def _no_split(dataset: Dataset, split: str) -> ConfigError:
    named = [name for name in dataset.splits if name]
    return ConfigError(
        "split",
        expected=f"'{split}' in the data set {dataset.name}",
        found=f"only {', '.join(named)}" if named else "no splits at all",
        advice="`python -m fracture_core convert SRC DST --to coco --splits 70,15,15` makes them."
        if not named
        else "",
    )


def _draw(samples: Sequence[Sample], limit: int, seed: int) -> Sequence[Sample]:
    if not 0 < limit < len(samples):
        return samples
    chosen = np.random.default_rng(seed).permutation(len(samples))[:limit]
    return [samples[row] for row in sorted(chosen)]


def _file_facts(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[str]:
    """Path, size and times of change of every file that pixels come from, each once."""
    paths = {dataset.path: None}
    if isinstance(dataset, RecordedDataset):
        found = (getattr(dataset.records[each.sample_id], "path", None) for each in samples)
        paths = {path: None for path in found if path is not None} or paths
    for path in paths:
        facts = path.stat()
        yield f"{path.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ctime_ns}"


def _truth(samples: Sequence[Sample], size_of: SizeOf, labelling: Labelling, masks: bool) -> Truth:
    originals = np.array([(each.height, each.width) for each in samples], dtype=np.int64)
    inputs = np.array([size_of(each.height, each.width) for each in samples], dtype=np.int64)
    sizes = np.minimum(originals, inputs)
    most = max(1, *(0 if each.truth is None else len(each.truth) for each in samples))
    boxes = np.zeros((len(samples), most, 4), dtype=np.float32)
    labels = np.full((len(samples), most), NOTHING, dtype=np.int64)
    for row, sample in enumerate(samples):
        if sample.truth is not None:
            scale = np.tile((sizes[row] / originals[row])[::-1], 2)
            boxes[row, : len(sample.truth)] = sample.truth.xyxy * scale
            labels[row, : len(sample.truth)] = labelling.labels(sample)
    return Truth(
        originals=originals,
        inputs=inputs,
        sizes=sizes,
        boxes_xyxy=boxes,
        labels=labels,
        image_classes=np.array([labelling.image_class(each) for each in samples]),
        known=np.array([each.truth is not None for each in samples]),
        masks=_masks(samples, sizes) if masks else (),
    )


def _masks(samples: Sequence[Sample], sizes: npt.NDArray[np.int64]) -> tuple[tuple[Rle, ...], ...]:
    """None at all unless every picture with objects has their masks."""
    truths = [each.truth for each in samples]
    if any(truth is not None and len(truth) and not truth.masks for truth in truths):
        return ()
    return tuple(
        tuple(_resize_mask(code, sample, size) for code in (truth.masks if truth else ()))
        for sample, truth, size in zip(samples, truths, sizes, strict=True)
    )


def _resize_mask(code: Rle, sample: Sample, size: npt.NDArray[np.int64]) -> Rle:
    whole = Finding(label=0, xyxy=np.zeros(4), place="", outline=code)
    new = (int(size[0]), int(size[1]))
    outline = resize_finding(whole, (sample.height, sample.width), new).outline
    if not isinstance(outline, Rle):
        raise TypeError(f"outline: expected a code, got {type(outline)}")
    return outline


def _load_or_write(plan: _Plan, reader: Reader, *, left_out: int) -> Packed:
    from filelock import FileLock

    folder = settings().cache / "packed" / plan.fingerprint
    if found := load_packed(folder, left_out=left_out):
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        # Another process may have packed it meanwhile.
        if found := load_packed(folder, left_out=left_out):
            return found
        if folder.exists():
            shutil.rmtree(folder)
        _write_whole(plan, reader, folder)
    packed = load_packed(folder, left_out=left_out)
    if packed is None:
        raise DatasetError(folder, expected="the pack just written", found="none")
    return packed


def _write_whole(plan: _Plan, reader: Reader, folder: Path) -> None:
    """All of it or nothing."""
    _check_room(plan, folder.parent)
    folder.mkdir()
    try:
        _write(plan, reader, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(plan, "a disk that became full") from error
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_room(plan: _Plan, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < np.prod(plan.shape) + _SPARE_BYTES:
        raise _no_room(plan, f"{free / 1e9:,.1f} GB free")


def _no_room(plan: _Plan, found: str) -> ConfigError:
    return ConfigError(
        settings().cache / "packed",
        expected=f"{(np.prod(plan.shape) + _SPARE_BYTES) / 1e9:,.1f} GB free for the pictures",
        found=found,
        advice=(
            f"Everything in {settings().cache / 'packed'} may be removed; "
            "FRACTURE_HOME puts it elsewhere."
        ),
    )


def _write(plan: _Plan, reader: Reader, folder: Path) -> None:
    with (folder / PIXELS).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": plan.shape}
        np.lib.format.write_array_header_1_0(file, header)
        # Not through a memory map: on a full disk that kills the process.
        _write_pixels(plan, reader, file)
        file.flush()
        os.fsync(file.fileno())
    plan.truth.save(folder / TRUTH)
    facts = {
        "version": _VERSION,
        "fingerprint": plan.fingerprint,
        "shape": plan.shape,
        "classes": plan.classes,
        "ids": [each.sample_id for each in plan.samples],
        "groups": [each.group_id for each in plan.samples],
        "splits": [each.split for each in plan.samples],
    }
    write_json(folder / FACTS, facts)


def _write_pixels(plan: _Plan, reader: Reader, file: IO[bytes]) -> None:
    from tqdm import tqdm

    failed: list[tuple[str, object]] = []
    row = 0
    with tqdm(total=len(plan.samples), unit="picture", desc="packing", disable=None) as bar:
        for block in reader.blocks(plan.samples, plan.resize):
            for each in block:
                if isinstance(each, np.ndarray):
                    file.write(each.data)
                else:
                    failed.append((plan.samples[row].sample_id, each))
                row += 1
            bar.update(len(block))
    raise_unreadable(failed)
