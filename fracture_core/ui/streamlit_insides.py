"""What leans on the insides of Streamlit, which another version may change without a word.

- `PagesManager` guesses the site map from a folder called pages; here the map is told.
- The theme is kept in the browser under a key of Streamlit's own; a reading room is dark, and
  Streamlit would follow the system.
- The scripts of widgets load when the first one is drawn, each after a round trip; those of the
  first page are named in its head, beside the viewer's, so that the browser loads them early.
- The main container has a class by which its margins are set.

`tests/ui/test_streamlit_insides.py` holds each against the installed version, and pyproject.toml
admits no version that these tests have not seen.
"""

import re
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager

from fracture_core.ui.protection import content_policy, inline_scripts
from fracture_core.ui.routes import viewer_paths

# Images need the room that Streamlit leaves at the sides for reading text.
WIDE = "<style>.stMainBlockContainer {padding-left: 1.25rem; padding-right: 1.25rem}</style>"
# Kept for each path of the app by itself; a choice of the reader's wins.
THEME_KEY = "stActiveTheme-${window.location.pathname}-v2"
# What the first page draws, as Streamlit names the parts; a hash and .js come after.
FIRST_PAGE = ("BidiComponent", "ButtonGroup", "Html", "PageLink", "Progress", "Selectbox")
_SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"
_IMPORT = re.compile(rb"""(?:from|import)["']\./([\w.\-]+\.js)["']""")


@lru_cache(maxsize=4)
def missing_chunks(page: bytes) -> tuple[str, ...]:
    """File names of the parts, and of all that they import, which the page does not name."""
    wanted = [path.name for part in FIRST_PAGE for path in _SCRIPTS.glob(f"{part}.*.js")]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in found and name.encode() not in page:
            found.add(name)
            wanted += imports_of((_SCRIPTS / name).read_bytes())
    return tuple(sorted(found))


def imports_of(script: bytes) -> list[str]:
    """The file names that a module imports at once, in the folder it is in."""
    return [name.decode() for name in _IMPORT.findall(script)]


_SCRIPT = b"""<script>
(() => {
  const key = `%s`;
  const last = "workbenchTheme";
  const copy = (from, to) => localStorage.setItem(to, localStorage.getItem(from) || '"Dark"');
  try {
    if (!localStorage.getItem(key)) copy(last, key);
    addEventListener("pagehide", () => copy(key, last));
  } catch { /* storage is switched off: the system's theme then */ }
})();
</script>""" % THEME_KEY.encode()


def use_the_site_map() -> None:
    """Without it the first run counts as one of an app without a site map, because there is a
    folder called pages, and a link to a page ends in "Page not found".
    """
    PagesManager.uses_pages_directory = False


class HeadInjection:
    """ASGI middleware that adds to the head of pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _names_a_file(scope):
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        await self.app(_without_compression(scope), receive, _PageEditor(send, host))


class _PageEditor:
    """Holds the start of a response back until it is known whether its body is the page."""

    def __init__(self, send: Send, host: str) -> None:
        self.send = send
        self.host = host
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self.start = message
        elif self.start is None:
            await self.send(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self.start)

    async def _finish(self, start: Message) -> None:
        body = self.body.replace(b"</head>", _SCRIPT + _preloads(self.body) + b"</head>", 1)
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        # Named by their hashes: of inline scripts only those that are meant to be there may run.
        policy = content_policy(self.host, inline_scripts(body))
        headers.append((b"content-security-policy", policy.encode()))
        await self.send({**start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _preloads(page: bytes) -> bytes:
    """Links to what the page does not name itself, with the paths that its scripts use."""
    chunks = (f"./static/js/{name}" for name in missing_chunks(page))
    paths = [*chunks, *viewer_paths()]
    return "".join(f'<link rel="modulepreload" href="{path}">' for path in paths).encode()


def _is_page(start: MutableMapping[str, Any]) -> bool:
    headers = {k.lower(): v for k, v in start["headers"]}
    is_html = headers.get(b"content-type", b"").startswith(b"text/html")
    return is_html and int(start["status"]) == 200 and b"content-encoding" not in headers


def _names_a_file(scope: Scope) -> bool:
    last = str(scope["path"]).rpartition("/")[2]
    return "." in last and last != "index.html"


def _without_compression(scope: Scope) -> Scope:
    kept = [(k, v) for k, v in scope["headers"] if k.lower() != b"accept-encoding"]
    return {**scope, "headers": kept}
