"""Speed of starting: from the start of the server to a usable page, with an empty home folder."""

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
BROWSER_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@contextmanager
def served(home: str) -> Iterator[int]:
    """Run the app on a free port, which is yielded as soon as the process has started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
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


def wait_until_usable(page: Page, port: int) -> None:
    """Open the page as soon as the server listens, and wait for the findings."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    page.wait_for_selector("[data-testid=findings-row]", timeout=60_000)


def _one_start() -> float:
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=list(BROWSER_FLAGS)
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        with served(home) as port:
            wait_until_usable(page, port)
            seconds = time.perf_counter() - start
        browser.close()
    return seconds


def main() -> list[Row]:
    """Return the median time of five starts until the demo case shows its findings."""
    seconds = [_one_start() for _ in range(RUNS)]
    name = f"server start → usable page, median of {RUNS}"
    return [Row(name=name, value=statistics.median(seconds), unit="s", limit=3)]
