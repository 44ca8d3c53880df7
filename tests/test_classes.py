from fracture_core import classes
from fracture_core.types import Detections


def test_names_meet_whatever_their_case() -> None:
    names, moved = classes.merge(["wrist", "Elbow"], ["elbow ", "hip", "WRIST"])
    assert names == ("wrist", "Elbow", "hip")
    assert moved == (1, 2, 0)


def test_shared_needs_one_name() -> None:
    assert classes.shared(["a", "B"], ["b"])
    assert not classes.shared(["a"], ["b"])


def test_labels_follow_their_names() -> None:
    truth = Detections.truth([[0, 0, 4, 4], [1, 1, 3, 3]], [0, 2])
    assert classes.relabel(truth, (5, 6, 0)).labels.tolist() == [5, 0]
    assert len(classes.relabel(Detections.empty(), ())) == 0
