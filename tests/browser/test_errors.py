"""The Errors page in a real browser: what is clicked opens in Read as it was matched."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from fracture_core.demo import write_demo
from tests.browser.conftest import serving
from tests.browser.evaluated import (
    IDLE,
    PATIENCE_MS,
    evaluate,
    evaluation,
    first_card,
    shown_kinds,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with a data set."""
    home = tmp_path_factory.mktemp("home")
    write_demo(home / "set", count=16, seed=2, size=(256, 256))
    return home


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(ROOT / "streamlit_app.py", folder) as address:
        yield address


def test_the_costliest_missed_finding_opens_in_read(page: Page, address: str, folder: Path) -> None:
    evaluate(folder, "fake", one_class=False)
    page.goto(f"{address}/errors?evaluation=fake&confidence=0.9")
    pill = page.get_by_role("button", name=re.compile(r"missed \d+"))
    pill.wait_for(timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for()
    pill.click()
    expect(page).to_have_url(re.compile("kinds="), timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for()
    titles = page.locator(".case-card b").all_inner_texts()
    assert titles
    assert all(title.startswith("Missed finding") for title in titles)
    asked = parse_qs(urlsplit(first_card(page)).query)
    assert asked["model"] == ["fake"]
    assert asked["confidence"] == ["0.9"]
    kinds = shown_kinds(page)[0]
    assert "missed" in kinds
    assert page.locator(".viewer").evaluate("root => root.caseViewer.state.confidence") == 0.9
    assert asked["sample"][0] in evaluation(folder, "fake").sample_ids
    expect(page.get_by_text(asked["sample"][0].rpartition("/")[2]).first).to_be_visible()


def test_a_class_stays_chosen_while_the_counts_beside_the_names_change(
    page: Page, address: str, folder: Path
) -> None:
    if not (folder / "evaluations" / "fake").is_dir():
        evaluate(folder, "fake", one_class=False)
    page.goto(f"{address}/errors?evaluation=fake&confidence=0.9")
    shown = page.locator(".st-key-class input")
    shown.wait_for(timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for()
    shown.click()
    page.get_by_role("option", name=re.compile(r"^oblique \(\d+\)$")).click()
    expect(shown).to_have_value(re.compile(r"^oblique \(\d+\)$"))
    page.locator(IDLE).wait_for()
    labels = [shown.input_value()]
    for confidence in ("0.5", "0.3", "0.1"):
        page.locator(".st-key-confidence input").fill(confidence)
        page.locator(".st-key-confidence input").press("Enter")
        expect(page).to_have_url(re.compile(f"confidence={confidence}"), timeout=PATIENCE_MS)
        page.locator(IDLE).wait_for()
        expect(shown).to_have_value(re.compile(r"^oblique \(\d+\)$"))
        labels.append(shown.input_value())
    assert len(set(labels)) > 2, "its count changes, and is shown"
