"""Choices that outlive a rerun: which images a gallery shows, by their attributes, kept in the
address; options whose words change; and two clicks in quick succession that mean one.

The browser knows what is chosen by its words alone and sends them with every rerun. Once they are
no option's any more, such as a name with a count beside it, Streamlit falls back to the first one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import streamlit as st

from fracture_core.evaluations.attributes import Attribute, grouping
from fracture_core.metrics.detection_table import Bools

KEY = "attributes"


def choose_groups(attributes: Sequence[Attribute]) -> Bools | None:
    """(I,) the images of the groups that the reader chooses, None = all of them.

    Of one attribute any of the chosen groups, of several attributes all.
    """
    options = options_of(grouping(attributes)[0])
    if not options:
        return None
    held = st.session_state.get(KEY, st.query_params.get_all(KEY))
    # Set only where it must change: what is set anew forgets a click that is on its way.
    if KEY not in st.session_state or not set(held) <= options.keys():
        st.session_state[KEY] = [each for each in held if each in options]
    chosen = st.multiselect(
        "Only images of",
        # No counts beside the names: the browser knows a choice by its words, and counts change.
        list(options),
        key=KEY,
        placeholder="any body part, view …",
        width=380,
        help="Several of one attribute: any of them; of several attributes: all of them.",
    )
    # By hand: a name that Streamlit binds to a widget cannot be set by the page.
    if st.query_params.get_all(KEY) != chosen:
        st.query_params[KEY] = chosen
    return marked(options, chosen)


def choose_images(
    attributes: Sequence[Attribute], ids: Sequence[str], listed: tuple[str, ...]
) -> tuple[str, ...]:
    """Those of the listed images, by name, that the reader chooses; `ids` (I,) are the names of all
    that the attributes are of.
    """
    if not attributes:
        return listed
    marks = choose_groups(attributes)
    if marks is None:
        return listed
    inside = {each for each, kept in zip(ids, marks, strict=True) if kept}
    return tuple(each for each in listed if each in inside)


def options_of(attributes: Sequence[Attribute]) -> dict[str, tuple[str, Bools]]:
    """The attribute and the (I,) images of each group, called "body part: hand"."""
    return {
        f"{attribute.name}: {group}": (attribute.name, attribute.of_group(group))
        for attribute in attributes
        for group in attribute.groups
    }


def marked(options: Mapping[str, tuple[str, Bools]], chosen: Sequence[str]) -> Bools | None:
    """(I,) the images that are in any chosen group of each attribute; None = nothing is chosen."""
    if not chosen:
        return None
    by_attribute: dict[str, Bools] = {}
    for each in chosen:
        name, marks = options[each]
        by_attribute[name] = by_attribute.get(name, np.zeros_like(marks)) | marks
    inside: Bools = np.logical_and.reduce(list(by_attribute.values()))
    return inside


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


_SECONDS = 3.0


def just_done(key: str, what: object) -> bool:
    """Whether the last thing done under this key was the same, a moment ago."""
    last, at = st.session_state.get(key, (None, 0.0))
    return bool(last == what) and time.monotonic() - at < _SECONDS


def remember_done(key: str, what: object) -> None:
    """`just_done` says yes to this from now on, for a moment."""
    st.session_state[key] = (what, time.monotonic())
