"""Every picture of a data set opened once: what the checks need of it, and what cannot be read."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import BadInput

Grey = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]

THUMB_PX, PRINT_PX = 128, 256
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """`height`, `width` in pixels · `digest` of the pixels as shown: equal for equal pictures ·
    `thumb` (h, w) uint8, its longer side 128 · `packed` a JPEG with the longer side 256.
    """

    height: int
    width: int
    digest: bytes
    thumb: Grey
    packed: bytes

    @property
    def detailed(self) -> Grey:
        """(h, w) uint8, its longer side 256: twice as many pixels a side as the thumb."""
        grey = cv2.imdecode(np.frombuffer(self.packed, np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(grey, dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """`seen` by sample id in the order of the data set, `unreadable` the others with the reason."""

    seen: dict[str, Look]
    unreadable: dict[str, str]


def look_through(dataset: RecordedDataset, progress: Progress) -> Looks:
    """Read every picture in full; a file that is cut short counts as unreadable."""
    seen: dict[str, Look] = {}
    unreadable: dict[str, str] = {}
    for done, (sample_id, record) in enumerate(dataset.records.items()):
        progress(done / len(dataset.records), f"Image {done + 1:,} of {len(dataset.records):,}")
        try:
            seen[sample_id] = look_at(record.sample().shown())
        except BadInput as error:
            unreadable[sample_id] = str(error)
    return Looks(seen=seen, unreadable=unreadable)


def look_at(shown: Grey) -> Look:
    """(H, W) uint8 as shown → what the checks need."""
    height, width = shown.shape
    digest = hashlib.blake2b(f"{height}×{width}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(shown).tobytes())
    detailed = _resized(shown, PRINT_PX)
    _, packed = cv2.imencode(".jpg", detailed, _JPEG)
    return Look(
        height=height,
        width=width,
        digest=digest.digest(),
        thumb=_resized(detailed, THUMB_PX),
        packed=packed.tobytes(),
    )


def _resized(grey: Grey, side_px: int) -> Grey:
    height, width = grey.shape
    scale = side_px / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
