"""A report as JSON and CSV; a figure that is undefined is null, or an empty cell."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path

from fracture_core.csv_text import csv_text
from fracture_core.evaluations.report import Figure, Report, Subgroup
from fracture_core.files import write_text

RESEARCH_USE = "Research use only. Not a medical device."
COLUMNS = (
    *(each.name for each in fields(Figure)),
    *("attribute", "group", "images", "positives", "lesions", "few"),
)
"""Of a figure, and of the subgroup that it is of, empty for all pictures."""
Row = tuple[object, ...]


def write_json(report: Report, path: Path) -> None:
    """Everything, by rename."""
    found = {each.name: getattr(report, each.name) for each in fields(report)}
    found["about"] = report.about.model_dump(mode="json")
    for name in ("points", "figures", "tables", "breakdowns"):
        found[name] = [asdict(each) for each in found[name]]
    whole = {"research_use": RESEARCH_USE, "banner": report.banner, **found}
    write_text(path, json.dumps(_plain(whole), indent=1, allow_nan=False) + "\n")


def write_csv(report: Report, path: Path) -> None:
    """One line a figure, by rename."""
    write_text(path, csv_text(COLUMNS, report_rows(report)))


def report_rows(report: Report) -> Iterator[Row]:
    """A row of `COLUMNS` for each figure, of all pictures and then of every subgroup."""
    for figure in report.figures:
        yield (*_cells(figure), "", "", "", "", "", "")
    for breakdown in report.breakdowns:
        yield from group_rows(breakdown.attribute, breakdown.groups)


def group_rows(attribute: str, groups: Iterable[Subgroup]) -> Iterator[Row]:
    """The same of subgroups by one attribute."""
    for group in groups:
        counts = (group.images, group.positives, group.lesions)
        for figure in group.figures:
            few = "yes" if group.is_few(figure) else "no"
            yield (*_cells(figure), attribute, group.name, *counts, few)


def _cells(figure: Figure) -> Row:
    return tuple(getattr(figure, each.name) for each in fields(Figure))


def _plain(value: object) -> object:
    """Without numbers that JSON cannot write."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
