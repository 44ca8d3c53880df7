"""Reading ahead: threads prepare items and images in order, a bounded number of them at once.

Threads suffice, as decoders and resizing let go of Python's lock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fracture_core.datasets import Dataset
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.rsna import SliceRecord, read_slices
from fracture_core.errors import BadInput, DatasetError
from fracture_core.types import Sample, full_range

_From = TypeVar("_From")
_To = TypeVar("_To")


def in_order(
    function: Callable[[_From], _To],
    items: Iterable[_From],
    *,
    workers: int,
    start: Callable[[], None] | None = None,
) -> Iterator[_To]:
    """Yield `function` of each item in order, computed ahead by `workers` threads.

    One item more is under way than there are workers. Items are taken by the caller's thread, and
    `start` is called first in each worker. The threads end with the iterator.

    Example:
        >>> list(in_order(abs, [-1, 2, -3], workers=2))
        [1, 2, 3]
    """
    waiting: deque[Future[_To]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead", initializer=start) as pool:
        try:
            while True:
                more = islice(rest, workers + 1 - len(waiting))
                waiting.extend(pool.submit(function, item) for item in more)
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


Shown = npt.NDArray[np.uint8]
Read = Shown | BadInput
Prepare = Callable[[int, Shown], Shown]
_BLOCK = 32
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the samples and images of a data set with a number of threads."""

    dataset: Dataset
    workers: int

    def samples(self, ids: Sequence[str]) -> list[Sample]:
        """Return the samples, with their headers read; raise DatasetError as `raise_unreadable`."""
        found = list(in_order(self._sample, ids, workers=self.workers))
        pairs = zip(ids, found, strict=True)
        self.raise_unreadable([(i, each) for i, each in pairs if isinstance(each, BadInput)])
        return [each for each in found if isinstance(each, Sample)]

    def blocks(self, samples: Sequence[Sample], prepare: Prepare) -> Iterator[list[Read]]:
        """Yield, in blocks, what `prepare` makes of the number and pixels of each image.

        In place of an image that cannot be read there is its BadInput.
        """
        starts = range(0, len(samples), _BLOCK)
        read = partial(self._read, samples, prepare)
        return in_order(read, starts, workers=self.workers)

    def raise_unreadable(self, failed: Sequence[tuple[str, BadInput]]) -> None:
        """Raise DatasetError, which names the first few, if any image could not be read."""
        if not failed:
            return
        named = "; ".join(
            f"{name}: expected {error.expected}, found {error.found}"
            for name, error in failed[:_NAMED]
        )
        more = f"; and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        raise DatasetError(
            self.dataset.name,
            expected="images that can all be read",
            found=f"{len(failed):,} that cannot ({named}{more})",
            advice="Repair them, or take them out of the data set.",
        )

    def _sample(self, sample_id: str) -> Sample | BadInput:
        try:
            return self.dataset[sample_id]
        except BadInput as error:
            return error

    def _read(self, samples: Sequence[Sample], prepare: Prepare, start: int) -> list[Read]:
        block = samples[start : start + _BLOCK]
        if (rows := self._rows(block)) is not None:
            path, numbers = rows
            try:
                slices = enumerate(read_slices(path, numbers), start=start)
                return [prepare(row, np.take(_SHOWN_LEVELS, pixels)) for row, pixels in slices]
            except DatasetError:
                # They are read one by one below, so that the error names its slice.
                pass
        return [_prepare(row, sample, prepare) for row, sample in enumerate(block, start=start)]

    def _rows(self, block: Sequence[Sample]) -> tuple[Path, list[int]] | None:
        """The HDF5 file and the ascending rows of a block of slices; None where it is none."""
        if not isinstance(self.dataset, RecordedDataset):
            return None
        records = [self.dataset.records[sample.sample_id] for sample in block]
        slices = [record for record in records if isinstance(record, SliceRecord)]
        rows = [record.row for record in slices]
        if len(slices) < len(block) or rows != sorted(rows):
            return None
        return slices[0].path, rows


def _prepare(row: int, sample: Sample, prepare: Prepare) -> Read:
    try:
        return prepare(row, sample.shown())
    except BadInput as error:
        return error


# What `Sample.shown` makes of each of the 65,536 levels of a slice, as a table.
_SHOWN_LEVELS: Shown = full_range(np.uint16).apply(np.arange(65_536, dtype=np.uint16))
