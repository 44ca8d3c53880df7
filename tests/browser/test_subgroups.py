"""Subgroups on the Metrics page in a real browser: they are counted where the dial stands."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fracture_core.evaluations.attributes import Attribute
from fracture_core.settings import settings
from tests.browser.conftest import serving
from tests.browser.evaluated import IDLE, PATIENCE_MS
from tests.support.dial_evaluations import detector
from tests.support.stored_evaluations import store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Forty images with a lesion each, hits of many scores; hands and legs."""
    home = tmp_path_factory.mktemp("home")
    lesions = [(k, 0, 0) for k in range(40)]
    found = [(k, 0, 0.95 - k / 50, 0) for k in range(40)]
    parts = Attribute.from_texts("body part", ["hand", "leg"] * 20)
    evaluation = detector(40, found, lesions, classes=("a",), model_classes=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRACTURE_HOME", str(home))
        settings.cache_clear()
        store(replace(evaluation, attributes=(parts,)), "one")
    settings.cache_clear()
    with serving(ROOT / "streamlit_app.py", home) as address:
        yield address


def test_subgroups_follow_the_dial_and_the_address_keeps_the_attribute(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/metrics?evaluation=one&confidence=0.5")
    page.get_by_role("tab", name="Subgroups").click(timeout=PATIENCE_MS)
    said = page.get_by_text(re.compile(r"^Shown from confidence .* Greyed"))
    expect(said).to_contain_text("confidence 0.5", timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for(timeout=PATIENCE_MS)
    number = page.locator(".dial-number")
    number.fill("0.25")
    number.press("Enter")
    # A quarter of the forty, falling by 0.02 each from 0.95.
    expect(said).to_contain_text("confidence 0.770", timeout=PATIENCE_MS)
    page.locator(IDLE).wait_for(timeout=PATIENCE_MS)
    expect(page.get_by_role("tab", name="Subgroups")).to_have_attribute("aria-selected", "true")
    assert "by=body+part" in page.url
