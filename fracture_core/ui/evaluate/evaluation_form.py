"""A new evaluation: what is asked, what is known to be wrong with it, and the start."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core import jobs
from fracture_core.class_names import IsA
from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.evaluations import EvaluateConfig, list_evaluations, new_evaluation
from fracture_core.evaluations.labelling import label
from fracture_core.jobs.locks import is_held
from fracture_core.models.cards import ModelCard, in_classes
from fracture_core.models.library import read_library
from fracture_core.runs import RunFolder
from fracture_core.ui.read.dataset_choice import choose_dataset
from fracture_core.ui.read.predicting import first_choice
from fracture_core.ui.session import AWAITED, forget_unless_in
from fracture_core.ui.widgets.choices import just_done, remember_done
from fracture_core.ui.widgets.class_table import choose_is_a
from fracture_core.ui.widgets.model_choice import name_of
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

"""Under this key of the session is the name of the one that was started last."""
ALL = "all"
ONE_CLASS = "evaluation_one_class"
_STARTED = "evaluation_started"
_VALIDATION = ("val", "valid", "validation")


def new_evaluation_form(messages: DeltaGenerator) -> None:
    """Model, data set, split, classes and limit; starts it in the background."""
    card = _choose_model()
    dataset = choose_dataset(messages, bound=False)
    if dataset is None:
        return
    split, images = _choose_split(dataset)
    is_a = choose_is_a(in_classes(card, dataset.classes).classes, dataset.classes)
    one_class = _choose_one_class(card, dataset, is_a)
    limit = st.number_input(
        "At most so many images",
        1,
        max(1, images),
        None,
        key="evaluation_limit",
        placeholder=f"all {images:,}",
        help="Evenly spread over the split. Empty means all.",
    )
    problem = _problem(card, dataset, split, one_class, is_a)
    if problem:
        st.error(literal(problem), icon=":material/error:")
    config = EvaluateConfig(
        model=card.model_id,
        data=str(dataset.path.absolute()),
        split=split,
        one_class=one_class,
        is_a={} if one_class else is_a,
        limit=None if limit is None else int(limit),
    )
    # No callback: it would be given what the fields held before the click, and a field that is
    # left by the click has changed since.
    clicked = st.button(
        "Start",
        type="primary",
        icon=":material/play_arrow:",
        key="evaluation_start",
        disabled=bool(problem),
        help="Runs in the background; the page may be left.",
    )
    if not clicked or problem:
        return
    try:
        start(config)
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    st.rerun()


def start(config: EvaluateConfig) -> None:
    """Submit it; the same asked again, while it runs or a moment later, is the same job.

    Raises WorkbenchError where the queue refuses it.
    """
    if _is_under_way(config):
        return
    run = _left_over(config) or new_evaluation(config)
    command = (sys.executable, "-m", "fracture_core", "evaluate", "--resume", str(run.path))
    jobs.submit(run.path, command=command)
    AWAITED.set(run.name)
    remember_done(_STARTED, config)


def _is_under_way(config: EvaluateConfig) -> bool:
    if just_done(_STARTED, config):
        return True
    for each in list_evaluations():
        if each.config == config and not each.complete:
            try:
                job = jobs.find_job(each.folder)
            except ConfigError:
                continue
            if not job.state.is_over:
                AWAITED.set(each.name)
                return True
    return False


def _left_over(config: EvaluateConfig) -> RunFolder | None:
    """One that was made for the same and never reached the queue, as where the disk was full."""
    for each in list_evaluations():
        if each.config == config and not each.complete:
            run = RunFolder(path=each.folder)
            if jobs.read_job(run) is None and not is_held(run.trainer_lock):
                return run
    return None


def _choose_model() -> ModelCard:
    library = read_library()
    cards = {card.model_id: card for card in library.cards}
    forget_unless_in("evaluation_model", cards)
    model_id = st.selectbox(
        "Model",
        list(cards),
        first_choice(cards.values()),
        format_func=lambda model_id: name_of(cards[model_id], cards.values()),
        key="evaluation_model",
        persist_state="session",
    )
    for error in library.broken:
        st.warning(literal(str(error)), icon=":material/warning:")
    return cards[model_id]


def _choose_split(dataset: "Dataset") -> tuple[str, int]:
    """Validation first: operating points are chosen there."""
    counts = {split: len(ids) for split, ids in dataset.splits.items() if split and ids}
    counts[ALL] = len(dataset)
    names = list(counts)
    first = next((name for name in names if name in _VALIDATION), names[0])
    if st.session_state.get("evaluation_split") not in names:
        st.session_state.evaluation_split = first
    split = st.segmented_control("Split", names, required=True, key="evaluation_split")
    return str(split), counts[str(split)]


def _choose_one_class(card: ModelCard, dataset: "Dataset", is_a: IsA) -> bool:
    """Switched on, with a note, where it is the only way; the reader's own choice else."""
    card = in_classes(card, dataset.classes)
    apart = _refusal(card, dataset, is_a, one_class=False)
    only_way = bool(apart) and not _refusal(card, dataset, is_a, one_class=True)
    held = (card.model_id, str(dataset.path), only_way)
    if st.session_state.get(f"{ONE_CLASS}:for") != held:
        st.session_state[f"{ONE_CLASS}:for"] = held
        st.session_state[ONE_CLASS] = only_way
    one_class = st.toggle(
        "Every class counts as one",
        key=ONE_CLASS,
        help="Any finding of the model may match any ground-truth box, whatever both are called.",
    )
    if only_way and one_class:
        st.caption("Switched on: model and data set have no class name in common.")
    return one_class


def _problem(card: ModelCard, dataset: "Dataset", split: str, one_class: bool, is_a: IsA) -> str:
    """What is known to be wrong before anything is predicted; "" = nothing."""
    card = in_classes(card, dataset.classes)
    if refused := _refusal(card, dataset, is_a, one_class=one_class):
        return refused
    if _nothing_known(dataset, str(dataset.path), split):
        return f"{dataset.name}, {split}: no image has a ground truth to compare predictions with."
    return ""


def _refusal(card: ModelCard, dataset: "Dataset", is_a: IsA, *, one_class: bool) -> str:
    try:
        label(card, dataset, one_class=one_class, is_a=is_a)
    except ConfigError as error:
        return str(error).replace(" (--one-class)", "")
    return ""


def _nothing_known(dataset: "Dataset", path: str, split: str) -> bool:
    return _unknown(dataset, path, Path(path).stat().st_mtime_ns, split)


@st.cache_data(max_entries=64, show_spinner="Looking at the split…")
def _unknown(_dataset: "Dataset", path: str, stamp: int, split: str) -> bool:
    counts = _dataset.summary()
    wanted = counts.values() if split == ALL else [counts[split]]
    return all(each.unknown == each.images for each in wanted)
