"""A hostile file on the Library page gets a sentence, and stops nobody meanwhile."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from fracture_core.models.families import installed
from tests.support.hostile_files import CHECKPOINTS

ROOT = Path(__file__).parents[2]
NAMES = "a name that is a list doubled forty times"
ATTRIBUTES = "an attribute of a list doubled forty times"
MOST_SECONDS = 0.2


@contextmanager
def health_of(address: str) -> Iterator[list[float]]:
    """The seconds of each answer to a question asked again and again until the block ends."""
    seconds, done = list[float](), threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            start = time.perf_counter()
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=60):
                seconds.append(time.perf_counter() - start)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seconds
    finally:
        done.set()
        asking.join()


def add(page: Page, file: Path, family: str) -> None:
    """Hand in a file and wait for the sentence about it."""
    page.locator("input[type=file]").first.set_input_files(file, timeout=300_000)
    expect(page.get_by_text(file.name, exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("combobox", name="Family").click()
    page.get_by_role("option", name=family, exact=True).click()
    page.get_by_test_id("stFormSubmitButton").first.get_by_role("button").click()
    sentence = page.get_by_test_id("stAlert").filter(has_text=f"{file.name}: expected")
    expect(sentence).to_be_visible(timeout=300_000)


def test_the_server_goes_on_answering(
    page: Page, serve: Callable[..., str], tmp_path: Path
) -> None:
    address = serve(ROOT / "streamlit_app.py")
    page.goto(f"{address}/library")
    families = [name for name in installed().families if name not in {"fake", "consensus"}]
    for number, family in enumerate(families):
        add(page, CHECKPOINTS[NAMES](tmp_path / f"a{number}"), family)
    # A family's library is imported by now; what is left is the file.
    with health_of(address) as seconds:
        for number, family in enumerate(families):
            add(page, CHECKPOINTS[ATTRIBUTES](tmp_path / f"b{number}"), family)
    ordered = sorted(seconds)
    late = ordered[len(ordered) * 95 // 100]
    print(f"health: {len(ordered)} answers, 95 % within {late:.3f} s, all within {ordered[-1]:.3f}")
    assert len(ordered) > 20
    assert late < MOST_SECONDS
