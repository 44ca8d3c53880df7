"""Explanations on demand: made once, away from the page, and followed by the browser by URL.

A page asks; a thread of its own makes the map and its checks, one explanation at a time, while the
page and its viewer stay as they are. The viewer reads the answer's URL until it is done or failed.
"""

import gzip
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.explanations import Explanation, Faithfulness, explain
from fracture_core.models.base import Gated, Model
from fracture_core.models.cards import ModelCard
from fracture_core.types import Heatmap, Prediction, Sample
from fracture_core.ui.read.predicting import model_of
from fracture_core.ui.routes import Json, share_answer, share_map
from fracture_core.ui.widgets.case_viewer import Asked, ExplanationLink, What
from fracture_core.ui.widgets.cases import Case

MOST_KEPT = 150
MOST_WAITING = 8
SEED = 0
_ONE_AT_A_TIME = threading.Lock()
_LOG = logging.getLogger(__name__)

_Key = tuple[str, str, str, int, What]
_Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _ByGate:
    """A gated model explained by its gate, so that the gate's map is checked like any other."""

    model: Gated

    @property
    def card(self) -> ModelCard:
        return self.model.card

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return self.model.predict(samples)

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        return self.model.explain_gate(sample)

    def with_random_weights(self, seed: int) -> "_ByGate":
        return _ByGate(cast(Gated, self.model.with_random_weights(seed)))

    def save(self, folder: Path) -> ModelCard:
        return self.model.save(folder)


class Answer:
    """One explanation on its way: `state` is waiting, running, failed or done."""

    def __init__(self) -> None:
        self.state = "waiting"
        self._share = 0.0
        self._found: Json = {}
        self._map = b""

    def told(self) -> Json:
        """What the browser is told; the pixels of the map lie under their own URL."""
        told = {"state": self.state, "share": self._share, **self._found}
        return {**told, "values": share_map(self, self._map)} if self._map else told

    def work(self, make: Callable[[_Report], tuple[Explanation, float]]) -> None:
        """Make the explanation; what goes wrong becomes a sentence."""
        with _ONE_AT_A_TIME:
            self.state = "running"
            try:
                made, reference = make(self._report)
            except WorkbenchError as error:
                self._fail(str(error))
            except Exception as error:
                _LOG.exception("an explanation failed")
                self._fail(f"The explanation failed: {error or type(error).__name__}")
            else:
                self._map = _packed(made.heatmap)
                self._found = _described(made, reference)
                self.state = "done"

    def _report(self, share: float) -> None:
        self._share = share

    def _fail(self, sentence: str) -> None:
        self._found = {"error": sentence}
        self.state = "failed"


class _Predictions:
    """The latest answers of all sessions, bounded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, key: _Key) -> Answer | None:
        """A new answer to be worked on; None where there is one that has not failed.

        Where too many wait the new one has failed already.
        """
        with self._lock:
            held = self._kept.get(key)
            if held is not None and held.state != "failed":
                return None
            answer = self._kept[key] = Answer()
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            waiting = sum(one.state in ("waiting", "running") for one in self._kept.values())
            if waiting > MOST_WAITING:
                answer._fail("Too many explanations are being made. Ask again later.")
                return None
            return answer

    def find(self, first: tuple[str, str, str]) -> dict[tuple[int, What], Answer]:
        """Answers by frame and target of one model, weights and case."""
        with self._lock:
            return {key[3:]: answer for key, answer in self._kept.items() if key[:3] == first}


@st.cache_resource(show_spinner=False)
def _predictions() -> _Predictions:
    return _Predictions()


def ask(
    card: ModelCard,
    case: Case,
    prediction: Prediction,
    asked: Asked,
    open_model: Callable[[ModelCard], Model] = model_of,
) -> None:
    """Begin an explanation, unless it is there or on its way; returns at once.

    `prediction` is the raw one of the frame asked for, of which a finding is a position.
    """
    answer = _predictions().start((*_first(card, case), asked.frame, asked.what))
    if answer is not None:
        sample = case.samples[asked.frame]
        make = partial(_explained, partial(open_model, card), sample, prediction, asked.what)
        # A daemon: an explanation under way must not hold up the end of the server.
        threading.Thread(target=answer.work, args=(make,), daemon=True).start()


def known(case: Case, cards: Sequence[ModelCard]) -> tuple[ExplanationLink, ...]:
    """What has been asked of these models, one a pane, about this case."""
    found = [
        (Asked(pane=pane, frame=frame, what=what), answer)
        for pane, card in enumerate(cards)
        for (frame, what), answer in _predictions().find(_first(card, case)).items()
    ]
    return tuple(
        ExplanationLink(asked=asked, path=share_answer(answer, answer.told))
        for asked, answer in found
    )


def _first(card: ModelCard, case: Case) -> tuple[str, str, str]:
    return card.model_id, card.weights_sha256, case.key


def _explained(
    open_model: Callable[[], Model],
    sample: Sample,
    prediction: Prediction,
    what: What,
    report: _Report,
) -> tuple[Explanation, float]:
    """The explanation, and the strength to hold its own against: the frame's first finding's."""
    model = open_model()
    if what == "gate":
        model = _ByGate(cast(Gated, model))
    index = what if isinstance(what, int) else None
    made = explain(model, sample, prediction, index, seed=SEED, progress=report)
    strongest = made.heatmap.strength
    if index:
        strongest = max(strongest, model.explain(sample, 0).strength)
    return made, strongest


def _packed(heatmap: Heatmap) -> bytes:
    """The values as uint8, row by row: more levels than an overlay can show."""
    return gzip.compress(np.rint(heatmap.values * 255).astype(np.uint8).tobytes(), 1, mtime=0)


def _described(made: Explanation, reference: float) -> Json:
    heatmap, checks = made.heatmap, made.faithfulness
    height, width = heatmap.values.shape
    return {
        "method": heatmap.method,
        "target": heatmap.target,
        "strength": heatmap.strength,
        "reference": reference,
        "height": height,
        "width": width,
        "checks": _checked(checks),
    }


def _checked(checks: Faithfulness) -> Json:
    return asdict(checks) | {"verdict": checks.verdict, "failures": list(checks.failures)}
