"""What a reader's session keeps between two runs of a page, each thing with its type.

Widgets keep their own value under the key that they are given; what the app itself remembers is a
`Slot`. Those that more than one module touches are listed here, the others where they are used.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Generic, TypeVar

import streamlit as st

if TYPE_CHECKING:
    from fracture_core.imaging.opening import Opened
    from fracture_core.ui.widgets.cases import Case

T = TypeVar("T")


class Slot(Generic[T]):
    """One thing of the session under its key; `first` is what it is before it is set."""

    def __init__(self, key: str, first: T) -> None:
        self.key = key
        self._first = first

    def get(self) -> T:
        value: T = st.session_state.get(self.key, self._first)
        return value

    def set(self, value: T) -> None:
        st.session_state[self.key] = value

    def take(self) -> T:
        """What it is, and forget it: a message is shown once."""
        value: T = st.session_state.pop(self.key, self._first)
        return value


CASE: "Slot[Case | None]" = Slot("case", None)
"""What is open on Read and on Compare."""
CASE_LIST: Slot[tuple[str, tuple[str, ...]]] = Slot("case_list", ("", ()))
"""The key of the widget that the case was chosen in, and its options in order."""
STEPPED: Slot[bool] = Slot("stepped", False)
"""Whether a callback of the viewer has chosen another case: the whole page runs again."""
UPLOAD: "Slot[Opened | None]" = Slot("upload", None)
UPLOAD_IDS: Slot[tuple[str, ...] | None] = Slot("upload_ids", None)
"""Streamlit's ids of the files in `UPLOAD`."""
AWAITED: Slot[str] = Slot("evaluation_awaited", "")
"""The evaluation that the reader has started and that is shown as soon as it is there."""
ADDED_MODEL: Slot[str] = Slot("model_added", "")


def forget_unless_in(key: str, options: Collection[object]) -> None:
    """Drop a widget's choice that is no option any more; call it right before the widget."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
