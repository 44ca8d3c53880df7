"""Any data set, or the raw RSNA download, as items to convert."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fracture_core import masks
from fracture_core.conversion import rsna_raw
from fracture_core.conversion.options import Options
from fracture_core.datasets import open_dataset
from fracture_core.datasets.formats import writer_of
from fracture_core.datasets.pictures import PictureRecord
from fracture_core.datasets.records import Record, RecordedDataset
from fracture_core.datasets.rsna import SliceRecord
from fracture_core.datasets.splits import Shares, assign_splits
from fracture_core.datasets.tally import counted
from fracture_core.datasets.writers.items import Findings, Item, Opener, Source
from fracture_core.errors import ConfigError

_PLAIN = frozenset({".png", ".jpg", ".jpeg"})


def read_source(path: Path, options: Options, groups: Mapping[str, str] | None = None) -> Source:
    """`groups` names the group of each sample id anew, for a data set; HDF5 keeps its studies, as
    their slices are a stack, and takes the groups for the splits alone.

    Raises DatasetError as `open_dataset` does, ConfigError for an option that does not apply.
    """
    if rsna_raw.is_download(path):
        return rsna_raw.read_download(path, options)
    if options.negatives is not None or options.any_negatives:
        raise ConfigError(
            "negatives",
            expected="the raw RSNA download, of which slices are chosen",
            found="a data set, which is converted whole",
        )
    dataset = open_dataset(path)
    if not isinstance(dataset, RecordedDataset):
        raise TypeError(f"dataset: expected records, got {type(dataset).__name__}")
    items = [_item(record) for record in dataset.records.values()]
    groups = groups or {item.sample_id: item.group_id for item in items}
    if not writer_of(options.to).keeps_groups:
        items = [replace(item, group_id=groups[item.sample_id]) for item in items]
    notes = list(dataset.warnings)
    if options.shares is not None:
        items = _cut_anew(items, groups, options.shares, options.seed)
        notes.append(f"Splits were cut anew by group, seed {options.seed}.")
    if special := sum(item.opener.path.suffix.lower() not in {*_PLAIN, ".h5"} for item in items):
        what = counted(special, "image")
        notes.append(f"Windows, pixel spacing and units of {what} in DICOM or TIFF are not kept.")
    return Source(
        path=dataset.path,
        found=dataset.found,
        classes=dataset.classes,
        items=items,
        notes=tuple(notes),
    )


def fingerprint(items: Iterable[Item]) -> str:
    """Changes with anything of the items: their truths, splits and names, their files' dates."""
    digest = hashlib.blake2b(digest_size=16)
    seen: dict[Path, tuple[int, int]] = {}
    for item in items:
        path = item.opener.path
        if path not in seen:
            status = path.stat()
            seen[path] = (status.st_size, status.st_mtime_ns)
        parts = (item.sample_id, item.group_id, item.split, item.name, item.image_class)
        told = (dict(item.attributes),) if item.attributes else ()
        digest.update(repr((*parts, *told, seen[path])).encode("utf-8", "surrogatepass"))
        for part in _parts(item.findings):
            digest.update(part)
    return digest.hexdigest()


def _parts(findings: Findings | None) -> Iterator[bytes]:
    yield b"unknown" if findings is None else b"known"
    for finding in findings or ():
        yield b"%d" % finding.label
        yield finding.xyxy.tobytes()
        if isinstance(finding.outline, masks.Rle):
            yield finding.outline.counts
        else:
            yield from (ring.tobytes() for ring in finding.outline or ())


def _item(record: Record) -> Item:
    opener: Opener
    if isinstance(record, PictureRecord):
        in_shares, image_class = record.size is None, record.image_class
        extent = record.size or (1, 1)
        # The truth travels apart: its masks need not be drawn to read the pixels. Where it has no
        # box, nothing can be misplaced by a picture of another size than the annotation says.
        size = record.size if record.findings else None
        opener = replace(record, findings=None, size=size)
    elif isinstance(record, SliceRecord):
        in_shares, image_class = False, 0 if record.is_fractured else None
        extent = (record.height, record.width)
        opener = replace(record, findings=None)
    else:
        raise TypeError(f"record: expected an image or a slice, got {type(record).__name__}")
    return Item(
        opener=opener,
        sample_id=record.sample_id,
        group_id=record.group_id,
        split=record.split,
        findings=record.findings,
        in_shares=in_shares,
        extent=extent,
        image_class=image_class,
        attributes=record.attributes,
    )


def _cut_anew(
    items: Sequence[Item], groups: Mapping[str, str], shares: Shares, seed: int
) -> list[Item]:
    has_findings: dict[str, bool] = {}
    for item in items:
        group = groups[item.sample_id]
        has_findings[group] = has_findings.get(group, False) or bool(item.findings)
    splits = assign_splits(has_findings, shares, seed)
    return [replace(item, split=splits[groups[item.sample_id]]) for item in items]
