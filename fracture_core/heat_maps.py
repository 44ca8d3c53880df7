"""Heat maps as image files: where a model looked on images, and on the cases of an evaluation.

A row is one case: the image, the map of what is explained, and for models that have one the map of
their attention gate. A sheet of an evaluation has its critical errors and then random cases, as the
published classifier with a gate showed them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from tqdm import tqdm

from fracture_core import boxes
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.drawing.boxes import gt_boxes, matched_boxes
from fracture_core.drawing.samples import draw_heat_map, draw_sample
from fracture_core.drawing.sheets import Panel, sheet_of
from fracture_core.errors import BadInput, ConfigError
from fracture_core.evaluations.command import critical_pairs
from fracture_core.evaluations.error_ranking import (
    CaseErrors,
    Pair,
    case_errors,
    predicted_classes,
)
from fracture_core.evaluations.evaluation import About
from fracture_core.evaluations.folders import load_evaluation
from fracture_core.explanations import explain
from fracture_core.files import make_folder, replacing
from fracture_core.matching import MatchConfig
from fracture_core.models.base import Gated, Model
from fracture_core.models.cards import read_card
from fracture_core.models.families import family, offers_gate
from fracture_core.models.library import open_model, points_of
from fracture_core.models.points import opening_of
from fracture_core.predictions import Answer, FileNames, find_items, predict_items
from fracture_core.types import Prediction, Sample

_SIDE_PX = 480
_NMS_IOU = 0.5

# ---- one case ------------------------------------------------------------------------------------


def case_row(
    model: Model,
    sample: Sample,
    prediction: Prediction,
    index: int | None,
    lines: Sequence[str],
    *,
    checks: bool = False,
) -> list[Panel]:
    """Return the image under `lines`, its heat map and, where the model has a gate, the gate's map.

    `index` is a finding's position in the raw `prediction`, None explains the image. With `checks`
    the map is checked, at the cost of some thirty predictions, and what came of it stands above it.
    """
    found = None if index is None else prediction.detections[index : index + 1]
    marked = () if found is None else matched_boxes(found, None, model.card.classes)
    drawn = (*marked, *gt_boxes(sample.ground_truth))
    plain = draw_sample(sample, side_px=_SIDE_PX, enlarge=True)
    image = draw_sample(sample, drawn, side_px=_SIDE_PX, enlarge=True)
    said = ["not checked"]
    if checks:
        made = explain(model, sample, prediction, index)
        heatmap = made.heatmap
        said = [made.faithfulness.verdict, *made.faithfulness.failures]
    else:
        heatmap = model.explain(sample, index)
    told = (f"{heatmap.method}: {heatmap.target}", f"strength {heatmap.strength:.3g}, {said[0]}")
    row = [
        Panel(image=image, lines=tuple(lines)),
        Panel(image=draw_heat_map(plain, heatmap), lines=(*told, *said[1:])),
    ]
    if offers_gate(model.card):
        gate = cast(Gated, model).explain_gate(sample)
        words = (gate.method, f"at most {gate.strength:.2f} of a cell passes")
        # A gate's strength is a share by itself.
        over = draw_heat_map(plain, gate, weight=gate.strength)
        row.append(Panel(image=over, lines=words))
    return row


# ---- cases of an evaluation ----------------------------------------------------------------------

MOST_ERRORS = 24
"""How many critical errors a sheet has at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetCase:
    """A case of a sheet, and in `lines` why it is there and what the model said."""

    sample_id: str
    lines: tuple[str, ...]


def sheet_cases(
    errors: CaseErrors, critical: Sequence[Pair], *, most: int, count: int, seed: int = 0
) -> list[SheetCase]:
    """Return up to `most` errors of an evaluation and then `count` random cases, each image once.

    The errors are those of the `critical` pairs, and without pairs the costliest.
    """
    evaluation, names = errors.evaluation, (*errors.evaluation.about.classes, "")
    cases: dict[int, SheetCase] = {}
    for i in range(len(errors)):
        pair = (names[errors.true_label[i]], names[errors.label[i]])
        if len(cases) == most or (critical and pair not in critical):
            continue
        image = int(errors.image[i])
        why = f"Critical error: {pair[0]} taken for {pair[1]}" if critical else _error(*pair)
        cases.setdefault(image, _case(errors, image, why))
    left = [image for image in range(len(evaluation)) if image not in cases]
    drawn = np.random.default_rng(seed).permutation(len(left))[:count]
    return [
        *cases.values(),
        *(_case(errors, left[place], "Random case") for place in sorted(drawn.tolist())),
    ]


def _error(true: str, given: str) -> str:
    if true and given and true != given:
        return f"Error: {true} taken for {given}"
    return f"Error: {true or given}"


def _case(errors: CaseErrors, image: int, why: str) -> SheetCase:
    evaluation = errors.evaluation
    names = evaluation.about.classes
    said = f"image score {evaluation.scores(errors.config.nms_iou)[image]:.2f}"
    if evaluation.class_scores is not None:
        label = int(predicted_classes(evaluation, errors.confidence)[image])
        true = int(evaluation.image_classes[image])
        labelled = names[true] if true >= 0 else "unlabelled"
        said = f"{labelled}, called {names[label]} {evaluation.class_scores[image, label]:.2f}"
    sample_id = evaluation.sample_ids[image]
    return SheetCase(sample_id=sample_id, lines=(why, said, sample_id))


def draw_case(model: Model, dataset: Dataset, case: SheetCase, confidence: float) -> list[Panel]:
    """Return the row of one case: explained is a detector's best finding that is shown, else all.

    Raises BadInput where the image cannot be read.
    """
    sample = dataset[case.sample_id]
    (prediction,) = model.predict([sample])
    return case_row(model, sample, prediction, _best(prediction, confidence), case.lines)


def _best(prediction: Prediction, confidence: float) -> int | None:
    return 0 if len(prediction.detections.above(confidence)) else None


def model_of(folder: Path, about: About) -> Model:
    """Return the model that an evaluation in a folder is of: the library's, or its training's.

    Raises ConfigError or WeightsError where there is none, or it has other weights.
    """
    run = folder.absolute().parents[1]
    if (run / "card.json").is_file() and read_card(run).weights_sha256 == about.weights_sha256:
        card = read_card(run)
        return family(card.family).load(card, run)
    model = open_model(about.model_id)
    if model.card.weights_sha256 != about.weights_sha256:
        found = "a model of this id with other weights"
        raise ConfigError(
            about.model_id,
            expected="the model that was evaluated",
            found=found,
            advice="Evaluate it again.",
        )
    return model


# ---- the command ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How `python -m fracture_core explain` explains.

    `findings` is how many of an image are, the best first. Of a sheet `count` is the number of
    random cases, which `seed` decides, and `critical` are confusions written "TRUE:PREDICTED".
    """

    checks: bool = True
    findings: int = 1
    count: int = 6
    seed: int = 0
    critical: tuple[str, ...] = ()


def run(
    name: str, paths: Sequence[Path], sheet: Path | None, out: Path | None, wishes: Wishes
) -> int:
    """Explain images, or an evaluation's cases where `sheet` is its folder; return the exit code.

    Raises ConfigError where what is needed is not there, and as the two ways do.
    """
    if out is None or bool(sheet) == bool(name and paths):
        raise ConfigError(
            "explain",
            expected="MODEL IMAGE… --out FOLDER, or --sheet EVALUATION --out FILE.png",
            found="neither" if out else "no --out",
        )
    if sheet is not None:
        return _explain_cases(sheet, out, wishes)
    return _explain_images(name, paths, out, wishes)


def _explain_images(name: str, paths: Sequence[Path], out: Path, wishes: Wishes) -> int:
    """Write a PNG with a row for each explained finding into `out`, for each image or frame."""
    model = open_model(name)
    confidence = opening_of(model.card, points_of(model.card)).confidence
    items, errors = find_items(paths)
    names = FileNames()
    make_folder(out)
    for done in tqdm(predict_items(model, items), total=len(items), unit="image", disable=None):
        if isinstance(done, BadInput):
            errors.append(done)
            continue
        path = out / f"{names.of(done)}.png"
        make_folder(path.parent)
        rows = _rows(model, done, confidence, wishes)
        with replacing(path) as part:
            sheet_of(rows).save(part, "PNG")
        print(f"{path}: {'; '.join(' · '.join(row[1].lines) for row in rows)}")
    for error in errors:
        print(error, file=sys.stderr)
    return int(bool(errors))


def _rows(model: Model, answer: Answer, confidence: float, wishes: Wishes) -> list[list[Panel]]:
    prediction, lines = answer.prediction, (answer.item.name, model.card.title)
    shown = prediction.detections.above(confidence)
    # What is shown is the beginning of the raw prediction, less what is suppressed.
    kept = np.arange(len(shown))
    if model.card.needs_nms:
        kept = kept[boxes.nms(shown.xyxy, shown.labels, _NMS_IOU)]
    places: list[int | None] = kept[: wishes.findings].tolist()
    return [
        case_row(model, answer.sample, prediction, index, lines, checks=wishes.checks)
        for index in places or [None]
    ]


def _explain_cases(folder: Path, out: Path, wishes: Wishes) -> int:
    """Write the sheet of an evaluation's critical errors and random cases as the PNG `out`."""
    evaluation = load_evaluation(folder)
    about, pairs = evaluation.about, critical_pairs(evaluation, wishes.critical)
    matched = evaluation.matched()
    if not len(matched):
        expected = "images whose ground truth is known"
        raise ConfigError(folder, expected=expected, found="none")
    model, dataset = model_of(folder, about), open_dataset(about.data)
    confidence = opening_of(model.card, points_of(model.card)).confidence
    errors = case_errors(matched, MatchConfig(), confidence, critical=pairs)
    cases = sheet_cases(errors, pairs, most=MOST_ERRORS, count=wishes.count, seed=wishes.seed)
    rows, unread = [], list[BadInput]()
    for case in tqdm(cases, unit="case", disable=None):
        try:
            rows.append(draw_case(model, dataset, case, confidence))
        except BadInput as error:
            unread.append(error)
    for each in unread:
        print(each, file=sys.stderr)
    if rows:
        make_folder(out.absolute().parent)
        with replacing(out) as part:
            sheet_of(rows).save(part, "PNG")
        print(f"{out}: {len(rows)} cases")
    return int(bool(unread))
