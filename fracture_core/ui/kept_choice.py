"""A reader's choice that stays where the words of the options change, such as counts beside names.

The browser knows what is chosen by its words alone and sends them with every rerun. Once they are
no option's any more, Streamlit falls back to the first one.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

Option = TypeVar("Option")


def keep_choice(key: str, options: Sequence[Option], words: Callable[[Option], str]) -> None:
    """Call it right before the widget with this key; `words` is its `format_func`.

    The choice is told to the browser anew only where words have changed: what is set anew forgets
    a click that is on its way.
    """
    now = tuple(map(words, options))
    held = st.session_state.get(f"{key}:words", now)
    if held != now and key in st.session_state:
        # By the words of before, which the browser has sent.
        st.session_state[key] = st.session_state[key]
    st.session_state[f"{key}:words"] = now
