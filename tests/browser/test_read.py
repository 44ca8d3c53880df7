"""A reader at work in a real browser: the whole path from a file to findings."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.viewer_page import ViewerPage
from tests.support.dicom_files import dicom

ROOT = Path(__file__).parents[2]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


@pytest.fixture(scope="session")
def app_address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


@pytest.fixture
def reader(page: Page, app_address: str) -> ViewerPage:
    """With the model that finds something in any image."""
    return ViewerPage(page, f"{app_address}/?model=fake")


def png(size: int = 96) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(size).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def upload(reader: ViewerPage, *files: tuple[str, bytes]) -> None:
    page = reader.page
    page.get_by_test_id("stSidebar").get_by_text("Upload", exact=True).first.click()
    page.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
    )


def title(reader: ViewerPage) -> str:
    return reader.root.locator(".case-title").inner_text()


def drag_slider(reader: ViewerPage, name: str, to: float) -> None:
    """Press on the slider and move; the button stays down."""
    box = reader.slider(name).bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    reader.page.mouse.move(box["x"] + box["width"] / 2, y)
    reader.page.mouse.down()
    reader.page.mouse.move(box["x"] + box["width"] * to, y, steps=15)


def test_the_first_page_is_a_case_with_findings(page: Page, app_address: str) -> None:
    reader = ViewerPage(page, app_address)
    assert title(reader) == "Demo case"
    assert len(reader.rows) >= 2
    expect(reader.page.get_by_text("Research use only.")).to_be_visible()
    expect(reader.page.get_by_text("chosen on FracAtlas")).to_be_visible()
    background = reader.page.evaluate(
        "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    )
    assert background == "rgb(16, 18, 20)"


def test_boxes_follow_while_the_button_is_down_and_python_hears_on_release(
    reader: ViewerPage,
) -> None:
    upload(reader, ("wrist.png", png()))
    reader.until(lambda: title(reader) == "wrist.png")
    reader.type_number("confidence", "0.05")
    reader.page.locator(IDLE).wait_for()
    reader.quiet()
    before, fetched = len(reader.marks), len(reader.fetched)
    drag_slider(reader, "confidence", 0.98)
    reader.until(lambda: len(reader.marks) < before)
    reader.page.wait_for_timeout(300)
    assert reader.sent == []
    assert len(reader.fetched) == fetched
    reader.page.mouse.up()
    reader.until(lambda: reader.sent)
    reader.until(lambda: "confidence=" in reader.page.url)
    reader.page.locator(IDLE).wait_for()
    assert [url for url in reader.fetched[fetched:] if "/workbench/" in url] == []


def test_a_dicom_file_is_read_and_keeps_its_depth(reader: ViewerPage) -> None:
    ramp = (np.arange(64 * 80).reshape(64, 80) % 4096).astype(np.uint16)
    upload(reader, ("IM0001", dicom(ramp, bits=12)))
    reader.until(lambda: title(reader) == "IM0001")
    assert reader.see("viewer => viewer.stage.image.pixels.constructor.name") == "Uint16Array"


def test_a_bad_file_leaves_the_case_and_shows_its_name_as_text(reader: ViewerPage) -> None:
    upload(reader, ("<img src=x onerror=alert(1)>.png", b"nothing"))
    alert = reader.page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("<img src=x onerror=alert(1)>.png: expected")
    assert alert.locator("img[src=x]").count() == 0
    assert title(reader) == "Demo case"


def test_the_address_holds_the_state(reader: ViewerPage, browser: Browser) -> None:
    reader.type_number("confidence", "0.3")
    reader.until(lambda: "confidence=0.3" in reader.page.url)
    with browser.new_context() as other:
        second = ViewerPage(other.new_page(), reader.page.url)
        assert second.state["confidence"] == 0.3
        assert len(second.rows) == len(reader.rows)


def test_a_data_set_is_gone_through_by_keys(reader: ViewerPage) -> None:
    sidebar = reader.page.get_by_test_id("stSidebar")
    sidebar.get_by_text("Data set", exact=True).click()
    sidebar.get_by_text("Make a demo data set").click()
    reader.until(lambda: title(reader) != "Demo case", seconds=60)
    first = title(reader)
    reader.over_image()
    reader.page.keyboard.press("n")
    reader.until(lambda: title(reader) != first)
    reader.over_image()
    reader.page.keyboard.press("p")
    reader.until(lambda: title(reader) == first)


def test_zoom_and_window_survive_another_threshold(reader: ViewerPage) -> None:
    reader.over_image()
    reader.page.mouse.wheel(0, -400)
    reader.page.keyboard.press("i")
    look = reader.look
    reader.type_number("confidence", "0.2")
    reader.until(lambda: "confidence=0.2" in reader.page.url)
    assert reader.look == look
    assert look["inverted"]


def test_the_findings_can_be_taken_away(reader: ViewerPage, tmp_path: Path) -> None:
    with reader.page.expect_download() as download:
        reader.root.get_by_text("COCO JSON").click()
    path = tmp_path / "findings.json"
    download.value.save_as(path)
    coco = json.loads(path.read_text())
    assert len(coco["annotations"]) == len([row for row in reader.rows if "missed" not in row])


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_no_text_is_clipped(
    browser: Browser, app_address: str, width: int, height: int, theme: str
) -> None:
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        page.add_init_script(f"localStorage['stActiveTheme-/-v2'] = JSON.stringify('{theme}')")
        reader = ViewerPage(page, app_address)
        clipped = reader.root.evaluate(
            """root => [...root.querySelectorAll("button, label, td, th, p, span, h2")]
                .filter((e) => e.offsetParent && getComputedStyle(e).overflow !== "visible"
                    && e.scrollWidth > e.clientWidth + 1 && !e.title)
                .map((e) => e.className + ": " + e.textContent)"""
        )
        assert clipped == []
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(overflow) <= 0


def test_one_change_after_another_stays(reader: ViewerPage) -> None:
    for confidence in ("0.3", "0.4", "0.6", "0.7"):
        reader.type_number("confidence", confidence)
        reader.page.wait_for_url(f"**confidence={confidence}")
        reader.page.locator(IDLE).wait_for()
        reader.quiet()
        assert reader.state["confidence"] == float(confidence)
