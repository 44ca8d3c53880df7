"""Speed of the threshold dial over 28,812 images × 100 candidates, in the browser and in Python.

In the browser a movement counts from the input event until every mark, count and matrix is updated
and laid out, in a headless Chromium without a GPU.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import Row
from tests.browser.conftest import ARGUMENTS, serving
from tests.install_browser import find_browser

ROOT = Path(__file__).parents[1]
STEPS = 200
MEASURE = """
async (root, {steps, unit}) => {
    root.dial.choose(unit)
    const slider = root.querySelector(".dial-range")
    const laidOut = [], framed = []
    for (let n = 0; n <= steps; n++) {
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        const start = performance.now()
        // Far jumps: nothing of the last place may be of use.
        slider.value = (n * 0.618034) % 1
        slider.dispatchEvent(new Event("input"))
        root.getBoundingClientRect()
        laidOut.push(performance.now() - start)
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        framed.push(performance.now() - start)
    }
    return {laidOut, framed}
}"""
PYTHON = """
import json, time
from benchmarks.memory import peak_bytes
from fracture_core.evaluations.threshold_sweep import dial_table
from fracture_core.matching import MatchConfig
from tests.support.dial_evaluations import simulated
evaluation = simulated(28_812, 100, classes=CLASSES)
start = time.perf_counter()
table = dial_table(evaluation, MatchConfig())
built = time.perf_counter() - start
start = time.perf_counter()
for n in range(1_000):
    place = table.place(n / 1_000)
    [tally[place].sensitivity.interval for tally in table.tallies]
    [sheet.matrix(place) for sheet in table.sheets]
looked = (time.perf_counter() - start) / 1_000
print(json.dumps([built, looked, peak_bytes() / 1e9]))
"""


def main() -> list[Row]:
    """Return the rows for one class, and for ten with their confusion matrix."""
    return [*_in_python(1), *_in_python(10), *_in_browser()]


def _in_python(classes: int) -> list[Row]:
    """The rows of Python, measured in a process of its own so that the memory is its own."""
    script = PYTHON.replace("CLASSES", str(classes))
    told = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    built, looked, gigabytes = json.loads(told)
    name = f"28,812 × 100, {classes} {'class' if classes == 1 else 'classes'}"
    return [
        Row(name=f"{name}: table built", value=built, unit="s"),
        Row(name=f"{name}: peak memory, data and all", value=gigabytes, unit="GB", limit=2),
        Row(
            name=f"{name}: all figures at one confidence", value=looked * 1_000, unit="ms", limit=50
        ),
    ]


def _in_browser() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        with serving(ROOT / "tests" / "browser" / "dial_app.py", Path(home)) as address:
            for scene, words in {"large": "1 class", "large classes": "10 classes"}.items():
                rows += _moves(page, f"{address}/?scene={scene}", words)
        browser.close()
    return rows


def _moves(page: Page, address: str, words: str) -> list[Row]:
    page.goto(address)
    page.locator(".dial[data-painted]").wait_for(timeout=120_000)
    rows = []
    for unit, name in {"sensitivity": "sensitivity", "fp": "FP per image"}.items():
        got = page.locator(".dial").evaluate(MEASURE, {"steps": STEPS, "unit": unit})
        worst = statistics.quantiles(got["laidOut"], n=20)[-1]
        label = f"28,812 × 100, {words}: dial in {name}"
        rows += [
            Row(
                name=f"{label}, median",
                value=statistics.median(got["laidOut"]),
                unit="ms",
                limit=50,
            ),
            Row(name=f"{label}, 95th percentile", value=worst, unit="ms"),
            Row(
                name=f"{label}, to the next frame",
                value=statistics.median(got["framed"]),
                unit="ms",
            ),
        ]
    return rows
