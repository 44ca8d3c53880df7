"""Make sure that the browser tests have a browser: one that is there, Debian's, or Playwright's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of a Chromium on this machine: CHROMIUM, the search path, then Playwright's own."""
    if given := os.environ.get("CHROMIUM"):
        return given
    for name in INSTALLED:
        if path := shutil.which(name):
            return path
    return _playwright_browser()


def _playwright_browser() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _install() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def main() -> None:
    """Install a browser where there is none; fail where that does not work."""
    if find_browser() is None:
        print("No browser found; installing one for the tests.", flush=True)
        _install()
    browser = find_browser()
    if browser is None:
        sys.exit("The tests need Chromium and none could be installed. Set CHROMIUM to its path.")
    print(f"Browser for the tests: {browser}")


if __name__ == "__main__":
    main()
