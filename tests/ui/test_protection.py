"""Hosts, frames and addresses: who is answered, and what the answers allow."""

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from fracture_core.settings import settings
from fracture_core.ui import protection
from fracture_core.ui.protection import Protection, refuse_open_server
from fracture_core.ui.streamlit_insides import HeadInjection

REPOSITORY = Path(__file__).parents[2]
SERVE = (sys.executable, "-m", "streamlit", "run", "streamlit_app.py")
PAGE = "<html><head><script>let a = 1</script></head><body></body></html>"


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("here")
    await socket.close()


def client(host: str) -> TestClient:
    routes = [
        Route("/", lambda request: HTMLResponse(PAGE)),
        Route("/file.bin", lambda request: PlainTextResponse("bytes")),
        WebSocketRoute("/stream", echo),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Protection), Middleware(HeadInjection)])
    return TestClient(app, base_url=f"http://{host}")


@pytest.mark.parametrize(
    "host", ["localhost:8501", "127.0.0.1:1", "[::1]:8501", "LOCALHOST", "localhost."]
)
def test_local_hosts_are_answered(host: str) -> None:
    assert client(host).get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8501", "10.0.0.7"]
)
def test_other_hosts_are_refused_pages_files_and_sockets(host: str) -> None:
    asked = client(host)
    for path in ("/", "/file.bin"):
        answer = asked.get(path)
        assert answer.status_code == 421
        assert "FRACTURE_ALLOWED_HOSTS" in answer.text
        assert "bytes" not in answer.text
    with pytest.raises(WebSocketDisconnect), asked.websocket_connect("/stream"):
        pytest.fail("the socket opened")


def test_a_socket_of_a_known_host_opens() -> None:
    with client("localhost").websocket_connect("/stream", headers={"host": "localhost"}) as socket:
        assert socket.receive_text() == "here"


def test_named_hosts_and_the_bound_address_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_ALLOWED_HOSTS", "reading.example.org, 10.0.0.7")
    settings.cache_clear()
    monkeypatch.setattr(protection, "_bound_address", lambda: "192.168.1.5")
    for host in ("reading.example.org", "10.0.0.7:80", "192.168.1.5:8501", "localhost"):
        assert client(host).get("/").status_code == 200


def test_every_answer_forbids_frames_and_guessing_of_types() -> None:
    for path in ("/", "/file.bin", "/absent"):
        headers = client("localhost").get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-eval'" not in policy
        assert len(headers.get_list("content-security-policy")) == 1


def test_of_inline_scripts_those_of_the_page_alone_may_run() -> None:
    answer = client("localhost:8501").get("/")
    directives = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    scripts = [part.partition("</script>")[0] for part in answer.text.split("<script>")[1:]]
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in directives["script-src"]
    assert "unsafe-inline" not in directives["script-src"]
    assert "ws://localhost:8501" in directives["connect-src"]


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_a_server_for_this_machine_may_start(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "_bound_address", lambda: address)
    refuse_open_server()


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "192.168.1.5", "host.example.org"])
def test_a_server_that_others_reach_starts_only_when_told_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "_bound_address", lambda: address)
    with pytest.raises(SystemExit, match="FRACTURE_ALLOW_REMOTE"):
        refuse_open_server()
    monkeypatch.setenv("FRACTURE_ALLOW_REMOTE", "1")
    settings.cache_clear()
    refuse_open_server()


def test_the_app_ends_with_a_sentence_on_an_open_address() -> None:
    ended = subprocess.run(
        [*SERVE, "--server.address=0.0.0.0", "--server.headless=true", "--server.port=0"],
        cwd=REPOSITORY,
        env={k: v for k, v in os.environ.items() if k != "FRACTURE_ALLOW_REMOTE"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "The server would listen on 0.0.0.0" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_repository_serves_this_machine_alone() -> None:
    assert st.get_option("server.address") == "127.0.0.1"
