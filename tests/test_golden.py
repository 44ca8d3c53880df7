"""The golden cases as Python answers them; the browser answers the same ones in tests/browser."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from fracture_core import boxes, masks
from fracture_core.masks import Rle
from fracture_core.matching import match
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import (
    confidence_at,
    evidence_for,
    sensitivity_at,
)
from fracture_core.predictions import answer_of
from fracture_core.types import Detections, Window
from fracture_core.ui.widgets.case_viewer import ViewerState
from tests.support.agreement import agree
from tests.support.measurements import measured
from tests.support.threshold_lookup import fp_per_image_at, specificity_at

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def counted(share: Proportion) -> list[object]:
    return [share.count, share.total, list(share.interval) if share.total else None]


def unpacked(part: dict) -> Detections:
    return Detections.of(part["xyxy"], part["scores"], part["labels"])


@pytest.mark.parametrize("case", golden("filter"))
def test_filter_and_match(case: dict) -> None:
    candidates, ground_truth = unpacked(case["candidates"]), unpacked(case["ground_truth"])
    settings, expected = case["settings"], case["expected"]
    confident = candidates.above(settings["confidence"])
    kept = boxes.nms(confident.xyxy, confident.labels, settings["nms_iou"])
    shown = confident.nms(settings["nms_iou"])
    found = match(
        shown,
        ground_truth,
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    assert len(confident) == expected["above"]
    assert kept.tolist() == expected["shown"]
    assert np.array_equal(shown.xyxy, candidates.xyxy[expected["shown"]])
    assert found.gt_of.tolist() == expected["ground_truth_of"]
    assert found.iou.tolist() == expected["iou"]
    assert found.duplicate_of.tolist() == expected["duplicate_of"]
    assert found.missed.tolist() == expected["missed"]
    assert list(found.kinds) == expected["kinds"]


def test_the_filter_cases_hold_everything_that_can_happen() -> None:
    cases = golden("filter")
    kinds = {kind for case in cases for kind in case["expected"]["kinds"]}
    assert kinds == {"true positive", "false positive", "duplicate"}
    assert {case["settings"]["rule"] for case in cases} == {"iou", "centre"}
    assert any(len(case["candidates"]["scores"]) == 1000 for case in cases)
    assert any(case["settings"]["match_iou"] in case["expected"]["iou"] for case in cases)


@pytest.mark.parametrize("case", golden("agreement"))
def test_agreement(case: dict) -> None:
    settings, expected = case["settings"], case["expected"]
    team = [unpacked(one).above(settings["confidence"]) for one in case["team"]]
    found = agree(
        [one.nms(settings["nms_iou"]) for one in team],
        unpacked(case["ground_truth"]),
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    assert [list(place.members) for place in found.places] == expected["members"]
    assert [place.first for place in found.places] == expected["first"]
    assert [place.ground_truth for place in found.places] == expected["ground_truth"]
    assert [list(by) for by in found.found_by or ()] == expected["found_by"]


def test_the_agreement_cases_hold_everything_that_can_happen() -> None:
    cases = golden("agreement")
    places = [members for case in cases for members in case["expected"]["members"]]
    assert {len(members) for members in places} == {1, 2, 3, 4}
    for models in (2, 3, 4):
        found = {sum(index >= 0 for index in one) for one in places if len(one) == models}
        assert found == set(range(1, models + 1))
    assert {case["settings"]["rule"] for case in cases} == {"iou", "centre"}
    assert {case["settings"]["class_aware"] for case in cases} == {True, False}
    assert any(not by for case in cases for by in case["expected"]["found_by"])


@pytest.mark.parametrize("case", golden("levels"))
def test_levels(case: dict) -> None:
    known = measured(points=(), **case["measured"])
    asked, expected = case["asked"], case["expected"]
    for at, hits, passes, wrong in zip(
        asked["confidences"],
        expected["sensitivity"],
        expected["specificity"],
        expected["fp_per_image"],
        strict=True,
    ):
        assert counted(sensitivity_at(known, at)) == hits
        assert counted(specificity_at(known, at)) == passes
        assert fp_per_image_at(known, at) == wrong
    for (unit, level), setting in zip(asked["levels"], expected["settings"], strict=True):
        found = confidence_at(known, unit, level)
        assert (found and [found.confidence, found.met]) == setting
    for score, bin_ in zip(asked["scores"], expected["evidence"], strict=True):
        found = evidence_for(known, score)
        assert (found and [found.low, found.right, found.total]) == bin_
    candidates = unpacked(case["candidates"])
    own = tuple(map(tuple, case["state"]["own"]))
    state = ViewerState(**case["state"] | {"own": own})
    for pane, model in enumerate((known, None)):
        shown = state.shown(candidates, needs_nms=True, pane=pane, measured=model)
        assert len(shown) == case["shown"][pane]


def test_the_level_cases_hold_everything_that_can_happen() -> None:
    cases = golden("levels")
    settings = [setting for case in cases for setting in case["expected"]["settings"]]
    assert None in settings
    assert {setting[1] for setting in settings if setting} == {True, False}
    assert any(case["expected"]["sensitivity"][0][2] is None for case in cases)
    assert any(bin_[2] == 0 for case in cases for bin_ in case["expected"]["evidence"])
    assert {case["state"]["unit"] for case in cases} == {
        "confidence",
        "sensitivity",
        "fp_per_image",
    }
    assert any(case["state"]["own"] for case in cases)


@pytest.mark.parametrize("case", golden("answers"))
def test_answers(case: dict) -> None:
    asked = {name: case[name] for name in ("sensitive", "specific", "confidence")}
    assert asdict(answer_of(case["score"], **asked)) == case["expected"]


def test_the_answer_cases_hold_everything_that_can_happen() -> None:
    expected = [case["expected"] for case in golden("answers")]
    assert {each["kind"] for each in expected} == {"finding", "doubt", "none", "unknown"}
    assert {each["hidden"] for each in expected} == {None, "finding", "doubt", "unknown"}


@pytest.mark.parametrize("case", golden("windows"))
def test_windows(case: dict) -> None:
    levels = np.array([case["levels"]], dtype=np.uint16)
    assert Window(**case["window"]).apply(levels)[0].tolist() == case["shown"]


@pytest.mark.parametrize("case", golden("masks"))
def test_masks(case: dict) -> None:
    height, width = case["rle"]["size"]
    rle = Rle(height=height, width=width, counts=case["rle"]["counts"].encode())
    rows = ["".join("01"[int(value)] for value in row) for row in masks.decode(rle)]
    assert rows == case["rows"]
