"""A training from the browser: launched, watched, stopped, resumed, and read with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fracture_core.demo import write_demo

ROOT = Path(__file__).parents[2]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
NETWORK = {
    "Backbone width": 8,
    "Width": 16,
    "Attention heads": 2,
    "Encoder depth": 1,
    "Decoder depth": 1,
    "Feed-forward width": 16,
}
POINTS = "() => Number(document.querySelector('.curves')?.dataset.points ?? 0)"
SLOW = 240_000


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True).first
    box.fill(value)
    box.press("Enter")
    page.locator(IDLE).wait_for()


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label).first
    # At the lower edge of the window its list has no room.
    box.evaluate("box => box.scrollIntoView({block: 'center'})")
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).wait_for()
    box.press("Enter")
    page.locator(IDLE).wait_for()


def state(page: Page) -> str:
    return page.locator("[data-testid=stMarkdown] strong").first.inner_text()


def wait_for_state(page: Page, *names: str) -> None:
    listed = json.dumps(names)
    script = (
        "() => [...document.querySelectorAll('[data-testid=stMarkdown] strong')]"
        f".some(each => {listed}.includes(each.innerText))"
    )
    page.wait_for_function(script, timeout=SLOW)


def act(page: Page, verb: str) -> None:
    """By its key: while a script runs Streamlit has a button of its own that says Stop."""
    page.locator(f".st-key-{verb}-r3-detr-scratch-1 button").click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=False).first.click()


def test_a_detector_is_trained_from_the_page_and_reads_a_case(
    page: Page, address: str, demo: Path
) -> None:
    page.goto(f"{address}/launch?path={demo}&recipe=r3-detr-scratch")
    page.get_by_role("button", name="Open it").click(timeout=SLOW)
    page.locator(IDLE).wait_for()
    fill(page, "Epochs", "30")
    fill(page, "Input size (px)", "64")
    choose(page, "Network", "resnet18")
    choose(page, "Begin from", "Random weights")
    page.get_by_text("All settings", exact=True).click()
    for label, value in NETWORK.items():
        fill(page, label, str(value))
    choose(page, "Monitor", "Loss")
    start = page.get_by_role("button", name="Start training")
    expect(start).to_be_disabled()
    press(page, "Check before the start")
    expect(page.get_by_text("The network can be built")).to_be_visible(timeout=SLOW)
    expect(start).to_be_enabled(timeout=SLOW)
    start.dblclick()
    wait_for_state(page, "running")

    # The curve grows, also after the page was loaded anew.
    page.wait_for_function(f"() => ({POINTS})() > 3", timeout=SLOW)
    page.reload()
    wait_for_state(page, "running")
    page.wait_for_function(f"() => ({POINTS})() > 7", timeout=SLOW)

    act(page, "Stop")
    wait_for_state(page, "stopped")
    before = page.evaluate(POINTS)
    act(page, "Resume")
    wait_for_state(page, "succeeded")
    # The page of a finished run mounts its curves anew.
    page.wait_for_function(f"() => ({POINTS})() > {before}", timeout=SLOW)
    # A double click made one job.
    assert page.get_by_text("r3-detr-scratch-2").count() == 0

    act(page, "Add-to-the-library")
    expect(page.get_by_text("is in the library as")).to_be_visible(timeout=SLOW)
    page.goto(f"{address}/?path={demo}&source=Data+set&model=r3-detr-scratch-1")
    page.locator(".viewer").wait_for(timeout=SLOW)
    expect(page.locator(".viewer")).to_contain_text("r3-detr-scratch-1", timeout=SLOW)
