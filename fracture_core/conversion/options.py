"""What is asked of a conversion, and images made smaller or larger with their annotations."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture_core import masks
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.formats import writer_of
from fracture_core.datasets.layout import Shares
from fracture_core.datasets.writing import scaled
from fracture_core.errors import ConfigError

# ---- options -------------------------------------------------------------------------------------


DROPS = ("masks", "classes", "boxes", "unknown")
SIDES_PX = (16, 8192)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked of a conversion; raises ConfigError for an invalid value.

    `to` is a format that can be written · `size_px` is the longer side in pixels; None is the
    format's usual one: 256 for HDF5, else that of each image · `drop` names what may be left out
    where the target cannot hold it, see `DROPS` · `shares` are those of groups in train, val and
    test; None keeps the splits, and means 70, 15, 15 for the raw download · `negatives` is how many
    slices without a box to take for each with one, for the raw download only · `any_negatives`
    draws them from fractured studies without a box as well · `seed` decides splits and negatives.
    """

    to: str
    size_px: int | None = None
    drop: frozenset[str] = frozenset()
    shares: Shares | None = None
    negatives: float | None = None
    any_negatives: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        writer_of(self.to)
        if self.size_px is not None and not SIDES_PX[0] <= self.size_px <= SIDES_PX[1]:
            _refuse("size", f"{SIDES_PX[0]} to {SIDES_PX[1]:,} pixels", f"{self.size_px:,}")
        if strange := sorted(self.drop - set(DROPS)):
            _refuse("drop", f"any of {', '.join(DROPS)}", repr(strange[0]))
        if self.negatives is not None and not 0 <= self.negatives <= 10_000:
            _refuse("negatives", "0 to 10,000 for each slice with a box", f"{self.negatives:g}")

    @property
    def side_px(self) -> int | None:
        """Returns the longer side as written, in pixels; None leaves every image its size."""
        return self.size_px or writer_of(self.to).usual_side_px

    def as_json(self) -> dict[str, object]:
        """Returns the options as JSON can hold them."""
        return {**asdict(self), "drop": sorted(self.drop), "side_px": self.side_px}


def _refuse(name: str, expected: str, found: str) -> None:
    raise ConfigError(name, expected=expected, found=found)


# ---- resizing ------------------------------------------------------------------------------------


Array = npt.NDArray[Any]
Size = tuple[int, int]


def fitted(size: Size, side_px: int | None) -> Size:
    """Returns (height, width) with a longer side of `side_px`, the proportions kept to the pixel.

    Example:
        >>> fitted((200, 100), 50), fitted((200, 100), None)
        ((50, 25), (200, 100))
    """
    if side_px is None:
        return size
    factor = side_px / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_pixels(pixels: Array, size: Size) -> Array:
    """Returns pixels (H, W) of uint8, uint16 or float32 at another size (height, width).

    The type stays. Where the image shrinks, means of areas are taken; where it grows, values
    between pixels are interpolated linearly.
    """
    if pixels.shape == size:
        return pixels
    shrinks = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    image = Image.fromarray(pixels.astype(np.float32)).resize((size[1], size[0]), kernel)
    values = np.asarray(image)
    if pixels.dtype.kind == "f":
        return values
    whole: Array = np.clip(np.rint(values), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return whole


def resize_finding(finding: Finding, old: Size, new: Size) -> Finding:
    """Returns a finding in pixels of an image of size `old` as one in pixels of size `new`."""
    if old == new:
        return finding
    moved = scaled(finding, new[1] / old[1], new[0] / old[0])
    if isinstance(finding.outline, masks.Rle):
        return replace(moved, outline=_resize_mask(finding.outline, new))
    return moved


def _resize_mask(code: masks.Rle, size: Size) -> masks.Rle:
    covered = resize_pixels(masks.decode(code).astype(np.float32), size)
    inside = covered >= 0.5
    # A thin line covers no pixel by half, and must not vanish.
    return masks.encode(inside if inside.any() else covered > 0)
