"""What the browser fetches: shared once, made again when dropped, refused when unknown."""

import gzip
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fracture_core.errors import ImageError
from fracture_core.types import Sample
from fracture_core.ui.routes import (
    ROUTES,
    AssetStore,
    module_path,
    share_case,
    share_pixels,
    share_table,
    viewer_paths,
)

UI = Path(__file__).parents[2] / "fracture_core" / "ui"


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES))


def held(pixels: np.ndarray) -> np.ndarray:
    return pixels


def sample(pixels: np.ndarray, name: str = "a") -> Sample:
    height, width = pixels.shape
    return Sample(
        sample_id=name, group_id="g", height=height, width=width, read=partial(held, pixels)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_arrive_little_endian_row_by_row(client: TestClient, dtype: type) -> None:
    pixels = np.arange(600, dtype=dtype).reshape(20, 30)
    answer = client.get(share_pixels(sample(pixels)))
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == pixels.astype(np.dtype(dtype).newbyteorder("<")).tobytes()


def test_who_takes_no_gzip_gets_plain_bytes(client: TestClient) -> None:
    pixels = np.full((40, 50), 7, dtype=np.uint8)
    answer = client.get(share_pixels(sample(pixels)), headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "identity"
    assert answer.content == pixels.tobytes()


def test_the_same_reader_has_one_url_and_another_image_another() -> None:
    first, second = np.zeros((4, 4), dtype=np.uint8), np.ones((4, 4), dtype=np.uint8)
    assert share_pixels(sample(first)) == share_pixels(sample(first))
    assert share_pixels(sample(first)) != share_pixels(sample(second))
    assert share_pixels(sample(first)) != share_pixels(sample(first, "b"))


def test_an_unreadable_image_answers_with_its_sentence(client: TestClient) -> None:
    def read() -> np.ndarray:
        raise ImageError("a.png", expected="an image", found="noise")

    broken = Sample(sample_id="b", group_id="g", height=2, width=2, read=read)
    answer = client.get(share_pixels(broken))
    assert answer.status_code == 422
    assert answer.text == "a.png: expected an image, found noise."


def test_cases_are_json_and_equal_ones_share_a_url(client: TestClient) -> None:
    case = {"classes": ["<b>"], "frames": []}
    assert share_case(case) == share_case(dict(case))
    assert json.loads(client.get(share_case(case)).content) == case


def test_unknown_tokens_and_modules_are_not_found(client: TestClient) -> None:
    for path in ("pixels/x", "cases/x", "viewer/x/passwd", "viewer/x/..%2froutes.py"):
        assert client.get(f"/workbench/{path}").status_code == 404


def test_modules_are_scripts(client: TestClient) -> None:
    answer = client.get(module_path("viewer", "filter.js"))
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "export function nms" in answer.text


@pytest.mark.parametrize(
    ("part", "first"), [("viewer", "viewer.js"), ("dial", "dial.js"), ("curves", "curves.js")]
)
def test_a_component_is_served_every_module_that_it_imports(
    client: TestClient, part: str, first: str
) -> None:
    known: set[str] = set()
    waiting = {first}
    while waiting:
        name = waiting.pop()
        known.add(name)
        answer = client.get(module_path(part, name))
        assert answer.status_code == 200, name
        waiting |= set(re.findall(r'from "\./([\w.]+)"', answer.text)) - known
    assert {path.name for path in (UI / part).glob("*.js")} <= known
    # It travels with the page.
    assert client.get(module_path(part, "mount.js")).status_code == 404


def test_tables_are_json_and_equal_ones_share_a_url(client: TestClient) -> None:
    table = {"confidences": "AAAA", "tallies": []}
    assert share_table(table) == share_table(dict(table)) != share_table({})
    assert json.loads(client.get(share_table(table)).content) == table
    assert client.get("/workbench/tables/x").status_code == 404


def test_the_modules_of_the_dial_are_not_loaded_with_the_first_page(client: TestClient) -> None:
    for name in ("dial.js", "elements.js"):
        answer = client.get(module_path("dial", name))
        assert answer.headers["content-type"].startswith("text/javascript")
    assert client.get(module_path("dial", "passwd")).status_code == 404
    assert not [path for path in viewer_paths() if "/dial/" in path]


def test_a_full_shelf_makes_dropped_bytes_again_and_forgets_old_entries() -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return gzip.compress(name.encode() * 10, mtime=0)

    store = AssetStore(most_bytes=40, most_entries=2)
    tokens = {name: store.share(name, partial(make, name)) for name in "ab"}
    for name in "aabba":
        store.fetch(tokens[name])
    assert made == ["a", "b", "a"]
    store.share("c", partial(make, "c"))
    with pytest.raises(KeyError):
        store.fetch(tokens["b"])
    assert store.share("a", partial(make, "a")) == tokens["a"]
