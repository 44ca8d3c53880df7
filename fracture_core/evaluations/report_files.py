"""A report as JSON and CSV; a figure that is undefined is null, or an empty cell."""

import csv
import io
import json
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path

from fracture_core.evaluations.report import Figure, Report
from fracture_core.evaluations.writing import write_text

RESEARCH_USE = "Research use only. Not a medical device."


def write_json(report: Report, path: Path) -> None:
    """Everything, by rename."""
    found = {each.name: getattr(report, each.name) for each in fields(report)}
    found["about"] = report.about.model_dump(mode="json")
    for name in ("points", "figures", "tables"):
        found[name] = [_plain(asdict(each)) for each in found[name]]
    whole = {"research_use": RESEARCH_USE, "banner": report.banner, **_plain(found)}
    write_text(path, json.dumps(whole, indent=1, allow_nan=False) + "\n")


def write_csv(report: Report, path: Path) -> None:
    """One line a figure, by rename."""
    stream = io.StringIO()
    columns = [each.name for each in fields(Figure)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for figure in report.figures:
        writer.writerow([_cell(getattr(figure, name)) for name in columns])
    write_text(path, stream.getvalue())


def _plain(record: dict[str, object]) -> dict[str, object]:
    """Without numbers that JSON cannot write."""
    return {name: None if _is_undefined(value) else value for name, value in record.items()}


def _cell(value: object) -> object:
    """No cell begins a formula: names of classes come from files."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if _is_undefined(value) else value


def _is_undefined(value: object) -> bool:
    return isinstance(value, float) and not isfinite(value)
