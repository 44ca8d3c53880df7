"""The golden cases as Python answers them; the browser answers the same ones in tests/browser."""

import json
from pathlib import Path

import numpy as np
import pytest

from fracture_core import boxes, masks
from fracture_core.agreement import agree
from fracture_core.masks import Rle
from fracture_core.matching import match
from fracture_core.types import Detections, Window

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def unpacked(part: dict) -> Detections:
    return Detections.of(part["xyxy"], part["scores"], part["labels"])


@pytest.mark.parametrize("case", golden("filter"))
def test_filter_and_match(case: dict) -> None:
    candidates, truth = unpacked(case["candidates"]), unpacked(case["truth"])
    settings, expected = case["settings"], case["expected"]
    confident = candidates.above(settings["confidence"])
    kept = boxes.nms(confident.xyxy, confident.labels, settings["nms_iou"])
    shown = confident.nms(settings["nms_iou"])
    found = match(
        shown,
        truth,
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    assert len(confident) == expected["above"]
    assert kept.tolist() == expected["shown"]
    assert np.array_equal(shown.xyxy, candidates.xyxy[expected["shown"]])
    assert found.truth_of.tolist() == expected["truth_of"]
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
        unpacked(case["truth"]),
        settings["match_iou"],
        rule=settings["rule"],
        class_aware=settings["class_aware"],
    )
    assert [list(place.members) for place in found.places] == expected["members"]
    assert [place.first for place in found.places] == expected["first"]
    assert [place.truth for place in found.places] == expected["truth"]
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
