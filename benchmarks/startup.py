"""Speed of starting: from the start of the server to a usable page, with an empty home folder.

An app of two lines, started in turn with ours, tells what Streamlit and the machine take of it.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import Row
from tests.install_browser import find_browser

ROOT = Path(__file__).parents[1]
RUNS = 5
EMPTY = "import streamlit as st\nst.write('usable')\n"
BROWSER_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@contextmanager
def served(home: str, script: Path = ROOT / "streamlit_app.py") -> Iterator[int]:
    """Run an app on a free port, which is yielded as soon as the process has started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    options = ["--server.headless=true", f"--server.port={port}"]
    environment = {**os.environ, "FRACTURE_HOME": home}
    with subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            yield port
        finally:
            server.terminate()


def wait_until_usable(page: Page, port: int, sign: str = "[data-testid=findings-row]") -> None:
    """Open the page as soon as the server listens, and wait for the findings or another `sign`."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    page.wait_for_selector(sign, timeout=60_000)


def _one_start(*, empty: bool = False) -> float:
    """Seconds until our first page is usable, or until the text of an app of two lines is seen."""
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        script = ROOT / "streamlit_app.py"
        if empty:
            script = Path(home) / "empty.py"
            script.write_text(EMPTY)
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=list(BROWSER_FLAGS)
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        with served(home, script) as port:
            wait_until_usable(page, port, *(["text=usable"] if empty else []))
            seconds = time.perf_counter() - start
        browser.close()
    return seconds


def main() -> list[Row]:
    """Return the median time of five starts until the demo case shows its findings, and what it
    is beside an app of two lines that is started in turn with it.
    """
    ours, empty = [], []
    for _ in range(RUNS):
        ours.append(_one_start())
        empty.append(_one_start(empty=True))
    start, bare = statistics.median(ours), statistics.median(empty)
    name = f"server start → usable page, median of {RUNS}"
    return [
        Row(name=name, value=start, unit="s", limit=3),
        Row(name="an app of two lines, in turn with it", value=bare, unit="s"),
        Row(name="usable page beside an app of two lines", value=start / bare, unit="×", limit=1.5),
    ]
