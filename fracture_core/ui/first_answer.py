"""What the first page opens on: a demo model and its answer to the demo case, without torch."""

from collections.abc import Iterable

from fracture_core.demo.answer import MODEL, kept_answer
from fracture_core.models.cards import ModelCard
from fracture_core.types import Prediction
from fracture_core.ui.cases import Case

DEMO_KEY = "demo:demo-case"


def first_choice(cards: Iterable[ModelCard]) -> int:
    """Where the model stands that a page begins with; the first one where it is not there."""
    ids = [card.model_id for card in cards]
    return ids.index(MODEL) if MODEL in ids else 0


def known_answer(card: ModelCard, case: Case) -> tuple[Prediction, ...] | None:
    """What is kept of this very model and case; None = it has to be asked."""
    if case.key != DEMO_KEY or card.model_id != MODEL:
        return None
    kept = kept_answer()
    return (kept.prediction,) if kept.weights_sha256 == card.weights_sha256 else None
