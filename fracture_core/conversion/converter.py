"""The conversion itself: any data set, or the raw RSNA 2022 download, written in another format.

Boxes, polygons, masks, classes, splits, groups and the difference between unknown and empty ground
truth are kept as far as the target can hold them; what it cannot is told before anything is
written.
"""

import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from fracture_core import masks
from fracture_core.conversion import rsna_challenge
from fracture_core.conversion.options import Options
from fracture_core.conversion.workspace import Chunk, Workspace, split_into_chunks, work_through
from fracture_core.datasets import open_dataset
from fracture_core.datasets.formats import writer_of
from fracture_core.datasets.images import ImageRecord
from fracture_core.datasets.issues import counted
from fracture_core.datasets.layout import Shares, assign_splits
from fracture_core.datasets.records import Record, RecordedDataset
from fracture_core.datasets.rsna import SliceRecord
from fracture_core.datasets.writing import (
    Destinations,
    Findings,
    Item,
    LeftOut,
    Opener,
    Row,
    Source,
    Writer,
)
from fracture_core.errors import ConfigError, DatasetError, StorageError
from fracture_core.files import storing

# ---- the source ----------------------------------------------------------------------------------


_PLAIN = frozenset({".png", ".jpg", ".jpeg"})


def read_source(path: Path, options: Options, groups: Mapping[str, str] | None = None) -> Source:
    """Returns what is to be converted, for a data set or the raw download.

    `groups` renames the group of each sample id of a data set. HDF5 keeps its studies, whose slices
    are a stack, and uses `groups` for the splits alone. Raises DatasetError as `open_dataset` does,
    ConfigError for an option that does not apply.
    """
    if rsna_challenge.is_download(path):
        return rsna_challenge.read_download(path, options)
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
    """Returns a digest that changes with anything of the items.

    It covers their ground truths, attributes, groups, splits and names, and the size and date of
    their files.
    """
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
    if isinstance(record, ImageRecord):
        is_normalised, image_class = record.size is None, record.image_class
        image_size = record.size or (1, 1)
        # The ground truth travels apart: its masks need not be drawn to read the pixels. Where it
        # has no box, nothing can be misplaced by an image of another size than the annotation says.
        size = record.size if record.findings else None
        opener = replace(record, findings=None, size=size)
    elif isinstance(record, SliceRecord):
        is_normalised, image_class = False, 0 if record.is_fractured else None
        image_size = (record.height, record.width)
        opener = replace(record, findings=None)
    else:
        raise TypeError(f"record: expected an image or a slice, got {type(record).__name__}")
    return Item(
        opener=opener,
        sample_id=record.sample_id,
        group_id=record.group_id,
        split=record.split,
        findings=record.findings,
        is_normalised=is_normalised,
        image_size=image_size,
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


# ---- converting ----------------------------------------------------------------------------------


_GO_ON = "Put it right and run the same command again: what is done is kept."
Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was written. `images` counts them · `left_out` are those that could not be read, which
    are also listed in `card`.
    """

    destination: Path
    card: Path
    images: int
    left_out: tuple[LeftOut, ...]


def convert(
    source: Path,
    destination: Path,
    options: Options,
    *,
    workers: int = 1,
    groups: Mapping[str, str] | None = None,
    tell: Tell = lambda sentence: None,
    progress: Progress = lambda done, total: None,
) -> Converted:
    """Converts, or continues a conversion that was stopped; the result is the same to the bit.

    `destination` is a new or empty folder; for HDF5 it may be a new file named .h5 or .hdf5, with
    the card beside it. `groups` renames the group of each sample id. `tell` gets sentences before
    anything is written, `progress` the number of images done and of all. Raises DatasetError,
    ConfigError or StorageError; an image that cannot be read is left out and listed.
    """
    write = writer_of(options.to)
    is_file = destination.suffix.lower() in write.file_suffixes
    workspace = Workspace(destination=destination.absolute(), is_file=is_file)
    workspace.check_destination()
    writer = write(name=workspace.destination.name, side_px=options.side_px)
    plan = _make_plan(read_source(source, options, groups), writer, options, tell)
    with _clear_errors(workspace.destination):
        return _carry_out(plan, options, workspace, workers, progress)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """The source as the target can hold it, its images named, and what was told of it."""

    source: Source
    writer: Writer
    told: tuple[str, ...]


def _make_plan(source: Source, writer: Writer, options: Options, tell: Tell) -> _Plan:
    limits = writer.limits(source.items, source.classes, options.drop)
    told = (source.found, *source.notes, *(limit.sentence for limit in limits))
    for sentence in told:
        tell(sentence)
    refused = [limit for limit in limits if limit.drop and limit.drop not in options.drop]
    if refused:
        flags = " ".join(f"--drop {limit.drop}" for limit in refused)
        raise DatasetError(
            source.path,
            expected=f"what {options.to} can hold",
            found="; ".join(limit.sentence.partition(";")[0] for limit in refused),
            advice=f"Nothing was written; leave it out with {flags}.",
        )
    items, classes = writer.within(source.items, source.classes, options.drop)
    if not items:
        raise DatasetError(source.path, expected="an image to convert", found="none")
    named = list(name_items(items, writer))
    return _Plan(source=replace(source, items=named, classes=classes), writer=writer, told=told)


def name_items(items: Iterable[Item], writer: Writer) -> Iterator[Item]:
    """Yields the items with their names in the target; one whose name is taken gets another."""
    taken: set[tuple[str, str]] = set()
    for item in items:
        named = writer.named(item)
        # File systems that do not tell A from a must not lose an image.
        if (writer.place(named), named.name.casefold()) in taken:
            named = writer.renamed(named)
        taken.add((writer.place(named), named.name.casefold()))
        yield named


def _carry_out(
    plan: _Plan, options: Options, workspace: Workspace, workers: int, progress: Progress
) -> Converted:
    items = plan.source.items
    writer = plan.writer
    chunks = split_into_chunks(items, writer, options.side_px, workspace)
    _check_room(writer, len(items), workspace)
    head = {
        "source": str(plan.source.path.absolute()),
        "options": options.as_json(),
        "fingerprint": fingerprint(items),
    }
    with workspace.begin(head):
        _run_chunks(chunks, workspace, workers, len(items), progress)
        places = Destinations(result=workspace.result, spare=workspace.spare)
        written = sum(1 for _ in _rows(chunks, workspace))
        left_out = (*plan.source.left_out, *_left_out(chunks, workspace))
        if not written:
            raise DatasetError(
                plan.source.path,
                expected="at least one image that can be read",
                found=left_out[0].reason.rstrip("."),
            )
        writer.finish(_rows(chunks, workspace), plan.source.classes, places)
        workspace.finish(
            {
                **head,
                "classes": list(plan.source.classes),
                "told": list(plan.told),
                "counts": _counts(items, left_out),
                "left_out": [asdict(each) for each in left_out],
                "doubts": [each for chunk in _records(chunks, workspace) for each in chunk[2]],
            }
        )
    return Converted(
        destination=workspace.destination, card=workspace.card, images=written, left_out=left_out
    )


def _run_chunks(
    chunks: Sequence[Chunk], workspace: Workspace, workers: int, total: int, progress: Progress
) -> None:
    left = [chunk for chunk in chunks if not workspace.has_chunk(chunk.number)]
    done = total - sum(len(chunk.items) for chunk in left)
    progress(done, total)
    for images in work_through(left, workers):
        done += images
        progress(done, total)


_Record = tuple[list[Row], list[LeftOut], list[str]]


def _records(chunks: Sequence[Chunk], workspace: Workspace) -> Iterator[_Record]:
    for chunk in chunks:
        record = workspace.read_chunk(chunk.number)
        left_out = [LeftOut(**each) for each in record["left_out"]]
        yield record["rows"], left_out, record["doubts"]


def _rows(chunks: Sequence[Chunk], workspace: Workspace) -> Iterator[Row]:
    return (row for rows, _, _ in _records(chunks, workspace) for row in rows)


def _left_out(chunks: Sequence[Chunk], workspace: Workspace) -> Iterator[LeftOut]:
    return (each for _, left_out, _ in _records(chunks, workspace) for each in left_out)


def _counts(items: Sequence[Item], left_out: Sequence[LeftOut]) -> Mapping[str, object]:
    gone = {each.sample_id for each in left_out}
    counts: dict[str, Counter[str]] = {}
    for item in items:
        if item.sample_id in gone:
            continue
        count = counts.setdefault(item.split or "no split", Counter())
        findings = item.findings
        kind = "unknown" if findings is None else "with_findings" if findings else "empty"
        count.update({"images": 1, kind: 1, "boxes": len(findings or ())})
    return counts


def _check_room(writer: Writer, images: int, workspace: Workspace) -> None:
    needed = writer.bytes_needed(images)
    if not needed or workspace.folder.exists():
        return
    free = _free_bytes(workspace.destination)
    if needed > free:
        raise DatasetError(
            workspace.destination,
            expected=f"{needed / 2**30:.1f} GiB of free disk while it is made",
            found=f"{free / 2**30:.1f} GiB",
        )


def _free_bytes(place: Path) -> int:
    return shutil.disk_usage(next(each for each in place.parents if each.exists())).free


@contextmanager
def _clear_errors(destination: Path) -> Iterator[None]:
    """Turns what the disk refuses into a sentence that says how to continue."""
    try:
        with storing(destination):
            yield
    except StorageError as error:
        raise StorageError(
            error.name, expected=error.expected, found=error.found, advice=_GO_ON
        ) from error
    except OSError as error:
        raise DatasetError(
            destination,
            expected="a place that can be written",
            found=f"{(error.strerror or type(error).__name__).lower()}: {error.filename}",
            advice=_GO_ON,
        ) from error


# ---- the command ---------------------------------------------------------------------------------


_SHOWN = 10


def run(source: Path, destination: Path, options: Options, *, workers: int) -> int:
    """Converts and prints what was done, as `python -m fracture_core convert` does.

    Returns 0, or 1 where an image had to be left out, or 130 if interrupted.
    """
    with tqdm(total=0, unit="image", disable=None, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            made = convert(
                source,
                destination,
                options,
                workers=workers or os.cpu_count() or 1,
                tell=lambda sentence: bar.write(sentence, file=sys.stderr),
                progress=show,
            )
        except KeyboardInterrupt:
            bar.write("Interrupted; run the same command again to continue.", file=sys.stderr)
            return 130
    for each in made.left_out[:_SHOWN]:
        print(each.reason, file=sys.stderr)
    if len(made.left_out) > _SHOWN:
        print(f"… and {len(made.left_out) - _SHOWN:,} more.", file=sys.stderr)
    print(f"{made.destination}: {made.images:,} images; {made.card.name} says what was done.")
    if made.left_out:
        print(f"{len(made.left_out):,} left out, listed there.")
    return int(bool(made.left_out))
