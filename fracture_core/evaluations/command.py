"""What `python -m fracture_core evaluate` does, for people and as a job."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fracture_core.errors import ConfigError
from fracture_core.evaluations.charts import write_charts
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.folders import new_evaluation, read_completed
from fracture_core.evaluations.matched_models import EvaluateConfig, read_config, write_config
from fracture_core.evaluations.measuring import apply_points, measure_points
from fracture_core.evaluations.report import Report
from fracture_core.evaluations.report_text import (
    as_text,
    sentence_of_negative,
    write_csv,
    write_json,
)
from fracture_core.evaluations.reporting import report_of
from fracture_core.evaluations.running import (
    check_evaluation,
    open_evaluation,
    run_evaluation,
    with_kept_classes,
)
from fracture_core.evaluations.subgroups import with_subgroups
from fracture_core.metrics.critical import FRACTURE10_PAIRS
from fracture_core.models.library import list_cards, points_of, store_points
from fracture_core.models.points import Measurements
from fracture_core.runs import RunFolder, stop_on_signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What else is asked for at the command line, after the predictions.

    `critical` are confusions written "TRUE:PREDICTED". `choose_points` chooses the model's
    operating points here, `apply_points` tries those it has.
    """

    critical: tuple[str, ...] = ()
    choose_points: bool = False
    apply_points: bool = False


def start(asked: Mapping[str, object], out: Path | None, wishes: Wishes) -> int:
    """Evaluate in a new folder and return the exit code, 1 where images were left out.

    None in `asked` means not asked for. Raises ConfigError without a model or data, and as
    `check_evaluation`.
    """
    if asked["model"] is None or asked["data"] is None:
        raise ConfigError("evaluate", expected="--model and --data, or --resume", found="neither")
    config = with_kept_classes(EvaluateConfig.of(**_given(asked)))
    check_evaluation(config)
    for name, parent in config.is_a.items():
        print(f"{name} counts as {parent or 'no finding'}", file=sys.stderr)
    run = new_evaluation(config, folder=out)
    print(run.path, file=sys.stderr)
    return _go_on(run, wishes)


def resume(
    folder: Path, asked: Mapping[str, object], matched: Mapping[str, object], wishes: Wishes
) -> int:
    """Go on in a folder that is there, or report a complete one again, and return the exit code.

    `matched` are the settings of the report, which may differ from those it began with. Raises
    ConfigError where anything else is `asked`.
    """
    if given := list(_given(asked)):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        advice = "What was asked stands in the folder; start a new evaluation to ask otherwise."
        raise ConfigError("evaluate", expected="--resume alone", found=names, advice=advice)
    run = open_evaluation(folder)
    if changes := _given(matched):
        before = read_config(run.config).model_dump()
        write_config(EvaluateConfig.of(**before | changes), run.config)
    return _go_on(run, wishes)


def _given(asked: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in asked.items() if value is not None}


def _go_on(run: RunFolder, wishes: Wishes) -> int:
    evaluation = _predict(run)
    if evaluation is None:
        print(f"Stopped. Go on with: python -m fracture_core evaluate --resume {run.path}")
        return 0
    measured = _measure(evaluation, read_config(run.config), wishes)
    report = write_report(
        run.path, evaluation, measured, critical_pairs(evaluation, wishes.critical)
    )
    print(as_text(report))
    if measured is not None:
        _print_points(measured, wishes)
    unreadable = read_completed(run).unreadable
    for each in unreadable:
        print(f"{each.sample_id}: {each.sentence}", file=sys.stderr)
    print(f"\nWritten to {run.path}: report.json, report.csv, figures/")
    return 1 if unreadable else 0


def write_report(
    folder: Path,
    evaluation: Evaluation,
    measured: Measurements | None,
    pairs: Sequence[tuple[str, str]],
) -> Report:
    """Write report.json, report.csv and the charts in figures/, and return the report.

    NMS IoU and match IoU are those of `measured`, else of the folder's config. Raises ConfigError
    and StorageError.
    """
    config = read_config(RunFolder(path=folder).config)
    report = report_of(
        evaluation,
        nms_iou=measured.nms_iou if measured else config.nms_iou,
        match_iou=measured.match_iou if measured else config.match_iou,
        study_rule=config.study_rule,
        critical_pairs=pairs,
        measured=measured,
    )
    report = with_subgroups(report, evaluation)
    write_json(report, folder / "report.json")
    write_csv(report, folder / "report.csv")
    write_charts(evaluation, report, folder / "figures")
    return report


def _measure(evaluation: Evaluation, config: EvaluateConfig, wishes: Wishes) -> Measurements | None:
    """Operating points chosen here, or the model's own applied here; None = the report's own."""
    if wishes.choose_points:
        chosen = measure_points(evaluation, nms_iou=config.nms_iou, match_iou=config.match_iou)
        store_points(chosen)
        return chosen
    if not wishes.apply_points:
        return None
    about = evaluation.about
    known = {card.model_id: card for card in list_cards()}
    stored = points_of(known[about.model_id]) if about.model_id in known else None
    if stored is None:
        raise ConfigError(
            about.model_id,
            expected="a model with operating points",
            found="none",
            advice="Choose them on validation with --choose-points.",
        )
    applied = apply_points(stored, evaluation)
    store_points(applied)
    return applied


def critical_pairs(evaluation: Evaluation, asked: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs asked for as TRUE:PREDICTED, else those of `fracture10` if it has them.

    Raises ConfigError for text of another form.
    """
    classes = evaluation.about.classes
    if not asked:
        named = {name for pair in FRACTURE10_PAIRS for name in pair}
        return FRACTURE10_PAIRS if named <= set(classes) else ()
    pairs = []
    for text in asked:
        true, colon, read = (part.strip() for part in text.partition(":"))
        if not (true and colon and read):
            raise ConfigError("--critical", expected="TRUE:PREDICTED", found=repr(text))
        pairs.append((true, read))
    return tuple(pairs)


def _print_points(measured: Measurements, wishes: Wishes) -> None:
    where = "Kept with the model's card" if wishes.choose_points else "Applied, and kept"
    print(f"\n{where}: {', '.join(point.rule for point in measured.points)}")
    for point in measured.points:
        if point.confidence is not None:
            print(f"  {point.rule}: {sentence_of_negative(measured, point.confidence)}")


def _predict(run: RunFolder) -> Evaluation | None:
    with tqdm(unit="image", disable=None) as bar, stop_on_signal() as stop:

        def show(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        return run_evaluation(run.path, show, stop)
