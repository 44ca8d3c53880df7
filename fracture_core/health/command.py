"""`python -m fracture_core health`: check a data set, print the report, write a repaired copy."""

import sys
from pathlib import Path

from tqdm import tqdm

from fracture_core.conversion import Converted
from fracture_core.datasets import open_dataset
from fracture_core.datasets.issues import counted
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import ConfigError
from fracture_core.files import write_text
from fracture_core.health.checking import check_health
from fracture_core.health.repair import Repair, repair_dataset
from fracture_core.health.report import Fault, HealthReport, Limits, Place, Severity

_SHOWN = 5


def run(
    path: Path, limits: Limits, *, json: Path | None, csv: Path | None, repair: Repair | None
) -> int:
    """Prints what was found and writes what was asked for; returns 1 where there is an error.

    Raises DatasetError for a data set that cannot be opened, ConfigError for a file that cannot be
    written.
    """
    dataset = open_dataset(path)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {desc}", disable=None, file=sys.stderr) as bar:

        def show(share: float, words: str) -> None:
            bar.set_description_str(words, refresh=False)
            bar.update(share - bar.n)

        report = check_health(dataset, limits, progress=show)
    print(as_text(report))
    _write(json, report.as_json())
    _write(csv, report.as_csv())
    if repair is not None:
        print(said_of_copy(_repaired(dataset, report, repair)))
    return int(report.count(Severity.ERROR) > 0)


def as_text(report: HealthReport) -> str:
    """Returns the report for people: a paragraph for each fault, with its first places below it."""
    splits = ", ".join(f"{split or 'no split'} {count:,}" for split, count in report.splits.items())
    lines = [f"{report.name}: {counted(report.images, 'image')} ({splits}), {report.format}."]
    for fault in report.faults:
        lines += ["", *_paragraph(fault)]
    if not report.faults:
        lines.append("Nothing was found that would mislead a training or an evaluation.")
    return "\n".join(lines)


def said_of_copy(made: Converted) -> str:
    """Returns a sentence or two on what was written."""
    words = f"{made.destination}: {counted(made.images, 'image')}; {made.card.name} says how."
    if made.left_out:
        words += f" Left out, as they cannot be read: {len(made.left_out):,}, listed there."
    return words


def _paragraph(fault: Fault) -> list[str]:
    head = f"{fault.severity.value.upper()}: {fault.title}: {len(fault.places):,}"
    more = len(fault.places) - _SHOWN
    places = [f"    {_words(place)}" for place in fault.places[:_SHOWN]]
    rest = [f"    … and {more:,} more"] if more > 0 else []
    return [head, f"  {fault.meaning} {fault.advice}", *places, *rest]


def _words(place: Place) -> str:
    names = [name for name in (place.sample_id, place.other) if name]
    parts = [" = ".join(names), place.detail if place.detail not in names else ""]
    return " · ".join(part for part in parts if part)


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(
            path, expected="a file that can be written", found=(error.strerror or "none").lower()
        ) from error


def _repaired(dataset: RecordedDataset, report: HealthReport, repair: Repair) -> Converted:
    with tqdm(total=0, unit="image", disable=None, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return repair_dataset(
            dataset,
            report,
            repair,
            tell=lambda sentence: bar.write(sentence, file=sys.stderr),
            progress=show,
        )
