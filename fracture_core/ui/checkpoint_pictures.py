"""What the best checkpoint of a run finds in pictures of the validation split."""

from pathlib import Path

import streamlit as st

from fracture_core import importing
from fracture_core.errors import WorkbenchError
from fracture_core.matching import match
from fracture_core.runs import RunFolder
from fracture_core.types import Detections, Sample
from fracture_core.ui.text import literal
from fracture_core.ui.truth_pictures import drawn

_COUNT, _ACROSS, _SIDE_PX = 8, 4, 360


def show_checkpoint(run: RunFolder) -> None:
    """Asked for by a button: a network is built for it."""
    confidence = st.slider("Confidence", 0.05, 0.95, 0.5, 0.05, key=f"shown-{run.name}")
    if st.button("Read validation images", icon=":material/radiology:", key=f"read-{run.name}"):
        st.session_state[f"read-at-{run.name}"] = _stamp(run)
    if st.session_state.get(f"read-at-{run.name}") is None:
        st.caption("The best checkpoint so far reads images that it was not trained on.")
        return
    try:
        samples, found = _read(str(run.path), st.session_state[f"read-at-{run.name}"])
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    columns = st.columns(_ACROSS)
    for place, (sample, shown) in enumerate(zip(samples, found, strict=True)):
        with columns[place % _ACROSS]:
            _show(sample, shown.above(confidence))
    st.caption("Blue: ground truth. Green: found and true. Orange: false positive.")


@st.cache_data(max_entries=8, show_spinner="The checkpoint is reading…")
def _read(path: str, stamp: int) -> tuple[tuple[Sample, ...], tuple[Detections, ...]]:
    """Samples in the classes of the model, and what it found, merged where that is needed."""
    with importing.LOCK:
        from trainers.family_configs import read_config
        from trainers.validation import best_so_far, validation_samples

    run = RunFolder(path=Path(path))
    model, samples = best_so_far(run), validation_samples(run, _COUNT)
    raw = [each.detections for each in model.predict(samples)]
    nms_iou = read_config(run.config).merged_at
    return samples, tuple(each.nms(nms_iou) if model.card.needs_nms else each for each in raw)


def _show(sample: Sample, shown: Detections) -> None:
    truth = sample.truth or Detections.empty()
    st.image(drawn(sample, truth, _SIDE_PX, shown), width="stretch")
    hit = match(shown, truth, class_aware=False)
    st.caption(f"{len(truth) - len(hit.missed)} of {len(truth)} found, {literal(sample.sample_id)}")


def _stamp(run: RunFolder) -> int:
    best = run.checkpoints / "best.pt"
    return best.stat().st_mtime_ns if best.is_file() else 0
