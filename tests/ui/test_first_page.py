"""What makes the first page early: parts named in its head, and a server that does not wait."""

import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fracture_core.demo import demo_case
from fracture_core.ui import routes
from fracture_core.ui.warm_up import warm_up


def loaded_by(script: str) -> set[str]:
    """What of the slow libraries this script has imported."""
    slow = "{'scipy', 'cv2', 'yaml', 'numpy', 'torch', 'pandas', 'pydantic'}"
    told = f"{script}\nimport sys; print(*sorted({slow} & set(sys.modules)))"
    found = subprocess.check_output([sys.executable, "-c", told], text=True)
    return set(found.splitlines()[-1].split())


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
