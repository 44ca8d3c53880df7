"""Samples of picture files, whatever wrote their annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from fracture_core.attributes import merged
from fracture_core.datasets.findings import Finding, truth_of
from fracture_core.datasets.headers import open_still, read_header
from fracture_core.errors import DatasetError
from fracture_core.types import Pixels, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecord:
    """One picture file and what its annotation says; `findings` None = unknown.

    `size` (height, width) as the annotation tells it, None where findings are in shares ·
    `attributes` of the image as the data set tells them, beside those of the file's own header.
    """

    sample_id: str
    group_id: str
    split: str
    path: Path
    findings: tuple[Finding, ...] | None
    image_class: int | None = None
    size: tuple[int, int] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def with_attributes(self, attributes: Mapping[str, str]) -> Self:
        """The same with other attributes."""
        return replace(self, attributes=attributes)

    def sample(self) -> Sample:
        header = read_header(self.path, self.sample_id)
        height, width = header.height, header.width
        self._check_size(height, width)
        truth = None
        if self.findings is not None:
            truth = truth_of(self.findings, height, width, in_shares=self.size is None)
        attributes, notes = merged(
            ("the file", header.attributes), ("the data set", self.attributes)
        )
        return Sample(
            sample_id=self.sample_id,
            group_id=self.group_id,
            height=height,
            width=width,
            read=partial(_read_pixels, self.path, self.sample_id),
            windows=header.windows,
            scale=header.scale,
            spacing_mm=header.spacing_mm,
            truth=truth,
            image_class=self.image_class,
            split=self.split,
            attributes=attributes,
            notes=notes,
        )

    def _check_size(self, height: int, width: int) -> None:
        # Where nothing is there, nothing depends on the size that the annotation tells.
        if self.findings != () and self.size not in (None, (height, width)):
            raise DatasetError(
                self.sample_id,
                expected=f"{self.size[1]} × {self.size[0]} pixels, as its annotation says",
                found=f"{width} × {height}",
                advice="The annotation is of another version of this image.",
            )


def size_of(path: Path, name: str) -> tuple[int, int]:
    """Height and width of a picture file in pixels."""
    header = read_header(path, name)
    return header.height, header.width


def _read_pixels(path: Path, name: str) -> Pixels:
    still: Pixels = open_still(path, name).pixels[0]
    return still
