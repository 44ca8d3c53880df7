"""Speed of the viewer: sliders that are dragged, and a large image zoomed, moved and windowed.

Each value is the time from an input event until everything that follows from it is matched, laid
out and rasterised, in a headless Chromium without a GPU.
"""

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import Row
from tests.browser.conftest import ARGUMENTS, serving
from tests.install_browser import find_browser

APPS = Path(__file__).parents[1] / "tests" / "browser"
STEPS = 100

# Reading back one pixel forces the browser to finish all drawing that is still queued.
MEASURE = """
async (root, {steps, act, prepare}) => {
    const viewer = root.caseViewer
    const run = new Function("viewer", "t", act)
    new Function("viewer", prepare)(viewer)
    viewer.draw()
    const times = []
    for (let n = 0; n <= steps; n++) {
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        const start = performance.now()
        run(viewer, n / steps)
        viewer.draw()
        root.getBoundingClientRect()
        for (const {contexts} of viewer.stage.panes)
            for (const context of contexts) context.getImageData(0, 0, 1, 1)
        times.push(performance.now() - start)
    }
    return times
}"""

SLIDE = """
const slider = viewer.root.querySelector("[data-control=NAME]")
slider.value = t
slider.dispatchEvent(new Event("input"))
"""
DRAGS = {
    "confidence": "viewer.change({confidence: 0, nms_iou: 0.5, match_iou: 0.5})",
    "nms_iou": "viewer.change({confidence: 0, nms_iou: 1, match_iou: 0.5})",
    "match_iou": "viewer.change({confidence: 0, nms_iou: 1, match_iou: 0})",
}
AT_NOTHING = "viewer.change({level: 0, nms_iou: 0.5, match_iou: 0.5})"
MOVE = "const {actions} = viewer.stage.panes[0].gestures; "
MOVES = {
    "zoom": ("viewer.command('fit')", MOVE + "actions.zoom(600, 400, 1.03)"),
    "pan": ("viewer.stage.look.view.scale = 1", MOVE + "actions.pan(7, 5)"),
    "window": ("viewer.command('fit')", MOVE + "actions.window(2, 1)"),
    "window, pixel by pixel": ("viewer.stage.look.view.scale = 1", MOVE + "actions.window(2, 1)"),
}


def _open(page: Page, address: str, scene: str) -> None:
    page.goto(f"{address}/?scene={scene}")
    ready = "(root) => root.caseViewer.frame >= 0 && !root.caseViewer.drawing"
    page.locator(".viewer").wait_for()
    while not page.locator(".viewer").evaluate(ready):
        page.wait_for_timeout(50)
    page.wait_for_timeout(1000)


def _rows(page: Page, name: str, prepare: str, act: str) -> list[Row]:
    given = {"steps": STEPS, "act": act, "prepare": prepare}
    times = page.locator(".viewer").evaluate(MEASURE, given)
    worst = statistics.quantiles(times, n=20)[-1]
    return [
        Row(name=f"{name}, median", value=statistics.median(times), unit="ms", limit=16),
        Row(name=f"{name}, 95th percentile", value=worst, unit="ms"),
    ]


def main() -> list[Row]:
    """Return the rows of all scenes.

    They are drags over 1,000 candidates and 20 ground-truth boxes, movements of an image of 12
    megapixels at 16 bits, and drags over four models of 300 candidates each, by raw confidence and
    at equal sensitivity.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        with serving(APPS / "viewer_app.py", Path(home)) as address:
            _open(page, address, "many")
            for name, prepare in DRAGS.items():
                rows += _rows(page, f"drag {name}", prepare, SLIDE.replace("NAME", name))
            _open(page, address, "large")
            for name, (prepare, act) in MOVES.items():
                rows += _rows(page, f"12 MP: {name}", prepare, act)
        with serving(APPS / "compare_app.py", Path(home)) as address:
            _open(page, address, "many")
            for name, prepare in DRAGS.items():
                label = f"4 models × 300: drag {name}"
                rows += _rows(page, label, prepare, SLIDE.replace("NAME", name))
            _open(page, address, "many measured&dial=sensitivity")
            act = SLIDE.replace("NAME", "confidence")
            rows += _rows(page, "4 measured models × 300: drag sensitivity", AT_NOTHING, act)
        browser.close()
    return rows
