"""Evaluations for browser tests, and what a click on one of their cases leads to."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

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

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
PATIENCE_MS = 120_000
_DRAWN = "({caseViewer}) => caseViewer && caseViewer.frame >= 0 && !caseViewer.drawing"
_KINDS = "root => root.caseViewer.stage.panes.map((pane) => pane.marks.map(({kind}) => kind))"


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


def evaluation(folder: Path, model: str) -> Evaluation:
    return load_evaluation(folder / "evaluations" / model)


def shown_kinds(page: Page) -> list[list[str]]:
    """What is drawn in each pane, once everything is."""
    root = page.locator(".viewer")
    root.wait_for(timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for(timeout=PATIENCE_MS)
    deadline = time.monotonic() + PATIENCE_MS / 1_000
    while not root.evaluate(_DRAWN):
        assert time.monotonic() < deadline, "the viewer was not drawn in time"
        page.wait_for_timeout(50)
    return root.evaluate(_KINDS)


def first_card(page: Page) -> str:
    """Click it, and give where it leads."""
    card = page.locator("a.case-card").first
    card.wait_for(timeout=PATIENCE_MS)
    image = card.locator("img")
    page.wait_for_function(
        "image => image.complete && image.naturalWidth", arg=image.element_handle()
    )
    link = card.get_attribute("href") or ""
    card.click()
    return link
