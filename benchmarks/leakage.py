"""What a leak between splits gives away: python -m benchmarks leakage:FOLDER or :FOLDER:COPY

FOLDER is a data set with a class for each image and the splits train and val. Images are joined
into groups by their looks (near-duplicates) or by looks and file names. Nothing is learnt: an image
of the validation split is answered by the class that most of its near-duplicates in train have, and
an image without any by the class that is commonest in train.

COPY, a new folder, gets the data set without the training images whose group is in the validation
split, as a YOLO data set: the validation images stay the same ones, so that a model trained on it
can be held against one trained on all.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.rows import Row
from fracture_core.datasets import open_dataset
from fracture_core.datasets.records import RecordedDataset
from fracture_core.demo.layouts import write_yolo_folder
from fracture_core.health import HealthReport, check_health
from fracture_core.health.near_duplicates import Groups
from fracture_core.health.repair import joined_groups
from fracture_core.metrics.intervals import Proportion

_TRAIN, _VALID = "train", "val"
_LOOKS = ("duplicates-across", "duplicates-within", "look-alikes-across", "look-alikes-within")


def main(*parts: str) -> list[Row]:
    """Return the counts, and write the copy where one is asked for."""
    if not 1 <= len(parts) <= 2:
        sys.exit("leakage: expected a folder, as in leakage:data/set or leakage:data/set:COPY")
    dataset = open_dataset(Path(parts[0]).expanduser())
    report = check_health(dataset)
    looks = groups_by_looks(dataset, report)
    kept = kept_ids(dataset, joined_groups(dataset, report))
    if parts[1:]:
        samples = (dataset[each] for each in (*kept, *dataset.splits[_VALID]))
        write_yolo_folder(samples, dataset.classes, Path(parts[1]), outlines=False)
    return [*_answered(dataset, looks), _row("training images left by looks and names", len(kept))]


def groups_by_looks(dataset: RecordedDataset, report: HealthReport) -> Mapping[str, str]:
    """Return the group of each sample id, joined by near-duplicates alone."""
    groups = Groups()
    for fault in map(report.fault, _LOOKS):
        for place in fault.places if fault else ():
            groups.join(place.sample_id, place.other)
    return {each: groups.head(each) for each in dataset.records}


def kept_ids(dataset: RecordedDataset, groups: Mapping[str, str]) -> tuple[str, ...]:
    """Return the training images of which no group mate is in the validation split."""
    measured = {groups[each] for each in dataset.splits[_VALID]}
    return tuple(each for each in dataset.splits[_TRAIN] if groups[each] not in measured)


def look_up(classes: Mapping[str, int], groups: Mapping[str, str], sample_id: str) -> int | None:
    """Return the class that most training images of the same group have, None without any.

    `classes` are those of the training images by sample id.
    """
    counts = Counter(classes[each] for each in classes if groups[each] == groups[sample_id])
    return counts.most_common(1)[0][0] if counts else None


def _answered(dataset: RecordedDataset, groups: Mapping[str, str]) -> Iterator[Row]:
    """How many validation images have a copy in train, and how many are answered rightly."""
    classes = {each: _class_of(dataset, each) for each in dataset.splits[_TRAIN]}
    commonest = Counter(classes.values()).most_common(1)[0][0]
    told = {each: look_up(classes, groups, each) for each in dataset.splits[_VALID]}
    copied = {each: said for each, said in told.items() if said is not None}
    yield _row("validation images", len(told))
    yield _row("of them with a near-duplicate in train", len(copied))
    right = sum(said == _class_of(dataset, each) for each, said in copied.items())
    yield _row("of these, of the class of their near-duplicates", right)
    others = [each for each in told if each not in copied]
    right += sum(_class_of(dataset, each) == commonest for each in others)
    low, high = Proportion(count=right, total=len(told)).interval
    words = f"answered rightly by looking up, {low:.3f}–{high:.3f} of them"
    yield _row(words, right)


def _class_of(dataset: RecordedDataset, sample_id: str) -> int:
    """The image's class; -1 where it has none, which is a class of its own here."""
    image_class = dataset[sample_id].image_class
    return -1 if image_class is None else image_class


def _row(name: str, value: int) -> Row:
    return Row(name=name, value=value, unit="images")
