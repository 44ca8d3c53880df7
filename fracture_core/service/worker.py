"""A worker process: it opens a model once, and answers what the service hands it until it ends.

`python -m fracture_core.service.worker` reads work from its standard input and writes answers to
its standard output, as `messages` has them. It ends when its input does.
"""

import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from fracture_core.errors import BadInput, WorkbenchError
from fracture_core.models.base import Model
from fracture_core.models.library import open_model, points_of
from fracture_core.models.points import Measurements
from fracture_core.service.answering import explain_image, predict
from fracture_core.service.messages import Query, Reply, Work, pack_replies, read_work
from fracture_core.service.schemas import Problem

MOST_OPEN = 4
_LOG = logging.getLogger(__name__)


class OpenModels:
    """The models that were asked last, each read from the disk once."""

    def __init__(self, open_one: Callable[[str], Model] = open_model) -> None:
        self._open = open_one
        self._held: OrderedDict[tuple[str, str], Model] = OrderedDict()

    def get(self, model_id: str, weights_sha256: str) -> Model:
        """Return a model; one that was replaced under the same id is opened anew.

        Raises WeightsError and ConfigError.
        """
        key = (model_id, weights_sha256)
        if key not in self._held:
            self._held[key] = self._open(model_id)
            while len(self._held) > MOST_OPEN:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]

    def prepare(self, model_id: str, weights_sha256: str) -> None:
        """Open a model, if it can be; who asks it for something is told why it cannot."""
        with suppress(WorkbenchError):
            self.get(model_id, weights_sha256)


def answer(work: Work, models: OpenModels) -> list[Reply]:
    """Answer each query of some work; what goes wrong in one is an answer, too."""
    if work.kind == "open":
        models.prepare(work.model_id, work.weights_sha256)
        return []
    try:
        model = models.get(work.model_id, work.weights_sha256)
        measured = points_of(model.card)
    except WorkbenchError as error:
        return [_failed(error)] * len(work.queries)
    if work.kind == "explain":
        return [_guarded(partial(explain_image, model, query)) for query in work.queries]
    try:
        return predict(model, measured, work.queries)
    except Exception:
        # One of the batch is at fault, and the others are not: each is asked alone.
        _LOG.exception("a batch of %d failed", len(work.queries))
        return [_guarded(partial(_predict_one, model, measured, each)) for each in work.queries]


def _predict_one(model: Model, measured: Measurements | None, query: Query) -> Reply:
    return predict(model, measured, [query])[0]


def _guarded(ask: Callable[[], Reply]) -> Reply:
    try:
        return ask()
    except Exception as error:
        _LOG.exception("a request failed")
        return _failed(error)


def _failed(error: Exception) -> Reply:
    """A model that cannot be used is 503, whatever else goes wrong is our fault: 500."""
    if isinstance(error, BadInput):
        return Reply.refusing(error, 503)
    problem = Problem(message=f"The model failed: {type(error).__name__}.")
    return Reply(status=500, body=problem.model_dump_json().encode())


def serve(stream: BinaryIO, out: BinaryIO) -> None:
    """Answer until the stream ends."""
    models = OpenModels()
    while (work := read_work(stream)) is not None:
        for part in pack_replies(answer(work, models)):
            out.write(part)
        out.flush()


def main() -> None:
    """Take standard output for the answers alone: what libraries print goes to standard error."""
    logging.basicConfig(level=logging.WARNING)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, out)


if __name__ == "__main__":
    main()
