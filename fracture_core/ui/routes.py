"""What the browser fetches by URL: images, cases, tables, explanations and the pages' modules.

An image is megabytes and must not travel with every rerun of a page, so it lies on a shelf under
an unguessable token. `ROUTES` go to `st.App(..., routes=ROUTES)`.
"""

import gzip
import hashlib
import importlib.util
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fracture_core.errors import WorkbenchError

if TYPE_CHECKING:
    # It brings NumPy, and the server must not listen later for that.
    from fracture_core.types import Sample

MOST_BYTES = 1_000_000_000
MOST_ENTRIES = 5_000
_FOLDER = Path(__file__).parent / "widgets"
# What each component's own modules import of the shared ones.
_SHARED = {
    "viewer": ("component.js", "elements.js", "intervals.js"),
    "dial": ("component.js", "elements.js", "intervals.js", "plotly.js"),
    "curves": ("plotly.js",),
}

Json = dict[str, object]


class AssetStore:
    """Makers of bytes under random tokens; what they made is kept while there is room.

    The same identity gets the same token. At most `most_entries` tokens are known and about
    `most_bytes` of made bytes held; the longest unused go first, and dropped bytes are made again.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._lock = threading.Lock()
        self._makers: OrderedDict[str, tuple[Hashable, Callable[[], bytes]]] = OrderedDict()
        self._tokens: dict[Hashable, str] = {}
        self._made: OrderedDict[str, bytes] = OrderedDict()

    def share(self, identity: Hashable, make: Callable[[], bytes]) -> str:
        """The token of an identity, new where it is not known."""
        with self._lock:
            token = self._tokens.get(identity)
            if token is None:
                token = secrets.token_urlsafe(24)
                self._tokens[identity] = token
                self._makers[token] = (identity, make)
                self._forget_entries()
            self._makers.move_to_end(token)
            return token

    def fetch(self, token: str) -> bytes:
        """The bytes of a token; KeyError where it is not known."""
        with self._lock:
            _, make = self._makers[token]
            self._makers.move_to_end(token)
            if token in self._made:
                self._made.move_to_end(token)
                return self._made[token]
        # Made outside the lock: decoding one image must not stop all others.
        made = make()
        with self._lock:
            self._made[token] = made
            self._forget_bytes()
        return made

    def make(self, token: str) -> bytes:
        """The bytes of a token as they are now, made again and not kept; KeyError."""
        with self._lock:
            _, make = self._makers[token]
        return make()

    def _forget_entries(self) -> None:
        while len(self._makers) > self._most_entries:
            token, (identity, _) = self._makers.popitem(last=False)
            del self._tokens[identity]
            self._made.pop(token, None)

    def _forget_bytes(self) -> None:
        held = sum(map(len, self._made.values()))
        while held > self._most_bytes and len(self._made) > 1:
            _, dropped = self._made.popitem(last=False)
            held -= len(dropped)


_IMAGES = AssetStore()
# A case holds its own text, so few are kept.
_CASES = AssetStore(most_bytes=100_000_000, most_entries=200)
_TABLES = AssetStore(most_bytes=200_000_000, most_entries=100)
# An answer holds the bytes of its heat map.
_PREDICTIONS = AssetStore(most_entries=300)
_MAPS = AssetStore(most_entries=300)
_CUTOUTS = AssetStore(most_bytes=100_000_000)


def share_pixels(sample: "Sample") -> str:
    """The URL path of a sample's pixels: raw little-endian uint8 or uint16, row by row.

    Samples with the same id and the same reader share one URL, so a rerun makes the browser load
    nothing again. Two partials are the same reader when function and arguments are.
    """
    return _path(f"pixels/{_pixel_token(sample)}")


def make_pixels(sample: "Sample") -> None:
    """Make the bytes of a sample's pixels before the browser asks for them."""
    _IMAGES.fetch(_pixel_token(sample))


def share_case(case: Json) -> str:
    """The URL path of a case as JSON; an equal case has the same path."""
    text = json.dumps(case, separators=(",", ":"), allow_nan=False).encode()
    digest = hashlib.sha256(text).digest()
    return _path(f"cases/{_CASES.share(digest, partial(gzip.compress, text, 1, mtime=0))}")


def share_table(table: Json) -> str:
    """The URL path of a dial's table as JSON; an equal table has the same path."""
    text = json.dumps(table, separators=(",", ":"), allow_nan=False).encode()
    digest = hashlib.sha256(text).digest()
    packed = gzip.compress(text, 1, mtime=0)
    return _path(f"tables/{_TABLES.share(digest, lambda: packed)}")


def share_answer(identity: Hashable, read: Callable[[], Json]) -> str:
    """The URL path of JSON that is read anew on every request."""
    return _path(f"answers/{_PREDICTIONS.share(identity, partial(_json_bytes, read))}")


def share_map(identity: Hashable, packed: bytes) -> str:
    """The URL path of a heat map: uint8 row by row, given gzipped."""
    return _path(f"maps/{_MAPS.share(identity, lambda: packed)}")


def share_image(identity: Hashable, make: Callable[[], bytes]) -> str:
    """The URL path of a JPEG, made gzipped when it is asked for."""
    return _path(f"pictures/{_CUTOUTS.share(identity, make)}")


def module_path(part: str, name: str) -> str:
    """The URL path of a module of a component: "viewer", "dial" or "curves".

    It changes with the content of any of the component's modules.
    """
    return _path(f"{part}/{_version(part)}/{name}")


def viewer_paths() -> list[str]:
    """The URL paths of all modules that the viewer imports."""
    return [module_path("viewer", name) for name in _modules("viewer")]


def _pixel_token(sample: "Sample") -> str:
    identity = (sample.sample_id, sample.height, sample.width, _identity(sample.read))
    return _IMAGES.share(identity, partial(_pixel_bytes, sample))


def _identity(value: object) -> Hashable:
    """Equal for equal readers; what cannot be compared by value counts as itself.

    The shelf holds the sample, so the id of one of its parts is not given to another object.
    """
    if isinstance(value, partial):
        named = tuple((name, _identity(part)) for name, part in sorted(value.keywords.items()))
        return (_identity(value.func), tuple(map(_identity, value.args)), named)
    try:
        hash(value)
    except TypeError:
        return ("id", id(value))
    return value


def _pixel_bytes(sample: "Sample") -> bytes:
    pixels = sample.pixels
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return gzip.compress(little.tobytes(), 1, mtime=0)


def _json_bytes(read: Callable[[], Json]) -> bytes:
    return json.dumps(read(), separators=(",", ":"), allow_nan=False).encode()


def _path(rest: str) -> str:
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{base}/workbench/{rest}" if base else f"/workbench/{rest}"


def _serve_asset(store: AssetStore, request: Request, media_type: str) -> Response:
    try:
        packed = store.fetch(request.path_params["token"])
    except KeyError:
        return PlainTextResponse("This is no longer kept; reload the page.", 404)
    except WorkbenchError as error:
        return PlainTextResponse(str(error), 422)
    return _answer(request, packed, media_type)


def _serve_module(part: str, request: Request) -> Response:
    packed = _modules(part).get(request.path_params["name"])
    if packed is None:
        return PlainTextResponse("No such module.", 404)
    return _answer(request, packed, "text/javascript")


def _answer(request: Request, packed: bytes, media_type: str) -> Response:
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if "gzip" not in request.headers.get("accept-encoding", ""):
        # "identity" keeps the server from packing it once more.
        headers["Content-Encoding"] = "identity"
        return Response(gzip.decompress(packed), media_type=media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(packed, media_type=media_type, headers=headers)


def _serve_pixels(request: Request) -> Response:
    return _serve_asset(_IMAGES, request, "application/octet-stream")


def _serve_case(request: Request) -> Response:
    return _serve_asset(_CASES, request, "application/json")


def _serve_table(request: Request) -> Response:
    return _serve_asset(_TABLES, request, "application/json")


def _serve_map(request: Request) -> Response:
    return _serve_asset(_MAPS, request, "application/octet-stream")


def _serve_image(request: Request) -> Response:
    return _serve_asset(_CUTOUTS, request, "image/jpeg")


def _serve_answer(request: Request) -> Response:
    try:
        told = _PREDICTIONS.make(request.path_params["token"])
    except KeyError:
        return PlainTextResponse("This is no longer kept; reload the page.", 404)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(told, media_type="application/json", headers=headers)


def plotly_path() -> str:
    """The URL path of plotly's script, which its Python package carries."""
    return _path(f"plotly/{version('plotly')}.js")


@cache
def _plotly() -> bytes:
    # Found without importing the package, which takes a third of a second.
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed; run make setup")
    script = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return gzip.compress(script.read_bytes(), 6, mtime=0)


def _serve_plotly(request: Request) -> Response:
    return _answer(request, _plotly(), "text/javascript")


@cache
def _modules(part: str) -> dict[str, bytes]:
    """By name; packed when first asked for: the first page does without most."""
    paths = [*(_FOLDER / part).glob("*.js"), *(_FOLDER / "shared" / n for n in _SHARED[part])]
    by_name = sorted(paths, key=lambda path: path.name)
    return {path.name: gzip.compress(path.read_bytes(), 6, mtime=0) for path in by_name}


@cache
def _version(part: str) -> str:
    return hashlib.sha256(b"".join(_modules(part).values())).hexdigest()[:16]


ROUTES = [
    Route(_path("pixels/{token}"), _serve_pixels),
    Route(_path("cases/{token}"), _serve_case),
    Route(_path("answers/{token}"), _serve_answer),
    Route(_path("tables/{token}"), _serve_table),
    Route(_path("maps/{token}"), _serve_map),
    Route(_path("pictures/{token}"), _serve_image),
    Route(_path("plotly/{version}.js"), _serve_plotly),
    *(
        Route(_path(f"{part}/{{version}}/{{name}}"), partial(_serve_module, part))
        for part in _SHARED
    ),
]
