"""What makes the first page early: parts named in its head, and a server that does not wait."""

import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fracture_core.demo import demo_case
from fracture_core.ui import routes, streamlit_insides
from fracture_core.ui.streamlit_insides import FIRST_PAGE, imports_of, missing_chunks
from fracture_core.ui.warm_up import warm_up

STATIC = Path(st.__file__).parent / "static"


def loaded_by(script: str) -> set[str]:
    """What of the slow libraries this script has imported."""
    slow = "{'scipy', 'cv2', 'yaml', 'numpy', 'torch', 'pandas', 'pydantic'}"
    told = f"{script}\nimport sys; print(*sorted({slow} & set(sys.modules)))"
    found = subprocess.check_output([sys.executable, "-c", told], text=True)
    return set(found.splitlines()[-1].split())


def test_the_parts_are_those_of_the_installed_streamlit() -> None:
    found = missing_chunks(b"")
    assert {name.partition(".")[0] for name in found} >= set(FIRST_PAGE)
    assert all((STATIC / "static" / "js" / name).is_file() for name in found)


def test_what_the_page_names_is_not_named_again() -> None:
    page = (STATIC / "index.html").read_bytes()
    missing = missing_chunks(page)
    assert 0 < len(missing) < len(missing_chunks(b""))
    assert not [name for name in missing if name.encode() in page]


def test_only_what_is_imported_at_once_counts() -> None:
    script = b'import{a}from"./one.A1.js";import"./two.B2.js";const c=()=>import("./later.C3.js");'
    assert imports_of(script) == ["one.A1.js", "two.B2.js"]


def test_parts_that_another_streamlit_does_not_have_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamlit_insides, "FIRST_PAGE", ("NoSuchPart",))
    assert missing_chunks(b"another page") == ()


def test_the_server_listens_before_it_imports_what_is_slow() -> None:
    assert loaded_by("import streamlit_app") == set()


def test_warming_up_needs_no_scipy_opencv_or_yaml() -> None:
    script = "from fracture_core.ui.warm_up import warm_up; warm_up()"
    assert loaded_by(script) <= {"numpy", "pydantic"}


def test_the_pixels_of_the_demo_case_are_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    warm_up()
    monkeypatch.setattr(routes, "_pixel_bytes", lambda sample: pytest.fail("made twice"))
    client = TestClient(Starlette(routes=routes.ROUTES))
    answer = client.get(routes.share_pixels(demo_case()))
    assert answer.content == demo_case().pixels.astype("<u2").tobytes()
