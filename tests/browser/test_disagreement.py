"""Where two trained models disagree, in a real browser: both cases open."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from fracture_core.demo import write_demo
from fracture_core.evaluations.disagreement import disputes
from fracture_core.evaluations.matched_models import MatchedModel, match_model, threshold_at
from fracture_core.matching import MatchConfig
from tests.browser.conftest import serving
from tests.browser.evaluated import (
    PATIENCE_MS,
    evaluate,
    evaluation,
    first_card,
    shown_kinds,
)

ROOT = Path(__file__).parents[2]
MODELS = ("demo-faster-rcnn", "demo-detr")


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


def test_both_sides_of_a_disagreement_open_with_each_model_at_its_own_confidence(
    page: Page, address: str, folder: Path
) -> None:
    for model in MODELS:
        evaluate(folder, model, one_class=True)
    both = [match_model(evaluation(folder, model), MatchConfig()) for model in MODELS]
    level = level_of_dispute(both)
    names = "&".join(f"evaluations={model}" for model in MODELS)
    page.goto(f"{address}/compare?view=Over+a+data+set&{names}")
    box = page.locator(".st-key-set_level input")
    box.wait_for(timeout=PATIENCE_MS)
    box.fill(f"{level:g}")
    box.press("Enter")
    expect(page).to_have_url(re.compile(f"set_level={level:g}"), timeout=PATIENCE_MS)
    expect(page.locator(".curves .main-svg").first).to_be_visible(timeout=PATIENCE_MS)
    listed = page.url
    for n, letter in enumerate("AB"):
        page.goto(listed)
        page.get_by_role("radio", name=re.compile(f"only {letter} hits")).click(timeout=PATIENCE_MS)
        expect(page.locator(".case-card b").first).to_have_text(
            f"Only {letter} hits", timeout=PATIENCE_MS
        )
        asked = parse_qs(urlsplit(first_card(page)).query)
        assert asked["models"] == list(MODELS)
        kinds = shown_kinds(page)
        assert len(kinds) == len(MODELS)
        assert "true positive" in kinds[n]
        assert "missed" in kinds[1 - n]
        own = page.locator(".viewer").evaluate("root => root.caseViewer.state.own")
        thresholds = [threshold_at(each, "lesion", "sensitivity", level) for each in both]
        assert [pair[0] for pair in own] == pytest.approx(
            [threshold.confidence for threshold in thresholds], abs=1e-6
        )


def level_of_dispute(both: list[MatchedModel]) -> float:
    """A sensitivity at which each of the two hits what the other misses."""
    for percent in range(95, 5, -5):
        thresholds = [threshold_at(each, "lesion", "sensitivity", percent / 100) for each in both]
        if any(threshold.confidence is None for threshold in thresholds):
            continue
        at = (thresholds[0].confidence, thresholds[1].confidence)
        found = disputes(*both, at, "lesion")
        if len(found["only A hits"]) and len(found["only B hits"]):
            return percent / 100
    pytest.fail("the two demo models never disagree in both directions on this data set")
