"""The source of a run's batches: a packed data set, kept on the device or streamed to it."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainers.augmentation import UNCHANGED, Frames, augment_batch
from trainers.config import Augment
from trainers.multi_scale import draw_sizes
from trainers.packed import Packed
from trainers.reading import in_order
from trainers.training_module import NOTHING, Batch

Step = tuple[Sequence[int], torch.Generator]
"""The rows of a batch in the packed data set, and the generator of its augmentation."""

_SHARE_OF_FREE_MEMORY = 0.5
_ROWS_AT_A_TIME = 1024


class Source:
    """Makes batches of a packed data set on `device`.

    With `on_device` the images are kept in a GPU's memory if they take at most half of what is
    free; otherwise, and on a CPU, they are read from the memory map, a few batches ahead.
    """

    def __init__(self, packed: Packed, device: torch.device, *, on_device: bool = True) -> None:
        self.packed = packed
        self.device = device
        ground_truth = packed.ground_truth
        self._sizes = torch.from_numpy(ground_truth.sizes)
        self._inputs = torch.from_numpy(ground_truth.inputs)
        self._boxes_xyxy = torch.from_numpy(ground_truth.boxes_xyxy)
        self._labels = torch.from_numpy(ground_truth.labels)
        self._image_classes = torch.from_numpy(ground_truth.image_classes)
        self._held = self._hold() if on_device and self._fits() else None

    def __len__(self) -> int:
        return len(self.packed)

    def batch(
        self, rows: Sequence[int], generator: torch.Generator, augment: Augment | None = None
    ) -> Batch:
        """Return the batch of some rows; None for `augment` leaves the images as they are."""
        [batch] = self.batches([(rows, generator)], augment)
        return batch

    def batches(
        self, steps: Iterable[Step], augment: Augment | None = None, *, side_px: int = 0
    ) -> Iterator[Batch]:
        """Yield a batch for each step in order, while other threads read the next ones.

        `side_px` is the input size, of which augmentation to several sizes takes its shares.

        On a CPU each thread makes complete batches with one core: splitting every small operation
        among all cores takes ten times as long once another process wants one of them.
        """
        if self.device.type == "cpu":
            workers = torch.get_num_threads()
            make = partial(self._make, augment, side_px)
            return in_order(make, steps, workers=workers, start=partial(torch.set_num_threads, 1))
        if self._held is not None:
            return (self._make(augment, side_px, step) for step in steps)
        read = in_order(lambda step: (step, self._read(step[0])), steps, workers=1)
        return (self._finish(augment, side_px, step, raw) for step, raw in read)

    def _make(self, augment: Augment | None, side_px: int, step: Step) -> Batch:
        return self._finish(augment, side_px, step, self._read(step[0]))

    def _finish(self, augment: Augment | None, side_px: int, step: Step, raw: Tensor) -> Batch:
        rows, generator = torch.as_tensor(step[0]), step[1]
        raw = raw.to(self.device, non_blocking=True)
        inputs, cuts = self._inputs[rows], None
        if augment is not None and augment.sizes:
            inputs, cuts = draw_sizes(augment, side_px, generator, inputs)
        height, width = inputs.amax(dim=0).tolist()
        frames = Frames(self._sizes[rows], inputs, (height, width), cuts)
        given = self._boxes_xyxy[rows], self._labels[rows]
        pixels, ground_truth = augment_batch(augment or UNCHANGED, generator, raw, frames, given)
        # Cut to as many objects as the fullest image of the batch has.
        most = max(1, int((ground_truth[1] != NOTHING).sum(dim=1).max()))
        boxes_xyxy, labels = (each[:, :most] for each in ground_truth)
        rest = Batch(pixels, inputs, boxes_xyxy, labels, self._image_classes[rows], rows)
        return rest.to(self.device)

    def _read(self, rows: Sequence[int]) -> Tensor:
        """The packed images, (B, H, W) uint8: on the device if they are kept there.

        Otherwise they are in memory, which is pinned where a GPU is to fetch them.
        """
        if self._held is not None:
            return self._held[torch.as_tensor(rows).to(self.device, non_blocking=True)]
        shape = (len(rows), *self.packed.pixels.shape[1:])
        raw = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        # With mode="clip" NumPy writes straight into the tensor; the rows are always in range.
        np.take(self.packed.pixels, np.asarray(rows), axis=0, out=raw.numpy(), mode="clip")
        return raw

    def _fits(self) -> bool:
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return self.packed.pixels.nbytes <= free * _SHARE_OF_FREE_MEMORY

    def _hold(self) -> Tensor:
        pixels = self.packed.pixels
        held = torch.empty(pixels.shape, dtype=torch.uint8, device=self.device)
        for start in range(0, len(pixels), _ROWS_AT_A_TIME):
            part = np.array(pixels[start : start + _ROWS_AT_A_TIME])
            held[start : start + _ROWS_AT_A_TIME].copy_(torch.from_numpy(part))
        return held
