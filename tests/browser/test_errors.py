"""The Errors page in a real browser: what is clicked opens in Read as it was judged."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from fracture_core.demo import write_demo
from fracture_core.evaluations import (
    EvaluateConfig,
    Evaluation,
    load_evaluation,
    new_evaluation,
    run_evaluation,
)
from fracture_core.models import library
from fracture_core.models.library import SHIPPED
from fracture_core.settings import settings
from tests.browser.conftest import serving

ROOT = Path(__file__).parents[2]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
SLOW = 300_000
DRAWN = "({caseViewer}) => caseViewer && caseViewer.frame >= 0 && !caseViewer.drawing"
KINDS = "root => root.caseViewer.stage.panes.map((pane) => pane.marks.map(({kind}) => kind))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with a data set."""
    home = tmp_path_factory.mktemp("home")
    write_demo(home / "set", count=16, seed=2, size=(256, 256))
    return home


def evaluate(home: Path, model: str, *, one_class: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRACTURE_HOME", str(home))
        patch.setattr(library, "SHIPPED", SHIPPED)
        settings.cache_clear()
        data = str(home / "set")
        config = EvaluateConfig(model=model, data=data, split="all", one_class=one_class)
        run = new_evaluation(config, model, folder=home / "evaluations" / model)
        assert run_evaluation(run.path) is not None
    settings.cache_clear()


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(ROOT / "streamlit_app.py", folder) as address:
        yield address


def evaluation(folder: Path, model: str) -> Evaluation:
    return load_evaluation(folder / "evaluations" / model)


def shown_kinds(page: Page) -> list[list[str]]:
    """What is drawn in each pane, once everything is."""
    root = page.locator(".viewer")
    root.wait_for(timeout=SLOW)
    page.locator(IDLE).wait_for(timeout=SLOW)
    deadline = time.monotonic() + SLOW / 1_000
    while not root.evaluate(DRAWN):
        assert time.monotonic() < deadline, "the viewer was not drawn in time"
        page.wait_for_timeout(50)
    return root.evaluate(KINDS)


def first_card(page: Page) -> str:
    """Click it, and give where it leads."""
    card = page.locator("a.case-card").first
    card.wait_for(timeout=SLOW)
    picture = card.locator("img")
    page.wait_for_function(
        "image => image.complete && image.naturalWidth", arg=picture.element_handle()
    )
    link = card.get_attribute("href") or ""
    card.click()
    return link


def test_the_costliest_missed_finding_opens_in_read(page: Page, address: str, folder: Path) -> None:
    evaluate(folder, "fake", one_class=False)
    page.goto(f"{address}/errors?evaluation=fake&confidence=0.9")
    pill = page.get_by_role("button", name=re.compile(r"missed \d+"))
    pill.wait_for(timeout=SLOW)
    page.locator(IDLE).wait_for()
    pill.click()
    expect(page).to_have_url(re.compile("kinds="), timeout=SLOW)
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
