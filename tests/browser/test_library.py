"""The library page in a real browser: a deep link, adding, deleting."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.yolo_files import save_checkpoint, yolo_network

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


@pytest.fixture
def library(page: Page, address: str) -> Page:
    page.goto(f"{address}/library")
    page.get_by_role("heading", name="Model library").wait_for(timeout=30_000)
    return page


def test_a_link_to_the_page_works_and_the_first_action_counts(library: Page) -> None:
    library.get_by_role("button", name="Measure speed on this machine").first.click()
    expect(library.get_by_text("ms an image")).to_be_visible(timeout=60_000)
    assert library.get_by_text("Page not found").count() == 0


def test_weights_are_added_and_deleted_after_a_question(library: Page, tmp_path: Path) -> None:
    weights = save_checkpoint(yolo_network("yolov8n.yaml"), tmp_path / "mine.pt")
    library.locator("input[type=file]").first.set_input_files(weights)
    expect(library.get_by_text("mine.pt")).to_be_visible()
    library.get_by_test_id("stFormSubmitButton").first.get_by_role("button").click()
    card = library.locator(".st-key-card-mine")
    expect(card.get_by_text("wrist, elbow, shoulder")).to_be_visible(timeout=60_000)
    card.get_by_role("button", name="Delete").click()
    library.get_by_text("This cannot be undone.").wait_for()
    library.get_by_role("button", name="Delete for good").click()
    expect(card).to_have_count(0, timeout=20_000)


def test_a_hostile_file_is_refused_in_one_sentence(library: Page, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    evil = tmp_path / "evil.pt"
    evil.write_bytes(b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
    library.locator("input[type=file]").first.set_input_files(evil)
    expect(library.get_by_text("evil.pt")).to_be_visible()
    library.get_by_test_id("stFormSubmitButton").first.get_by_role("button").click()
    alert = library.get_by_test_id("stAlert")
    expect(alert).to_contain_text("evil.pt: expected", timeout=60_000)
    assert not marker.exists()
