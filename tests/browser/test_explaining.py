"""Explanations in a real browser: asked for, drawn exactly, matched in words; and classifiers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.viewer_page import ViewerPage
from tests.support.patch_model import ROWS

Opener = Callable[..., ViewerPage]


@pytest.fixture(scope="session")
def explain_address(serve: Callable[..., str]) -> str:
    return serve(Path(__file__).parent / "explain_app.py")


@pytest.fixture
def show(page: Page, explain_address: str, request: pytest.FixtureRequest) -> Opener:
    """`show(scene, **query)` opens the viewer on a scene of the test page."""

    def opened(name: str = "findings", **query: object) -> ViewerPage:
        wanted = {"scene": name, "test": request.node.name.replace("[", "-").strip("]"), **query}
        pairs = [f"{key}={value}" for key, value in wanted.items()]
        return ViewerPage(page, f"{explain_address}/?{'&'.join(pairs)}")

    return opened


def choose(viewer: ViewerPage, row: int) -> None:
    viewer.root.locator(".rows .row").nth(row).click()
    viewer.drawn()


def press(viewer: ViewerPage, name: str) -> None:
    viewer.root.locator(f"[data-explain={name}]").click()


def done(viewer: ViewerPage) -> None:
    viewer.root.locator(".badge").wait_for(timeout=20_000)
    viewer.drawn()


def explain_finding(viewer: ViewerPage, row: int) -> None:
    choose(viewer, row)
    press(viewer, "finding")
    done(viewer)


def badge(viewer: ViewerPage) -> str:
    return viewer.root.locator(".badge").inner_text()


def facts(viewer: ViewerPage) -> dict[str, str]:
    names = viewer.root.locator(".facts dt").all_inner_texts()
    return dict(zip(names, viewer.root.locator(".facts dd").all_inner_texts(), strict=True))


def map_at(viewer: ViewerPage, *points: tuple[float, float], pane: int = 0) -> list[int]:
    """The alpha of the heat map's canvas at points of the image."""
    viewer.drawn()
    return viewer.see(
        """async (viewer, {points, pane}) => {
            const {matrix, toScreen} = await import(new URL("view.js",
                new URL(viewer.component.data.module, location.origin)).href)
            const view = viewer.stage.panes[pane]
            const m = matrix(viewer.stage.look.view, view.size)
            return points.map(([x, y]) => {
                const [u, v] = toScreen(m, x, y).map((value) => Math.floor(value * view.ratio))
                return view.heatmap.hidden ? -1 : view.contexts[2].getImageData(u, v, 1, 1).data[3]
            })
        }""",
        {"points": points, "pane": pane},
    )


def around(row: tuple[float, ...], by: float) -> list[tuple[float, float]]:
    """Points inside a box, `by` pixels from the middle of its sides, then as many outside."""
    x1, y1, x2, y2 = row[:4]
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    inside = [(x1 + by, y), (x2 - by, y), (x, y1 + by), (x, y2 - by)]
    outside = [(x1 - by, y), (x2 + by, y), (x, y1 - by), (x, y2 + by)]
    return inside + outside


# ---- the map ----------------------------------------------------------------------------------


def test_nothing_is_explained_before_it_is_asked_for(show: Opener) -> None:
    viewer = show()
    choose(viewer, 0)
    viewer.page.wait_for_timeout(300)
    assert viewer.python["asked"] == []
    assert not any("/answers/" in url for url in viewer.fetched)
    assert map_at(viewer, (150, 150)) == [-1]


@pytest.mark.parametrize("keys", ["", "h", "v", "turn"])
def test_the_map_lies_on_its_pixels(show: Opener, keys: str) -> None:
    viewer = show()
    explain_finding(viewer, 0)
    if keys == "turn":
        viewer.root.locator("[data-command=turn]").click()
    elif keys:
        viewer.over_image()
        viewer.page.keyboard.press(keys)
    assert map_at(viewer, *around(ROWS[0], 1.5)) == [255] * 4 + [0] * 4
    viewer.over_image()
    viewer.page.mouse.wheel(0, -300)
    viewer.drag((40, 25))
    viewer.page.wait_for_timeout(300)
    assert viewer.look["scale"] > 1.5
    close = [point for point in around(ROWS[0], 1.5) if in_pane(viewer, point)]
    assert len(close) >= 2
    wanted = dict(zip(around(ROWS[0], 1.5), [255] * 4 + [0] * 4, strict=True))
    assert map_at(viewer, *close) == [wanted[point] for point in close]


def in_pane(viewer: ViewerPage, point: tuple[float, float]) -> bool:
    return bool(
        viewer.see(
            """async (viewer, [x, y]) => {
                const {matrix, toScreen} = await import(new URL("view.js",
                    new URL(viewer.component.data.module, location.origin)).href)
                const {size} = viewer.stage.panes[0]
                const [u, v] = toScreen(matrix(viewer.stage.look.view, size), x, y)
                return u > 1 && v > 1 && u < size.width - 1 && v < size.height - 1
            }""",
            point,
        )
    )


def test_opacity_and_key_and_the_address(show: Opener) -> None:
    viewer = show(map=0.5)
    explain_finding(viewer, 0)
    heatmap = viewer.root.locator("canvas.heatmap")
    assert heatmap.evaluate("canvas => Number(canvas.style.opacity)") == 0.5
    slider = viewer.slider("map_opacity")
    slider.focus()
    slider.press("ArrowRight")
    viewer.drawn()
    assert heatmap.evaluate("canvas => Number(canvas.style.opacity)") == pytest.approx(0.55)
    viewer.told("map_opacity", 0.55)
    viewer.over_image()
    viewer.page.keyboard.press("m")
    viewer.drawn()
    assert heatmap.is_hidden()
    viewer.page.keyboard.press("m")
    viewer.drawn()
    assert heatmap.is_visible()
    viewer.page.keyboard.press("?")
    expect(viewer.root.get_by_text("heat map on and off")).to_be_visible()


def test_it_survives_a_drag_of_the_threshold_without_a_word_to_python(show: Opener) -> None:
    viewer = show()
    explain_finding(viewer, 0)
    viewer.quiet()
    fetched = len(viewer.fetched)
    box = viewer.slider("confidence").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    viewer.page.mouse.move(box["x"] + box["width"] / 2, y)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=15)
    viewer.until(lambda: viewer.state["confidence"] > 0.75)
    assert map_at(viewer, (150, 150)) == [255]
    assert badge(viewer) == "checks passed"
    viewer.page.mouse.move(box["x"] + box["width"], y, steps=5)
    viewer.until(lambda: viewer.state["confidence"] > 0.95)
    assert [mark["tag"] for mark in viewer.marks if mark["kind"] == "candidate"] == ["hidden 0.90"]
    assert map_at(viewer, (150, 150)) == [255]
    viewer.page.wait_for_timeout(300)
    assert viewer.sent == []
    assert len(viewer.fetched) == fetched
    viewer.page.mouse.up()


def test_a_map_belongs_to_one_finding(show: Opener) -> None:
    viewer = show()
    explain_finding(viewer, 0)
    choose(viewer, 1)
    assert map_at(viewer, (150, 150)) == [-1]
    assert "Not explained yet" in viewer.root.locator(".explain-status").inner_text()
    press(viewer, "finding")
    done(viewer)
    viewer.told("asked", [0, 1])
    choose(viewer, 0)
    assert map_at(viewer, (150, 150), (340, 300)) == [255, 0]
    choose(viewer, 1)
    assert map_at(viewer, (150, 150), (340, 300)) == [0, 255]
    press(viewer, "finding")
    viewer.page.wait_for_timeout(300)
    assert viewer.python["asked"] == [0, 1]
    assert sum("/maps/" in url for url in viewer.fetched) == 2


def test_weak_evidence_is_drawn_weak(show: Opener) -> None:
    viewer = show(map=1)
    explain_finding(viewer, 2)
    drawn = viewer.root.locator("canvas.heatmap").evaluate("canvas => Number(canvas.style.opacity)")
    assert drawn == pytest.approx(0.2 / 0.9, abs=1e-4)
    assert facts(viewer)["Strength"] == "0.20, 22 % of the strongest here"


# ---- the words --------------------------------------------------------------------------------


def test_figures_and_badges(show: Opener) -> None:
    viewer = show()
    explain_finding(viewer, 0)
    assert badge(viewer) == "checks passed"
    told = facts(viewer)
    assert told["Method"] == "patches"
    assert told["Target"] == "finding 1"
    assert told["Inside the box"] == "100 %, an even map 5 %"
    assert set(told) >= {"Strength", "Deletion", "Insertion", "Random weights"}
    assert viewer.root.locator(".failures li").count() == 0
    meanings = viewer.root.locator(".facts dt").evaluate_all("terms => terms.map((t) => t.title)")
    assert all(meanings)
    explain_finding(viewer, 1)
    assert badge(viewer) == "does not localise"
    sentence = "The map does not gather in the finding's box."
    assert sentence in viewer.root.locator(".failures li").all_inner_texts()


def test_the_viewer_stays_usable_meanwhile(show: Opener) -> None:
    viewer = show("slow")
    choose(viewer, 0)
    press(viewer, "finding")
    expect(viewer.root.locator(".explained progress")).to_be_visible()
    opened = viewer.root.locator(".explained").bounding_box()
    viewer.type_number("confidence", "0.7")
    assert viewer.state["confidence"] == 0.7
    assert [row[2] for row in viewer.rows if row[2] != "–"] == ["0.90", "0.80"]
    done(viewer)
    assert viewer.root.locator(".explained").bounding_box() == opened
    assert badge(viewer) == "checks passed"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failing", "The explanation failed: the network is <b>torn</b>"),
        ("weights", "patches: expected weights, found <b>none</b>"),
    ],
)
def test_a_failure_is_a_sentence(show: Opener, name: str, words: str) -> None:
    viewer = show(name)
    choose(viewer, 0)
    press(viewer, "finding")
    status = viewer.root.locator(".explain-status")
    viewer.until(lambda: words in status.inner_text())
    assert status.locator("b").count() == 0
    press(viewer, "finding")
    viewer.told("asked", [0, 0])
    viewer.until(lambda: words in status.inner_text())


# ---- classifiers ------------------------------------------------------------------------------


def test_a_classifier_shows_scores_and_no_box_settings(show: Opener) -> None:
    viewer = show("classes")
    rows = viewer.root.locator(".class-row")
    assert [" ".join(row.split()) for row in rows.all_inner_texts()] == [
        "spiral GT 0.81",
        "healthy 0.10",
        "oblique 0.09",
    ]
    assert viewer.account == (
        "Highest class: spiral, score 0.81. A score, not a probability. "
        "Known class: spiral, so the highest is right."
    )
    assert viewer.root.locator(".known").inner_text() == "✓ right: known class spiral"
    assert "Image score 0.90 (1 − the score of healthy)" in (
        viewer.root.locator(".image-score").inner_text()
    )
    for name in ("confidence", "nms_iou", "match_iou"):
        assert viewer.slider(name).is_hidden()
    expect(viewer.root.get_by_text("It draws no boxes")).to_be_visible()
    assert {mark["kind"] for mark in viewer.marks} == {"ground truth"}


def test_a_wrong_class_is_marked_and_truth_can_be_hidden(show: Opener) -> None:
    viewer = show("wrong")
    assert viewer.root.locator(".known").inner_text() == "✗ wrong: known class oblique"
    viewer.over_image()
    viewer.page.keyboard.press("g")
    viewer.drawn()
    assert viewer.root.locator(".known").is_hidden()
    assert viewer.account.endswith("Ground truth hidden.")


def test_a_class_that_the_model_does_not_know_is_not_matched(show: Opener) -> None:
    viewer = show("foreign")
    assert viewer.root.locator(".known").is_hidden()
    assert viewer.account.endswith("Known class: transverse, which this model does not know.")


def test_classes_are_compared_by_name_not_by_number(show: Opener) -> None:
    viewer = show("reordered")
    assert viewer.root.locator(".known").inner_text() == "✓ right: known class SPIRAL"
    assert "spiral GT" in " ".join(viewer.root.locator(".class-row").first.inner_text().split())


def test_of_two_classes_the_unhealthy_one_stands_for_any_finding(show: Opener) -> None:
    viewer = show("two")
    assert viewer.root.locator(".known").inner_text() == "✓ right: known class transverse"
    assert viewer.account.endswith("Known class: transverse, so the highest is right.")


def test_an_image_is_explained(show: Opener) -> None:
    viewer = show("unknown")
    assert viewer.root.locator("[data-explain=finding]").is_hidden()
    press(viewer, "image")
    done(viewer)
    assert viewer.root.locator(".subject").inner_text() == "The image"
    assert map_at(viewer, *around(ROWS[0], 1.5)) == [255] * 4 + [0] * 4
    assert "Inside the box" not in facts(viewer)


def test_image_class_map_and_gate_stand_side_by_side(show: Opener) -> None:
    viewer = show("gate", map=1)
    press(viewer, "panels")
    done(viewer)
    viewer.until(lambda: map_at(viewer, (470, 100), pane=2) == [255])
    titles = viewer.root.locator(".pane-title").all_inner_texts()
    assert titles == ["Image", "Class map", "Attention gate"]
    assert map_at(viewer, (150, 150), pane=0) == [-1]
    assert map_at(viewer, (150, 150), (470, 100), pane=1) == [255, 0]
    weight = viewer.root.locator("canvas.heatmap").nth(2)
    assert weight.evaluate("canvas => Number(canvas.style.opacity)") == 0.5
    assert viewer.python["asked"] == ["image", "gate"]
    press(viewer, "panels")
    viewer.drawn()
    assert len(viewer.root.locator(".pane").all()) == 1


# ---- files and the whole page -----------------------------------------------------------------


def test_the_saved_image_has_the_map(show: Opener) -> None:
    viewer = show(map=1)
    saved = {}
    for name in ("without", "with"):
        if name == "with":
            explain_finding(viewer, 0)
        with viewer.page.expect_download() as download:
            viewer.root.locator("[data-download=png]").click()
        saved[name] = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    inside, outside = (slice(125, 180), slice(120, 180)), (slice(5, 80), slice(220, 400))
    assert tuple(saved["with"][inside][0, 0]) == tuple(saved["with"][inside][-1, -1])
    red, _, blue = saved["with"][inside][0, 0]
    assert red > blue + 60
    assert np.array_equal(saved["with"][outside], saved["without"][outside])
    assert len(saved["with"]) > len(saved["without"])


def lightness(colours: np.ndarray) -> np.ndarray:
    """(N, 3) sRGB from 0 to 255 → (N,) OKLab lightness."""
    share = colours / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    return np.cbrt(linear @ np.transpose(cones)) @ (0.2104542553, 0.793617785, -0.0040720468)


def test_the_colours_grow_lighter_evenly(show: Opener) -> None:
    viewer = show()
    colours, alpha = viewer.see(
        """async (viewer) => {
            const {colourOf, TABLE} = await import(new URL("heatmap.js",
                new URL(viewer.component.data.module, location.origin)).href)
            const shares = Array.from({length: 21}, (_, n) => n / 20)
            return [shares.map(colourOf), [0, 64, 128, 255].map((v) => TABLE.words[v] >>> 24)]
        }"""
    )
    assert np.allclose(np.diff(lightness(np.array(colours))), (0.93 - 0.36) / 20, atol=0.005)
    assert alpha == [0, 128, 255, 255]


def test_the_read_page_explains_a_finding_of_the_model(
    page: Page, serve: Callable[..., str]
) -> None:
    address = serve(Path(__file__).parents[2] / "streamlit_app.py")
    reader = ViewerPage(page, f"{address}/?model=fake")
    explain_finding(reader, 0)
    assert badge(reader) == "not faithful"
    assert "Random weights give much the same map." in (
        reader.root.locator(".failures li").all_inner_texts()
    )
    xyxy = reader.see("({findings: [{raw}]}) => [...raw.xyxy.slice(0, 4)]")
    x, y = (xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2
    assert map_at(reader, (x, y), (xyxy[0] - 3 * (x - xyxy[0]), y)) == [255, 0]
    reader.quiet()
    reader.type_number("confidence", "0.3")
    reader.until(lambda: "confidence=0.3" in reader.page.url)
    assert map_at(reader, (x, y)) == [255]
