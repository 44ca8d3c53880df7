"""The viewer as a reader uses it: what the tests see and do."""

import json
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page


class ViewerPage:
    """One open page with a viewer in it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.sent: list[str | bytes] = []
        self.fetched: list[str] = []
        page.on("websocket", self._listen)
        page.on("request", lambda request: self.fetched.append(request.url))
        page.goto(address)
        self.root = page.locator(".viewer")
        self.root.wait_for(timeout=90_000)
        self.until(lambda: self.see("viewer => viewer.frame >= 0 && !viewer.drawing"))
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.quiet()

    def _listen(self, socket: object) -> None:
        def keep(frame: str | bytes) -> None:
            self.sent.append(frame)

        socket.on("framesent", keep)  # type: ignore[attr-defined]

    def see(self, script: str, argument: object = None) -> object:
        """The value of a JavaScript function of the viewer."""
        return self.root.evaluate(
            f"(root, argument) => ({script})(root.caseViewer, argument)", argument
        )

    def until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Wait for something to hold; an assertion error where it never does."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.page.wait_for_timeout(20)

    def quiet(self) -> None:
        """Wait until no message has been sent for a while, and forget those that were."""
        count = -1
        while count != len(self.sent):
            count = len(self.sent)
            self.page.wait_for_timeout(120)
        self.sent.clear()

    def drawn(self) -> None:
        """Wait until everything asked for is drawn."""
        self.until(lambda: self.see("viewer => !viewer.drawing"))

    @property
    def look(self) -> dict:
        self.drawn()
        return self.see(
            "({stage: {look}}) => ({...look.view, inverted: look.inverted, window: look.window})"
        )

    @property
    def state(self) -> dict:
        self.drawn()
        return self.see("viewer => viewer.state")

    @property
    def marks(self) -> list[dict]:
        """What is drawn in the last pane."""
        self.drawn()
        return self.see(
            """viewer => viewer.stage.panes.at(-1).marks.map(
                ({id, kind, line, tag, lit}) => ({id, kind, line, tag, lit}))"""
        )

    @property
    def rows(self) -> list[list[str]]:
        self.drawn()
        return self.see(
            """viewer => viewer.column.table.lines.filter((line) => line.row)
                .map((line) => line.cells.map((cell) => cell.textContent))"""
        )

    @property
    def account(self) -> str:
        self.drawn()
        return self.root.locator(".account").inner_text()

    @property
    def summary(self) -> str:
        self.drawn()
        return self.root.locator(".tally").inner_text()

    @property
    def python(self) -> dict:
        """What Python knows, once it has run."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        return json.loads(self.page.locator("[data-testid=stText]").inner_text())

    def told(self, name: str, value: object) -> None:
        """Wait until Python knows this."""
        self.until(lambda: self.python[name] == value)

    def slider(self, name: str) -> Locator:
        return self.root.locator(f"[data-control={name}]")

    def number(self, name: str) -> Locator:
        return self.root.locator(f"[data-number={name}]")

    def type_number(self, name: str, text: str) -> None:
        self.number(name).fill(text)
        self.number(name).press("Enter")
        self.drawn()

    def pane(self, n: int = 0) -> Locator:
        return self.root.locator(".pane").nth(n)

    def centre(self) -> tuple[float, float]:
        box = self.pane().bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def over_image(self) -> None:
        self.page.mouse.move(*self.centre())

    def drag(self, by: tuple[float, float], *, button: str = "left") -> None:
        x, y = self.centre()
        self.page.mouse.move(x, y)
        self.page.mouse.down(button=button)  # type: ignore[arg-type]
        self.page.mouse.move(x + by[0], y + by[1], steps=4)
        self.page.mouse.up(button=button)  # type: ignore[arg-type]
        self.drawn()
