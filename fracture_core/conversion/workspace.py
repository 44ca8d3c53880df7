"""How a conversion is made: in a folder beside the destination, in chunks, by several processes.

`plan.json` says what is being made, `chunks/` holds a record of each finished chunk, and `result/`
becomes the destination. A chunk is a few images, the unit of work and of resuming. Its record is
written after its images and renamed into place, so that a conversion killed at any moment continues
where it was.
"""

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from fracture_core import importing
from fracture_core.conversion.options import Size, fitted, resize_finding, resize_pixels
from fracture_core.datasets.findings import keep_usable
from fracture_core.datasets.images import plain_jpeg
from fracture_core.datasets.issues import IssueLog
from fracture_core.datasets.writing import (
    Destinations,
    Findings,
    Item,
    LeftOut,
    Row,
    Writer,
    scaled,
)
from fracture_core.errors import BadInput, ConfigError, DatasetError
from fracture_core.files import make_folder, remove_folder, write_text

# ---- the folder ----------------------------------------------------------------------------------


CARD = "conversion.json"
_AGAIN = "Run the same command again to continue it, or remove that folder to begin anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The folder of one conversion. `destination` is a new or empty folder, or, where `is_file`, a
    new file with its card beside it.
    """

    destination: Path
    is_file: bool = False

    @property
    def folder(self) -> Path:
        """Returns the hidden folder that all work is done in, on the destination's file system."""
        # Beside the destination: a rename does not cross file systems.
        return self.destination.parent / f".{self.destination.name}.converting"

    @property
    def result(self) -> Path:
        """Returns the folder that becomes the destination, or holds the file that does."""
        return self.folder / "result"

    @property
    def spare(self) -> Path:
        """Returns the folder for what a writer needs only until it finishes."""
        return self.folder / "spare"

    @property
    def card(self) -> Path:
        """Returns where the card lies in the end."""
        if self.is_file:
            return self.destination.with_name(f"{self.destination.name}.{CARD}")
        return self.destination / CARD

    @contextmanager
    def begin(self, plan: Mapping[str, object]) -> Iterator[None]:
        """Holds the folder while the conversion runs.

        Raises DatasetError where another run holds it, or where it was begun with another plan.
        """
        with importing.LOCK:
            from filelock import FileLock, Timeout

        self.check_destination()
        for folder in (self.result, self.spare, self._chunks):
            make_folder(folder)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                self._check_plan(plan)
                yield
        except Timeout as error:
            raise DatasetError(
                self.destination,
                expected="one conversion at a time",
                found="another one that is still running",
            ) from error

    def check_destination(self) -> None:
        """Raises DatasetError unless the destination is new or an empty folder."""
        there = self.destination
        if not there.exists() or (there.is_dir() and not any(there.iterdir())):
            return
        raise DatasetError(
            there,
            expected="a destination that is new or empty",
            found="files in it" if there.is_dir() else "a file",
            advice="Nothing was written; choose another.",
        )

    def has_chunk(self, number: int) -> bool:
        """Tells whether a chunk is finished."""
        return self._chunk(number).is_file()

    def keep_chunk(self, number: int, record: Mapping[str, object]) -> None:
        """Writes the record that makes a chunk finished."""
        write_json(self._chunk(number), record)

    def read_chunk(self, number: int) -> Any:
        """Returns the record of a finished chunk."""
        return json.loads(self._chunk(number).read_text(encoding="utf-8"))

    def finish(self, card: Mapping[str, object]) -> None:
        """Moves the result and the card to the destination, and removes what is left."""
        self.check_destination()
        if self.is_file:
            (self.result / self.destination.name).rename(self.destination)
            write_json(self.card, card)
        else:
            write_json(self.result / CARD, card)
            if self.destination.exists():
                self.destination.rmdir()
            self.result.rename(self.destination)
        remove_folder(self.folder)

    @property
    def _chunks(self) -> Path:
        return self.folder / "chunks"

    def _chunk(self, number: int) -> Path:
        return self._chunks / f"{number:06d}.json"

    def _check_plan(self, plan: Mapping[str, object]) -> None:
        path = self.folder / "plan.json"
        text = json.dumps(plan, sort_keys=True)
        if not path.exists():
            write_json(path, plan)
            return
        begun = json.loads(path.read_text(encoding="utf-8"))
        if json.dumps(begun, sort_keys=True) == text:
            return
        changed = [key for key in plan if begun.get(key) != plan[key]]
        raise DatasetError(
            self.folder,
            expected=f"the conversion begun there, with the same {' and '.join(changed)}",
            found="another",
            advice=_AGAIN,
        )


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Writes a JSON file as a whole or not at all; raises StorageError."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1))


# ---- chunks --------------------------------------------------------------------------------------


IMAGES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Up to 16 images, from number 16 × `number` on, and all that a process needs for them."""

    number: int
    items: Sequence[Item]
    writer: Writer
    side_px: int | None
    workspace: Workspace

    def run(self) -> int:
        """Writes the images, then the record of the chunk; returns the number of images.

        An image that cannot be read is left out and listed in the record.
        """
        rows: list[Row] = []
        left_out: list[LeftOut] = []
        issue_log = IssueLog()
        for item in self.items:
            try:
                rows.append(_convert(item, self, issue_log))
            except BadInput as error:
                left_out.append(LeftOut(sample_id=item.sample_id, reason=str(error)))
        record = {
            "rows": rows,
            "left_out": [asdict(each) for each in left_out],
            "doubts": issue_log.sentences(),
        }
        self.workspace.keep_chunk(self.number, record)
        return len(self.items)


def split_into_chunks(
    items: Sequence[Item], writer: Writer, side_px: int | None, workspace: Workspace
) -> list[Chunk]:
    """Returns all items in chunks, in order."""
    return [
        Chunk(
            number=number,
            items=items[start : start + IMAGES],
            writer=writer,
            side_px=side_px,
            workspace=workspace,
        )
        for number, start in enumerate(range(0, len(items), IMAGES))
    ]


def _convert(item: Item, chunk: Chunk, issue_log: IssueLog) -> Row:
    sample = item.opener.sample()
    old = (sample.height, sample.width)
    new = fitted(old, chunk.side_px)
    pixels = resize_pixels(chunk.writer.pixels(sample), new)
    findings = _findings(item, old, new, issue_log)
    places = Destinations(result=chunk.workspace.result, spare=chunk.workspace.spare)
    # The image was read by now, so that its attributes hold what its file's header tells as well.
    copied = plain_jpeg(item.opener.path) if chunk.writer.keeps_files and new == old else ""
    told = replace(item, attributes=sample.attributes, copied=copied)
    return chunk.writer.write(told, pixels, findings, places)


def _findings(item: Item, old: Size, new: Size, issue_log: IssueLog) -> Findings | None:
    if item.findings is None:
        return None
    found = item.findings
    if item.is_normalised:
        found = tuple(scaled(each, old[1], old[0]) for each in found)
    usable = keep_usable(found, *old, issue_log)
    if usable is None:
        raise DatasetError(
            item.sample_id,
            expected=f"a box inside its {old[1]} × {old[0]} pixels",
            found="none of its boxes there",
        )
    return tuple(resize_finding(each, old, new) for each in usable)


# ---- processes -----------------------------------------------------------------------------------


_AHEAD = 2


def work_through(chunks: Sequence[Chunk], workers: int) -> Iterator[int]:
    """Runs every chunk and yields the number of images of each as it is done, in any order.

    Raises ConfigError where one of several processes was killed.
    """
    workers = min(workers, len(chunks))
    if workers <= 1:
        yield from (chunk.run() for chunk in chunks)
        return
    # Not forked: a process with threads (the progress bar has one) cannot be copied safely.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield from _run_all(pool, iter(chunks), _AHEAD * workers)
    except BrokenProcessPool as error:
        raise ConfigError(
            "workers",
            expected="processes that live to the end",
            found="one that was ended, most often for want of memory",
            advice="Run the same command with fewer --workers: what is done is kept.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_all(pool: ProcessPoolExecutor, chunks: Iterator[Chunk], most: int) -> Iterator[int]:
    waiting: set[Future[int]] = set()
    while True:
        waiting |= {pool.submit(chunk.run) for chunk in islice(chunks, most - len(waiting))}
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _end_with_parent() -> None:
    """Ends this process with its parent: a pool's process would wait for ever for a dead one."""
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
