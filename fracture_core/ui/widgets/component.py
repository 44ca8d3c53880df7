"""Components of our own: how one is mounted, and who has its state, the page or the browser.

Python asks for a state by a number that rises; the browser tells of completed changes. What a run
of the page gives is asked for only where it is neither what the run before gave, nor what that run
was told, nor what the browser says now: else a page that hands back a state just behind the reader
would undo what the reader does. The other half is shared/component.js.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import streamlit as st

from fracture_core.ui.routes import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from streamlit.components.v2.types import ComponentRenderer

_MOUNT = Path(__file__).parent / "shared" / "mount.js"
State = TypeVar("State", bound="DataclassInstance")


def component(name: str, css: Path, *, isolate_styles: bool = True) -> "ComponentRenderer":
    """What mounts a component; its data are a list of one mapping, whose "module" is the URL of
    the module that exports `mount`.
    """
    return st.components.v2.component(
        name,
        js=_MOUNT.read_text(encoding="utf-8"),
        css=css.read_text(encoding="utf-8"),
        isolate_styles=isolate_styles,
    )


class Handshake(Generic[State]):
    """Of the component with a key, in one run of the page that gives it a `state`; `read` makes a
    state of what the browser told, None = nothing yet.
    """

    def __init__(self, key: str, state: State, read: Callable[[object], State]) -> None:
        self._key = key
        self._state = state
        self._read = read
        self._store = f"{key}:given"

    def force(self) -> Json:
        """What the browser must take over; its number rises when another state is asked for."""
        held, state = st.session_state.get(self._store), self._state
        if held is None:
            held = {"given": state, "id": 1, "state": asdict(state)}
        elif state not in (held["given"], held.get("told"), self._read(self._value())):
            held = {"given": state, "id": held["id"] + 1, "state": asdict(state)}
            if self._value() is not None:
                st.session_state[self._key]["state"] = None
        else:
            held = {**held, "given": state}
        st.session_state[self._store] = held
        return {"id": held["id"], "state": held["state"]}

    def take(self, result: Mapping[str, object]) -> State:
        """The state in force, by what the component returned."""
        told = self._read(result.get("state"))
        st.session_state[self._store]["told"] = told
        return told

    def _value(self) -> object:
        held = st.session_state.get(self._key)
        return None if held is None else held.get("state")


def nothing() -> None:
    """Streamlit keeps only the state that has a callback."""
