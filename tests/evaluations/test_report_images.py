"""A model held against a data set whose classes are kinds of its own."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fracture_core import class_names
from fracture_core.class_names import NOTHING
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.evaluations import (
    EvaluateConfig,
    load_evaluation,
    new_evaluation,
    report_of,
    run_evaluation,
)
from fracture_core.evaluations.labelling import label
from fracture_core.evaluations.reporting import KINDS
from fracture_core.evaluations.running import with_kept_classes
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.models.fake import CARD
from fracture_core.types import Detections, Sample
from tests.support.dial_evaluations import detector

SEVEN = ("wrist positive", "elbow positive", "bones", "normal")
TABLE = {"wrist positive": "fracture", "elbow positive": "fracture", "normal": NOTHING}
DETECTOR = CARD.model_copy(update={"classes": ("fracture",)})
CLASSIFIER = CARD.model_copy(
    update={
        "task": "classify",
        "classes": ("healthy", "fracture"),
        "architecture": {"healthy": "healthy"},
    }
)


@dataclass
class Named:
    """Enough of a data set for its classes to be held against a model's."""

    classes: tuple[str, ...]
    name: str = "seven"


def sample(ground_truth: Detections | None, image_class: int | None = None) -> Sample:
    return Sample(
        sample_id="a",
        group_id="g",
        height=20,
        width=20,
        read=lambda: np.zeros((20, 20), dtype=np.uint8),
        ground_truth=ground_truth,
        image_class=image_class,
    )


BOXES = Detections.ground_truth(
    [[0, 0, 5, 5], [1, 1, 6, 6], [2, 2, 7, 7], [3, 3, 8, 8]], [0, 1, 2, 3]
)


def test_kinds_count_as_the_model_s_class_and_are_kept() -> None:
    found = label(DETECTOR, Named(SEVEN), one_class=False, is_a=TABLE)
    assert (found.classes, found.model_classes) == (("fracture", "bones"), 1)
    assert found.kinds == SEVEN
    assert found.ground_truth(sample(BOXES)).labels.tolist() == [0, 0, 1]
    assert found.ground_truth(sample(BOXES)).xyxy[-1].tolist() == [2, 2, 7, 7]
    assert found.gt_kinds(sample(BOXES)).tolist() == [0, 1, 2]


def test_without_a_table_the_refusal_says_what_may_mean_the_same() -> None:
    with pytest.raises(ConfigError, match='--is-a "wrist positive=fracture", --is-a "elbow'):
        label(DETECTOR, Named(SEVEN), one_class=False)


def test_where_every_class_stays_one_no_kinds_are_kept() -> None:
    assert not label(DETECTOR, Named(("fracture", "metal")), one_class=False).kinds
    found = label(DETECTOR, Named(("fractured",)), one_class=False, is_a={"fractured": "fracture"})
    assert (found.classes, found.kinds) == (("fracture",), ())
    assert label(DETECTOR, Named(SEVEN), one_class=True).kinds == SEVEN


def test_a_classifier_takes_what_is_no_finding_for_its_own_class() -> None:
    found = label(CLASSIFIER, Named(SEVEN), one_class=False, is_a=TABLE)
    assert found.classes == ("healthy", "fracture", "bones")
    told = [found.image_class(sample(None, image_class)) for image_class in range(4)]
    assert told == [1, 1, 2, 0]
    assert found.image_class(sample(Detections.empty())) == 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=24, size=(160, 128))


def test_an_evaluation_tells_each_kind_s_sensitivity(demo: Path) -> None:
    kinds = ("transverse", "oblique", "spiral", "comminuted", "greenstick")
    config = EvaluateConfig.of(
        model="fake", data=str(demo), split="all", is_a=dict.fromkeys(kinds, "fracture")
    )
    run = new_evaluation(config)
    run_evaluation(run.path)
    found = load_evaluation(run.path)
    assert found.about.classes == ("fracture",)
    assert (found.about.kinds, found.about.is_a) == (kinds, config.is_a)
    support = np.bincount(found.gt_kinds, minlength=5)
    assert support.sum() == len(found.ground_truths) > 5
    halved = found.images(np.arange(len(found)) % 2 == 0)
    assert len(halved.gt_kinds) == len(halved.ground_truths)
    report = report_of(found, intervals=False)
    shown = report.of_section(KINDS)
    for rule in {each.name for each in shown}:
        of_rule = [each for each in shown if each.name == rule]
        assert [each.n for each in of_rule] == [int(n) for n in support if n]
        hits = sum(round(each.value * each.n) for each in of_rule)
        whole = report.metric(
            "Operating points", "sensitivity", "lesion", rule.removeprefix("sensitivity at ")
        )
        assert hits == round(whole.value * whole.n)


def test_sensitivity_by_kind_by_hand() -> None:
    """Two of three wrists are found and one of two elbows, at one score."""
    at = [[[0, 0, 5, 5], [10, 10, 15, 15]], [[0, 0, 5, 5]], [[0, 0, 5, 5], [10, 10, 15, 15]]]
    ground_truths = [Detections.ground_truth(boxes, [0] * len(boxes)) for boxes in at]
    predictions = [ground_truths[0], Detections.empty(), ground_truths[2][:1]]
    found, ground_truth = DetectionTable.of(predictions), DetectionTable.of(ground_truths)
    evaluation = replace(
        detector(3, [], [], ["a", "b", "c"]),
        raw=found,
        ground_truths=ground_truth,
        gt_kinds=np.array([0, 1, 0, 0, 1]),
    )
    about = evaluation.about.model_copy(update={"kinds": ("wrist", "elbow")})
    shown = report_of(replace(evaluation, about=about), intervals=False).of_section(KINDS)
    first = {each.of: (each.value, each.n) for each in shown if each.name == shown[0].name}
    assert first == {"wrist": (2 / 3, 3), "elbow": (1 / 2, 2)}


def test_what_was_confirmed_is_asked_of_an_evaluation_and_stands_in_its_folder(demo: Path) -> None:
    asked = EvaluateConfig.of(model="fake", data=str(demo))
    assert with_kept_classes(asked) == asked
    kinds = ("transverse", "oblique", "spiral", "comminuted", "greenstick")
    class_names.keep(kinds, kinds, {"oblique": "spiral"})
    assert with_kept_classes(asked).is_a == {"oblique": "spiral"}
    as_one = EvaluateConfig.of(model="fake", data=str(demo), one_class=True)
    assert with_kept_classes(as_one) == as_one
