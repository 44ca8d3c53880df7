"""What was measured of a model, said in one sentence, and nothing beyond it."""

from fracture_core.evaluations.report import measured_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.levels import evidence_for, sensitivity_at
from fracture_core.models.points import Counted, Measurements


def sentence_of_negative(measured: Measurements, confidence: float) -> str:
    """What it is worth that nothing is found above a confidence; on test, where it was applied."""
    share, where = _sensitivity(measured, confidence)
    at_point = any(point.confidence == confidence for point in measured.points)
    beginning = f"No finding above this {'operating point' if at_point else 'confidence'}"
    if not share.total:
        return f"{beginning}; its sensitivity is undefined: nothing to find in {where}."
    words = f"{measured_text(share.share, *share.interval)} per {measured.unit}"
    return f"{beginning}; measured sensitivity {words} on {where}."


def sentence_of_score(measured: Measurements, score: float) -> str:
    """How often findings, or pictures of a classifier, scored like this one were right."""
    found = evidence_for(measured, score)
    if found is None:
        return f"What a score of {score:.2f} is worth was not measured."
    one, many, right = ("box", "Boxes", "were right")
    if measured.unit == "image":
        one, many, right = ("image", "Images", "had a finding")
    scored, where = f"scored {found.low:.1f}–{found.high:.1f} by this model", _split(measured)
    if not found.total:
        return f"No {one} was {scored} on {where}: what that is worth is not known."
    share = Counted(count=found.right, total=found.total).proportion().share
    often = f"{100 * share:.0f} % of the time"
    return f"{many} {scored} {right} {often} on {where} (n = {found.total:,})."


def _sensitivity(measured: Measurements, confidence: float) -> tuple[Proportion, str]:
    for point in measured.points:
        if point.confidence == confidence and point.applied is not None:
            return point.applied.sensitivity.proportion(), point.applied_to
    where = f"{measured.data}, split {measured.split}"
    return sensitivity_at(measured, confidence), where


def _split(measured: Measurements) -> str:
    return "validation" if measured.split == "val" else f"split {measured.split}"
