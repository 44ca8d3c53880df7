"""Who is let in, and how much at a time: the key, sizes, times and the number of requests."""

import hmac
import time
from asyncio import timeout
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fracture_core.errors import ConfigError
from fracture_core.hosts import host_name
from fracture_core.service.meters import Meters
from fracture_core.service.schemas import Problem

KEY_HEADER = "X-API-Key"
OPEN_TO_ALL = frozenset({"/health"})
"""The paths that answer without a key: a load balancer has none."""
WORKING = frozenset({"/predict", "/explain"})
"""The paths that cost something."""
_OWN_PATHS = WORKING | {"/models", "/health", "/metrics", "/openapi.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one service takes on; raises ConfigError for a number that cannot be.

    `workers` processes · `most_in_flight` requests without an answer, further ones get 429 · a
    request has at most `most_bytes` and `most_files` · all of them at most `most_held_bytes` ·
    `most_batch` files are answered together, after waiting `wait_seconds` for more of them, with
    `adapt` only where that is faster · each of sending, waiting and reading may take `seconds`, and
    opening a model `open_seconds`.
    """

    workers: int = 1
    most_in_flight: int = 64
    most_bytes: int = 100 << 20
    most_held_bytes: int = 1 << 30
    most_files: int = 32
    most_batch: int = 8
    wait_seconds: float = 0.005
    adapt: bool = True
    seconds: float = 60.0
    open_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("workers", "most_in_flight", "most_bytes", "most_files", "most_batch"):
            if getattr(self, name) < 1:
                found = str(getattr(self, name))
                raise ConfigError(name.replace("_", " "), expected="1 or more", found=found)
        if not (0 <= self.wait_seconds <= 1 and 0 < self.seconds < float("inf")):
            found = f"{self.wait_seconds:g} and {self.seconds:g}"
            expected = "to wait from 0 to 1 s for a batch, and a time limit above 0"
            raise ConfigError("seconds", expected=expected, found=found)


class Refusal(HTTPException):
    """A request that is turned away, with the status and the sentence of its answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        waiting = {} if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status, detail=message, headers={**waiting, **(headers or {})})

    def response(self) -> Response:
        """Return the answer."""
        return problem_response(self.status_code, Problem(message=self.detail), self.headers)


def problem_response(
    status: int, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem as JSON."""
    body = problem.model_dump_json()
    return Response(body, status, media_type="application/json", headers=headers)


class Intake:
    """How many requests are under way, and how many bytes they hold."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.in_flight = 0
        self._bytes = 0

    def enter(self, size: int, retry_after: int) -> None:
        """Let a request in; raises Refusal where there are too many."""
        full = self.in_flight >= self._limits.most_in_flight
        if full or self._bytes + size > self._limits.most_held_bytes:
            sentence = f"Too many requests are under way ({self.in_flight}). Ask again later."
            raise Refusal(429, sentence, retry_after=retry_after)
        self.in_flight += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Note that a request has its answer."""
        self.in_flight -= 1
        self._bytes -= size


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the gate asks for, and whom it tells.

    `key` "" = none is asked for · `hosts` are those whose websites may ask · `retry_after` tells in
    how many seconds there will be room.
    """

    limits: Limits
    intake: Intake
    meters: Meters
    key: str = field(repr=False)
    hosts: frozenset[str]
    retry_after: Callable[[], int]


class Gate:
    """ASGI middleware: asks for the key, bounds sizes, times and numbers, and counts answers."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self.app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._let_in(scope, receive, noting)
        except Refusal as refusal:
            await refusal.response()(scope, receive, noting)
        finally:
            path = scope["path"] if scope["path"] in _OWN_PATHS else "other"
            self._door.meters.count_request(path, status, time.perf_counter() - start)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._check_caller(scope["path"], headers)
        if scope["path"] not in WORKING or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        size = self._announced(headers)
        self._door.intake.enter(size, self._door.retry_after())
        try:
            await self.app(scope, _bounded(receive, self._door.limits), send)
        finally:
            self._door.intake.leave(size)

    def _check_caller(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Raises Refusal for a website of elsewhere, and without the key."""
        origin = headers.get(b"origin")
        if origin is not None and host_name(_netloc(origin)) not in self._door.hosts:
            raise Refusal(403, "Websites of other hosts may not ask this service.")
        if not self._door.key or path in OPEN_TO_ALL:
            return
        given = headers.get(KEY_HEADER.lower().encode(), b"")
        if not hmac.compare_digest(given, self._door.key.encode()):
            sentence = f"{KEY_HEADER}: expected this service's key, found {_told(given)}."
            raise Refusal(401, sentence, headers={"WWW-Authenticate": KEY_HEADER})

    def _announced(self, headers: dict[bytes, bytes]) -> int:
        """The bytes that a request says it has, all that it may have where it does not say."""
        most, told = self._door.limits.most_bytes, headers.get(b"content-length", b"")
        if not told.isdigit():
            return most
        # Longer numbers take Python ever longer to read.
        if len(told) > 18 or int(told) > most:
            raise _too_large(most)
        return int(told)


def _bounded(receive: Receive, limits: Limits) -> Receive:
    """Receives a body, and raises Refusal where it is too long or too slow."""
    until = time.monotonic() + limits.seconds
    got, complete = 0, False

    async def bounded() -> Message:
        nonlocal got, complete
        try:
            async with timeout(None if complete else until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            sentence = f"The files took longer than {limits.seconds:g} s to arrive."
            raise Refusal(408, sentence) from None
        got += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if got > limits.most_bytes:
            raise _too_large(limits.most_bytes)
        return message

    return bounded


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"files: expected at most {most:,} bytes in one request, found more.")


def _netloc(origin: bytes) -> str:
    try:
        return urlsplit(origin.decode("latin-1")).netloc
    except ValueError:
        return ""


def _told(key: bytes) -> str:
    return "another" if key else "none"
