"""What a table beside a data set tells of its images: body part, view, hardware, anything else.

A CSV called attributes.csv or views.csv in the data set's folder, with a heading, is joined when
the data set is opened, whatever its format:

    image_id,hand,leg,mixed,hardware,frontal,lateral,age group
    IMG0000019.jpg,1,0,0,0,1,0,adult

The column that names the most images of the data set says which image a row is about: by sample id
(`train/images/1.png`), by file name, by file name without suffix, or by patient or study, whose
images then all share the row. Every other column is an attribute, called as its heading in lower
case with spaces for underscores, in the words of `fracture_core.attributes`.

Columns of 0 and 1 that are called after body parts, or after views, make up one attribute, "body
part" or "view". An image can show several views; several body parts are a contradiction unless a
column "mixed" says so. Any other column of 0 and 1 reads "no" and "yes". An empty cell, "nan" and
"unknown" say nothing. Where the two tables contradict each other, attributes.csv counts.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture_core.attributes import PART_OF, body_part, in_words, merged, view
from fracture_core.datasets.issues import IssueLog, counted, quoted
from fracture_core.datasets.records import Record, RecordedDataset
from fracture_core.errors import DatasetError

TABLES = ("attributes.csv", "views.csv")
MAX_TABLE_BYTES = 64 * 2**20
MOST_VALUES = 20
"""An attribute with more values is kept, but no subgroups are made of it."""

_SEPARATORS = ",;\t"
_MAX_TEXT = 200
_SAYS_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "unknown"})
_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no"})
_VIEWS = frozenset({"frontal", "lateral", "oblique", "axial"})
_MIXED = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file: `headings` are names of attributes · each of `rows` is as long as these."""

    path: Path
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def join_tables(dataset: RecordedDataset, folder: Path) -> RecordedDataset:
    """Returns the data set with what the tables in its folder tell of its images.

    A table that cannot be used is left out, and a warning of the data set says so.
    """
    paths = [path for name in TABLES if (path := folder / name).is_file()]
    if not paths:
        return dataset
    issue_log, found, names = IssueLog(), "", _Names(dataset.records)
    joined: dict[str, dict[str, str]] = {}
    for path in paths:
        try:
            told = _told(read_table(path, folder, issue_log), names, issue_log)
        except DatasetError as error:
            issue_log.add("Tables of attributes left out", str(error).rstrip("."))
            continue
        for sample_id, values in told.items():
            joined[sample_id] = values | joined.get(sample_id, {})
        kinds = dict.fromkeys(name for values in told.values() for name in values)
        found += f" {path.name} tells {_listed(kinds)} of {counted(len(told), 'image')}."
    _say_what_lacks(joined, dataset.records, issue_log)
    records = {
        sample_id: record.with_attributes(_merged(record, joined.get(sample_id, {}), issue_log))
        for sample_id, record in dataset.records.items()
    }
    return replace(
        dataset,
        records=records,
        found=dataset.found + found,
        warnings=(*dataset.warnings, *issue_log.sentences()),
        issues=(*dataset.issues, *issue_log.issues()),
    )


def read_table(path: Path, folder: Path, issue_log: IssueLog) -> Table:
    """Reads a table inside a data set's folder; raises DatasetError where it is no such table.

    A row with more or fewer cells than the heading is left out and logged.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise DatasetError(
            path, expected="a file inside the data set's folder", found="a link that leads out"
        )
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise DatasetError(
            path, expected=f"at most {MAX_TABLE_BYTES:,} bytes", found=f"{path.stat().st_size:,}"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        first = lines[0] if lines else ""
        separator = max(_SEPARATORS, key=first.count)
        heading, *rows = csv.reader(lines, delimiter=separator, strict=True)
    except (ValueError, csv.Error) as error:
        found = "nothing in it" if not path.stat().st_size else "no text in UTF-8 with columns"
        raise DatasetError(path, expected="a CSV file with a heading", found=found) from error
    headings = tuple(_attribute(text) for text in heading)
    if len(headings) < 2 or len(set(headings)) < len(headings) or "" in headings:
        raise DatasetError(
            path,
            expected="a heading of two or more columns, each with a name of its own",
            found=quoted(",".join(heading)),
        )
    for number, row in enumerate(rows, start=2):
        if row and len(row) != len(headings):
            place = f"{path.name} row {number}, {len(row)} of {counted(len(headings), 'cell')}"
            issue_log.add("Rows of a table that are no row of its heading, left out", place)
    kept = [tuple(cell.strip() for cell in row) for row in rows if len(row) == len(headings)]
    return Table(path=path, headings=headings, rows=tuple(kept))


def _attribute(heading: str) -> str:
    name = " ".join(heading.lower().replace("_", " ").split())
    return name if name.isprintable() else ""


def many_values(columns: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Returns the attributes with too many values for subgroups, and how many values each has."""
    counts = {name: len(set(values) - {""}) for name, values in columns.items()}
    return {name: count for name, count in counts.items() if count > MOST_VALUES}


class _Names:
    """Which images a cell can mean: a sample id, a file name with or without suffix, a group."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.ids = records
        self.files: dict[str, list[str]] = {}
        self.groups: dict[str, list[str]] = {}
        for record in records.values():
            file = record.sample_id.rpartition("/")[2]
            for name in {file, file.rpartition(".")[0] or file}:
                self.files.setdefault(name, []).append(record.sample_id)
            self.groups.setdefault(record.group_id, []).append(record.sample_id)

    def meant(self, text: str) -> Sequence[str]:
        """Returns the sample ids a cell means; none for a file name that several images share."""
        if text in self.ids:
            return (text,)
        files = self.files.get(text, ())
        return files if len(files) == 1 else self.groups.get(text, ())

    def how_many(self, texts: Sequence[str]) -> tuple[int, int]:
        """Returns how many cells of a column name images clearly, and how many name any file."""
        clear = sum(bool(self.meant(text)) for text in texts)
        return clear, sum(text in self.files for text in texts)


def _told(table: Table, names: _Names, issue_log: IssueLog) -> dict[str, dict[str, str]]:
    """Attributes by sample id; raises DatasetError where no column names an image."""
    columns = [[row[k] for row in table.rows] for k in range(len(table.headings))]
    named = [names.how_many(column) for column in columns]
    key = named.index(max(named))
    if named[key] == (0, 0):
        example = next(iter(names.ids))
        raise DatasetError(
            table.path,
            expected=f"a column that names images of the data set, such as {quoted(example)}",
            found=f"none among {_listed(table.headings)}",
        )
    told: dict[str, dict[str, str]] = {}
    for cells, values in zip(table.rows, _read_rows(table, key, issue_log), strict=True):
        place = f"{table.path.name}, {quoted(cells[key])}"
        if cells[key] in names.files and not names.meant(cells[key]):
            issue_log.add("Rows of a table with a file name of several images, left out", place)
            continue
        for sample_id in names.meant(cells[key]):
            if told.setdefault(sample_id, values) != values:
                kind = "Rows of a table that contradict an earlier one, the earlier one kept"
                issue_log.add(kind, place, sample_id)
    return told


def _read_rows(table: Table, key: int, issue_log: IssueLog) -> Iterator[dict[str, str]]:
    """What each row says in words, without what is not told."""
    flags = _flags(table, key)
    parts = [name for name in flags if body_part(name) in PART_OF]
    views = [name for name in flags if view(name) in _VIEWS]
    parts, views = (held if len(held) > 1 else [] for held in (parts, views))
    joined = {*parts, *views} | ({_MIXED} & flags.keys() if parts else set())
    # Most rows say what another has said already.
    in_words_of: dict[tuple[str, ...], dict[str, str]] = {}
    for row in table.rows:
        marked = {name for name, k in flags.items() if row[k].lower() in _YES}
        told: dict[str, str] = {
            "body part": _marked_parts(
                parts, marked, f"{table.path.name}, {quoted(row[key])}", issue_log
            ),
            "view": ", ".join(name for name in views if name in marked),
        }
        for k, name in enumerate(table.headings):
            if k != key and name not in joined and _says(row[k]):
                flag = "yes" if name in marked else "no"
                told[name] = flag if name in flags else row[k]
        said = (*told, *told.values())
        if said not in in_words_of:
            in_words_of[said] = in_words(told)
        yield in_words_of[said]


def _flags(table: Table, key: int) -> dict[str, int]:
    """The columns of 0 and 1, by name."""
    found = {}
    for k, name in enumerate(table.headings):
        cells = {row[k].lower() for row in table.rows}
        if k != key and cells <= _YES | _NO | _SAYS_NOTHING:
            found[name] = k
    return found


def _marked_parts(parts: Sequence[str], marked: set[str], place: str, issue_log: IssueLog) -> str:
    held = [name for name in parts if name in marked]
    if parts and _MIXED in marked:
        return ", ".join(held) if len(held) > 1 else _MIXED
    if len(held) > 1:
        kind = "Images with several body parts that are not marked as mixed, body part not told"
        issue_log.add(kind, f"{place}: {_listed(held)}")
        return ""
    return "".join(held)


def _says(cell: str) -> bool:
    return cell.lower() not in _SAYS_NOTHING and len(cell) <= _MAX_TEXT and cell.isprintable()


def _merged(record: Record, told: Mapping[str, str], issue_log: IssueLog) -> Mapping[str, str]:
    if not record.attributes:
        return told
    words, contradictions = merged(("the annotation", record.attributes), ("the table", told))
    for sentence in contradictions:
        kind = "Images whose annotation and table contradict each other"
        issue_log.add(kind, f"{record.sample_id}, {sentence.rstrip('.')}", record.sample_id)
    return words


def _say_what_lacks(
    joined: Mapping[str, Mapping[str, str]], records: Mapping[str, Record], issue_log: IssueLog
) -> None:
    """Images without a row, and attributes that are no subgroups."""
    for sample_id in records if joined else ():
        if sample_id not in joined:
            issue_log.add("Images that no row of a table names", sample_id, sample_id)
    columns: dict[str, set[str]] = {}
    for values in joined.values():
        for name, value in values.items():
            columns.setdefault(name, set()).add(value)
    for name, count in many_values(columns).items():
        kind = f"Attributes with more than {MOST_VALUES} values, kept but no subgroups"
        issue_log.add(kind, f"{quoted(name)} with {count:,}")


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
