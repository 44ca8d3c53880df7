"""The part of a report that tells kinds apart: truths of several classes that counted as one."""

import numpy as np

from fracture_core.evaluations.report_draft import Draft, Metric
from fracture_core.metrics import greedy
from fracture_core.metrics.columns import Bools
from fracture_core.metrics.intervals import Proportion
from fracture_core.types import Unit

KINDS = "By kind of the ground truth"


def report_kinds(draft: Draft) -> None:
    """Sensitivity of each kind at every operating point: of lesions, or of the images of a
    classifier that hold one.
    """
    evaluation, kinds = draft.evaluation, draft.evaluation.truth_kinds
    if kinds is None or not len(kinds):
        return
    by_image = evaluation.about.task == "classify"
    rules = draft.met_points or [draft.main_point]
    for rule, confidence in rules:
        found = _images_called(draft, confidence) if by_image else _matched(draft, confidence)
        how = f"confidence ≥ {confidence:.3f}, {draft.box_rule}"
        if by_image:
            how = f"image score ≥ {confidence:.3f}, images that hold one"
        for label, name in enumerate(evaluation.about.kinds):
            marks = found[kinds == label]
            if by_image:
                images = evaluation.truths.image[kinds == label]
                marks = marks[np.unique(images, return_index=True)[1]]
            share = Proportion(count=int(marks.sum()), total=len(marks))
            if share.total:
                unit: Unit = "image" if by_image else "lesion"
                draft.add(
                    Metric(
                        section=KINDS,
                        name=f"sensitivity at {rule}",
                        of=name,
                        unit=unit,
                        rule=how,
                        measure=share,
                    )
                )


def _matched(draft: Draft, confidence: float) -> Bools:
    """(T,) whether each truth is matched by what is shown."""
    taken = greedy.assign_all(draft.found, draft.evaluation.truths, draft.config.match_iou)
    shown = taken[(taken >= 0) & (draft.found.scores >= confidence)]
    marks = np.zeros(len(draft.evaluation.truths), dtype=np.bool_)
    marks[shown] = True
    return marks


def _images_called(draft: Draft, confidence: float) -> Bools:
    """(T,) whether the image of each truth is called by its score."""
    called: Bools = draft.evaluation.image_scores >= confidence
    return called[draft.evaluation.truths.image]
