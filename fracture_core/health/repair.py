"""A copy of a data set whose splits are cut anew, so that what belongs together stays together.

Together belong images of one patient or study, images of one original by their names, equal images
and near-duplicates, and whatever any of these belongs to in turn. The original is never changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fracture_core.conversion import Converted, Options, convert
from fracture_core.datasets.formats import writable
from fracture_core.datasets.layout import DEFAULT_SHARES, Shares, parse_shares
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.rsna import SliceRecord
from fracture_core.errors import ConfigError
from fracture_core.health.checking import stems_of
from fracture_core.health.near_duplicates import Groups
from fracture_core.health.report import HealthReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What copy to make. `destination` is new or empty · `shares` are those of the groups in train,
    val and test · `seed` decides the cut.
    """

    destination: Path
    shares: Shares = DEFAULT_SHARES
    seed: int = 0

    @classmethod
    def of(cls, destination: Path, splits: str, seed: int) -> Self:
        """Returns a repair with shares from a text such as "70,15,15"; raises ConfigError."""
        shares = parse_shares(splits) or DEFAULT_SHARES
        return cls(destination=destination, shares=shares, seed=seed)


def joined_groups(dataset: RecordedDataset, report: HealthReport) -> Mapping[str, str]:
    """Returns the group of each sample id: one name for all images that belong together.

    The name is the least, in alphabetical order, of the groups that were joined.
    """
    groups = Groups()
    for record in dataset.records.values():
        groups.join(f"group {record.group_id}", f"sample {record.sample_id}")
    for ids in stems_of(dataset).values():
        groups.join_all(f"sample {each}" for each in ids)
    for one, other in report.pairs():
        groups.join(f"sample {one}", f"sample {other}")
    # "group" comes before "sample": the head of each is the least name of its groups.
    return {
        sample_id: groups.head(f"sample {sample_id}").removeprefix("group ")
        for sample_id in dataset.records
    }


def repair_dataset(
    dataset: RecordedDataset,
    report: HealthReport,
    repair: Repair,
    *,
    tell: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Converted:
    """Writes the copy in the data set's format; images that cannot be read are left out and listed.

    Raises DatasetError as `convert` does, above all for a destination that is not empty, and
    ConfigError where the format cannot be written.
    """
    if dataset.format not in writable():
        raise ConfigError(
            "repair",
            expected=f"a data set in a format that can be written: {', '.join(writable())}",
            found=f"{dataset.format}, which can only be read",
            advice="Convert it to one of these first, then check and repair that.",
        )
    options = Options(
        to=dataset.format, size_px=_side_px(dataset), shares=repair.shares, seed=repair.seed
    )
    return convert(
        dataset.path,
        repair.destination,
        options,
        groups=joined_groups(dataset, report),
        tell=tell,
        progress=progress,
    )


def _side_px(dataset: RecordedDataset) -> int | None:
    """Returns the side of HDF5 slices in pixels; without it they would be written at 256 px."""
    first = next(iter(dataset.records.values()))
    return max(first.height, first.width) if isinstance(first, SliceRecord) else None
