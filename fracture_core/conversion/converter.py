"""A data set, or the raw RSNA 2022 download, written in another format.

Boxes, polygons, masks, classes, splits, groups and the difference between unknown and empty truth
go along as far as the target can hold them; what it cannot is told before anything is written.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fracture_core.conversion.chunks import Chunk, split_into_chunks
from fracture_core.conversion.options import Options
from fracture_core.conversion.processes import work_through
from fracture_core.conversion.sources import fingerprint, read_source
from fracture_core.conversion.workspace import Workspace
from fracture_core.datasets.formats import writer_of
from fracture_core.datasets.writers.base import Places, Row, Writer
from fracture_core.datasets.writers.items import Item, LeftOut, Source
from fracture_core.errors import DatasetError, StorageError
from fracture_core.files import storing

_GO_ON = "Put it right and run the same command again: what is done is kept."
Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """`pictures` written · `left_out` those that could not be, also listed in `card`."""

    destination: Path
    card: Path
    pictures: int
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
    """Convert, or go on with a conversion that was stopped: the result is the same to the bit.

    `destination` is a new or empty folder; for HDF5 it may be a new file named .h5 or .hdf5, and
    the card lies beside it. `groups` names the group of each sample id anew. `tell` gets sentences
    before anything is written, `progress` pictures done and in all. Raises DatasetError or
    ConfigError; a picture that cannot be read is left out and listed.
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
    """The source as the target can hold it, its pictures named, and what was told of it."""

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
    """The items with the names they get in a target; a group gets another where it has to."""
    taken: set[tuple[str, str]] = set()
    for item in items:
        named = writer.named(item)
        # File systems that do not tell A from a must not lose a picture.
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
        places = Places(result=workspace.result, spare=workspace.spare)
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
        destination=workspace.destination, card=workspace.card, pictures=written, left_out=left_out
    )


def _run_chunks(
    chunks: Sequence[Chunk], workspace: Workspace, workers: int, total: int, progress: Progress
) -> None:
    left = [chunk for chunk in chunks if not workspace.has_chunk(chunk.number)]
    done = total - sum(len(chunk.items) for chunk in left)
    progress(done, total)
    for pictures in work_through(left, workers):
        done += pictures
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
        count.update({"pictures": 1, kind: 1, "boxes": len(findings or ())})
    return counts


def _check_room(writer: Writer, pictures: int, workspace: Workspace) -> None:
    needed = writer.bytes_needed(pictures)
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
    """What the disk refuses, in a sentence that says how to go on."""
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
