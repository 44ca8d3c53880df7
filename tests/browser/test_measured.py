"""What was measured of a model, told in a real browser while the settings move."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fracture_core.evaluations import sentence_of_negative
from fracture_core.types import Detections
from fracture_core.ui.widgets.case_viewer import ViewerState
from tests.browser.compare_app import OF_B, ROWS
from tests.browser.test_read import drag_slider
from tests.browser.viewer_page import ViewerPage
from tests.support.measurements import measured, share

FOLDER = Path(__file__).parent
Opener = Callable[..., ViewerPage]


def opener(page: Page, address: str) -> Opener:
    def opened(scene: str, **query: object) -> ViewerPage:
        pairs = [f"{key}={value}" for key, value in {"scene": scene, **query}.items()]
        return ViewerPage(page, f"{address}/?{'&'.join(pairs)}")

    return opened


@pytest.fixture
def show(page: Page, viewer_address: str) -> Opener:
    return opener(page, viewer_address)


@pytest.fixture(scope="module")
def compare_address(serve: Callable[..., str]) -> str:
    return serve(FOLDER / "compare_app.py")


@pytest.fixture
def show_many(page: Page, compare_address: str) -> Opener:
    return opener(page, compare_address)


def evidence(viewer: ViewerPage) -> str:
    viewer.drawn()
    return viewer.root.locator(".evidence").inner_text()


def dials(viewer: ViewerPage) -> list[str]:
    """What stands at the head of each pane of where the dial takes its model."""
    viewer.drawn()
    return viewer.root.locator(".pane-dial").all_inner_texts()


def in_view(page: Page) -> str:
    """Whatever is clipped or runs over, by name."""
    return page.locator(".viewer").evaluate(
        """root => [...root.querySelectorAll("button, label, p, span:not(.tick-name)")]
            .filter((e) => e.offsetParent && getComputedStyle(e).overflow !== "visible"
                && e.scrollWidth > e.clientWidth + 1 && !e.title)
            .map((e) => e.className + ": " + e.textContent).join("\\n")"""
    )


# ---- one model --------------------------------------------------------------------------------


def test_lines_tell_the_tier_and_the_legend_says_so(show: Opener) -> None:
    viewer = show("tiers", confidence=0.05)
    lines = [mark["line"] for mark in viewer.marks if mark["id"].startswith("p")]
    assert lines == ["solid", "dashed", "dashed", "dashed", "dotted"]
    expect(viewer.root.locator(".legend-line")).to_have_text(
        [
            "solid from 0.85, specificity ≥ 0.95",
            "dashed from 0.30, sensitivity ≥ 0.8",
            "dotted below 0.30",
        ]
    )


def test_without_measurements_nothing_is_claimed(show: Opener) -> None:
    viewer = show("plain", confidence=0.95)
    assert "The sensitivity of this setting has not been measured." in viewer.account
    for name in (".line-legend", ".evidence", ".tick", ".units"):
        assert viewer.root.locator(name).locator("visible=true").count() == 0


def test_a_negative_says_what_it_is_worth_while_the_slider_moves(show: Opener) -> None:
    viewer = show("measured", confidence=0.97)
    known = measured()
    told = sentence_of_negative(known, 0.97).removesuffix(".")
    assert viewer.account == f"{told}; best candidate 0.90. 2 ground-truth boxes missed."
    drag_slider(viewer, "confidence", 0.911)
    viewer.until(lambda: share(20, 200) in viewer.account)
    confidence = viewer.state["confidence"]
    assert 0.9 < confidence < 0.95
    assert sentence_of_negative(known, confidence).removesuffix(".") in viewer.account
    viewer.page.wait_for_timeout(200)
    assert viewer.sent == []
    viewer.page.mouse.up()
    viewer.told("confidence", confidence)


def test_a_score_is_worth_what_findings_scored_alike_were(show: Opener) -> None:
    viewer = show("measured")
    assert evidence(viewer).startswith(
        f"At confidence 0.50 on wrists, split val: sensitivity {share(130, 200)} per lesion, "
        f"0.24 FP per image, specificity {share(80, 100)} per image."
    )
    viewer.root.locator(".rows .row").nth(2).hover()
    words = "boxes scored 0.6–0.7 by this model were right 58 % of the time (41–74 %) on wrists"
    assert evidence(viewer) == (f"Finding 3, score 0.60, dashed line: {words}, split val (n = 31).")
    title = viewer.root.locator(".rows .row").nth(2).locator("span").nth(2).get_attribute("title")
    assert title == f"{words}, split val (n = 31)."
    viewer.root.locator(".rows .row").nth(1).hover()
    assert "no box was scored 0.8–0.9 by this model on wrists" in evidence(viewer)


def test_settings_that_were_not_measured_are_told(show: Opener) -> None:
    viewer = show("measured", confidence=0.97, nms=0.4)
    assert "split val (measured at NMS IoU 0.50); best candidate" in viewer.account
    viewer.type_number("match_iou", "0.3")
    assert "(measured at NMS IoU 0.50 and match IoU 0.50)" in viewer.account
    assert "(measured at NMS IoU 0.50 and match IoU 0.50)" in evidence(viewer)
    viewer.type_number("nms_iou", "0.5")
    viewer.type_number("match_iou", "0.5")
    assert "(measured at" not in viewer.account


def test_operating_points_are_ticks_by_mouse_and_keyboard(show: Opener) -> None:
    viewer = show("measured", confidence=0.6)
    ticks = viewer.root.get_by_role("button", name="Operating point")
    expect(ticks).to_have_count(3)
    first = viewer.root.get_by_role("button", name="Operating point sensitivity ≥ 0.9")
    first.hover()
    expect(first.locator(".tick-name")).to_be_visible()
    expect(first.locator(".tick-name")).to_have_text("sensitivity ≥ 0.9 · confidence 0.10")
    first.click()
    viewer.told("confidence", 0.1)
    assert len(viewer.rows) == 5
    viewer.slider("confidence").focus()
    viewer.page.keyboard.press("Tab")
    viewer.page.keyboard.press("Tab")
    expect(viewer.root.locator(".tick:focus .tick-name")).to_have_text("max F1 · confidence 0.50")
    viewer.page.keyboard.press("Enter")
    viewer.told("confidence", 0.5)
    assert in_view(viewer.page) == ""


def test_the_slider_snaps_to_a_point_and_leaves_it_again(show: Opener) -> None:
    viewer = show("measured")
    viewer.see("({column}) => { column.controls.dial.slider.stops = [0.3137] }")
    snapped = """({column}, values) => values.map((value) => {
        column.controls.dial.slider.stops = [0.3137]
        return column.controls.dial.slider.stopAt(value)
    })"""
    assert viewer.see(snapped, [0.306, 0.312, 0.3149, 0.316]) == [0.3137, 0.3137, 0.3137, 0.32]
    viewer.type_number("confidence", "0.09")
    viewer.slider("confidence").focus()
    for expected in (0.1, 0.11, 0.12):
        viewer.page.keyboard.press("ArrowRight")
        assert viewer.state["confidence"] == expected


def test_one_model_can_be_set_by_sensitivity_too(show: Opener) -> None:
    viewer = show("measured", confidence=0.3)
    viewer.root.get_by_label("Unit of the dial").select_option("sensitivity")
    viewer.told("unit", "sensitivity")
    viewer.told("level", 0.8)
    assert viewer.summary == "4 shown, 1 hidden below confidence 0.30, 1 suppressed"
    viewer.type_number("confidence", "0.85")
    assert viewer.summary.startswith("5 shown, 0 hidden below confidence 0.10")


def test_small_false_positive_rates_have_room_on_the_slider(show: Opener) -> None:
    viewer = show("measured", dial="fp_per_image", level=0.24)
    assert viewer.summary.endswith("below confidence 0.50, 1 suppressed")
    drag_slider(viewer, "confidence", 0.99)
    viewer.until(lambda: viewer.state["level"] > 7)
    viewer.page.mouse.up()
    viewer.type_number("confidence", "1")
    share_of_one = viewer.see("({column}) => Number(column.controls.dial.slider.range.value)")
    assert share_of_one == 0.5
    viewer.slider("confidence").focus()
    viewer.type_number("confidence", "0")
    viewer.slider("confidence").focus()
    viewer.page.keyboard.press("ArrowRight")
    assert viewer.state["level"] == 0.01


def test_a_classifier_s_image_score_is_held_against_its_points(show: Opener) -> None:
    viewer = show("classifier")
    told = sentence_of_negative(measured(unit="image"), 0.5).removesuffix(".")
    assert f"{told}; this image's image score 0.31." in viewer.account
    assert "per image on wrists" in viewer.account
    assert evidence(viewer) == (
        "This image: images scored 0.3–0.4 by this model had a finding 36 % of the time "
        "(25–50 %) on wrists, split val (n = 55)."
    )
    assert not viewer.slider("nms_iou").is_visible()
    viewer.root.get_by_role("button", name="Operating point sensitivity ≥ 0.9").click()
    assert "Its image score 0.31 is at or above this operating point (0.10)." in viewer.account
    viewer = show("classifier unmeasured")
    assert "The sensitivity of this model has not been measured." in viewer.account
    assert not viewer.slider("confidence").is_visible()


def test_nothing_moves_while_what_is_measured_changes(show: Opener) -> None:
    viewer = show("measured", confidence=0.97)
    places = """root => [".stage", ".controls", ".findings:not([hidden])", ".evidence"].map(
        (name) => Object.values(root.querySelector(name).getBoundingClientRect().toJSON()))"""
    before = viewer.root.evaluate(places)
    for confidence in ("0.93", "0.5", "0.05"):
        viewer.type_number("confidence", confidence)
        viewer.root.locator(".rows .row").first.hover()
        assert viewer.root.evaluate(places) == before
    assert in_view(viewer.page) == ""


# ---- several models -----------------------------------------------------------------------------


def python_s(n: int, state: dict) -> list[float]:
    """The scores that Python shows in a pane."""
    table = sorted(ROWS[n], key=lambda row: -row[4])
    raw = Detections.of([r[:4] for r in table], [r[4] for r in table], [r[5] for r in table])
    known = (measured(), measured(OF_B, points=()), None)[n]
    names = ("confidence", "unit", "level", "nms_iou")
    wanted = ViewerState(**{name: state[name] for name in names})
    shown = wanted.shown(raw, needs_nms=n == 0, pane=n, measured=known)
    return [round(float(score), 2) for score in shown.scores]


def shown_scores(viewer: ViewerPage, n: int) -> list[float]:
    """The scores that the browser shows in a pane."""
    viewer.drawn()
    found = viewer.see(
        "({findings}, n) => findings[n].shown.map((position) => findings[n].raw.scores[position])",
        n,
    )
    return [round(score, 2) for score in found]


def test_at_equal_sensitivity_each_model_follows_the_drag_to_its_own_confidence(
    show_many: Opener,
) -> None:
    viewer = show_many("measured")
    viewer.root.get_by_label("Unit of the dial").select_option("sensitivity")
    viewer.told("unit", "sensitivity")
    # Where the first model stood before.
    assert viewer.state["level"] == 0.65
    assert dials(viewer) == [
        "confidence 0.50: sensitivity 0.65 per lesion",
        "confidence 0.40: sensitivity 0.75 per lesion",
        "not measured: raw confidence 0.50",
    ]
    viewer.quiet()
    drag_slider(viewer, "confidence", 0.88)
    viewer.until(lambda: "confidence 0.20: sensitivity 0.93 per lesion" in dials(viewer))
    assert dials(viewer)[0] == "confidence 0.10: sensitivity 0.90 per lesion"
    drag_slider_on(viewer, "confidence", 0.42)
    viewer.until(lambda: "confidence 0.70: sensitivity 0.50 per lesion" in dials(viewer))
    assert dials(viewer)[1:] == [
        "confidence 0.65: sensitivity 0.45 per lesion",
        "not measured: raw confidence 0.50",
    ]
    assert [row[2:5] for row in viewer.rows] == [
        ["0.90", "0.70", "0.85"],
        ["0.80", "–", "–"],
        ["–", "–", "–"],
    ]
    for n in range(3):
        assert shown_scores(viewer, n) == python_s(n, viewer.state)
    viewer.page.wait_for_timeout(300)
    assert viewer.sent == []
    viewer.page.mouse.up()
    viewer.told("level", viewer.state["level"])
    assert viewer.python["confidence"] == 0.5


def drag_slider_on(viewer: ViewerPage, name: str, to: float) -> None:
    """Go on with a drag whose button is still down."""
    box = viewer.slider(name).bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    viewer.page.mouse.move(box["x"] + box["width"] * to, y, steps=15)


def test_a_level_comes_from_the_address_and_says_where_it_is_not_met(show_many: Opener) -> None:
    viewer = show_many("measured", dial="fp_per_image", level=0.1)
    assert dials(viewer)[:2] == [
        "confidence 0.70: 0.08 FP per image",
        "confidence 0.65: 0.10 FP per image",
    ]
    viewer = show_many("measured", dial="sensitivity", level=0.97)
    assert dials(viewer)[:2] == [
        "confidence 0.02: at most sensitivity 0.95 per lesion",
        "confidence 0.05: sensitivity 0.97 per lesion",
    ]


def test_one_measured_model_is_too_few_and_the_list_says_so(show_many: Opener) -> None:
    viewer = show_many("half measured")
    options = viewer.root.get_by_label("Unit of the dial").locator("option")
    expect(options).to_have_text(
        [
            "Raw confidence",
            "Equal sensitivity (1 of 3 models measured)",
            "Equal FP per image (1 of 3 models measured)",
        ]
    )
    assert [option.is_disabled() for option in options.all()] == [False, True, True]
    assert viewer.root.locator(".line-legend").is_visible()
    viewer.root.get_by_role("tab", name="C Third").click()
    expect(viewer.root.locator(".line-legend")).to_contain_text("all lines solid")


def test_thresholds_of_their_own_begin_where_the_dial_left_the_models(show_many: Opener) -> None:
    viewer = show_many("measured", dial="sensitivity", level=0.8)
    viewer.root.get_by_text("own thresholds").click()
    viewer.told("own", [[0.3, 0.5], [0.2, 0.5], [0.5, 0.5]])
    viewer.told("unit", "confidence")
    viewer.root.get_by_label("Unit of the dial").select_option("fp_per_image")
    viewer.told("own", [])
    viewer.told("level", 0.6)


def test_each_pane_s_score_has_its_own_evidence(show_many: Opener) -> None:
    viewer = show_many("measured")
    assert evidence(viewer).startswith("A: At confidence 0.50 on wrists, split val")
    row = viewer.root.locator(".places .rows .row").first
    row.hover()
    assert evidence(viewer).startswith("A: Finding 1, score 0.90, solid line: no box was scored")
    assert "on ankles" in row.locator("span").nth(3).get_attribute("title")
    assert row.locator("span").nth(4).get_attribute("title") == ""
    viewer.type_number("confidence", "0.95")
    viewer.page.mouse.move(2, 2)
    viewer.until(lambda: evidence(viewer).startswith("A: No finding above this confidence"))
