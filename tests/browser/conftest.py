"""A real browser, and served pages for it to look at."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.install_browser import find_browser

REPOSITORY = Path(__file__).parents[2]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@contextmanager
def serving(script: Path, home: Path, *options: str) -> Iterator[str]:
    """`streamlit run` on a free port until the end of the block; gives the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    command += ["--server.headless=true", "--server.fileWatcherType=none", *options]
    roots = os.pathsep.join((str(home.parent), str(REPOSITORY.parent / "shared")))
    environment = os.environ | {"FRACTURE_HOME": str(home), "FRACTURE_DATA_ROOTS": roots}
    log = home / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_healthy(process, f"http://127.0.0.1:{port}", options, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_healthy(
    process: subprocess.Popen[bytes], address: str, options: tuple[str, ...], log: Path
) -> None:
    base = next((o.partition("=")[2] for o in options if "baseUrlPath" in o), "")
    url = f"{address}/{base}/_stcore/health" if base else f"{address}/_stcore/health"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`serve(script, *options)` gives an address; servers run until the tests end."""
    with ExitStack() as stack:

        def start(script: Path, *options: str) -> str:
            home = tmp_path_factory.mktemp("served")
            return stack.enter_context(serving(script, home, *options))

        yield start


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of this machine; a failure, never a skip, where there is none."""
    found = find_browser()
    assert found, "the browser tests need Chromium: python -m tests.install_browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that fails the test when a script in it throws."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


@pytest.fixture(scope="session")
def viewer_address(serve: Callable[..., str]) -> str:
    return serve(Path(__file__).parent / "viewer_app.py")
