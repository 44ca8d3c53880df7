"""Packing: a data set is read and resized once, and kept until it or the settings change.

A pack is named after everything that decides its content: the ids in order with what is known of
each picture (annotations by value, so that any change that matters counts and no other does), the
sizes, and of each picture's file the path, size, and times of last change. A file that was replaced
by another of the same length with both times set back is not noticed; nothing else escapes.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from fracture_core.conversion.options import resize_finding
from fracture_core.datasets import Dataset
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.evaluations.labelling import Labelling
from fracture_core.masks import Rle
from fracture_core.types import Sample
from trainers.batches import NOTHING
from trainers.config import TrainConfig
from trainers.label_map import label_map
from trainers.pack_writing import Plan, load_or_write
from trainers.packed import Packed, Truth
from trainers.reading import Reader

SizeOf = Callable[[int, int], tuple[int, int]]
_VERSION = 1
_HOW_TO_SPLIT = "`python -m fracture_core convert SRC DST --to coco --splits 70,15,15` makes them."


def pack_split(dataset: Dataset, config: TrainConfig, split: str, size_of: SizeOf) -> Packed:
    """A split as the config wants it; raises ConfigError, DatasetError.

    `size_of` gives the network's input for a picture's height and width.
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
    """Those pictures of which something is known, at most `limit` of them drawn by the seed.

    Taken from the cache where it is there. `masks` packs outlines as well. Raises DatasetError
    where a picture cannot be read or nothing is left, ConfigError where there is no room.
    """
    reader = Reader(dataset=dataset, workers=_workers())
    known = _known(reader, ids, labelling)
    chosen = _draw(known, limit, seed)
    truth = _truth(chosen, cache(size_of), labelling, masks)
    plan = Plan(
        fingerprint=_fingerprint(dataset, chosen, labelling.classes, truth),
        classes=labelling.classes,
        samples=chosen,
        truth=truth,
    )
    return load_or_write(plan, reader, left_out=len(ids) - len(known))


def chosen_samples(dataset: Dataset, config: TrainConfig, split: str) -> tuple[Sample, ...]:
    """The pictures of a split that `pack_split` packs, as they are; raises as it does."""
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
    dataset: Dataset, samples: Sequence[Sample], classes: Sequence[str], truth: Truth
) -> str:
    names = [f"{_VERSION}", *classes, *_file_facts(dataset, samples)]
    names += [f"{each.sample_id}\0{each.group_id}\0{each.split}" for each in samples]
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass"))
    for array in truth.arrays().values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


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
