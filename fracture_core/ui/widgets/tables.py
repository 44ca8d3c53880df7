"""Tables that can be sorted, searched and downloaded: their numbers stay numbers.

A heading sorts, and the toolbar above a table searches it and saves it as CSV. What is undefined is
None or nan in a row, and is written so.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

from fracture_core import importing
from fracture_core.evaluations.report import UNDEFINED

COUNT = "localized"
"""The format of whole numbers, with a mark between thousands."""


def show_table(
    rows: Sequence[Mapping[str, object]],
    formats: Mapping[str, str] | None = None,
    *,
    height: Literal["auto", "content"] = "auto",
) -> None:
    """Show a row for each mapping of headings to cells; there is no table without a row.

    `formats` gives columns of numbers a format of `printf`, such as "%.3f", or `COUNT`.
    """
    if not rows:
        return
    # Streamlit loads it anyway; the first page, which has no table, begins without it.
    with importing.LOCK:
        import pandas as pd

    frame = pd.DataFrame(list(rows))
    numbers = {name: how for name, how in (formats or {}).items() if name in frame}
    frame = frame.astype(dict.fromkeys(numbers, "Float64"))
    columns = {name: st.column_config.NumberColumn(format=how) for name, how in numbers.items()}
    st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        height=height,
        column_config=columns,
        placeholder=UNDEFINED,
    )
