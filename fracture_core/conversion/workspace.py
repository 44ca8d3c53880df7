"""The folder beside the destination where a conversion is made, and from which it is resumed.

`plan.json` says what is being made, `chunks/` holds a record of each finished chunk, `result/`
becomes the destination. A record is written after its pictures, and renamed into its place, so
that a conversion killed at any moment goes on where it was.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture_core import importing
from fracture_core.errors import DatasetError
from fracture_core.files import make_folder, remove_folder, write_text

CARD = "conversion.json"
_AGAIN = "Run the same command again to continue it, or remove that folder to begin anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`destination` is a new or empty folder, or where `is_file` a new file, its card beside it."""

    destination: Path
    is_file: bool = False

    @property
    def folder(self) -> Path:
        # Beside the destination: a rename does not cross file systems.
        return self.destination.parent / f".{self.destination.name}.converting"

    @property
    def result(self) -> Path:
        return self.folder / "result"

    @property
    def spare(self) -> Path:
        return self.folder / "spare"

    @property
    def card(self) -> Path:
        """Where the card lies in the end."""
        if self.is_file:
            return self.destination.with_name(f"{self.destination.name}.{CARD}")
        return self.destination / CARD

    @contextmanager
    def begin(self, plan: Mapping[str, object]) -> Iterator[None]:
        """Hold the folder; raises DatasetError where another run has it, or another plan."""
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
        """Raises DatasetError unless the destination is new, or an empty folder."""
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
        return self._chunk(number).is_file()

    def keep_chunk(self, number: int, record: Mapping[str, object]) -> None:
        """Write the record that makes a chunk finished."""
        write_json(self._chunk(number), record)

    def read_chunk(self, number: int) -> Any:
        return json.loads(self._chunk(number).read_text(encoding="utf-8"))

    def finish(self, card: Mapping[str, object]) -> None:
        """Put the result in its place, the card last, and remove what is left."""
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
    """There whole, or not at all; raises StorageError."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1))
