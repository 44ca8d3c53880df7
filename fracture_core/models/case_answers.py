"""The answer to a case in three words, as cleared products give it: finding, doubt or none.

    >>> answer_of(0.84, sensitive=0.31, specific=0.7).kind
    'finding'

The viewer holds the same rule in `answers.js`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["finding", "doubt", "none", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAnswer:
    """`kind` "unknown": the points it takes to tell are missing.

    `above` is the confidence that nothing is scored at or above, of "none" alone · `hidden` what
    the points say of a best score that the chosen confidence hides, None = it hides no more.
    """

    kind: Kind
    above: float | None = None
    hidden: Kind | None = None


def answer_of(
    score: float | None,
    *,
    sensitive: float | None,
    specific: float | None,
    confidence: float | None = None,
) -> CaseAnswer:
    """What the best `score` of a case means, None = the model proposed nothing.

    `sensitive` and `specific` are the confidences of the model's two points, None = not measured ·
    `confidence` is the one that findings are shown from, None = all are. Where it hides all of them
    the answer is "none", whatever the points say of the best.
    """
    points = [point for point in (sensitive, specific) if point is not None]
    if not points:
        return CaseAnswer(kind="unknown")
    kind = _by_points(score, sensitive, specific)
    if confidence is not None and (score is None or score < confidence):
        return CaseAnswer(kind="none", above=confidence, hidden=None if kind == "none" else kind)
    return CaseAnswer(kind=kind, above=min(points) if kind == "none" else None)


def _by_points(score: float | None, sensitive: float | None, specific: float | None) -> Kind:
    if score is None:
        return "none"
    if specific is not None and score >= specific:
        return "finding"
    if sensitive is None:
        return "unknown"
    if score < sensitive:
        return "none"
    return "unknown" if specific is None else "doubt"
