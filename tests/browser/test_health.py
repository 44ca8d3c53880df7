"""The health of a data set in a real browser: the check, its findings, a pair, a repaired copy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from tests.support.planted_faults import plant_in_yolo

ROOT = Path(__file__).parents[2]
SLOW = 180_000


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(ROOT / "streamlit_app.py")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("health")
    size = (160, 128)
    clean = write_demo(folder / "clean", count=60, size=size, format="yolo", outlines=False)
    plant_in_yolo(clean, folder / "faulty")
    return folder / "faulty"


def test_faults_are_found_opened_and_repaired(
    page: Page, address: str, faulty: Path, tmp_path: Path
) -> None:
    page.goto(f"{address}/datasets?path={faulty}")
    page.get_by_role("button", name="Open it").click(timeout=SLOW)
    page.get_by_role("tab", name="Health").click(timeout=SLOW)
    page.get_by_role("button", name="Check health").click()
    expect(page.get_by_role("button", name="Check again")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Images that cannot be read").last).to_be_visible()

    # A pair, both of its images loaded, each with a link to Read.
    fault = page.locator(".st-key-fault-look-alikes-across")
    fault.locator("summary").click()
    expect(fault.locator("img")).to_have_count(2, timeout=SLOW)
    page.wait_for_function(
        "frame => [...frame.querySelectorAll('img')].every(each => each.naturalWidth > 0)",
        arg=fault.element_handle(),
        timeout=SLOW,
    )
    links = fault.get_by_role("link")
    expect(links).to_have_count(2)
    assert "sample=" in (links.first.get_attribute("href") or "")

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert "look-alikes-across" in download.value.path().read_text()

    page.get_by_label("Folder of the copy").fill(str(tmp_path / "copy"))
    page.get_by_role("button", name="Make the copy").click()
    expect(page.get_by_text("Left out, as they cannot be read: 2")).to_be_visible(timeout=SLOW)
    assert len(open_dataset(tmp_path / "copy")) == len(open_dataset(faulty)) - 2
