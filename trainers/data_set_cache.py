"""The cache of packed data sets: each is read and resized once, and kept for later runs.

    cache/packed/FINGERPRINT/    packs for the loop, written here
    cache/yolo/FINGERPRINT/      folders for Ultralytics, written by `trainers.yolo.folder`

Everything here can be made again from its data set. An entry is in use, and is not removed, as
long as a process that called `hold` for it lives; after that its age and the size of the cache
decide. A pack is written completely or not at all, by one process at a time.

The fingerprint covers everything that decides a pack's content: the ids in order with what is known
of each image (annotations by value), the sizes, and path, length and times of change of each image
file. Only a file that was replaced by one of the same length with both times set back goes
unnoticed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from fracture_core import importing
from fracture_core.conversion.options import resize_finding
from fracture_core.datasets import Dataset
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import BadInput, ConfigError, DatasetError, StorageError
from fracture_core.evaluations.labelling import Labelling
from fracture_core.files import make_folder, making_folder, remove_folder, storing, write_text
from fracture_core.masks import Rle
from fracture_core.settings import settings
from fracture_core.types import Sample
from trainers.config import TrainConfig
from trainers.label_map import label_map
from trainers.packed import FACTS, GROUND_TRUTH, PIXELS, GroundTruth, Packed, load_packed
from trainers.reading import Reader, Shown
from trainers.training_module import NOTHING

# ---- how long entries stay ----------------------------------------------------------------------

KINDS = ("packed", "yolo")
_USED = ".used"
_DAY_SECONDS = 86_400
# Younger entries stay: another process may be writing one, which it holds only once it is complete.
_YOUNG_SECONDS = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    folder: Path
    size: int
    used: float


def hold(folder: Path) -> None:
    """Mark a folder of the cache as used now, and keep it from removal until this process ends.

    Nothing happens where the folder is absent or the disk read-only.
    """
    with suppress(OSError):
        (folder / _USED).touch()
        # Not closed once locked: the system releases it when the process ends, in whatever way.
        descriptor = os.open(folder / _USED, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise


def make_room(needed_bytes: int = 0) -> None:
    """Remove entries that are too old, and the longest unused until `needed_bytes` more fit.

    They have to fit into the limit of the cache and on the disk; both limits are settings. How much
    was removed is printed to stderr.
    """
    now = time.time()
    entries = sorted(_entries(), key=lambda each: each.used)
    total = sum(each.size for each in entries)
    removed, freed = 0, 0
    for each in entries:
        is_old = now - each.used > settings().cache_days * _DAY_SECONDS
        is_too_much = total - freed + needed_bytes > settings().cache_gb * 10**9
        if not (is_old or is_too_much or _free_bytes() < needed_bytes):
            continue
        if now - each.used > _YOUNG_SECONDS and _remove(each.folder):
            removed, freed = removed + 1, freed + each.size
    if removed:
        print(f"cache: {removed} unused removed, {freed / 1e9:.1f} GB", file=sys.stderr)


def _entries() -> Iterator[_Entry]:
    for kind in KINDS:
        place = settings().cache / kind
        for folder in place.iterdir() if place.is_dir() else ():
            # Another process may remove the folder while this one looks at it.
            with suppress(OSError):
                if folder.is_dir():
                    yield _entry(folder)


def _entry(folder: Path) -> _Entry:
    mark = folder / _USED
    used = (mark if mark.exists() else folder).stat().st_mtime
    files = (path for path in folder.rglob("*") if path.is_file())
    return _Entry(folder=folder, size=sum(path.stat().st_size for path in files), used=used)


def _free_bytes() -> int:
    return shutil.disk_usage(settings().cache).free


def _remove(folder: Path) -> bool:
    """Remove an entry and tell whether it is gone; one in use stays, as does a read-only one."""
    try:
        descriptor = os.open(folder / _USED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_folder(folder)
    except (OSError, StorageError):
        return False
    else:
        return True
    finally:
        os.close(descriptor)


# ---- packs on disk ------------------------------------------------------------------------------

_SPARE_BYTES = 2**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a pack is to hold; `fingerprint` names it and differs for any other content.

    `samples` are the images in the order of the rows, `ground_truth` what is known of them.
    """

    fingerprint: str
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    ground_truth: GroundTruth

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (N, H, W) of the pixels."""
        height, width = map(int, self.ground_truth.sizes.max(axis=0))
        return len(self.samples), height, width

    def resize(self, row: int, shown: Shown) -> Shown:
        """Return the (H, W) uint8 canvas with the image of a row, resized, at its top left."""
        height, width = map(int, self.ground_truth.sizes[row])
        canvas = np.zeros(self.shape[1:], dtype=np.uint8)
        canvas[:height, :width] = resize(shown, (height, width))
        return canvas


def load_or_write(plan: Plan, reader: Reader, *, left_out: int) -> Packed:
    """Return the pack from the cache; write it first where it is absent, incomplete or damaged.

    Raises DatasetError where an image cannot be read, StorageError where there is no room.
    """
    with importing.LOCK:
        from filelock import FileLock

    folder = settings().cache / "packed" / plan.fingerprint
    if found := _load(folder, left_out):
        return found
    make_folder(folder.parent)
    with storing(folder.parent), FileLock(folder.with_suffix(".lock")):
        # Another process may have packed it while this one waited for the lock.
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
    """Write the complete pack, or nothing."""
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
        # Not through a memory map: on a full disk its writes end the process by SIGBUS.
        _write_pixels(plan, reader, file)
    plan.ground_truth.save(folder / GROUND_TRUTH)
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
    """Resize (H, W) uint8 to `size` (height, width) with antialiasing, as the adapters do."""
    if shown.shape == size:
        return shown
    with importing.LOCK:
        import torch
        from torchvision.transforms.v2 import functional

    grey = torch.from_numpy(np.ascontiguousarray(shown))[None]
    resized: Shown = functional.resize(grey, list(size), antialias=True)[0].numpy()
    return resized


# ---- packing ------------------------------------------------------------------------------------

SizeOf = Callable[[int, int], tuple[int, int]]
_VERSION = 1
_HOW_TO_SPLIT = "`python -m fracture_core convert SRC DST --to coco --splits 70,15,15` makes them."


def pack_split(dataset: Dataset, config: TrainConfig, split: str, size_of: SizeOf) -> Packed:
    """Return a split, packed as the config asks: its classes, its limit, its seed.

    `size_of` gives the height and width of the network's input for those of an image. Raises
    ConfigError for a split that does not exist and for classes that cannot be learned, and
    otherwise as `pack` does.
    """
    labelling = label_map(dataset, config)
    return pack(
        dataset,
        _ids(dataset, split),
        size_of=size_of,
        labelling=labelling,
        limit=config.limit,
        seed=config.seed,
    )


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
    """Pack the images of known ground truth, at most `limit` of them drawn by the seed (0 = all).

    A pack that is in the cache is taken from there. With `masks` the outlines are packed as well,
    if every image with objects has them. Raises DatasetError where an image cannot be read or none
    is left, StorageError where there is no room.
    """
    reader = Reader(dataset=dataset, workers=_workers())
    known = _known(reader, ids, labelling)
    chosen = _draw(known, limit, seed)
    ground_truth = _ground_truth(chosen, cache(size_of), labelling, masks)
    plan = Plan(
        fingerprint=_fingerprint(dataset, chosen, labelling.classes, ground_truth),
        classes=labelling.classes,
        samples=chosen,
        ground_truth=ground_truth,
    )
    return load_or_write(plan, reader, left_out=len(ids) - len(known))


def chosen_samples(dataset: Dataset, config: TrainConfig, split: str) -> tuple[Sample, ...]:
    """Return the samples of a split that `pack_split` packs, not resized; raise as it does."""
    reader = Reader(dataset=dataset, workers=_workers())
    known = _known(reader, _ids(dataset, split), label_map(dataset, config))
    return tuple(_draw(known, config.limit, config.seed))


def _workers() -> int:
    return os.cpu_count() or 1


def _known(reader: Reader, ids: Sequence[str], labelling: Labelling) -> Sequence[Sample]:
    known = [sample for sample in reader.samples(ids) if labelling.knows(sample)]
    if not known:
        raise DatasetError(
            reader.dataset.name,
            expected="images of which the ground truth is known",
            found=f"none among {len(ids):,}",
        )
    return known


def _ids(dataset: Dataset, split: str) -> Sequence[str]:
    if split not in dataset.splits:
        raise _no_split(dataset, split)
    return dataset.splits[split]


def _no_split(dataset: Dataset, split: str) -> ConfigError:
    named = [name for name in dataset.splits if name]
    return ConfigError(
        "split",
        expected=f"'{split}' in the data set {dataset.name}",
        found=f"only {', '.join(named)}" if named else "no splits at all",
        advice="" if named else _HOW_TO_SPLIT,
    )


def _draw(samples: Sequence[Sample], limit: int, seed: int) -> Sequence[Sample]:
    if not 0 < limit < len(samples):
        return samples
    chosen = np.random.default_rng(seed).permutation(len(samples))[:limit]
    return [samples[row] for row in sorted(chosen)]


def _fingerprint(
    dataset: Dataset, samples: Sequence[Sample], classes: Sequence[str], ground_truth: GroundTruth
) -> str:
    names = [f"{_VERSION}", *classes, *_file_facts(dataset, samples)]
    names += [f"{each.sample_id}\0{each.group_id}\0{each.split}" for each in samples]
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass"))
    for array in ground_truth.arrays().values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _file_facts(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[str]:
    """Path, length and times of change of every file that pixels come from, each file once."""
    paths = {dataset.path: None}
    if isinstance(dataset, RecordedDataset):
        found = (getattr(dataset.records[each.sample_id], "path", None) for each in samples)
        paths = {path: None for path in found if path is not None} or paths
    for path in paths:
        facts = path.stat()
        yield f"{path.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ctime_ns}"


def _ground_truth(
    samples: Sequence[Sample], size_of: SizeOf, labelling: Labelling, masks: bool
) -> GroundTruth:
    originals = np.array([(each.height, each.width) for each in samples], dtype=np.int64)
    inputs = np.array([size_of(each.height, each.width) for each in samples], dtype=np.int64)
    sizes = np.minimum(originals, inputs)
    most = max(1, *(0 if each.ground_truth is None else len(each.ground_truth) for each in samples))
    boxes = np.zeros((len(samples), most, 4), dtype=np.float32)
    labels = np.full((len(samples), most), NOTHING, dtype=np.int64)
    for row, sample in enumerate(samples):
        if sample.ground_truth is not None:
            scale = np.tile((sizes[row] / originals[row])[::-1], 2)
            boxes[row, : len(sample.ground_truth)] = sample.ground_truth.xyxy * scale
            labels[row, : len(sample.ground_truth)] = labelling.labels(sample)
    return GroundTruth(
        originals=originals,
        inputs=inputs,
        sizes=sizes,
        boxes_xyxy=boxes,
        labels=labels,
        image_classes=np.array([labelling.image_class(each) for each in samples]),
        known=np.array([each.ground_truth is not None for each in samples]),
        masks=_masks(samples, sizes) if masks else (),
    )


def _masks(samples: Sequence[Sample], sizes: npt.NDArray[np.int64]) -> tuple[tuple[Rle, ...], ...]:
    """The masks of every image, or an empty tuple where an image with objects lacks them."""
    ground_truths = [each.ground_truth for each in samples]
    if any(
        ground_truth is not None and len(ground_truth) and not ground_truth.masks
        for ground_truth in ground_truths
    ):
        return ()
    return tuple(
        tuple(
            _resize_mask(code, sample, size)
            for code in (ground_truth.masks if ground_truth else ())
        )
        for sample, ground_truth, size in zip(samples, ground_truths, sizes, strict=True)
    )


def _resize_mask(code: Rle, sample: Sample, size: npt.NDArray[np.int64]) -> Rle:
    whole = Finding(label=0, xyxy=np.zeros(4), place="", outline=code)
    new = (int(size[0]), int(size[1]))
    outline = resize_finding(whole, (sample.height, sample.width), new).outline
    if not isinstance(outline, Rle):
        raise TypeError(f"outline: expected a code, got {type(outline)}")
    return outline
