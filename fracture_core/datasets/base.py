"""What every data set offers, whatever its format."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fracture_core.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    """How much one split holds; `pictures` = `with_findings` + `empty` + `unknown`."""

    pictures: int
    with_findings: int
    empty: int
    unknown: int
    boxes: Mapping[str, int]


class Dataset(Protocol):
    """Annotated pictures. Opening reads annotations; pixels are read when a sample's are asked for.

    `format` is a name in `formats.py` · `stacked` where its pictures are slices of one file, each
    named study/slice · `classes` are 0…K−1 without background · `ids` are stable names, never
    positions · `splits` holds the ids of "train", "val", "test", or "" where there is no split ·
    `found` says in one sentence what was recognised · `warnings` say what was left out or doubted,
    one sentence each · `attributes` what is known of images in words before they are opened, by
    sample id; `Sample.attributes` adds what a file tells.
    """

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> str: ...
    @property
    def stacked(self) -> bool: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def splits(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def found(self) -> str: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def attributes(self) -> Mapping[str, Mapping[str, str]]: ...

    def summary(self) -> Mapping[str, SplitCounts]:
        """Counts by split; a picture with a truth of no box is empty, one without truth unknown."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        ...

    def __getitem__(self, sample_id: str) -> Sample:
        """One sample; raises DatasetError for an unknown id, PictureError for a bad picture."""
        ...
