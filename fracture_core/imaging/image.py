"""The image that every reader returns: grey pixels with what is needed to show and measure them."""

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from fracture_core.attributes import SYNTHETIC_MAKER, in_words
from fracture_core.imaging import places
from fracture_core.imaging.places import Slice
from fracture_core.types import Pixels, Sample, ValueScale, Window

Shown = npt.NDArray[np.uint8]
_TOLD = {"Modality": "modality", "BodyPartExamined": "body part", "ViewPosition": "view"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MedicalImage:
    """One radiograph or one stack of slices.

    `name` of the file · `pixels` (F, H, W) uint8 or uint16, 0 darkest, at full depth, read-only ·
    `bits` stored in the file · `photometric` DICOM's term, for other files Pillow's mode ·
    `windows` in units of the pixels, at least one, the first by default · `scale` gives the
    modality's values · `spacing_mm` (row, column) and `spacing_source`, the DICOM attribute it is
    from · `slices` one for each frame, or none · `tags` what is kept of a DICOM header ·
    `warnings` sentences for the reader · `group_id` and `series_id` of study and series, replaced
    UIDs · `sha256` of the shape and the pixels as shown by default, all frames. Raises ValueError
    for pixels of another form, no window, or a number of slices that does not fit.
    """

    name: str
    pixels: Pixels
    bits: int
    photometric: str
    windows: tuple[Window, ...]
    scale: ValueScale = field(default_factory=ValueScale)
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = ""
    slices: tuple[Slice, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    group_id: str = ""
    series_id: str = ""
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.dtype not in (np.uint8, np.uint16):
            got = f"{self.pixels.shape} {self.pixels.dtype}"
            raise ValueError(f"pixels: expected (F, H, W) uint8 or uint16, got {got}")
        if not self.windows:
            raise ValueError("windows: expected at least one, got none")
        if len(self.slices) not in (0, self.frames):
            raise ValueError(f"slices: expected none or {self.frames}, got {len(self.slices)}")
        self.pixels.setflags(write=False)
        object.__setattr__(self, "sha256", _digest(self.pixels, self.windows[0]))

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.pixels)

    @property
    def height(self) -> int:
        """The height in pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """The width in pixels."""
        return int(self.pixels.shape[2])

    @property
    def positions_mm(self) -> tuple[float, ...] | None:
        """Where each frame lies along the common normal in mm, None where that is unknown."""
        return places.positions_mm(self.slices)

    @property
    def image_id(self) -> str:
        """The file's stem and the start of `sha256`: the same file has the same id everywhere."""
        return f"{PurePath(self.name).stem}-{self.sha256[:12]}"

    @property
    def attributes(self) -> dict[str, str]:
        """What the header tells, as `Sample.attributes`; no age group, as the age is not kept."""
        told = {_TOLD[name]: value for name, value in self.tags.items() if name in _TOLD}
        if self.tags.get("Manufacturer") == SYNTHETIC_MAKER:
            told["origin"] = "synthetic"
        return in_words(told)

    def shown(self, frame: int = 0) -> Shown:
        """Return (H, W) uint8, one frame through the default window."""
        return self.windows[0].apply(self.pixels[frame])

    def samples(self) -> tuple[Sample, ...]:
        """Return a sample for each frame; in a stack its id is `<image_id>#<frame>`, from 1."""
        return tuple(self._sample(frame) for frame in range(self.frames))

    def _sample(self, frame: int) -> Sample:
        return Sample(
            sample_id=self.image_id + (f"#{frame + 1}" if self.frames > 1 else ""),
            group_id=self.group_id or self.image_id,
            height=self.height,
            width=self.width,
            read=partial(_held, self.pixels[frame]),
            windows=self.windows,
            scale=self.scale,
            spacing_mm=self.spacing_mm,
            attributes=self.attributes,
        )


def _held(pixels: Pixels) -> Pixels:
    return pixels


def _digest(pixels: Pixels, window: Window) -> str:
    digest = hashlib.sha256("×".join(map(str, pixels.shape)).encode())
    for frame in pixels:
        digest.update(window.apply(frame).tobytes())
    return digest.hexdigest()
