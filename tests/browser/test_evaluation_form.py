"""The form of a new evaluation stays as it is while the page around it changes."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from fracture_core.demo import write_demo
from tests.browser.test_metrics import IDLE, ROOT, SLOW, open_form, press_start


def test_a_form_being_filled_in_outlives_the_end_of_another_evaluation(
    page: Page, serve: Callable[..., str], tmp_path: Path
) -> None:
    demo = write_demo(tmp_path / "set", count=16, seed=2, size=(256, 256))
    open_form(page, serve(ROOT / "streamlit_app.py"), demo)
    press_start(page, "YOLO11n")
    limit = page.locator(".st-key-evaluation_limit input")
    expect(limit).to_be_hidden(timeout=30_000)
    page.get_by_text("New evaluation").click()
    limit.fill("7")
    expect(page.get_by_text("Evaluation (1)")).to_be_visible(timeout=SLOW)
    page.locator(IDLE).wait_for()
    page.wait_for_timeout(500)
    expect(limit).to_be_visible()
    expect(limit).to_have_value("7")
