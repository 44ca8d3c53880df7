"""A report as JSON and CSV; a figure that is undefined is null, or an empty cell."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path

from fracture_core.evaluations.report import Figure, Report
from fracture_core.files import write_text

RESEARCH_USE = "Research use only. Not a medical device."


def write_json(report: Report, path: Path) -> None:
    """Everything, by rename."""
    found = {each.name: getattr(report, each.name) for each in fields(report)}
    found["about"] = report.about.model_dump(mode="json")
    for name in ("points", "figures", "tables", "breakdowns"):
        found[name] = [asdict(each) for each in found[name]]
    whole = {"research_use": RESEARCH_USE, "banner": report.banner, **found}
    write_text(path, json.dumps(_plain(whole), indent=1, allow_nan=False) + "\n")


def write_csv(report: Report, path: Path) -> None:
    """One line a figure, by rename; those of subgroups name their attribute and group."""
    stream = io.StringIO()
    columns = [each.name for each in fields(Figure)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*columns, "attribute", "group"])
    for attribute, group, figure in _with_groups(report):
        cells = [getattr(figure, name) for name in columns]
        writer.writerow([_cell(value) for value in (*cells, attribute, group)])
    write_text(path, stream.getvalue())


def _with_groups(report: Report) -> Iterator[tuple[str, str, Figure]]:
    for figure in report.figures:
        yield "", "", figure
    for breakdown in report.breakdowns:
        for group in breakdown.groups:
            for figure in group.figures:
                yield breakdown.attribute, group.name, figure


def _plain(value: object) -> object:
    """Without numbers that JSON cannot write."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if _is_undefined(value) else value


def _cell(value: object) -> object:
    """No cell begins a formula: names of classes come from files."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if _is_undefined(value) else value


def _is_undefined(value: object) -> bool:
    return isinstance(value, float) and not isfinite(value)
