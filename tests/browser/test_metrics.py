"""Two trained demo models are evaluated from the page, the dial is moved, and a case opened."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from fracture_core.demo import write_demo
from tests.browser.test_dial import MARKERS

ROOT = Path(__file__).parents[2]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
SLOW = 300_000
COUNTED = re.compile(r"^Evaluation \(\d+\)$")


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=16, seed=2, size=(256, 256))


def choose(page: Page, key: str, text: str) -> None:
    page.locator(f".st-key-{key} input").click()
    page.get_by_role("option", name=text, exact=True).click()
    page.locator(IDLE).wait_for()


def fill(page: Page, key: str, value: str) -> None:
    box = page.locator(f".st-key-{key} input")
    box.fill(value)
    box.press("Enter")
    page.locator(IDLE).wait_for()


def open_form(page: Page, address: str, demo: Path) -> None:
    """The page of an empty home, with a data set of which all images are chosen."""
    page.goto(f"{address}/metrics")
    expect(page.get_by_text("Nothing has been evaluated yet")).to_be_visible(timeout=30_000)
    fill(page, "path", str(demo))
    page.locator(".st-key-evaluation_split").get_by_text("all", exact=True).click()
    page.locator(IDLE).wait_for()


def press_start(page: Page, model: str, *, clicks: int = 1) -> None:
    choose(page, "evaluation_model", model)
    # The line moves the button down, away from under a click.
    expect(page.get_by_text("Counted as: transverse → fracture")).to_be_visible()
    page.locator(IDLE).wait_for()
    page.locator(".st-key-evaluation_one_class").get_by_text("Every class").click()
    page.locator(IDLE).wait_for()
    # A button with help is there twice, once for touch.
    page.locator(".st-key-evaluation_start button:visible").first.click(click_count=clicks)


def start(page: Page, model: str, *, clicks: int = 1) -> None:
    press_start(page, model, clicks=clicks)
    shown = page.locator(".st-key-evaluation input")
    expect(shown).to_have_value(re.compile(re.escape(model)), timeout=SLOW)


class Traffic:
    """What the page sends and asks for."""

    def __init__(self, page: Page) -> None:
        self.sent: list[str | bytes] = []
        self.asked: list[str] = []
        page.on("websocket", self._listen)
        page.on("request", self._keep_request)

    def _listen(self, socket: object) -> None:
        socket.on("framesent", self._keep_frame)

    def _keep_frame(self, frame: str | bytes) -> None:
        self.sent.append(frame)

    def _keep_request(self, request: Request) -> None:
        self.asked.append(request.url)


def move_the_dial(page: Page, traffic: Traffic) -> float:
    """With the button held down nothing is sent; on release one message. Gives the confidence."""
    root = page.locator(".dial")
    box = root.locator(".dial-range").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2

    def seen() -> tuple[object, ...]:
        return root.locator(".dial-value").all_inner_texts(), root.evaluate(MARKERS)

    page.mouse.move(box["x"] + 9, y)
    page.mouse.down()
    before = seen()
    traffic.sent.clear()
    traffic.asked.clear()
    for share in (0.4, 0.9):
        page.mouse.move(box["x"] + box["width"] * share, y, steps=10)
        after = seen()
        assert after[0] != before[0]
        assert after[1] != before[1]
        before = after
    page.wait_for_timeout(300)
    assert (traffic.sent, traffic.asked) == ([], [])
    page.mouse.up()
    page.wait_for_timeout(1_000)
    assert len(traffic.sent) == 1
    confidence: float = root.evaluate("root => root.dial.state.confidence")
    assert f"confidence={confidence:.9g}" in page.url
    return confidence


def test_two_models_are_evaluated_and_a_cell_leads_to_its_case(
    page: Page, address: str, demo: Path
) -> None:
    traffic = Traffic(page)
    open_form(page, address, demo)
    fill(page, "evaluation_limit", "10")
    start(page, "YOLO11n", clicks=2)
    # A double click made one job.
    expect(page.get_by_text(COUNTED)).to_have_text("Evaluation (1)")
    page.locator(IDLE).wait_for()
    page.get_by_text("New evaluation").click()
    start(page, "Demo: light Faster R-CNN")
    expect(page.get_by_text(COUNTED)).to_have_text("Evaluation (2)")

    page.locator(".dial[data-painted]").wait_for(timeout=SLOW)
    page.locator(IDLE).wait_for()
    page.wait_for_timeout(1_000)
    confidence = move_the_dial(page, traffic)

    cell = page.locator("[data-sheet=findings] .dial-cell:enabled").first
    cell.scroll_into_view_if_needed()
    cell.click()
    card = page.locator(".st-key-cell-cases a.case-card").first
    card.wait_for(timeout=30_000)
    name = card.locator(".name").inner_text()
    card.click()
    page.locator(".viewer").wait_for(timeout=SLOW)
    viewer = page.locator(".viewer")
    expect(viewer).to_contain_text("Faster R-CNN", timeout=SLOW)
    expect(viewer).to_contain_text(name.rpartition("/")[2])
    state = viewer.evaluate("root => root.caseViewer.state")
    assert state["confidence"] == pytest.approx(confidence, rel=1e-6)
    assert not state["class_aware"]
