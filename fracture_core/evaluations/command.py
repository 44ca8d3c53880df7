"""What `python -m fracture_core evaluate` does, for people and as a job."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fracture_core.evaluations.config import EvaluateConfig
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.folders import new_evaluation, read_completed
from fracture_core.evaluations.running import check_evaluation, run_evaluation
from fracture_core.evaluations.stopping import stop_on_signal
from fracture_core.runs import RunFolder, open_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What else is asked for at the command line; `critical` reads "TRUE:PREDICTED"."""

    critical: tuple[str, ...] = ()
    choose_points: bool = False
    apply_points: bool = False


def start(config: EvaluateConfig, out: Path | None, wishes: Wishes) -> int:
    """In a new folder; the exit code, 1 where pictures were left out."""
    check_evaluation(config)
    run = new_evaluation(config, folder=out)
    print(run.path, file=sys.stderr)
    return _go_on(run, wishes)


def resume(folder: Path, wishes: Wishes) -> int:
    """In a folder that is there; a complete one is reported again."""
    return _go_on(open_run(folder), wishes)


def _go_on(run: RunFolder, wishes: Wishes) -> int:
    evaluation = _predict(run)
    if evaluation is None:
        print(f"Stopped. Go on with: python -m fracture_core evaluate --resume {run.path}")
        return 0
    unreadable = read_completed(run).unreadable
    for each in unreadable:
        print(f"{each.sample_id}: {each.sentence}", file=sys.stderr)
    return 1 if unreadable else 0


def _predict(run: RunFolder) -> Evaluation | None:
    with tqdm(unit="picture", disable=None) as bar, stop_on_signal() as stop:

        def show(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        return run_evaluation(run.path, show, stop)
