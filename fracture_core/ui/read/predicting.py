"""The only slow step of a page: a model is opened once, and a sample predicted once.

The first page opens on a demo model and its stored predictions for the demo case, without torch.
The reader's settings of the viewer come from the address at first and are then kept for the
session.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import streamlit as st

from fracture_core.demo.answer import MODEL, stored_prediction
from fracture_core.errors import ConfigError
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.models.fake import FakeModel
from fracture_core.models.library import open_model
from fracture_core.types import Prediction
from fracture_core.ui.widgets.case_viewer import ViewerState
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.text import literal

DEMO_KEY = "demo:demo-case"


def first_choice(cards: Iterable[ModelCard]) -> int:
    """Where the model stands that a page begins with; the first one where it is not there."""
    ids = [card.model_id for card in cards]
    return ids.index(MODEL) if MODEL in ids else 0


def known_answer(card: ModelCard, case: Case) -> tuple[Prediction, ...] | None:
    """What is kept of this very model and case; None = it has to be asked."""
    if case.key != DEMO_KEY or card.model_id != MODEL:
        return None
    kept = stored_prediction()
    return (kept.prediction,) if kept.weights_sha256 == card.weights_sha256 else None


def state_in_force(key: str, default: ViewerState) -> ViewerState:
    """The settings kept under `key`; at first those of the address."""
    if key not in st.session_state:
        try:
            st.session_state[key] = ViewerState.from_query(st.query_params.to_dict(), default)
        except ConfigError as error:
            st.warning(literal(str(error)), icon=":material/link_off:")
            st.session_state[key] = default
    state: ViewerState = st.session_state[key]
    return state


def write_address(state: ViewerState, default: ViewerState) -> None:
    """Put what differs from `default` into the address, and take out what no longer does."""
    wanted = state.to_query(default)
    for name in ViewerState.query_names():
        if name in wanted:
            st.query_params[name] = wanted[name]
        elif name in st.query_params:
            del st.query_params[name]


Progress = Callable[[float], None]
BATCH = 8
MOST_KEPT = 4_000

_Key = tuple[str, str, str, int]


class _Predictions:
    """The latest answers of all sessions, bounded. Predictions are immutable and shared."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Prediction] = OrderedDict()
        self._started: set[tuple[str, str]] = set()
        self._first: set[_Key] = set()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> Prediction | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: _Key, answer: Prediction) -> None:
        with self._lock:
            self._kept[key] = answer
            while len(self._kept) > MOST_KEPT:
                dropped, _ = self._kept.popitem(last=False)
                self._first.discard(dropped)

    def note_run(self, card: ModelCard, keys: Sequence[_Key]) -> None:
        """Remember which answers are from a model's first run since the server started."""
        model = (card.model_id, card.weights_sha256)
        with self._lock:
            if model not in self._started:
                self._started.add(model)
                self._first.update(keys)

    def from_first_run(self, keys: Sequence[_Key]) -> bool:
        with self._lock:
            return not self._first.isdisjoint(keys)


@st.cache_resource(show_spinner=False)
def _predictions() -> _Predictions:
    return _Predictions()


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(model_id: str, weights_sha256: str) -> Model:
    # The hash is part of the key: a model replaced under the same id is opened anew.
    return open_model(model_id)


def model_of(card: ModelCard) -> Model:
    """The model of a card, opened once a process; raises WeightsError."""
    if card.family == "fake":
        return FakeModel(card)
    return _opened(card.model_id, card.weights_sha256)


def first_run(card: ModelCard, case: Case) -> bool:
    """Whether the model's first run, which warms it up, is in the seconds of these answers."""
    return _predictions().from_first_run(_keys(card, case))


def _keys(card: ModelCard, case: Case) -> list[_Key]:
    return [(card.model_id, card.weights_sha256, case.key, i) for i in range(len(case.samples))]


def predict(card: ModelCard, case: Case, progress: Progress) -> tuple[Prediction, ...]:
    """Raw answers, one a frame; what is already known is not asked for again.

    `progress` is told the share of frames done, while there is something to do.
    """
    kept = _predictions()
    keys = _keys(card, case)
    predictions = {i: known for i, key in enumerate(keys) if (known := kept.get(key)) is not None}
    unknown = [i for i in range(len(keys)) if i not in predictions]
    for start in range(0, len(unknown), BATCH):
        progress(start / len(unknown))
        batch = unknown[start : start + BATCH]
        found = model_of(card).predict([case.samples[i] for i in batch])
        kept.note_run(card, [keys[i] for i in batch])
        for i, answer in zip(batch, found, strict=True):
            kept.put(keys[i], answer)
            predictions[i] = answer
    return tuple(predictions[i] for i in range(len(keys)))
