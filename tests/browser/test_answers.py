"""Where confidence starts, and the three answers to a case, in a real browser."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from fracture_core.models.cards import ModelCard, read_card
from fracture_core.models.points import opening_of, read_beside
from tests.browser.test_measured import dials, opener
from tests.browser.test_read import drag_slider
from tests.browser.viewer_page import ViewerPage

FOLDER = Path(__file__).parent
SHIPPED_WITH_THE_APP = FOLDER.parents[1] / "fracture_core" / "weights"
Opener = Callable[..., ViewerPage]


@pytest.fixture
def show(page: Page, viewer_address: str) -> Opener:
    return opener(page, viewer_address)


def answer(viewer: ViewerPage, n: int = 0) -> tuple[str, str]:
    """The kind and the words at the head of a pane."""
    viewer.drawn()
    shown = viewer.root.locator(".pane-answer").nth(n)
    return str(shown.get_attribute("data-kind")), shown.inner_text()


def test_confidence_starts_at_the_point_and_the_answer_follows_a_drag(show: Opener) -> None:
    viewer = show("measured", confidence="opening")
    assert viewer.number("confidence").input_value() == "0.10"
    assert dials(viewer) == ["starts at confidence 0.10, sensitivity ≥ 0.9"]
    finding = "◆ Finding: 0.90, at or above 0.70 (specificity ≥ 0.9)"
    assert answer(viewer) == ("finding", finding)
    drag_slider(viewer, "confidence", 0.97)
    viewer.until(lambda: answer(viewer)[0] == "none")
    hidden = "0.90 below it is a finding by the model's points"
    assert answer(viewer)[1] == f"○ No finding above {viewer.state['confidence']:.2f}; {hidden}"
    assert dials(viewer) == [""]
    viewer.page.mouse.move(*viewer.centre(), steps=15)
    viewer.page.wait_for_timeout(200)
    assert viewer.sent == []
    viewer.page.mouse.up()
    viewer.until(lambda: viewer.sent)


def test_a_score_between_the_points_is_a_doubt_and_one_below_them_no_finding(show: Opener) -> None:
    viewer = show("doubtful", confidence="opening")
    words = "◐ Doubt: 0.60, from 0.10 (sensitivity ≥ 0.9) to below 0.70 (specificity ≥ 0.9)"
    assert answer(viewer) == ("doubt", words)
    drag_slider(viewer, "confidence", 0.65)
    viewer.until(lambda: answer(viewer)[0] == "none")
    assert answer(viewer)[1].endswith("; 0.60 below it is a doubt by the model's points")
    viewer.page.mouse.up()
    viewer = show("faint", confidence="opening")
    assert answer(viewer) == ("none", "○ No finding above 0.10 (sensitivity ≥ 0.9); best 0.05")
    viewer.type_number("confidence", "0.03")
    assert answer(viewer) == ("none", "○ No finding above 0.10 (sensitivity ≥ 0.9); best 0.05")


def test_this_operating_point_is_only_said_at_one(show: Opener) -> None:
    viewer = show("faint", confidence="opening")
    assert viewer.account.startswith("No finding above this operating point; measured sensitivity")
    viewer.type_number("confidence", "0.2")
    assert viewer.account.startswith("No finding above this confidence; measured sensitivity")


def test_a_model_that_was_not_measured_starts_at_a_half_and_says_so(show: Opener) -> None:
    viewer = show("plain", confidence="opening")
    assert dials(viewer) == ["starts at confidence 0.50 (not measured)"]
    kind, words = answer(viewer)
    assert (kind, words.partition(":")[2]) == ("unknown", " this model's points are not measured")
    assert viewer.summary.endswith("2 hidden below confidence 0.50, 1 suppressed")


def test_a_classifier_is_answered_alike(show: Opener) -> None:
    viewer = show("classifier", confidence="opening")
    assert dials(viewer) == ["starts at image score 0.10, sensitivity ≥ 0.9"]
    assert answer(viewer)[1].startswith("◐ Doubt: 0.31, from 0.10")


def test_of_a_stack_the_best_slice_is_told(show: Opener) -> None:
    viewer = show("measured stack", confidence="opening")
    assert answer(viewer)[1].startswith("◆ Finding: 0.95 in slice 12, at or above 0.70")


def test_the_answer_is_in_the_files(show: Opener) -> None:
    viewer = show("doubtful", confidence="opening")
    with viewer.page.expect_download() as download:
        viewer.root.locator("[data-download=coco]").click()
    info = json.loads(Path(download.value.path()).read_text())["info"]
    assert info["confidence"] == 0.1
    told = info["answer"]
    assert (told["kind"], told["sensitive_point"], told["specific_point"]) == ("doubt", 0.1, 0.7)
    assert told["sentence"].startswith("Doubt: 0.60, from 0.10 (sensitivity ≥ 0.9)")


def test_models_that_are_compared_open_each_at_its_own(page: Page, serve: Callable) -> None:
    show = opener(page, serve(FOLDER / "compare_app.py"))
    viewer = show("measured", confidence="opening")
    assert dials(viewer) == [
        "starts at confidence 0.10, sensitivity ≥ 0.9",
        "starts at confidence 0.50 (sensitivity ≥ 0.9 was not measured)",
        "starts at confidence 0.50 (not measured)",
    ]
    kinds = [answer(viewer, n)[0] for n in range(3)]
    assert kinds == ["finding", "unknown", "unknown"]
    viewer.root.get_by_text("own thresholds").click()
    viewer.told("own", [[0.1, 0.5], [0.5, 0.5], [0.5, 0.5]])
    viewer.root.get_by_text("own thresholds").click()
    viewer.told("own", [])
    assert dials(viewer)[0].startswith("starts at")


def test_another_model_opens_at_its_own_point_unless_the_reader_chose(
    page: Page, serve: Callable
) -> None:
    folders = sorted(SHIPPED_WITH_THE_APP.iterdir())
    known = [
        (card, read_beside(card, folder)) for folder in folders for card in [read_card(folder)]
    ]
    (first, at), (second, then) = [
        (card, opening_of(card, measured).confidence)
        for card, measured in known
        if measured and card.task != "classify"
    ][:2]
    address = serve(FOLDER.parents[1] / "streamlit_app.py")
    # The first real model is opened: torch takes its time on a busy machine.
    page.set_default_timeout(120_000)
    reader = ViewerPage(page, f"{address}/?model={first.model_id}")
    in_force = "({state, content}) => state.confidence ?? content.panes[0].opening.confidence"
    assert reader.see(in_force) == at
    assert "confidence=" not in page.url

    def choose(card: ModelCard) -> None:
        page.get_by_test_id("stSidebar").get_by_role("combobox", name="Model").first.click()
        page.get_by_role("option", name=card.title).click()
        named = "({content}) => content.panes[0].model_id"
        reader.until(lambda: reader.see(named) == card.model_id, 90)

    choose(second)
    assert reader.see(in_force) == then
    reader.type_number("confidence", "0.33")
    reader.until(lambda: "confidence=0.33" in page.url)
    choose(first)
    assert reader.see(in_force) == 0.33


def test_kinds_of_the_truth_match_the_class_that_they_count_as(show: Opener) -> None:
    viewer = show("kinds")
    assert viewer.root.get_by_label("same class").is_checked()
    assert viewer.account.startswith(
        "3 findings at or above confidence 0.50: 1 matches the ground truth"
    )
    assert [row[1] for row in viewer.rows] == ["fracture", "fracture", "fracture", "elbow positive"]
    viewer.type_number("confidence", "0.3")
    assert viewer.account.endswith("no ground truth missed.")
