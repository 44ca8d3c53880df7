"""A report as text, as JSON and as CSV, and what was measured of a model in one sentence.

Text is under 100 columns wide. A metric that is undefined is null in JSON and an empty cell in CSV.
A sentence says what was measured, and nothing beyond it.
"""

import json
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path
from typing import get_args

from fracture_core.csv_text import csv_text
from fracture_core.evaluations.report import (
    FEWEST,
    Breakdown,
    MetricValue,
    Report,
    Subgroup,
    Table,
    measured_text,
)
from fracture_core.evaluations.subgroups import headlines_of
from fracture_core.evaluations.timing import TIME, Timing
from fracture_core.files import write_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import Counted, Measurements, evidence_for, sensitivity_at
from fracture_core.types import STAGE_NAMES, Unit

# ---- text ----------------------------------------------------------------------------------------

WIDTH = 98
_MOST_COLUMNS = 12
_OVERALL = "all"


def as_text(report: Report) -> str:
    """Return the whole report as text, from what was asked to what is missing."""
    parts = [_head(report), *_banner(report), *_points(report)]
    parts += [_section(report, name) for name in report.sections]
    parts += [_table(table) for table in report.tables]
    parts += [_breakdown(each, report) for each in report.breakdowns]
    if report.weakest:
        parts.append("\n".join(["Weakest subgroups", *map(_wrapped, report.weakest)]))
    if report.notes:
        parts.append("\n".join(["Notes", *(_wrapped(note) for note in report.notes)]))
    return "\n\n".join(parts)


def _head(report: Report) -> str:
    about = report.about
    one_class = ", every class counts as one" if about.one_class else ""
    matched = f"{report.images:,} images in {report.studies:,} studies"
    if about.task != "classify":
        matched += f", {report.lesions:,} lesions"
    lines = [
        f"{about.title} on {about.data_name}, split {about.split}{one_class}",
        f"{matched}; {report.positives:,} images with something to find",
        f"NMS IoU {report.nms_iou:g}, match IoU {report.match_iou:g}, "
        f"studies by {report.study_rule}; intervals 95 %",
        _time(report),
    ]
    return "\n".join(line[:WIDTH] for line in lines)


def _time(report: Report) -> str:
    stages = tuple(m.value for m in report.of_section(TIME) if m.name in STAGE_NAMES)
    return Timing(total_ms=1000 * report.seconds_an_image, stages_ms=stages).text


def _banner(report: Report) -> Iterator[str]:
    if report.banner:
        lines = textwrap.wrap(report.banner, WIDTH - 2)
        yield "\n".join(f"! {line}" for line in lines)


def _points(report: Report) -> Iterator[str]:
    if not report.points:
        return
    rows = [
        (point.rule, f"{point.confidence:.4f}" if point.confidence is not None else "not met")
        for point in report.points
    ]
    where = report.points[0].chosen_on
    yield "\n".join([f"Operating points, confidences chosen on {where}", *_aligned(rows)])


def _section(report: Report, name: str) -> str:
    """Metrics by class or operating point, or one below the other."""
    metrics = report.of_section(name)
    head = _head_of_section(name, metrics)
    columns = tuple(dict.fromkeys(metric.of for metric in metrics))
    names = tuple(dict.fromkeys((metric.name, metric.unit) for metric in metrics))
    if len(columns) == 1:
        rows = [(each.name, f"per {each.unit}", each.text, _count(each)) for each in metrics]
        return "\n".join([*head, *_aligned(rows)])
    body = _by_name(metrics, columns) if len(names) > len(columns) else _by_column(metrics, columns)
    return "\n".join([*head, *body])


def _head_of_section(name: str, metrics: Sequence[MetricValue]) -> list[str]:
    """The section's name with the rule of all its metrics, or a line for each rule."""
    rules: dict[str, list[MetricValue]] = {}
    for metric in metrics:
        rules.setdefault(metric.rule, []).append(metric)
    if len(rules) == 1:
        return textwrap.wrap(f"{name}: {metrics[0].rule}", WIDTH, subsequent_indent="  ")
    columns = dict.fromkeys(each.of for each in metrics)
    return [name, *(_wrapped(f"{_named(some, columns)}: {how}") for how, some in rules.items())]


def _named(metrics: Sequence[MetricValue], columns: Collection[str]) -> str:
    """Such as "sensitivity, precision at max F1", where they are not of all columns."""
    names = ", ".join(dict.fromkeys(each.name for each in metrics))
    of = dict.fromkeys(each.of or _OVERALL for each in metrics)
    return names if len(of) == len(columns) else f"{names} at {', '.join(of)}"


def _by_name(metrics: Sequence[MetricValue], columns: Sequence[str]) -> list[str]:
    """A row for each metric, below its unit, and a column for each class or operating point."""
    rows: list[tuple[str, ...]] = [("", *(of or _OVERALL for of in columns))]
    for unit, name in sorted(dict.fromkeys((each.unit, each.name) for each in metrics), key=_unit):
        if not any(row[0] == f"per {unit}" for row in rows):
            rows.append((f"per {unit}", *("" for _ in columns)))
        held = {each.of: each for each in metrics if (each.unit, each.name) == (unit, name)}
        rows.append((f"  {name}", *(held[of].text if of in held else "" for of in columns)))
    return _aligned(rows)


def _unit(key: tuple[Unit, str]) -> int:
    """Lesions, images, studies; within a unit as they come."""
    return get_args(Unit).index(key[0])


def _by_column(metrics: Sequence[MetricValue], columns: Sequence[str]) -> list[str]:
    """A row for each class, with how many there are of it."""
    names = tuple(dict.fromkeys(metric.name for metric in metrics))
    rows: list[tuple[str, ...]] = [(f"per {metrics[0].unit}", "n", *names)]
    for of in columns:
        held = {each.name: each for each in metrics if each.of == of}
        # The last metric is of the ground truths of the class: recall, F1 or average precision.
        count = [each.n for each in held.values()][-1]
        cells = (held[name].text if name in held else "" for name in names)
        rows.append((of or _OVERALL, f"{count:,}", *cells))
    return _aligned(rows)


def _count(metric: MetricValue) -> str:
    return f"n = {metric.n:,}"


def _table(table: Table) -> str:
    title = f"{table.title}, per {table.unit}, {table.rule}"
    if len(table.columns) > _MOST_COLUMNS:
        return f"{title}\n  {len(table.columns)} columns: see report.json"
    names = [name[:11] for name in table.columns]
    corner = "true \\ found" if table.title == "Confusion" else ""
    rows = [(corner, *names)]
    for name, counts in zip(table.rows, table.counts, strict=True):
        rows.append((name[:20], *(f"{count:,}" for count in counts)))
    return "\n".join([title[:WIDTH], *_aligned(rows)])


def _breakdown(breakdown: Breakdown, report: Report) -> str:
    """A row for each subgroup with the metrics it is compared by; the rest is in the files."""
    keys = [key for key in headlines_of(report) if breakdown.whole.metric(key) is not None]
    counts = ("images", "positive", *(() if report.about.task == "classify" else ("lesions",)))
    rows: list[tuple[str, ...]] = [("", *counts, *(f"{name}/{unit}" for _, name, unit, _ in keys))]
    for group in (breakdown.whole, *breakdown.groups):
        numbers = (group.images, group.positives, group.lesions)[: len(counts)]
        metrics = [group.metric(key) for key in keys]
        cells = ("" if each is None else each.text + _star(group, each) for each in metrics)
        rows.append((group.name, *(f"{number:,}" for number in numbers), *cells))
    at = next((f" at {of}" for *_, of in keys if of), "")
    is_starred = any(cell.endswith("*") for row in rows for cell in row)
    note = [f"  * fewer than {FEWEST} cases"] if is_starred else []
    return "\n".join([f"Subgroups by {breakdown.attribute}{at}"[:WIDTH], *_aligned(rows), *note])


def _star(group: Subgroup, metric: MetricValue) -> str:
    return "*" if metric.is_defined and group.is_few(metric) else ""


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; those that do not fit go below, with the first column again."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines: list[str] = []
    for block in _blocks(widths):
        for row in rows:
            cells = [row[k].ljust(widths[k]) for k in (0, *block)]
            lines.append(f"  {'  '.join(cells)}".rstrip()[:WIDTH])
    return lines


def _blocks(widths: Sequence[int]) -> list[list[int]]:
    """Which columns but the first stand side by side."""
    blocks: list[list[int]] = [[]]
    used = widths[0] + 2
    for k, width in enumerate(widths[1:], start=1):
        if blocks[-1] and used + width + 2 > WIDTH:
            blocks.append([])
            used = widths[0] + 2
        blocks[-1].append(k)
        used += width + 2
    return blocks


def _wrapped(note: str) -> str:
    return textwrap.fill(note, WIDTH, initial_indent="  ", subsequent_indent="  ")


# ---- JSON and CSV --------------------------------------------------------------------------------

RESEARCH_USE = "Research use only. Not a medical device."
COLUMNS = (
    *(each.name for each in fields(MetricValue)),
    *("attribute", "group", "images", "positives", "lesions", "few"),
)
"""The columns of a metric and of its subgroup; the latter are empty for all images."""
Row = tuple[object, ...]


def write_json(report: Report, path: Path) -> None:
    """Write everything to a file, which is renamed into place; raises StorageError."""
    found = {each.name: getattr(report, each.name) for each in fields(report)}
    found["about"] = report.about.model_dump(mode="json")
    for name in ("points", "metrics", "tables", "breakdowns"):
        found[name] = [asdict(each) for each in found[name]]
    whole = {"research_use": RESEARCH_USE, "banner": report.banner, **found}
    write_text(path, json.dumps(_plain(whole), indent=1, allow_nan=False) + "\n")


def write_csv(report: Report, path: Path) -> None:
    """Write a line for each metric to a file, which is renamed into place; raises StorageError."""
    write_text(path, csv_text(COLUMNS, report_rows(report)))


def report_rows(report: Report) -> Iterator[Row]:
    """Yield a row of `COLUMNS` for each metric, of all images and then of every subgroup."""
    for metric in report.metrics:
        yield (*_cells(metric), "", "", "", "", "", "")
    for breakdown in report.breakdowns:
        yield from group_rows(breakdown.attribute, breakdown.groups)


def group_rows(attribute: str, groups: Iterable[Subgroup]) -> Iterator[Row]:
    """Yield a row of `COLUMNS` for each metric of subgroups by one attribute."""
    for group in groups:
        counts = (group.images, group.positives, group.lesions)
        for metric in group.metrics:
            few = "yes" if group.is_few(metric) else "no"
            yield (*_cells(metric), attribute, group.name, *counts, few)


def _cells(metric: MetricValue) -> Row:
    return tuple(getattr(metric, each.name) for each in fields(MetricValue))


def _plain(value: object) -> object:
    """None for numbers that JSON cannot write, nan and infinity, at any depth."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


# ---- sentences -----------------------------------------------------------------------------------


def sentence_of_negative(measured: Measurements, confidence: float) -> str:
    """Say what it is worth that nothing is found above a confidence.

    The sensitivity is that of the split the operating point was applied to, if it was, else of the
    one it was chosen on.
    """
    share, where = _sensitivity(measured, confidence)
    at_point = any(point.confidence == confidence for point in measured.points)
    beginning = f"No finding above this {'operating point' if at_point else 'confidence'}"
    if not share.total:
        return f"{beginning}; its sensitivity is undefined: nothing to find in {where}."
    words = f"{measured_text(share.share, *share.interval)} per {measured.unit}"
    return f"{beginning}; measured sensitivity {words} on {where}."


def sentence_of_score(measured: Measurements, score: float) -> str:
    """Say how often findings, or a classifier's images, scored like this one were right."""
    found = evidence_for(measured, score)
    if found is None:
        return f"What a score of {score:.2f} is worth was not measured."
    one, many, right = ("box", "Boxes", "were right")
    if measured.unit == "image":
        one, many, right = ("image", "Images", "had a finding")
    scored, where = f"scored {found.low:.1f}–{found.high:.1f} by this model", _split(measured)
    if not found.total:
        return f"No {one} was {scored} on {where}: what that is worth is not known."
    share = Counted(count=found.right, total=found.total).proportion().share
    often = f"{100 * share:.0f} % of the time"
    return f"{many} {scored} {right} {often} on {where} (n = {found.total:,})."


def _sensitivity(measured: Measurements, confidence: float) -> tuple[Proportion, str]:
    for point in measured.points:
        if point.confidence == confidence and point.applied is not None:
            return point.applied.sensitivity.proportion(), point.applied_to
    where = f"{measured.data}, split {measured.split}"
    return sensitivity_at(measured, confidence), where


def _split(measured: Measurements) -> str:
    return "validation" if measured.split == "val" else f"split {measured.split}"
