"""The dial in a real browser: what follows a movement, what Python hears, and equal numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fracture_core.evaluations.threshold_sweep import DialTable, dial_table
from fracture_core.matching import MatchConfig
from tests.browser.dial_app import MARKS, SCENES

PLACE = "root => root.dial.place"
MARKERS = """root => [...root.querySelectorAll(".dial-chart")].map((chart) => {
    const marker = chart.querySelector(".dial-marker"), limit = chart.querySelector(".dial-limit")
    return [marker.hidden && limit.hidden, marker.style.transform + limit.style.width]
})"""
READINGS = """async (root, {path, places}) => {
    const {reached} = await import(path.replace("dial.js", "figures.js"))
    const {table, matrices} = root.dial
    const of = (share) => [share.count, share.total, share.share, share.low, share.high]
    return places.map((place) => ({
        confidence: table.confidences[place],
        tallies: [...table.tallies, ...table.byClass].map((tally) => {
            const at = reached(tally, place)
            return [at.hits, at.wrong, at.missed, at.f1, at.perImage, ...of(at.sensitivity),
                ...of(at.precision), ...of(at.specificity), ...of(at.negativeValue)]
        }),
        matrices: matrices.map((matrix) => matrix.values(place)),
    }))
}"""


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(Path(__file__).parent / "dial_app.py")


class DialPage:
    """One open page with a dial on it."""

    def __init__(self, page: Page, address: str, scene: str) -> None:
        self.page = page
        self.sent: list[object] = []
        self.asked: list[str] = []
        page.on("websocket", self._listen)
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(f"{address}/?scene={scene}")
        self.root = page.locator(".dial")
        page.locator(".dial[data-painted], .dial-lacking:not(:empty)").first.wait_for(
            timeout=30_000
        )
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.forget()

    def _listen(self, socket: object) -> None:
        def keep(frame: str | bytes) -> None:
            self.sent.append(frame)

        socket.on("framesent", keep)

    def forget(self) -> None:
        """Wait until nothing has been sent for a while."""
        count = -1
        while count != len(self.sent) + len(self.asked):
            count = len(self.sent) + len(self.asked)
            self.page.wait_for_timeout(150)
        self.sent.clear()
        self.asked.clear()

    def told(self, name: str, value: object) -> None:
        expect(self.page.get_by_text(f"{name} {value}", exact=True)).to_be_visible()

    @property
    def place(self) -> int:
        return self.root.evaluate(PLACE)

    def metrics(self) -> list[str]:
        return self.root.locator(".dial-value").all_inner_texts()

    def cells(self) -> list[str]:
        return self.root.locator(".dial-count").all_inner_texts()

    def choose(self, unit: str) -> None:
        self.root.locator(f"[data-unit={unit}].dial-button").click()


@pytest.fixture
def opened(page: Page, address: str) -> Callable[..., DialPage]:
    return lambda scene="plain": DialPage(page, address, scene)


def test_everything_follows_the_drag_and_python_hears_once(opened) -> None:
    dial = opened("classes")
    box = dial.root.locator(".dial-range").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    dial.page.mouse.move(box["x"] + box["width"] * 0.3, y)
    dial.page.mouse.down()
    before = (dial.metrics(), dial.root.evaluate(MARKERS), dial.cells())
    height = dial.root.evaluate("root => root.offsetHeight")
    for share in (0.4, 0.55, 0.7):
        dial.page.mouse.move(box["x"] + box["width"] * share, y, steps=8)
        after = (dial.metrics(), dial.root.evaluate(MARKERS), dial.cells())
        assert after[0] != before[0]
        # FROC, precision and recall, ROC of images and of studies, F1, reliability.
        assert len(after[1]) == 6
        assert all(new != old and not new[0] for old, new in zip(before[1], after[1], strict=True))
        assert after[2] != before[2]
        before = after
    assert dial.root.evaluate("root => root.offsetHeight") == height
    assert (dial.sent, dial.asked) == ([], [])
    dial.told("runs", 1)
    dial.page.mouse.up()
    dial.told("runs", 2)
    assert len(dial.sent) == 1
    confidence = dial.root.evaluate("root => root.dial.state.confidence")
    dial.told("confidence", f"{confidence:.4f}")


@pytest.mark.parametrize("scene", ["plain", "classes", "classifier", "undefined"])
def test_numbers_are_those_of_python(opened, scene: str) -> None:
    dial = opened(scene)
    module = dial.page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    path = next(url for url in module if url.endswith("/dial.js"))
    table = dial_table(SCENES[scene](), MatchConfig(), tuple(mark.confidence for mark in MARKS))
    assert dial.root.evaluate("root => root.dial.table.confidences.length") == len(
        table.confidences
    )
    places = np.unique(np.linspace(0, len(table.confidences) - 1, 40).astype(int)).tolist()
    shown = dial.root.evaluate(READINGS, {"path": path, "places": places})
    for place, one in zip(places, shown, strict=True):
        assert one["confidence"] == table.confidences[place]
        metrics = [_metrics(table, n, place) for n in range(len(table.tallies + table.by_class))]
        got = [[np.nan if x is None else x for x in counts] for counts in one["tallies"]]
        np.testing.assert_allclose(got, metrics, atol=1e-12)
        for sheet, cells in zip(table.sheets, one["matrices"], strict=True):
            assert cells == sheet.matrix(place).tolist()


def _metrics(table: DialTable, n: int, place: int) -> list[float]:
    at = (*table.tallies, *table.by_class)[n][place]
    shares = (at.sensitivity, at.precision, at.specificity, at.negative_value)
    told = [x for one in shares for x in (one.count, one.total, one.share, *one.interval)]
    return [at.true_positives, at.false_positives, at.missed, at.f1, at.fp_per_image, *told]


def test_another_unit_keeps_the_place_and_a_typed_number_moves_it(opened) -> None:
    dial = opened()
    number = dial.root.locator(".dial-number")
    number.fill("0,7")
    number.press("Enter")
    place = dial.place
    assert abs(float(number.input_value()) - 0.7) < 0.05
    dial.choose("fp")
    assert dial.place == place
    dial.told("unit", "fp")
    dial.choose("confidence")
    assert dial.place == place
    number.fill("0.25")
    number.press("Enter")
    assert number.input_value() == "0.250"
    dial.told("confidence", "0.2500")
    number.fill("many")
    number.press("Enter")
    assert number.input_value() == "0.250"


def test_arrows_step_and_operating_points_can_be_clicked(opened) -> None:
    dial = opened()
    dial.choose("confidence")
    dial.root.locator("[data-point='max F1']").click()
    dial.told("confidence", "0.4000")
    assert dial.root.locator("[data-point='max F1']").get_attribute("aria-pressed") == "true"
    place, runs = dial.place, len(dial.sent)
    dial.root.locator(".dial-range").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        dial.page.keyboard.press(key)
    assert dial.place == place - 1
    dial.page.wait_for_timeout(500)
    assert len(dial.sent) == runs + 1
    dial.page.keyboard.press("Home")
    lowest = dial.root.evaluate("root => root.dial.table.confidences.length - 1")
    assert dial.place == lowest
    dial.root.locator(".dial-mark").nth(1).click()
    dial.told("confidence", "0.1000")
    dial.page.get_by_role("button", name="To 0.25").click()
    dial.told("confidence", "0.2500")
    expect(dial.root.locator(".dial-number")).to_have_value("0.250")


def test_a_cell_is_told_by_mouse_and_by_key(opened) -> None:
    dial = opened("classifier")
    cell = dial.root.locator("[data-sheet=classes] [data-row='1'][data-column='0']")
    assert cell.inner_text().startswith("1")
    cell.click()
    confidence = dial.root.evaluate("root => root.dial.state.confidence")
    dial.told("cell", f"classes 1 0 {confidence:.4f}")
    other = dial.root.locator("[data-sheet=images] .dial-cell:enabled").first
    other.focus()
    dial.page.keyboard.press("Enter")
    expect(dial.page.get_by_text("cell images")).to_be_visible()


def test_what_is_undefined_says_so(opened) -> None:
    dial = opened("undefined")
    texts = dict(
        zip(
            dial.root.locator(".dial-card[data-unit=lesion] .dial-name").all_inner_texts(),
            dial.root.locator(".dial-card[data-unit=lesion] .dial-value").all_inner_texts(),
            strict=True,
        )
    )
    assert texts["Sensitivity"] == "undefined"
    assert dial.root.locator("[data-unit=sensitivity].dial-button").is_disabled()
    assert "There is no lesion to find." in dial.root.inner_text()
    assert texts["False negatives"] == "0"


@pytest.mark.parametrize(
    ("kind", "begin"), [("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"confid")]
)
def test_a_curve_can_be_saved(opened, kind: str, begin: bytes, tmp_path: Path) -> None:
    dial = opened()
    with dial.page.expect_download() as download:
        dial.root.locator("[data-chart=froc]").get_by_role("button", name=kind).click()
    assert download.value.suggested_filename == f"test-froc.{kind.lower()}"
    download.value.save_as(tmp_path / "saved")
    saved = (tmp_path / "saved").read_bytes()
    assert saved.startswith(begin)
    if kind == "CSV":
        assert len(saved.splitlines()) == 1 + dial.root.evaluate(
            "root => root.dial.table.confidences.length"
        )


def test_a_matrix_can_be_saved(opened, tmp_path: Path) -> None:
    dial = opened("classifier")
    with dial.page.expect_download() as download:
        dial.root.locator("[data-sheet=classes]").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "saved")
    lines = (tmp_path / "saved").read_text().splitlines()
    assert lines == ["ground truth \\ found,healthy,a,b", "healthy,2,0,0", "a,1,1,0", "b,0,0,1"]


def test_a_matrix_is_normalised_by_row_and_by_column(opened, tmp_path: Path) -> None:
    dial = opened("classifier")
    matrix = dial.root.locator("[data-sheet=classes]")
    matrix.get_by_role("combobox").select_option("row")
    cell = matrix.locator("[data-row='1'][data-column='0']")
    expect(cell.locator(".dial-count")).to_have_text("0.50")
    expect(cell.locator(".dial-share")).to_have_text("1")
    matrix.get_by_role("combobox").select_option("column")
    expect(cell.locator(".dial-count")).to_have_text("0.33")
    with dial.page.expect_download() as download:
        matrix.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename.endswith("-confusion-classes-by-column.csv")
    download.value.save_as(tmp_path / "saved")
    rows = [line.split(",") for line in (tmp_path / "saved").read_text().splitlines()[1:]]
    shares = [[float(cell) for cell in row[1:]] for row in rows]
    np.testing.assert_allclose(shares, [[2 / 3, 0, 0], [1 / 3, 1, 0], [0, 0, 1]])
