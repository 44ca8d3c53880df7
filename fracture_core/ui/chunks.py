"""Parts of Streamlit's scripts that the first page needs, so that the browser loads them early.

Streamlit loads the script of a widget when the first one is drawn, each after a round trip.
"""

import re
from functools import lru_cache
from pathlib import Path

import streamlit as st

# What the first page draws, as Streamlit names the parts; a hash and .js come after.
FIRST_PAGE = ("BidiComponent", "ButtonGroup", "Html", "PageLink", "Progress", "Selectbox")
_SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"
_IMPORT = re.compile(rb"""(?:from|import)["']\./([\w.\-]+\.js)["']""")


@lru_cache(maxsize=4)
def missing_chunks(page: bytes) -> tuple[str, ...]:
    """File names of the parts, and of all that they import, which the page does not name."""
    wanted = [path.name for part in FIRST_PAGE for path in _SCRIPTS.glob(f"{part}.*.js")]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in found and name.encode() not in page:
            found.add(name)
            wanted += imports_of((_SCRIPTS / name).read_bytes())
    return tuple(sorted(found))


def imports_of(script: bytes) -> list[str]:
    """The file names that a module imports at once, in the folder it is in."""
    return [name.decode() for name in _IMPORT.findall(script)]
