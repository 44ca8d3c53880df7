"""Shipping: train the models of `trainers.shipped_models`, measure them, put them in the package.

Models on real data get their operating points on FracAtlas's validation split, demo models on
synthetic images. All have to reach the goal of their task (`GOALS`) on synthetic images of a seed
that no training has seen.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fracture_core.datasets import open_dataset
from fracture_core.demo import answer
from fracture_core.errors import ConfigError, TrainingError
from fracture_core.evaluations import (
    EvaluateConfig,
    Evaluation,
    apply_points,
    measure_points,
    new_evaluation,
    report_of,
    run_evaluation,
)
from fracture_core.files import making_folder
from fracture_core.health import check_health
from fracture_core.health.repair import joined_groups
from fracture_core.models.adapter import copy_halved
from fracture_core.models.cards import ModelCard, Task, write_card
from fracture_core.models.consensus_making import consensus_card
from fracture_core.models.library import SHIPPED
from fracture_core.models.points import Measurements, card_points, write_points
from fracture_core.operating_points import HIGH_SPECIFICITY
from fracture_core.runs import RunFolder, open_run
from fracture_core.scope import SYNTHETIC as SYNTHETIC_SCOPE
from fracture_core.scope import Scope
from trainers.mixed_data import leaking_images, write_mixed_data
from trainers.running import make_run
from trainers.shipped_models import (
    CONSENSUS,
    CONSENSUS_TITLE,
    RULE,
    SHIPPED_MODELS,
    VOICES,
    Data,
    ShippedModel,
)
from trainers.synthetic_data import write_synthetic_data

REAL, SYNTHETIC = "FracAtlas valid", "synthetic"
SYNTHETIC_DATA = "synthetic radiographs"
_FOLDERS: Mapping[Data, str] = {
    "radiographs": "data",
    "crops": "data",
    "synthetic": "synthetic",
    "patches": "synthetic",
}
TRAINING_DATA = (
    "FracAtlas (Abedeen et al., Scientific Data 2023): 1,949 radiographs of hand, leg, hip and "
    "shoulder, near-duplicates of its validation images left out; synthetic radiographs of this "
    "package"
)
SCOPE = Scope(
    modalities=("CR", "DX"),
    # FracAtlas files forearms and elbows under hand, whole pelves under hip.
    body_parts=("hand", "arm", "shoulder", "hip", "pelvis", "leg"),
    origins=("real", "synthetic"),
)
NOTE = (
    "The best checkpoint and the operating points were chosen on FracAtlas's validation images, "
    "which flatters the metrics measured on them."
)
SYNTHETIC_NOTE = "Trained on synthetic data only, not for real radiographs."
LICENCE = "CC BY 4.0 (FracAtlas); none needed for the synthetic ones"
_OF_REAL: Mapping[str, object] = {
    "training_data": TRAINING_DATA,
    "training_licence": LICENCE,
    "scope": SCOPE,
}
_OF_SYNTHETIC: Mapping[str, object] = {
    "training_data": "synthetic radiographs of this package (fracture_core.demo)",
    "training_licence": "none needed: drawn by this package",
    "scope": SYNTHETIC_SCOPE,
    "note": SYNTHETIC_NOTE,
}

GOALS: Mapping[Task, tuple[str, float]] = {
    "detect": ("AP50", 0.8),
    "segment": ("AP50", 0.8),
    "classify": ("balanced accuracy", 0.8),
}
"""The metric, and its least value on synthetic test images, for a model to be shipped, by task."""

_METRICS: Mapping[Task, tuple[tuple[str, str, str], ...]] = {
    "detect": (("COCO, boxes", "AP50", "lesion"), ("COCO, boxes", "AP", "lesion")),
    "segment": (
        ("COCO, boxes", "AP50", "lesion"),
        ("COCO, boxes", "AP", "lesion"),
        ("COCO, masks", "AP50", "lesion"),
    ),
    "classify": (("Accuracy", "balanced accuracy", "image"),),
}
_RANKING = ("Ranking", "ROC AUC", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The folders that shipping works with.

    `work` keeps data, runs and evaluations, so that a stopped one goes on there · `radiographs` is
    FracAtlas as COCO JSON · `pretrained` is the folder of pretrained weights.
    """

    work: Path
    radiographs: Path
    pretrained: Path

    def data(self, kind: Data) -> Path:
        """Return the folder of one of the data sets that models are trained on."""
        return self.work / _FOLDERS[kind] / kind

    def run(self, name: str) -> Path:
        """Return the folder of the run that trains the model of a name."""
        return self.work / "runs" / name


def train_shipped_models(workshop: Workshop, only: tuple[str, ...] = ()) -> list[str]:
    """Train what is not trained yet and ship it; return a line of text for each shipped model.

    `only` names models of the table or the consensus, none = all that are shipped. Raises
    ConfigError for an unknown name and TrainingError for a model that misses its goal.
    """
    shipped = (name for name, model in SHIPPED_MODELS.items() if model.shipped)
    names = only or (*shipped, CONSENSUS)
    for name in names:
        if name not in (*SHIPPED_MODELS, CONSENSUS):
            expected = f"one of {', '.join((*SHIPPED_MODELS, CONSENSUS))}"
            raise ConfigError("shipped model", expected=expected, found=repr(name))
    return [line for name in names if (line := _make(name, workshop))]


def write_data(kind: Data, workshop: Workshop) -> None:
    """Write a data set, and the one that is made with it, unless they are there.

    Training images of FracAtlas that leak into its validation split are left out.
    """
    folder = workshop.data(kind).parent
    if folder.is_dir():
        return
    if _FOLDERS[kind] == "synthetic":
        with making_folder(folder) as part:
            write_synthetic_data(part)
        return
    dataset = open_dataset(str(workshop.radiographs))
    groups = joined_groups(dataset, check_health(dataset))
    left_out = leaking_images(dataset.splits, groups)
    with making_folder(folder) as part:
        write_mixed_data(part, dataset, left_out)


def _make(name: str, workshop: Workshop) -> str:
    if name == CONSENSUS:
        return ship_consensus(workshop)
    model = SHIPPED_MODELS[name]
    if model.begins_from:
        _make(model.begins_from, workshop)
    run = _run_of(name, model, workshop)
    if not run.card.is_file():
        train_apart(run)
    return ship(name, run, workshop) if model.shipped else ""


def train_apart(run: RunFolder) -> None:
    """Train a run in a process of its own, because Accelerate allows one precision in each process.

    Raises TrainingError where the training failed or was stopped.
    """
    command = [sys.executable, "-m", "trainers", "train", str(run.path)]
    done = subprocess.run(command, check=False)  # noqa: S603
    if done.returncode or not run.card.is_file():
        found = f"one that failed or was stopped (exit status {done.returncode})"
        raise TrainingError(run.name, expected="a finished training", found=found)


def _run_of(name: str, model: ShippedModel, workshop: Workshop) -> RunFolder:
    folder = workshop.run(name)
    if (folder / "config.json").is_file():
        return open_run(folder)
    changes = {**model.settings, "start": start_of(model, workshop)}
    write_data(model.data, workshop)
    return make_run(folder, model.recipe, str(workshop.data(model.data)), changes)


def start_of(model: ShippedModel, workshop: Workshop) -> str:
    """Return the setting `start` of a model's training: a run, a file, a backbone, or nothing.

    Raises ConfigError where the file of pretrained weights is missing.
    """
    name = model.pretrained
    if model.begins_from:
        return str(workshop.run(model.begins_from))
    if not name.endswith(".safetensors"):
        return name
    file = workshop.pretrained / name
    if not file.is_file():
        raise ConfigError("--pretrained", expected=f"a folder with {name}", found=str(file.parent))
    return str(file)


def ship(name: str, run: RunFolder, workshop: Workshop) -> str:
    """Put the model of a finished run into the package, in half precision; return a line of text.

    Metrics and operating points are measured with the weights as they are shipped. Raises
    TrainingError for a model that misses its goal on synthetic images, which is then not shipped.
    """
    trained = ModelCard.model_validate_json(run.card.read_text(encoding="utf-8"))
    model = SHIPPED_MODELS[name]
    facts = {
        "model_id": name,
        "title": model.title,
        "metrics": {},
        **(_OF_SYNTHETIC if model.is_synthetic else _OF_REAL),
    }
    folder = SHIPPED / name
    card = copy_halved(trained.model_copy(update=facts), run.path / trained.weights_file, folder)
    line = _measure(card, folder, workshop)
    if name == answer.MODEL:
        answer.write_stored_prediction(answer.ask_model(), answer.FILE)
    return line


def ship_consensus(workshop: Workshop) -> str:
    """Put the consensus of shipped models into the package, measured; return a line of text.

    Raises TrainingError as `ship` does.
    """
    folder = SHIPPED / CONSENSUS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    card = consensus_card(VOICES, RULE, model_id=CONSENSUS, title=CONSENSUS_TITLE)
    write_card(card, folder)
    return _measure(card, folder, workshop)


def _measure(card: ModelCard, folder: Path, workshop: Workshop) -> str:
    """Measure a model of the package and complete its card; one below its goal is removed."""
    measured = _on_synthetic if card.scope == SYNTHETIC_SCOPE else _on_real
    try:
        card = measured(card, folder, workshop)
    except TrainingError:
        shutil.rmtree(folder)
        raise
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    metrics = "  ".join(f"{metric} {value:.3f}" for metric, value in card.metrics.items())
    return f"{card.model_id}  {size:.1f} MB  {metrics}"


def _on_synthetic(card: ModelCard, folder: Path, workshop: Workshop) -> ModelCard:
    """Measure on synthetic data: operating points are chosen on "val" and applied to "test"."""
    data = workshop.data("synthetic")
    valid, test = (
        _called(SYNTHETIC_DATA, evaluate_shipped(card, data, split, workshop.work))
        for split in ("val", "test")
    )
    metrics = metrics_of(SYNTHETIC, test, card.task)
    check_goal(card, metrics)
    return _completed(card, folder, apply_points(measure_points(valid), test), metrics)


def _on_real(card: ModelCard, folder: Path, workshop: Workshop) -> ModelCard:
    """Measure on real data: operating points are chosen on FracAtlas's "val"."""
    real = evaluate_shipped(card, workshop.radiographs, "val", workshop.work)
    synthetic = evaluate_shipped(card, workshop.data("radiographs"), "test", workshop.work)
    metrics = {
        **metrics_of(REAL, real, card.task),
        **metrics_of(SYNTHETIC, synthetic, card.task),
    }
    check_goal(card, metrics)
    facts = {
        # Most of these models miss too many small fractures for a sensitivity of 0.9.
        "opening_point": HIGH_SPECIFICITY.name,
        # The note of a consensus quotes those of its members.
        "note": card.note if NOTE in card.note else NOTE,
    }
    measured = measure_points(_called("FracAtlas", real))
    return _completed(card.model_copy(update=facts), folder, measured, metrics)


def _called(name: str, evaluation: Evaluation) -> Evaluation:
    """The evaluation under a name of its data that users know, in place of the folder's."""
    return replace(evaluation, about=evaluation.about.model_copy(update={"data_name": name}))


def _completed(
    card: ModelCard, folder: Path, measured: Measurements, metrics: Mapping[str, float]
) -> ModelCard:
    """Write the operating points and the completed card."""
    write_points(measured, card, folder)
    facts = {"metrics": dict(metrics), "operating_points": card_points(measured.points)}
    card = card.model_copy(update=facts)
    write_card(card, folder)
    return card


def metrics_of(where: str, evaluation: Evaluation, task: Task) -> dict[str, float]:
    """Return the metrics for a card, rounded to 4 digits, by names such as "FracAtlas valid AP50".

    `where` is the first part of the names and says which images they are of.
    """
    report = report_of(evaluation, intervals=False)
    asked = (*_METRICS[task], _RANKING)
    found = {
        f"{where} {'mask ' if 'masks' in section else ''}{name}": each.value
        for section, name, unit in asked
        for each in report.of_section(section)
        if (each.name, each.unit, each.of) == (name, unit, "")
    }
    return {name: round(value, 4) for name, value in found.items()}


def check_goal(card: ModelCard, metrics: Mapping[str, float]) -> None:
    """Raise TrainingError for a model whose metric on synthetic images is below its task's goal."""
    name, least = GOALS[card.task]
    reached = metrics.get(f"{SYNTHETIC} {name}", 0.0)
    if reached < least:
        raise TrainingError(
            card.model_id,
            expected=f"{name} of {least:g} or more on synthetic images",
            found=f"{reached:.3f}",
            advice="It was not put among the models of the package.",
        )


def evaluate_shipped(card: ModelCard, data: Path, split: str, work: Path) -> Evaluation:
    """Evaluate a model of the package on a split; return the evaluation, which is kept in `work`.

    Its folder's name has the hash of the weights, so that new weights are evaluated anew. Raises
    TrainingError where the evaluation was stopped.
    """
    folder = work / "evaluations" / f"{card.model_id}-{split}-{card.weights_sha256[:12]}"
    run = RunFolder(path=folder)
    if not run.config.is_file():
        config = EvaluateConfig(model=card.model_id, data=str(data), split=split, one_class=True)
        run = new_evaluation(config, folder=folder)
    evaluation = run_evaluation(run.path)
    if evaluation is None:
        raise TrainingError(
            run.name, expected="a finished evaluation", found="one that was stopped"
        )
    return evaluation
