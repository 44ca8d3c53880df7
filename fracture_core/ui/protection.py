"""What a browser and a stranger may do: hosts that are answered, headers of every answer, and the
folders that the pages may read and write.

The headers keep the pages out of other sites' frames and let them load nothing from elsewhere. A
path box reaches no further than the data roots.
"""

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import streamlit as st
from starlette.types import ASGIApp

from fracture_core.errors import DatasetError
from fracture_core.hosts import KnownHosts, is_loopback
from fracture_core.settings import settings

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_OPEN_TO_OTHERS = (
    "The server would listen on {address}, where others can reach it, and it has no login: whoever "
    "reaches it can read the data folders and start trainings. Leave server.address at 127.0.0.1, "
    "or put a proxy with a login before it, set FRACTURE_ALLOW_REMOTE=1, and name the hosts it is "
    "reached by in FRACTURE_ALLOWED_HOSTS."
)


def is_local() -> bool:
    """Whether the server listens for this machine alone."""
    return is_loopback(_bound_address())


def refuse_open_server() -> None:
    """Exits with a sentence where others could reach a server that nobody allowed to be open."""
    if not (is_local() or settings().allow_remote):
        sys.exit(_OPEN_TO_OTHERS.format(address=_bound_address() or "every address"))


class Protection(KnownHosts):
    """ASGI middleware: what `KnownHosts` does, for the address that Streamlit is bound to."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, address=_bound_address(), policy=content_policy)


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


def _bound_address() -> str:
    return str(st.get_option("server.address") or "")


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
