"""What the app takes for granted of Streamlit's insides, asked of the installed version."""

import re
import tomllib
from pathlib import Path

import pytest
import streamlit as st
from packaging.requirements import Requirement
from packaging.version import Version
from streamlit.runtime.pages_manager import PagesManager

from fracture_core.ui import streamlit_insides
from fracture_core.ui.streamlit_insides import (
    FIRST_PAGE,
    THEME_KEY,
    WIDE,
    imports_of,
    missing_chunks,
    use_the_site_map,
)

STATIC = Path(st.__file__).parent / "static"
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(scope="module")
def scripts() -> str:
    """All of Streamlit's scripts."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("static/js/*.js"))
    )


def test_no_version_is_admitted_that_these_tests_have_not_seen() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    asked = next(
        one for one in map(Requirement, project["dependencies"]) if one.name == "streamlit"
    )
    here = Version(st.__version__)
    assert here in asked.specifier
    following = f"{here.major}.{here.minor + 1}.0"
    assert following not in asked.specifier, (
        f"run these tests with Streamlit {following} before it is admitted"
    )


def test_the_theme_is_kept_under_the_key_that_is_written(scripts: str) -> None:
    base, version = THEME_KEY.rsplit("-v", 1)
    named = re.search(rf"(\w+)=(\d+),(\w+)=`{re.escape(base)}`", scripts)
    assert named, f"Streamlit keeps no theme under {base}"
    assert named[2] == version, f"Streamlit counts version {named[2]} of the key, here {version}"
    assert f"`${{{named[3]}}}-v${{{named[1]}}}`" in scripts


def test_the_site_map_is_not_guessed_from_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(PagesManager, "uses_pages_directory"), "the switch has another name"
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    use_the_site_map()
    assert PagesManager.uses_pages_directory is False


def test_the_margins_belong_to_a_class_that_there_is(scripts: str) -> None:
    name = WIDE.partition(".")[2].partition(" ")[0]
    assert f"`{name}`" in scripts or f'"{name}' in scripts or f" {name}" in scripts


def test_the_page_has_one_head_that_ends_and_names_scripts_as_here() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert page.count("</head>") == 1
    assert re.search(r"""src=["']\./static/js/[\w.-]+\.js""", page)


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
