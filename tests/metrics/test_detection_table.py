from hypothesis import given
from hypothesis import strategies as st

from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.types import Detections
from tests.support.strategies import detections


def test_the_best_score_of_each_image() -> None:
    two = Detections.of([(0, 0, 9, 9), (1, 1, 9, 9)], [0.75, 0.25], [0, 1])
    columns = DetectionTable.of([Detections.empty(), two, Detections.empty()])
    assert columns.best_scores(0.0).tolist() == [0.0, 0.75, 0.0]
    assert columns.best_scores(-1.0).tolist() == [-1.0, 0.75, -1.0]
    assert DetectionTable.of([]).best_scores(0.0).tolist() == []


@given(st.lists(detections(most=5), max_size=6))
def test_it_is_that_of_the_first_candidate(images: list[Detections]) -> None:
    best = DetectionTable.of(images).best_scores(0.0).tolist()
    assert best == [max(each.scores.tolist(), default=0.0) for each in images]
