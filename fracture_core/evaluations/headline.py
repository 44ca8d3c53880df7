"""The few metrics that a page opens with; number and interval are those of the report."""

from collections.abc import Sequence

from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.report import RANKING, Draft, MetricValue
from fracture_core.evaluations.report_boxes import BOXES, report_average
from fracture_core.evaluations.report_images import ACCURACY, report_accuracy, report_areas
from fracture_core.matching import MatchConfig

# With more candidates a reader would wait for the intervals, which the report has.
_MOST_CANDIDATES = 100_000
_DETECTOR = ((BOXES, "AP50"), (BOXES, "AP"), (RANKING, "ROC AUC"))
_CLASSIFIER = ((RANKING, "ROC AUC"), (ACCURACY, "balanced accuracy"))


def headline(evaluation: Evaluation, config: MatchConfig) -> tuple[MetricValue, ...]:
    """Return AP50, AP and AUC of a detector, or AUC and balanced accuracy of a classifier.

    The AUC is that of images; it is left out for a classifier that tells no findings from none.
    Intervals are left out where there are so many candidates that they take long.
    """
    matched = evaluation.matched()
    found = matched.found(config.nms_iou)
    intervals = len(found) <= _MOST_CANDIDATES
    draft = Draft(evaluation=matched, config=config, found=found, intervals=intervals)
    names: Sequence[tuple[str, str]] = _DETECTOR
    if matched.about.task == "classify":
        names = _CLASSIFIER
        report_accuracy(draft)
    else:
        report_average(draft)
    if matched.about.tells_findings:
        report_areas(draft)
    draft.draw_intervals()
    held = {(each.section, each.name): each for each in draft.metrics if each.unit != "study"}
    return tuple(held[key] for key in names if key in held)
