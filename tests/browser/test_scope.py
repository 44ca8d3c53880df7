"""Images that a model was not made for, in a real browser: banner, button, whole screen, files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from fracture_core.boxes import iou, xywh_to_xyxy
from fracture_core.demo import answer
from fracture_core.models.cards import read_card
from fracture_core.models.library import SHIPPED
from tests.browser.test_read import IDLE, ROOT, png, title, upload
from tests.browser.viewer_page import ViewerPage
from tests.support.dicom_files import dicom

YELLOW = (240, 228, 66)
NOT_MEASURED = "not measured on images like this"


@pytest.fixture(scope="module")
def app_address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


def opened(page: Page, address: str, **query: str) -> ViewerPage:
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return ViewerPage(page, f"{address}/?{pairs}")


def banner(reader: ViewerPage) -> Locator:
    return reader.root.locator(".banner")


def hand_in(reader: ViewerPage, name: str, data: bytes) -> None:
    upload(reader, (name, data))
    reader.until(lambda: title(reader) == name, 240)
    reader.page.locator(IDLE).wait_for()


def read(reader: ViewerPage) -> None:
    """Wait until every model has answered; the first answer of a network can take long."""
    every = "viewer => viewer.content.panes.every((pane) => pane.predictions[0])"
    reader.until(lambda: reader.see(every), 240)
    reader.page.locator(IDLE).wait_for()


def button(reader: ViewerPage) -> Locator:
    return banner(reader).get_by_role("button", name="Read it all the same")


def of(modality: str, **elements: str) -> bytes:
    """A made file: a bright ellipse on dark, as large as it need be."""
    y, x = np.mgrid[0:300, 0:240]
    inside = ((x - 120) / 90) ** 2 + ((y - 150) / 120) ** 2 < 1
    noise = np.random.default_rng(1).integers(0, 300, (300, 240))
    pixels = (600 + 2200 * inside + noise).astype(np.uint16)
    return dicom(pixels, bits=12, Modality=modality, **elements)


def yellow_rows(path: Path) -> int:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return int((pixels == YELLOW).all(axis=2)[:, 2].sum())


def saved(reader: ViewerPage, name: str, path: Path) -> Path:
    with reader.page.expect_download() as download:
        reader.root.locator(f"[data-download={name}]").click()
    download.value.save_as(path)
    return path


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("mammogram", of("MG", BodyPartExamined="BREAST", ViewPosition="MLO"), "MG (mammogram)"),
        ("orthopantomogram", of("PX"), "PX (panoramic radiograph of the jaws)"),
        ("teeth", of("DX", BodyPartExamined="JAW"), "PX (panoramic radiograph of the jaws)"),
        ("mr", of("MR", BodyPartExamined="KNEE"), "MR"),
    ],
)
def test_other_kinds_of_image_are_not_read_until_confirmed(
    page: Page, app_address: str, name: str, data: bytes, said: str
) -> None:
    reader = opened(page, app_address, model="fake")
    hand_in(reader, name, data)
    expect(banner(reader)).to_contain_text(f"This model has never seen images like this: {said}")
    expect(banner(reader)).to_contain_text("It has not been read.")
    assert reader.see("viewer => viewer.content.panes[0].predictions") == [None]
    assert reader.account == "Not read."
    button(reader).click()
    read(reader)
    expect(button(reader)).to_be_hidden()
    expect(banner(reader)).to_contain_text(said)


def test_the_banner_stays_in_whole_screen_and_in_every_file(
    page: Page, app_address: str, tmp_path: Path
) -> None:
    reader = opened(page, app_address, model="fake")
    hand_in(reader, "mammogram", of("MG"))
    assert yellow_rows(saved(reader, "png", tmp_path / "unread.png")) > 20
    button(reader).click()
    read(reader)
    assert yellow_rows(saved(reader, "png", tmp_path / "read.png")) > 20
    coco = json.loads(saved(reader, "coco", tmp_path / "read.json").read_text())
    assert "never seen images like this: MG (mammogram)" in coco["info"]["banner"]
    reader.root.locator("[data-command=full]").click()
    reader.until(lambda: page.evaluate("document.fullscreenElement !== null"))
    assert page.evaluate(
        "document.fullscreenElement.contains(document.querySelector('.banner'))"
    ) or (reader.root.evaluate("root => root.getRootNode().fullscreenElement === root"))
    expect(banner(reader)).to_be_visible()
    box = banner(reader).bounding_box()
    assert box
    assert box["y"] >= 0
    page.keyboard.press("Escape")


def test_what_was_measured_elsewhere_is_not_claimed(page: Page, viewer_address: str) -> None:
    reader = ViewerPage(page, f"{viewer_address}/?scene=strange&confidence=0.97")
    expect(reader.root.locator(".banner-words")).to_have_text(
        "⚠ This model has never seen images like this: chest."
    )
    assert f"No finding above this confidence; {NOT_MEASURED}; best" in reader.account
    assert reader.root.locator(".evidence").inner_text() == f"At confidence 0.97: {NOT_MEASURED}."
    reader.type_number("confidence", "0.5")
    reader.root.locator(".rows .row").first.hover()
    reader.drawn()
    assert reader.root.locator(".evidence").inner_text().endswith(f"line: {NOT_MEASURED}.")
    reader.root.get_by_label("Unit of the dial").select_option("sensitivity")
    reader.drawn()
    assert reader.root.locator(".pane-dial").inner_text().endswith(f": {NOT_MEASURED}")


def test_inside_its_scope_nothing_is_said(page: Page, app_address: str, tmp_path: Path) -> None:
    reader = opened(page, app_address)
    expect(banner(reader)).to_be_hidden()
    assert NOT_MEASURED not in reader.root.locator(".column").inner_text()
    assert yellow_rows(saved(reader, "png", tmp_path / "demo.png")) == 0
    coco = json.loads(saved(reader, "coco", tmp_path / "demo.json").read_text())
    assert "banner" not in coco["info"]


def test_an_upload_without_tags_is_read_under_a_banner_that_the_reader_can_answer(
    page: Page, app_address: str
) -> None:
    reader = opened(page, app_address, model="fake")
    hand_in(reader, "wrist.png", png())
    # Trained on synthetic images alone, the model has never seen a real one.
    expect(banner(reader)).to_contain_text("real (it was trained on synthetic images alone)")
    expect(button(reader)).to_be_hidden()
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("combobox", name="Kind of image").click()
    page.get_by_role("option", name="CT", exact=True).click()
    expect(banner(reader)).to_contain_text("never seen images like this: CT")
    expect(button(reader)).to_be_visible()


def test_the_default_model_finds_a_real_fracture_at_the_opening_confidence(
    page: Page, app_address: str, shared_data: Path, tmp_path: Path
) -> None:
    folder, name = shared_data / "fracatlas", "IMG0003734.jpg"
    content = json.loads((folder / "annotations" / "valid.json").read_text())
    [image_id] = [each["id"] for each in content["images"] if each["file_name"] == name]
    drawn = [each["bbox"] for each in content["annotations"] if each["image_id"] == image_id]
    reader = opened(page, app_address)
    hand_in(reader, name, (folder / "images" / name).read_bytes())
    read(reader)
    card = read_card(SHIPPED / answer.MODEL)
    opening = card.operating_points[card.opening_point]
    shown = float(reader.number("confidence").input_value())
    assert shown == pytest.approx(opening, abs=0.005)
    found = json.loads(saved(reader, "coco", tmp_path / "found.json").read_text())["annotations"]
    assert all(each["score"] >= opening - 1e-4 for each in found)
    boxes = [xywh_to_xyxy(np.array(each)) for each in ([f["bbox"] for f in found], drawn)]
    assert iou(*boxes).max() > 0.5
    expect(button(reader)).to_be_hidden()
    # Nothing tells kind and body part, whatever the default model was made for.
    expect(banner(reader)).to_contain_text("Nothing tells what this image shows")
    sidebar = page.get_by_test_id("stSidebar")
    for label, option in (("Kind of image", "radiograph"), ("Body part", "hand")):
        sidebar.get_by_role("combobox", name=label).click()
        # Of a long list only a part is drawn: what is typed brings the rest.
        sidebar.get_by_role("combobox", name=label).fill(option)
        page.get_by_role("option", name=option, exact=True).click()
        page.locator(IDLE).wait_for()
    expect(banner(reader)).to_be_hidden()


def test_of_several_models_each_is_named_that_the_image_is_strange_to(
    page: Page, viewer_address: str
) -> None:
    reader = ViewerPage(page, f"{viewer_address}/?scene=held")
    expect(reader.root.locator(".banner-words p")).to_have_text(
        [
            "⚠ A: This model has never seen images like this: chest.",
            "⚠ B: This model has never seen images like this: MG (mammogram).",
            "B has not read it.",
        ]
    )
    expect(button(reader)).to_be_visible()
    expect(reader.root.locator(".pane-warnings").nth(1)).to_have_text("not read")
