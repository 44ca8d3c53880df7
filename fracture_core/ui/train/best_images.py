"""The grids of validation images that a run kept at its best epochs."""

import re
from pathlib import Path

import streamlit as st

from fracture_core.runs import RunFolder


def show_best_images(run: RunFolder) -> None:
    """The grid of the epoch that the reader chooses, of the last one at first; nothing without."""
    kept = run.best_images()
    if not kept:
        return
    epochs = {_epoch_of(path): path for path in kept}
    chosen = max(epochs)
    if len(epochs) > 1:
        chosen = st.select_slider(
            "Best epoch", list(epochs), value=chosen, key=f"best-images-{run.name}"
        )
    st.image(str(epochs[chosen]))
    st.caption(
        "Validation images at an epoch that was the best: their labels, and beside them what was "
        "predicted."
    )


def _epoch_of(path: Path) -> int:
    told = re.search(r"(\d+)\.png$", path.name)
    return int(told[1]) if told else 0
