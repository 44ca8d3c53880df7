"""What every data set offers, whatever its format: a mapping from sample ids to samples.

`Dataset` is the interface that the rest of the project uses; `RecordedDataset` is the one
implementation, which all formats of this package fill with their records.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from fracture_core.class_names import is_negative
from fracture_core.datasets import issues
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.issues import Issue, IssueLog, quoted
from fracture_core.datasets.layout import SPLITS
from fracture_core.errors import DatasetError
from fracture_core.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    """How much one split holds.

    `images` = `with_findings` + `empty` + `unknown`: an image whose ground truth has no box is
    empty, one without a ground truth unknown · `boxes` counts boxes by class name.
    """

    images: int
    with_findings: int
    empty: int
    unknown: int
    boxes: Mapping[str, int]


class Dataset(Protocol):
    """Annotated images. Opening reads annotations; pixels are read when a sample's are asked for.

    `format` is a name in `formats.py` · `stacked` says that images are slices of one file, each
    named study/slice · `classes` are numbered 0…K−1, without background · `ids` are stable names,
    never positions · `splits` holds the ids of "train", "val" and "test", or of "" where there is
    no split · `found` says in one sentence what was recognised · `warnings` say, one sentence each,
    what was left out or looks wrong · `attributes` tells in words, by sample id, what is known of
    images before they are opened; `Sample.attributes` adds what the image file itself tells.
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
        """Returns counts by split."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]:
        """Yields the ids, in order."""
        ...

    def __getitem__(self, sample_id: str) -> Sample:
        """Returns one sample; raises DatasetError for an unknown id, ImageError for a bad image."""
        ...


class Record(Protocol):
    """What is known of one sample before its pixels are read; `findings` None = unknown."""

    @property
    def sample_id(self) -> str: ...
    @property
    def group_id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def findings(self) -> tuple[Finding, ...] | None: ...
    @property
    def findings_size(self) -> tuple[float, float]:
        """Returns the image's height and width in the unit of the findings: 1 for shares."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]: ...

    def with_attributes(self, attributes: Mapping[str, str]) -> Self:
        """Returns the same record with other attributes."""
        ...

    def sample(self) -> Sample:
        """Returns the sample; raises ImageError or DatasetError where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDataset:
    """A data set that holds one record for each sample; the other fields are those of `Dataset`.

    `records` are by sample id, in the order of the source · `issues` lists each oddity that
    `warnings` only count.
    """

    name: str
    path: Path
    format: str
    classes: tuple[str, ...]
    records: Mapping[str, Record]
    found: str
    stacked: bool = False
    warnings: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Returns the sample ids, in the order of the source."""
        return tuple(self.records)

    @property
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Returns the ids of each split, train, val and test first; a split without images is
        absent.
        """
        splits: dict[str, list[str]] = {split: [] for split in SPLITS}
        for record in self.records.values():
            splits.setdefault(record.split, []).append(record.sample_id)
        return {split: tuple(ids) for split, ids in splits.items() if ids}

    @property
    def attributes(self) -> Mapping[str, Mapping[str, str]]:
        """Returns what is known of each image in words, by sample id."""
        return {record.sample_id: record.attributes for record in self.records.values()}

    def summary(self) -> Mapping[str, SplitCounts]:
        """Returns counts by split."""
        return {
            split: _count([self.records[each].findings for each in ids], self.classes)
            for split, ids in self.splits.items()
        }

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __getitem__(self, sample_id: str) -> Sample:
        record = self.records.get(sample_id)
        if record is None:
            raise DatasetError(
                self.name, expected="the id of one of its samples", found=quoted(sample_id)
            )
        return record.sample()


def warn_of_issues(
    records: Mapping[str, Record], classes: Sequence[str], issue_log: IssueLog
) -> None:
    """Logs what is well-formed but would mislead.

    These are groups in more than one split, a class that marks healthy images with a box, and one
    name for several classes.
    """
    splits: dict[str, set[str]] = {}
    for record in records.values():
        splits.setdefault(record.group_id, set()).add(record.split)
    for group, names in splits.items():
        if len(names) > 1:
            issue_log.add(issues.GROUP_IN_SPLITS, f"{group} ({_listed(names)})")
    for name in classes:
        if is_negative(name):
            issue_log.add(issues.HEALTHY_CLASS, name)
    for name, count in Counter(classes).items():
        if count > 1:
            issue_log.add(issues.SAME_NAME, name)


def _count(
    ground_truths: Sequence[Sequence[Finding] | None], classes: Sequence[str]
) -> SplitCounts:
    boxes = Counter(
        finding.label for ground_truth in ground_truths for finding in ground_truth or ()
    )
    unknown = sum(ground_truth is None for ground_truth in ground_truths)
    with_findings = sum(bool(ground_truth) for ground_truth in ground_truths)
    return SplitCounts(
        images=len(ground_truths),
        with_findings=with_findings,
        empty=len(ground_truths) - unknown - with_findings,
        unknown=unknown,
        boxes={name: boxes[label] for label, name in enumerate(classes)},
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(name or "no split" for name in names))
