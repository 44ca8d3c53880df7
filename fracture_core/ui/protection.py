"""What a browser and a stranger may do: hosts that are answered, headers of every answer, and the
folders that the pages may read and write.

A website that a reader has open elsewhere can point a name of its own at this machine and then
ask as if it were the page itself; so only known hosts are answered. The headers keep the pages
out of other sites' frames and let them load nothing from elsewhere. A path box reaches no further
than the data roots.
"""

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fracture_core.errors import DatasetError
from fracture_core.settings import settings

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_OPEN_TO_OTHERS = (
    "The server would listen on {address}, where others can reach it, and it has no login: whoever "
    "reaches it can read the data folders and start trainings. Leave server.address at 127.0.0.1, "
    "or put a proxy with a login before it, set FRACTURE_ALLOW_REMOTE=1, and name the hosts it is "
    "reached by in FRACTURE_ALLOWED_HOSTS."
)


def is_local() -> bool:
    """Whether the server listens for this machine alone."""
    return _is_loopback(_bound_address())


def refuse_open_server() -> None:
    """Exits with a sentence where others could reach a server that nobody allowed to be open."""
    if not (is_local() or settings().allow_remote):
        sys.exit(_OPEN_TO_OTHERS.format(address=_bound_address() or "every address"))


class Protection:
    """ASGI middleware: refuses unknown hosts and adds the headers that browsers heed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.hosts = frozenset(_names((*LOCAL_HOSTS, _bound_address(), *settings().allowed_hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if _host_name(host) in self.hosts:
            await self.app(scope, receive, _protected(send, host))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            refusal = PlainTextResponse(
                "This host is not known here; FRACTURE_ALLOWED_HOSTS names those that are.\n", 421
            )
            await refusal(scope, receive, _protected(send, ""))


def content_policy(host: str, scripts: Iterable[bytes] = ()) -> str:
    """The Content-Security-Policy of an answer to `host`; of inline scripts, `scripts` may run.

    Streamlit and plotly set styles inline, and components and downloads go through blob: addresses.
    """
    hashes = "".join(f" 'sha256-{_digest(script)}'" for script in scripts)
    sockets = f" ws://{host} wss://{host}" if host else ""
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob:{hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' data: blob:{sockets}",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def inline_scripts(page: bytes) -> list[bytes]:
    """The scripts that stand in a page itself."""
    return _INLINE_SCRIPT.findall(page)


def _protected(send: Send, host: str) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name.lower() for name, _ in message["headers"]}
            policy = (b"content-security-policy", content_policy(host).encode())
            added = [each for each in (*_HEADERS, policy) if each[0] not in named]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return with_headers


def _bound_address() -> str:
    return str(st.get_option("server.address") or "")


def _is_loopback(address: str) -> bool:
    if address.lower() == "localhost":
        return True
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(hosts: Iterable[str]) -> list[str]:
    return [host.strip("[] ").lower().rstrip(".") for host in hosts if host.strip()]


def _host_name(header: str) -> str:
    """A Host header without its port: "[::1]:8501" → "::1"; "" where it is none."""
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.\-]+))(?::\d+)?", header.lower())
    return (match[1] or match[2]).rstrip(".") if match else ""


def _digest(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()


def data_roots() -> tuple[Path, ...]:
    """FRACTURE_DATA_ROOTS and the demo data; by default the user's home and the working folder.

    The default holds on a server for this machine alone; any other has the demo data only.
    """
    demo = settings().home / "demo"
    if settings().data_roots or not is_local():
        return (*settings().data_roots, demo)
    return (Path.home(), Path.cwd(), demo)


def inside_roots(text: str) -> Path:
    """The path that was typed; DatasetError where its real place is outside all data roots.

    What lies outside is never looked at: the sentence is the same whether it exists or not.
    """
    try:
        path = Path(text).expanduser()
        real = Path(os.path.realpath(path))
    except (ValueError, RuntimeError):
        raise _outside(text) from None
    if any(real.is_relative_to(os.path.realpath(root)) for root in data_roots()):
        return path
    raise _outside(text)


def check_start(text: str) -> None:
    """Refuse weights to begin from whose path leads out of the data roots and the working folder.

    A name that is no path, such as a hub id, is one below the working folder and passes.
    """
    real = Path(os.path.realpath(Path(text)))
    if text.startswith("~") or not real.is_relative_to(os.path.realpath(Path.cwd())):
        inside_roots(text)


def _outside(text: str) -> DatasetError:
    return DatasetError(
        text.rstrip("/").rpartition("/")[2] or text,
        expected="a path inside this server's data folders",
        found="one outside them",
        advice="FRACTURE_DATA_ROOTS names the folders that the pages may open.",
    )
