"""The viewer in a real browser, by mouse, keys and touch."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from fracture_core.types import Window
from fracture_core.ui.widgets.case_viewer import ViewerState
from tests.browser.viewer_page import ViewerPage
from tests.browser.viewer_scenes import HOSTILE, ROWS, image, scene

Opener = Callable[..., ViewerPage]


@pytest.fixture
def show(page: Page, viewer_address: str) -> Opener:
    """`show(scene, **query)` opens the viewer on a scene of the test page."""

    def opened(name: str = "plain", **query: object) -> ViewerPage:
        pairs = [f"{key}={value}" for key, value in {"scene": name, **query}.items()]
        return ViewerPage(page, f"{viewer_address}/?{'&'.join(pairs)}")

    return opened


def kinds(viewer: ViewerPage) -> list[str]:
    return [mark["kind"] for mark in viewer.marks]


# ---- drag -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "to", "before", "during"),
    [
        ("confidence", 0.85, 3, 1),
        ("nms_iou", 0.99, 3, 4),
        ("match_iou", 0.95, 1, 0),
    ],
)
def test_the_image_follows_the_drag_and_python_hears_once(
    show: Opener, name: str, to: float, before: int, during: int
) -> None:
    viewer = show()
    counted = {
        "match_iou": lambda: kinds(viewer).count("true positive"),
    }.get(name, lambda: sum(mark["id"].startswith("p") for mark in viewer.marks))
    assert counted() == before
    box = viewer.slider(name).bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    reach = box["width"] - 14
    viewer.page.mouse.move(box["x"] + 7 + reach * 0.5, y)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + 7 + reach * to, y, steps=20)
    viewer.until(lambda: counted() == during)
    viewer.page.wait_for_timeout(300)
    assert viewer.sent == []
    viewer.told("runs", 1)
    viewer.page.mouse.up()
    viewer.until(lambda: viewer.sent)
    viewer.page.wait_for_timeout(300)
    assert len(viewer.sent) == 1
    viewer.told("runs", 2)
    viewer.told(name, viewer.state[name])
    assert viewer.state[name] == pytest.approx(to, abs=0.02)


def test_typed_numbers_are_read_clamped_or_refused(show: Opener) -> None:
    viewer = show()
    viewer.type_number("confidence", "0,575")
    assert viewer.state["confidence"] == 0.575
    assert viewer.number("confidence").input_value() == "0.575"
    assert [row[2] for row in viewer.rows[:3]] == ["0.90", "0.80", "0.60"]
    viewer.type_number("confidence", "7")
    assert viewer.state["confidence"] == 1
    viewer.type_number("confidence", "many")
    assert viewer.number("confidence").input_value() == "1.00"
    viewer.told("confidence", 1)


# ---- what is told -----------------------------------------------------------------------------


def test_a_redraw_leaves_what_is_being_typed(show: Opener) -> None:
    viewer = show()
    viewer.number("confidence").fill("0.8")
    viewer.see("viewer => viewer.showColumn()")
    viewer.drawn()
    assert viewer.number("confidence").input_value() == "0.8"
    viewer.number("confidence").press("Enter")
    viewer.drawn()
    assert viewer.state["confidence"] == 0.8


def test_findings_kinds_counts_and_account(show: Opener) -> None:
    viewer = show(nms=1)
    assert viewer.rows == [
        ["1", "fracture", "0.90", "0.88", "TP"],
        ["2", "fracture", "0.80", "0.00", "FP"],
        ["3", "fracture", "0.60", "0.40", "FP"],
        ["4", "fracture", "0.55", "0.77", "dup"],
        ["GT2", "fracture", "–", "–", "missed"],
    ]
    assert viewer.summary == "4 shown, 2 hidden below confidence 0.50"
    assert viewer.account == (
        "4 findings at or above confidence 0.50: 1 matches the ground truth, 2 do not, "
        "1 repeats a ground-truth box already matched; 1 ground-truth box missed."
    )
    assert {mark["tag"] for mark in viewer.marks} == {
        "GT1",
        "GT2 missed",
        "1 TP 0.90",
        "2 FP 0.80",
        "3 FP 0.60",
        "4 dup 0.55",
    }
    viewer.type_number("confidence", "0.85")
    told = (
        "1 finding at or above confidence 0.85: 1 matches the ground truth; "
        "1 ground-truth box missed."
    )
    assert viewer.account == told
    viewer.type_number("match_iou", "0.95")
    assert viewer.account.endswith(
        "0.85: none matches the ground truth; 2 ground-truth boxes missed."
    )
    viewer.type_number("confidence", "0.5")
    viewer.type_number("nms_iou", "0.5")
    assert viewer.summary == "3 shown, 2 hidden below confidence 0.50, 1 suppressed"


def test_a_negative_is_never_no_fracture(show: Opener) -> None:
    viewer = show(confidence=0.95)
    assert viewer.account == (
        "No finding at or above confidence 0.95. The sensitivity of this setting has not been "
        "measured. Best candidate 0.90. 2 ground-truth boxes missed."
    )
    viewer.root.get_by_text("Show best").click()
    dotted = [mark for mark in viewer.marks if mark["line"] == "dotted"]
    assert [mark["tag"] for mark in dotted] == ["best 0.90"]
    viewer.type_number("confidence", "0.7")
    assert not [mark for mark in viewer.marks if mark["line"] == "dotted"]


def test_unknown_truth_judges_nothing(show: Opener) -> None:
    viewer = show("unknown")
    assert set(kinds(viewer)) == {"finding"}
    assert viewer.account == "3 findings at or above confidence 0.50. Ground truth unknown."
    assert viewer.slider("match_iou").is_disabled()
    assert viewer.root.get_by_role("button", name="Side by side").is_disabled()


def test_hidden_truth_gives_nothing_away(show: Opener) -> None:
    viewer = show()
    viewer.over_image()
    viewer.page.keyboard.press("g")
    assert set(kinds(viewer)) == {"finding"}
    assert viewer.account == "3 findings at or above confidence 0.50. Ground truth hidden."
    assert {row[3] for row in viewer.rows} == {"–"}
    viewer.told("show_ground_truth", False)


def test_line_style_tells_certainty_and_no_nms_for_models_without(show: Opener) -> None:
    viewer = show("tiers")
    lines = {mark["id"]: mark["line"] for mark in viewer.marks if mark["id"].startswith("p")}
    assert list(lines.values()) == ["solid", "dashed", "dashed"]
    viewer = show("detr")
    assert viewer.slider("nms_iou").is_disabled()
    assert viewer.summary == "4 shown, 2 hidden below confidence 0.50"
    assert "proposes each finding once" in viewer.root.inner_text()


def test_the_centre_rule_and_classes(show: Opener) -> None:
    viewer = show()
    viewer.root.get_by_label("Match rule").select_option("centre")
    assert [row[4] for row in viewer.rows] == ["TP", "FP", "dup", "missed"]
    assert viewer.slider("match_iou").is_disabled()
    viewer.root.get_by_text("same class").click()
    viewer.told("class_aware", False)
    viewer.told("rule", "centre")


# ---- look -------------------------------------------------------------------------------------


def test_zoom_pan_window_and_invert_survive_everything_but_another_case(show: Opener) -> None:
    viewer = show("masks")
    x, y = viewer.centre()
    viewer.page.mouse.move(x + 40, y - 30)
    viewer.page.mouse.wheel(0, -400)
    viewer.drag((60, 30))
    viewer.drag((90, -40), button="right")
    viewer.page.keyboard.press("i")
    viewer.page.keyboard.press("h")
    viewer.page.wait_for_timeout(300)
    look = viewer.look
    assert look["scale"] > 2
    assert look["inverted"]
    assert look["flipH"]
    assert look["window"]["width"] != 2600
    viewer.type_number("confidence", "0.2")
    viewer.over_image()
    for key in ("s", "s", "g", "g", "k", "o", "o"):
        viewer.page.keyboard.press(key)
    viewer.page.get_by_text("Outside", exact=True).click()
    viewer.page.get_by_role("button", name="Run again").click()
    viewer.quiet()
    viewer.told("show_masks", False)
    assert viewer.look == look
    viewer.over_image()
    viewer.page.keyboard.press("n")
    viewer.told("number", 1)
    viewer.until(lambda: viewer.look["fitted"])
    assert not viewer.look["inverted"]
    assert viewer.look["window"]["width"] == 2600
    assert viewer.state["confidence"] == 0.2
    pixels = [url for url in viewer.fetched if "/pixels/" in url]
    assert len(pixels) == 2


def test_the_wheel_zooms_at_the_pointer_and_a_double_click_fits(show: Opener) -> None:
    viewer = show()
    x, y = viewer.centre()
    point = "({stage: {readout}}) => readout.textContent.split('   ')[0]"
    viewer.page.mouse.move(x + 100, y + 50)
    before = viewer.see(point)
    viewer.page.mouse.wheel(0, -300)
    viewer.drawn()
    viewer.page.mouse.move(x + 100, y + 50)
    assert viewer.see(point) == before
    assert not viewer.look["fitted"]
    viewer.page.mouse.dblclick(x, y)
    assert viewer.look["fitted"]


def test_the_image_on_the_screen_is_python_s_window(show: Opener) -> None:
    viewer = show()
    shown = viewer.see(
        """({stage}) => {
            const {size} = stage.panes[0]
            const [x, y] = [size.width / 2 + 50, size.height / 2 + 30]
            Object.assign(stage.look.view, {scale: 1, fitted: false, x, y})
            stage.paint()
            const image = stage.panes[0].contexts[0].getImageData(0, 0, 300, 200)
            return [...image.data].filter((_, n) => n % 4 === 0)
        }"""
    )
    wanted = Window(center=1800, width=2600).apply(image(420, 560, 0))
    assert np.array_equal(np.reshape(shown, (200, 300)), wanted[30:230, 50:350])


def test_presets_reset_and_readout(show: Opener) -> None:
    viewer = show()
    names = viewer.root.get_by_label("Window", exact=True).inner_text().splitlines()
    expected = ["1 Bone", "2 Image 2", "3 Full range", "4 Auto", "5 CT bone"]
    assert [" ".join(name.split()) for name in names[:5]] == expected
    viewer.over_image()
    viewer.page.keyboard.press("5")
    window = viewer.look["window"]
    assert (window["center"], window["width"]) == (1424, 1800)
    viewer.page.keyboard.press("+")
    viewer.page.keyboard.press(" ")
    assert viewer.look["fitted"]
    assert viewer.look["window"]["width"] == 2600
    readout = viewer.root.locator(".readout").inner_text()
    assert "HU" in readout
    assert "mm" in readout


# ---- keys -------------------------------------------------------------------------------------


def test_keys_work_over_the_viewer_and_never_while_typing(show: Opener) -> None:
    viewer = show("masks")
    viewer.over_image()
    for key, name in (("o", "show_overlay"), ("k", "show_masks")):
        viewer.page.keyboard.press(key)
        assert viewer.state[name] is False
    viewer.page.keyboard.press("?")
    assert viewer.root.get_by_label("Keys and mouse", exact=True).is_visible()
    viewer.page.keyboard.press("Escape")
    viewer.number("confidence").focus()
    viewer.page.keyboard.press("g")
    viewer.page.get_by_text("Outside", exact=True).click()
    viewer.page.get_by_label("Outside text").fill("")
    viewer.page.get_by_label("Outside text").press_sequentially("gso")
    assert viewer.state["show_ground_truth"] is True
    assert viewer.state["show_overlay"] is False


def test_side_by_side_shows_truth_beside_prediction(show: Opener) -> None:
    viewer = show()
    viewer.over_image()
    viewer.page.keyboard.press("s")
    viewer.told("mode", "side_by_side")
    assert viewer.root.locator(".pane-title").all_inner_texts() == ["Ground truth", "Numpy model"]
    assert set(kinds(viewer)) == {"true positive", "false positive"}


# ---- stacks -----------------------------------------------------------------------------------


def test_stacks_scroll_by_wheel_keys_and_slider(show: Opener) -> None:
    viewer = show("stack", slice=4)
    assert viewer.state["frame"] == 4
    viewer.over_image()
    viewer.page.mouse.wheel(0, 100)
    viewer.until(lambda: viewer.see("viewer => viewer.frame") == 6)
    viewer.page.keyboard.press("ArrowDown")
    viewer.until(lambda: viewer.see("viewer => viewer.frame") == 7)
    assert viewer.rows[0][2] == "0.75"
    assert viewer.root.locator(".slice-number").inner_text() == "8 / 12"
    viewer.told("frame", 7)
    assert len(viewer.sent) == 1
    scale = viewer.look["scale"]
    viewer.page.keyboard.down("Shift")
    viewer.page.mouse.wheel(0, -200)
    viewer.page.keyboard.up("Shift")
    assert viewer.look["scale"] > scale
    viewer.over_image()
    viewer.page.keyboard.press("n")
    viewer.told("number", 1)


# ---- table and image ------------------------------------------------------------------------


def test_rows_and_boxes_point_at_each_other(show: Opener) -> None:
    viewer = show()
    viewer.root.locator(".rows .row").nth(1).hover()
    assert [mark["id"] for mark in viewer.marks if mark["lit"]] == ["p1"]
    viewer.root.locator(".rows .row").nth(3).click()
    assert viewer.look["x"] == 340
    viewer.over_image()
    assert [mark["id"] for mark in viewer.marks if mark["lit"]] == ["t1"]
    assert viewer.root.locator(".rows .row.lit").inner_text().startswith("GT2")


def test_a_thousand_candidates_cost_few_rows(show: Opener) -> None:
    viewer = show("many", confidence=0, nms=1)
    assert viewer.summary == "1000 shown, 0 hidden below confidence 0.00"
    assert viewer.root.locator(".rows .row").count() < 60


# ---- hostile and broken -----------------------------------------------------------------------


def test_names_with_markup_are_shown_as_text(show: Opener, tmp_path: Path) -> None:
    viewer = show("hostile")
    assert viewer.page.evaluate("window.hacked") is None
    assert viewer.root.locator("img").count() == 0
    assert viewer.rows[0][1] == HOSTILE
    assert viewer.root.locator(".case-title").inner_text() == HOSTILE
    with viewer.page.expect_download() as download:
        viewer.root.locator("[data-download=coco]").click()
    assert download.value.suggested_filename == "img_src_x_onerror_window.hacked_1_findings.json"


def test_an_unreadable_image_says_why(show: Opener) -> None:
    viewer = show("broken")
    note = viewer.root.locator(".pane-note").inner_text()
    assert note == "wrist.png: expected a whole image, found half of one."


# ---- files ------------------------------------------------------------------------------------


def test_downloads_hold_what_is_shown(show: Opener, tmp_path: Path) -> None:
    viewer = show("masks", confidence=0.3)
    with viewer.page.expect_download() as download:
        viewer.root.locator("[data-download=coco]").click()
    coco = json.loads(Path(download.value.path()).read_text())
    raw = scene("masks", 0)["panes"][0].predictions[0].detections
    shown = ViewerState(confidence=0.3).shown(raw, needs_nms=True)
    assert [a["score"] for a in coco["annotations"]] == shown.scores.tolist()
    assert coco["annotations"][0]["bbox"] == [104, 98, 100, 126]
    assert coco["annotations"][0]["segmentation"] == shown.masks[0].as_coco()
    assert coco["images"] == [{"id": 1, "file_name": "masks0", "width": 560, "height": 420}]
    assert coco["categories"] == [{"id": 0, "name": "fracture"}, {"id": 1, "name": "implant"}]
    viewer.over_image()
    viewer.page.keyboard.press("k")
    with viewer.page.expect_download() as download:
        viewer.root.locator("[data-download=png]").click()
    sheet = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert sheet.shape[1] == 560
    assert sheet.shape[0] > 420 + 40
    wanted = Window(center=1800, width=2600).apply(image(420, 560, 0))
    assert np.array_equal(sheet[350:420, 150:280, 1], wanted[350:420, 150:280])
    assert tuple(sheet[100, 420]) != (wanted[100, 420],) * 3


# ---- page and viewer --------------------------------------------------------------------------


def test_the_page_can_ask_for_another_state(show: Opener) -> None:
    viewer = show()
    viewer.type_number("confidence", "0.7")
    viewer.told("confidence", 0.7)
    viewer.page.get_by_text("Outside", exact=True).click()
    viewer.page.get_by_role("button", name="Force").click()
    viewer.until(lambda: viewer.state["confidence"] == 0.05)
    viewer.told("confidence", 0.05)
    viewer.type_number("confidence", "0.4")
    viewer.told("confidence", 0.4)


def test_the_viewer_knows_the_base_path(page: Page, serve: Callable[..., str]) -> None:
    script = Path(__file__).parent / "viewer_app.py"
    address = serve(script, "--server.baseUrlPath=bones/lab")
    viewer = ViewerPage(page, f"{address}/bones/lab/?scene=plain")
    assert len(viewer.rows) == 4


def test_touch_pinches_and_a_narrow_page_puts_the_column_below(
    browser: Browser, viewer_address: str
) -> None:
    with browser.new_context(viewport={"width": 700, "height": 1000}, has_touch=True) as context:
        page = context.new_page()
        viewer = ViewerPage(page, f"{viewer_address}/?scene=plain")
        image_box, column = viewer.pane().bounding_box(), viewer.root.locator(".column")
        assert image_box
        assert column.bounding_box()["y"] > image_box["y"] + image_box["height"]  # type: ignore[index]
        x, y = viewer.centre()
        session = context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        scale = viewer.look["scale"]
        touch("touchStart", (x - 30, y), (x + 30, y))
        for reach in (45, 60, 90):
            touch("touchMove", (x - reach, y), (x + reach, y))
        touch("touchEnd")
        assert viewer.look["scale"] == pytest.approx(3 * scale, rel=0.05)
        centre = viewer.look["x"]
        touch("touchStart", (x, y))
        touch("touchMove", (x + 40, y))
        touch("touchEnd")
        assert viewer.look["x"] < centre


def test_rows_of_the_test_scene_are_in_order() -> None:
    scores = [row[4] for row in ROWS]
    assert scores == sorted(scores, reverse=True)
