"""Addresses that open one case of an evaluation as it was matched, in Read or in Compare."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from fracture_core.evaluations import About
from fracture_core.matching import MatchConfig

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


def read_link(
    about: About,
    dataset: "Dataset | None",
    sample_id: str,
    config: MatchConfig,
    confidence: float,
) -> str:
    """Read with the model, confidence and overlaps; without a data set the slice is not known."""
    asked = {
        **_case(about, dataset, sample_id),
        "model": about.model_id,
        "confidence": f"{confidence:.9g}",
        "nms": f"{config.nms_iou:g}",
        **_matching(about, config),
    }
    return f"{_page('')}?{urlencode(asked)}"


def compare_link(
    abouts: Sequence[About],
    dataset: "Dataset | None",
    sample_id: str,
    configs: Sequence[MatchConfig],
    confidences: Sequence[float],
) -> str:
    """Compare with two to four models, each at its own confidence and NMS IoU."""
    own = ",".join(
        f"{confidence:.9g}:{config.nms_iou:g}"
        for config, confidence in zip(configs, confidences, strict=True)
    )
    asked = [
        *_case(abouts[0], dataset, sample_id).items(),
        *(("models", about.model_id) for about in abouts),
        ("own", own),
        *_matching(abouts[0], configs[0]).items(),
    ]
    return f"{_page('compare')}?{urlencode(asked)}"


def _case(about: About, dataset: "Dataset | None", sample_id: str) -> dict[str, str]:
    """Where the case lies; of a CT study the case is the study, the sample one of its slices."""
    asked = {"source": "Data set", "path": about.data}
    if dataset is None:
        return asked | {"split": about.split, "sample": sample_id}
    split = _split_of(dataset, about.split, sample_id)
    if not dataset.stacked:
        return asked | {"split": split, "sample": sample_id}
    study = sample_id.rpartition("/")[0]
    slices = [each for each in dataset.splits[split] if each.startswith(f"{study}/")]
    frame = slices.index(sample_id) if sample_id in slices else 0
    return asked | {"split": split, "sample": study, "slice": str(frame)}


def _split_of(dataset: "Dataset", asked: str, sample_id: str) -> str:
    """An evaluation of all images names no split that Read could open."""
    if asked in dataset.splits:
        return asked
    return next((name for name, ids in dataset.splits.items() if sample_id in ids), asked)


def _matching(about: About, config: MatchConfig) -> dict[str, str]:
    same_class = config.class_aware and not about.one_class
    return {"match": f"{config.match_iou:g}", "same_class": str(int(same_class))}


def _page(name: str) -> str:
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{base}/{name}" if base else f"/{name}"
