"""Whom a server answers: hosts that are known, and other machines only where that is allowed.

A website that a reader has open elsewhere can point a name of its own at this machine and then
ask as if it were the page itself; so only known hosts are answered.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fracture_core.settings import settings

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
UNKNOWN_HOST = "This host is not known here; FRACTURE_ALLOWED_HOSTS names those that are."
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)


def is_loopback(address: str) -> bool:
    """Return whether a server that is bound to this address is for this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, False)
    """
    if address.lower() == "localhost":
        return True
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """Return a Host header without its port, "" where it is none.

    Example:
        >>> host_name("[::1]:8501"), host_name("Localhost.")
        ('::1', 'localhost')
    """
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.\-]+))(?::\d+)?", header.lower())
    return (match[1] or match[2]).rstrip(".") if match else ""


def known_hosts(address: str) -> frozenset[str]:
    """Return the hosts that a server bound to `address` answers to.

    Known are the local hosts, the address itself, and those that FRACTURE_ALLOWED_HOSTS names.
    """
    return frozenset(_names((*LOCAL_HOSTS, address, *settings().allowed_hosts)))


class KnownHosts:
    """ASGI middleware: refuses unknown hosts and adds the headers that browsers heed.

    `address` is what the server is bound to. `policy` returns the Content-Security-Policy of
    answers to a host, and `refusal` is the answer to an unknown one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        address: str,
        policy: Callable[[str], str],
        refusal: Response | None = None,
    ) -> None:
        self.app = app
        self.hosts = known_hosts(address)
        self._policy = policy
        self._refusal = refusal or PlainTextResponse(UNKNOWN_HOST + "\n", 421)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if host_name(host) in self.hosts:
            await self.app(scope, receive, self._protected(send, host))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._refusal(scope, receive, self._protected(send, ""))

    def _protected(self, send: Send, host: str) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                policy = (b"content-security-policy", self._policy(host).encode())
                added = [each for each in (*_HEADERS, policy) if each[0] not in named]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        return with_headers


def _names(hosts: Iterable[str]) -> list[str]:
    return [host.strip("[] ").lower().rstrip(".") for host in hosts if host.strip()]
