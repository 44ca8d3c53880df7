"""Sentences on a page: words from outside made safe for Markdown, as file names and class names are
hostile, and what is said of an error that the page's own code did not expect.
"""

import re

import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.files import storage_error


def literal(text: str) -> str:
    """The text as Markdown that shows exactly the text, on one line."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def say_in_a_sentence(error: Exception) -> bool:
    """For `st.App(on_script_error=…)`: True where it was a full disk or anything with a sentence.

    Any other error is a bug; False leaves it to Streamlit.
    """
    told = error if isinstance(error, WorkbenchError) else storage_error(error)
    if told is None:
        return False
    st.error(literal(str(told)), icon=":material/error:")
    return True
