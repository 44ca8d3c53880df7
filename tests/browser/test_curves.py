"""Curves that grow: the chart stays, and so does what the reader zoomed to."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

POINTS = "Number(document.querySelector('.curves').dataset.points)"
RANGE = "document.querySelector('.curves').layout.xaxis.range"


@pytest.fixture(scope="module")
def address(serve):
    return serve(Path(__file__).parent / "curves_app.py")


def test_a_zoom_survives_the_growth_of_the_curves(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".curves .main-svg").first).to_be_visible(timeout=30_000)
    plot = page.locator(".curves .nsewdrag").first
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=4)
    page.mouse.up()
    zoomed, points = page.evaluate(RANGE), page.evaluate(POINTS)
    assert zoomed[0] > 1
    page.wait_for_function(f"{POINTS} > {points} + 10", timeout=20_000)
    assert page.evaluate(RANGE) == zoomed


def test_plotly_comes_from_this_server(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    expect(page.locator(".curves .main-svg").first).to_be_visible(timeout=30_000)
    assert any("/workbench/plotly/" in url for url in asked)
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
