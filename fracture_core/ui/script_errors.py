"""What a page says of an error that its own code did not expect."""

import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.files import storage_error
from fracture_core.ui.text import literal


def say_in_a_sentence(error: Exception) -> bool:
    """For `st.App(on_script_error=…)`: True where it was a full disk or anything with a sentence.

    Any other error is a bug; False leaves it to Streamlit.
    """
    told = error if isinstance(error, WorkbenchError) else storage_error(error)
    if told is None:
        return False
    st.error(literal(str(told)), icon=":material/error:")
    return True
