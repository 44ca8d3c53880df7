"""Accuracy of the shipped models on real radiographs: python -m benchmarks accuracy:FRACATLAS.

FRACATLAS is the data set as COCO JSON with a split "val". Every shipped model predicts all of its
images once; the predictions are kept in the home folder, so that a second run only computes
metrics. The tables in docs/results.md are written anew.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.rows import Row
from fracture_core.evaluations import (
    EvaluateConfig,
    Evaluation,
    MetricValue,
    Report,
    new_evaluation,
    report_of,
    run_evaluation,
)
from fracture_core.evaluations.report import RANKING, Breakdown, Key, Subgroup
from fracture_core.evaluations.report_boxes import BOXES, FROC, MASKS, rate_name
from fracture_core.evaluations.subgroups import (
    Measuring,
    break_down,
    offered,
)
from fracture_core.matching import MatchConfig
from fracture_core.metrics.classification import roc_auc
from fracture_core.metrics.froc import RATES
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import SHIPPED, list_cards
from fracture_core.models.state_dicts import read_state
from fracture_core.runs import RunFolder
from fracture_core.settings import settings

RESULTS = Path(__file__).parent.parent / "docs" / "results.md"
GOALS = {"single": 0.40, "consensus": 0.46, "AUC": 0.90, "mask": 0.35}
_FAKE = "fake"


def main(*parts: str) -> list[Row]:
    """Write the tables and return the best value of each metric beside its goal."""
    if not parts:
        sys.exit("accuracy: expected the folder of FracAtlas, as in accuracy:data/fracatlas")
    data = Path(":".join(parts)).expanduser().absolute()
    cards = [card for card in list_cards() if card.family != _FAKE and _is_shipped(card)]
    evaluations = {card.model_id: _evaluated(card, data) for card in cards}
    reports = {name: report_of(each) for name, each in evaluations.items()}
    fractured = {name: report_of(each.images(each.positive)) for name, each in evaluations.items()}
    _write_between("all", _overview(cards, reports, evaluations))
    _write_between("fractured", _fractured(cards, fractured))
    _write_between("body parts", _by_body_part(cards, evaluations))
    return list(_rows(cards, reports, evaluations))


def _is_shipped(card: ModelCard) -> bool:
    return (SHIPPED / card.model_id).is_dir()


def _evaluated(card: ModelCard, data: Path) -> Evaluation:
    folder = settings().home / "accuracy" / f"{card.model_id}-{card.weights_sha256[:12]}"
    run = RunFolder(path=folder)
    if not run.config.is_file():
        config = EvaluateConfig(model=card.model_id, data=str(data), split="val", one_class=True)
        run = new_evaluation(config, folder=folder)
    evaluation = run_evaluation(run.path)
    if evaluation is None:
        sys.exit(f"accuracy: the evaluation of {card.model_id} was stopped; run it again")
    return evaluation


def _overview(
    cards: Sequence[ModelCard], reports: dict[str, Report], evaluations: dict[str, Evaluation]
) -> Iterator[str]:
    rates = " | ".join(f"{rate:g}" for rate in RATES)
    heading = "model | parameters | ms | AP50 | AP50-95 | mask AP50"
    yield f"| {heading} | {rates} | image AUC | by own score |"
    yield "|---|--:|--:|--:|--:|--:|" + "--:|" * (len(RATES) + 2)
    for card in cards:
        report = reports[card.model_id]
        cells = [
            card.title,
            _parameters(card),
            f"{report.seconds_an_image * 1000:.0f}",
            _cell(report, BOXES, "AP50", "lesion"),
            _cell(report, BOXES, "AP", "lesion"),
            _cell(report, MASKS, "AP50", "lesion"),
            *(_cell(report, FROC, "sensitivity", "lesion", rate_name(rate)) for rate in RATES),
            _cell(report, RANKING, "ROC AUC", "image"),
            _own_auc(evaluations[card.model_id]),
        ]
        yield f"| {' | '.join(cells)} |"


def _own_auc(evaluation: Evaluation) -> str:
    """The AUC of the score that the model itself gives an image, for most that of its best box."""
    return f"{roc_auc(evaluation.image_scores, evaluation.positive):.3f}"


def _fractured(cards: Sequence[ModelCard], reports: dict[str, Report]) -> Iterator[str]:
    yield "| model | AP50 | AP50-95 | mask AP50 |"
    yield "|---|--:|--:|--:|"
    for card in cards:
        report = reports[card.model_id]
        if card.task != "classify":
            cells = [_cell(report, *each, "lesion") for each in _AVERAGES]
            yield f"| {card.title} | {' | '.join(cells)} |"


def _by_body_part(cards: Sequence[ModelCard], evaluations: dict[str, Evaluation]) -> Iterator[str]:
    found = {card.model_id: _broken_down(evaluations[card.model_id]) for card in cards}
    parts = [group for each in found.values() if each for group in each.groups]
    names = list(dict.fromkeys(group.name for group in parts))
    yield f"| model | {' | '.join(names)} |"
    yield "|---|" + "--:|" * len(names)
    counts = {group.name: f"{group.images} ({group.positives})" for group in parts}
    yield f"| *images (fractured)* | {' | '.join(counts[name] for name in names)} |"
    for card in cards:
        breakdown = found[card.model_id]
        groups = {group.name: group for group in breakdown.groups} if breakdown else {}
        asked = _AUC if card.task == "classify" else _AP50
        cells = [_of_group(groups.get(name), asked) for name in names]
        yield f"| {card.title}, {asked[1]} | {' | '.join(cells)} |"


def _broken_down(evaluation: Evaluation) -> Breakdown | None:
    """The metrics by body part, None where the data set does not tell it."""
    matched = evaluation.matched()
    how = Measuring(config=MatchConfig(), points=())
    for attribute in offered(matched)[0]:
        if attribute.name == "body part":
            return break_down(matched, attribute, how)
    return None


def _of_group(group: Subgroup | None, asked: Key) -> str:
    metric = group and group.metric(asked)
    return "—" if metric is None else _written(metric)


_AP50: Key = (BOXES, "AP50", "lesion", "")
_AUC: Key = (RANKING, "ROC AUC", "image", "")
_AVERAGES = ((BOXES, "AP50"), (BOXES, "AP"), (MASKS, "AP50"))


def _cell(report: Report, section: str, name: str, unit: str, of: str = "") -> str:
    metric = _figure(report, section, name, unit, of)
    return "—" if metric is None else _written(metric)


def _written(metric: MetricValue) -> str:
    if not metric.is_defined:
        return "—"
    if np.isnan(metric.low):
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.2f}–{metric.high:.2f})"


def _figure(report: Report, section: str, name: str, unit: str, of: str = "") -> MetricValue | None:
    for each in report.of_section(section):
        if (each.name, each.unit, each.of) == (name, unit, of):
            return each
    return None


def _parameters(card: ModelCard) -> str:
    """The numbers in the weights file, norms' statistics included; a consensus has none."""
    if not card.weights_file:
        return "—"
    state = read_state(SHIPPED / card.model_id / card.weights_file)
    return f"{sum(each.numel() for each in state.values()) / 1e6:.1f} M"


def _write_between(name: str, lines: Iterator[str]) -> None:
    """Replace the lines between the marks of a table in docs/results.md."""
    text = RESULTS.read_text(encoding="utf-8")
    marks = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"{RESULTS.name}: expected the marks {' and '.join(marks)}")
    table = "\n".join((marks[0], *lines, marks[1]))
    RESULTS.write_text(pattern.sub(lambda _: table, text), encoding="utf-8")


def _rows(
    cards: Sequence[ModelCard], reports: dict[str, Report], evaluations: dict[str, Evaluation]
) -> Iterator[Row]:
    single = [card for card in cards if card.family != "consensus"]
    fused = [card for card in cards if card.family == "consensus"]
    asked = (
        ("AP50 of the best single detector", single, BOXES, "AP50", "lesion", "single"),
        ("AP50 of the consensus", fused, BOXES, "AP50", "lesion", "consensus"),
        ("mask AP50", single, MASKS, "AP50", "lesion", "mask"),
    )
    for words, whose, section, name, unit, goal in asked:
        found = (_figure(reports[card.model_id], section, name, unit) for card in whose)
        values = [each.value for each in found if each is not None and each.is_defined]
        if values:
            yield Row(name=words, value=max(values), unit="", least=GOALS[goal])
    best = max(roc_auc(each.image_scores, each.positive) for each in evaluations.values())
    yield Row(name="AUC of the best image score", value=best, unit="", least=GOALS["AUC"])
