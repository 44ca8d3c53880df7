"""The folders of evaluations: made, listed, read and removed.

    config.json         what is asked
    started.json        which model predicts which images, written with truths.npz before the first
                        prediction
    parts/              predictions so far
    metrics.jsonl       how far it is, a line of JSON at a time
    truths.npz          the ground truths
    answers.npz         the raw predictions
    evaluation.json     written last and renamed into place: the evaluation is complete
    report.json, report.csv, figures/

They lie under the home folder, or in the run folder of the training that ended with them. A
training from before that has an evaluation.json of its own, with metrics but no predictions.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, WorkbenchError, first_fault
from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.evaluations.matched_models import EvaluateConfig, read_config, write_config
from fracture_core.evaluations.storing import (
    pick_ground_truths,
    read_ground_truths,
    read_predictions,
)
from fracture_core.files import append_line, remove_folder
from fracture_core.runs import EVALUATION, RunFolder, beginning
from fracture_core.settings import settings

# ---- earlier trainings ---------------------------------------------------------------------------


class EarlierEvaluation(BaseModel):
    """What a training wrote into evaluation.json before trainings ended with stored evaluations.

    `metrics` are by their names, on the images of the split `evaluated_on`. `operating_points` were
    chosen on the split `chosen_on`; points.json holds them too. Predictions were not kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chosen_on: str
    evaluated_on: str
    images: int = Field(ge=0, validation_alias="pictures")
    metrics: dict[str, float] = Field(validation_alias="figures")
    operating_points: tuple[dict[str, object], ...]


def read_earlier(run: RunFolder) -> EarlierEvaluation | None:
    """Return what a training's folder holds, None = nothing; raises ConfigError for other text."""
    try:
        return EarlierEvaluation.model_validate_json(run.evaluation.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        expected = "what a training came to"
        raise ConfigError(run.evaluation, expected=expected, found=first_fault(error)) from error


def sentence_of_earlier(found: EarlierEvaluation) -> str:
    """Return a sentence that says what such an evaluation came to, and how more can be had."""
    words = ", ".join(f"{name} {value:.3f}" for name, value in found.metrics.items())
    return (
        f"On {found.images:,} images of {found.evaluated_on}: {words}. Its predictions were "
        "not kept; a new evaluation shows more."
    )


# ---- progress ------------------------------------------------------------------------------------

_SECONDS = 1.0


class ProgressLines:
    """Tells how far an evaluation is: to a caller, and in lines of metrics.jsonl.

    A line is {"kind": "progress", "done", "of", "time"}, with the time in seconds since 1970, at
    most once a second and at the end.
    """

    def __init__(
        self, run: RunFolder, tell: Callable[[int, int], object], done: int, of: int
    ) -> None:
        self._run = run
        self._tell = tell
        self._done, self._of = done, of
        self._written = 0.0

    def __enter__(self) -> Self:
        """Note that it was resumed: lines from before say nothing of the pace now."""
        if self._done:
            self._write({"kind": "note", "text": f"resumed after {self._done} images"})
        self.say(self._done)
        return self

    def __exit__(self, *_: object) -> None:
        self._line()

    def say(self, done: int) -> None:
        """Tell that so many images are done."""
        self._done = done
        self._tell(done, self._of)
        if time.monotonic() - self._written >= _SECONDS:
            self._line()

    def _line(self) -> None:
        self._written = time.monotonic()
        self._write({"kind": "progress", "done": self._done, "of": self._of})

    def _write(self, line: dict[str, object]) -> None:
        text = json.dumps({**line, "time": round(time.time(), 3)})
        append_line(self._run.metrics, text)


# ---- folders -------------------------------------------------------------------------------------

VERSION = 1
STARTED, GROUND_TRUTHS, PREDICTIONS, PARTS = "started.json", "truths.npz", "answers.npz", "parts"


class Unreadable(BaseModel):
    """An image that could not be read and so was not predicted, and a sentence that says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_id: str
    sentence: str


class Completed(BaseModel):
    """The contents of evaluation.json: counts of what the other files must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    about: About
    # Evaluations made before 2026-12 say pictures.
    images: int = Field(ge=0, validation_alias=AliasChoices("images", "pictures"))
    boxes: int = Field(ge=0)
    ground_truths: int = Field(ge=0)
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An evaluation as it lies in a folder.

    `name` is the folder's, with the run's before it where a training made it. `config` is None
    where it cannot be read, `about` None where nothing has begun. `images` counts those predicted,
    0 while it runs, and `unreadable` those that could not be read. `problem` says why it cannot be
    used, or is "".
    """

    folder: Path
    name: str
    config: EvaluateConfig | None
    about: About | None
    images: int
    unreadable: int
    complete: bool
    problem: str

    @property
    def file_stem(self) -> str:
        """The name that downloaded files of it begin with."""
        return self.name.replace("/", "-")


def new_evaluation(
    config: EvaluateConfig, name: str = "", *, folder: Path | None = None
) -> RunFolder:
    """Make a folder that is ready to run, at `folder` or in the home folder.

    Without a name it is called after model, data set and split, with a number where that is taken.
    Raises ConfigError.
    """
    if folder is None:
        free = name or next(each for each in _names(config) if not _is_taken(each))
        folder = settings().evaluations / free
    with beginning(folder) as run:
        write_config(config, run.config)
    return run


def list_evaluations() -> list[Listed]:
    """Return all evaluations, those of trainings too, the latest first; never raises.

    Those of trainings are listed once they are complete. A folder of several evaluations may be
    copied beside the others: each is then called after both folders.
    """
    folders: dict[Path, str] = {}
    for folder in _folders_in(settings().evaluations):
        inside = [] if RunFolder(path=folder).config.is_file() else _folders_in(folder)
        held = [each for each in inside if RunFolder(path=each).kind == EVALUATION]
        folders |= {each: f"{folder.name}/{each.name}" for each in held} or {folder: folder.name}
    for run in _folders_in(settings().runs):
        folders |= _made_by(RunFolder(path=run))
    return [look_at(each, folders[each]) for each in sorted(folders, key=_changed, reverse=True)]


def evaluations_of(run: RunFolder) -> list[Listed]:
    """Return the complete evaluations that a training ended with, in order; never raises."""
    return [look_at(folder, name) for folder, name in _made_by(run).items()]


def _made_by(run: RunFolder) -> dict[Path, str]:
    folders = _folders_in(run.evaluations)
    complete = [each for each in folders if RunFolder(path=each).evaluation.is_file()]
    return {each: f"{run.name}/{each.name}" for each in sorted(complete, key=_changed)}


def _folders_in(place: Path) -> list[Path]:
    try:
        return [each for each in place.iterdir() if each.name[0] != "." and each.is_dir()]
    except OSError:
        return []


def look_at(folder: Path, name: str = "") -> Listed:
    """Return what one evaluation is, without reading its predictions; never raises.

    It is called after its folder, or by `name`.
    """
    run = RunFolder(path=folder)
    config, done, problem = None, None, ""
    try:
        config = read_config(run.config)
        done = read_completed(run) if run.evaluation.is_file() else None
    except WorkbenchError as error:
        problem = str(error)
    if done is None and not problem:
        problem = str(_half_written(run))
    return Listed(
        folder=folder,
        name=name or folder.name,
        config=config,
        about=done.about if done else _begun(run),
        images=done.images if done else 0,
        unreadable=len(done.unreadable) if done else 0,
        complete=done is not None,
        problem=problem,
    )


def load_evaluation(folder: Path) -> Evaluation:
    """Return all raw predictions beside the ground truth.

    Raises ConfigError where the evaluation is not complete or its files do not fit each other.
    """
    run = RunFolder(path=folder)
    if not run.evaluation.is_file():
        raise _half_written(run)
    done = read_completed(run)
    ground_truths = read_ground_truths(folder / GROUND_TRUTHS, kinds=len(done.about.kinds))
    predictions = read_predictions(folder / PREDICTIONS, ground_truths.sizes_px)
    found = (len(predictions), len(predictions.raw))
    if found != (done.images, done.boxes):
        expected = f"answers to {done.images} images with {done.boxes} boxes"
        said = f"{found[0]} images with {found[1]} boxes"
        raise ConfigError(folder, expected=expected, found=said, advice="Evaluate again.")
    matched = pick_ground_truths(ground_truths, predictions.positions)
    classes = len(done.about.classes)
    highest = (predictions.raw.labels, matched.boxes.labels, matched.image_classes)
    if any(int(np.max(each, initial=-1)) >= classes for each in highest):
        raise ConfigError(folder, expected=f"classes below {classes}", found="others")
    scores = predictions.class_scores
    if (scores.shape[1] > 0) != (done.about.task == "classify"):
        expected = f"answers of a model that can {done.about.task}"
        raise ConfigError(folder, expected=expected, found=f"{scores.shape[1]} class scores")
    return Evaluation(
        about=done.about,
        sample_ids=matched.sample_ids,
        group_ids=matched.group_ids,
        raw=predictions.raw,
        ground_truths=matched.boxes,
        gt_kinds=matched.kinds,
        known=matched.known,
        image_scores=predictions.image_scores,
        class_scores=scores if scores.shape[1] else None,
        image_classes=matched.image_classes,
        seconds=predictions.seconds,
        stage_seconds=predictions.stage_seconds,
        sizes_px=matched.sizes_px,
        spacing_mm=matched.spacing_mm,
        attributes=matched.attributes,
    )


def delete_evaluation(folder: Path) -> None:
    """Remove a folder that is an evaluation and that nobody works on; raises ConfigError.

    An evaluation that was submitted as a job is deleted as a job.
    """
    run = RunFolder(path=folder)
    if run.kind != EVALUATION:
        raise ConfigError(folder, expected="an evaluation", found="none")
    with run.claim():
        remove_folder(folder)


def read_completed(run: RunFolder) -> Completed:
    """Return the contents of evaluation.json; raises ConfigError for other text or no file."""
    try:
        done = Completed.model_validate_json(run.evaluation.read_bytes())
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ConfigError(run.path, expected="an evaluation", found=found) from error
    except ValidationError as error:
        raise ConfigError(
            run.evaluation,
            expected="what an evaluation came to",
            found=first_fault(error),
            advice="Evaluate again.",
        ) from error
    if done.version != VERSION:
        expected = f"an evaluation of version {VERSION}"
        raise ConfigError(run.evaluation, expected=expected, found=str(done.version))
    return done


def _half_written(run: RunFolder) -> ConfigError:
    exists = run.config.is_file()
    return ConfigError(
        run.path,
        expected="a complete evaluation",
        found="one that has not ended" if exists else "no evaluation there",
        advice="Wait for it, or resume it; what is answered is kept." if exists else "",
    )


def _begun(run: RunFolder) -> About | None:
    try:
        return About.model_validate_json((run.path / STARTED).read_bytes())
    except (OSError, ValidationError):
        return None


def _names(config: EvaluateConfig) -> Iterator[str]:
    words = (Path(config.model).name, Path(config.data).stem or "data", config.split)
    plain = (re.sub(r"[^\w.\-]+", "-", word, flags=re.ASCII).strip("-.") for word in words)
    base = f"eval-{'-'.join(word for word in plain if word)}"[:90]
    return (base if number == 1 else f"{base}-{number}" for number in count(1))


def _is_taken(name: str) -> bool:
    """Jobs are listed beside trainings, so their names must differ from those of trainings too."""
    return any((place / name).exists() for place in (settings().evaluations, settings().runs))


def _changed(folder: Path) -> float:
    run = RunFolder(path=folder)
    for path in (run.evaluation, run.config, folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0
