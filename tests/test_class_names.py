"""Lists of class names brought together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core import class_names
from fracture_core.class_names import (
    NO_CLASS,
    NOTHING,
    bring_together,
    is_negative,
    kept,
    negative_among,
    propose,
    relabel,
)
from fracture_core.datasets import issues
from fracture_core.datasets.issues import IssueLog
from fracture_core.datasets.records import warn_of_issues
from fracture_core.datasets.rsna_writing import Hdf5Writer
from fracture_core.demo.classes import CLASSES
from fracture_core.errors import ConfigError
from fracture_core.types import Detections

FRACTURE7 = (
    "bones",
    "elbow positive",
    "fingers positive",
    "forearm fracture",
    "humerus",
    "humerus fracture",
    "shoulder fracture",
    "wrist positive",
)
FRACTURE10 = (
    "Comminuted",
    "Greenstick",
    "Healthy",
    "Linear",
    "Oblique Displaced",
    "Oblique",
    "Segmental",
    "Spiral",
    "Transverse Displaced",
    "Transverse",
)


def test_names_meet_whatever_their_case() -> None:
    found = bring_together(["wrist", "Elbow"], ["elbow ", "hip", "WRIST"])
    assert found.names == ("wrist", "Elbow", "hip")
    assert found.moved == ((0, 1), (1, 2, 0))


def test_lists_share_a_class_only_where_any_two_do() -> None:
    assert bring_together(["a", "B"], ["b"]).share
    assert not bring_together(["a"], ["b"]).share
    assert not bring_together(["a"], ["a", "b"], ["b"]).share
    assert bring_together(["a"], []).share


def test_a_name_stands_for_what_it_is() -> None:
    found = bring_together(
        ["fracture", "metal"],
        ["Elbow positive", "bones", "healthy"],
        is_a={"elbow positive": "fracture", "healthy": NOTHING},
    )
    assert found.names == ("fracture", "metal", "bones")
    assert found.moved == ((0, 1), (0, 2, NO_CLASS))


def test_several_steps_lead_to_the_last() -> None:
    found = bring_together(["oblique"], ["fracture"], is_a={"oblique": "fx", "fx": "Fracture"})
    assert found.names == ("Fracture",)
    assert found.moved == ((0,), (0,))


def test_a_table_that_goes_round_is_refused() -> None:
    with pytest.raises(ConfigError, match="'a' is a 'b' is a 'A'"):
        bring_together(["a"], ["b"], is_a={"a": "b", "b": "A"})


def test_labels_follow_their_names() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 4, 4], [1, 1, 3, 3]], [0, 2])
    assert relabel(ground_truth, (5, 6, 0)).labels.tolist() == [5, 0]
    assert len(relabel(Detections.empty(), ())) == 0


def test_boxes_of_no_finding_are_left_out() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 4, 4], [1, 1, 3, 3]], [0, 1])
    found = relabel(ground_truth, (NO_CLASS, 3))
    assert found.xyxy.tolist() == [[1, 1, 3, 3]]
    assert found.labels.tolist() == [3]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["fracture"], ["fractured"], {"fractured": "fracture"}),
        (["fracture"], ["Bone fractures"], {"Bone fractures": "fracture"}),
        (["fracture"], list(CLASSES), dict.fromkeys(CLASSES, "fracture")),
        (list(CLASSES), ["Fracture"], dict.fromkeys(CLASSES, "Fracture")),
        (["elbow_positive"], ["Elbow positives"], {"Elbow positives": "elbow_positive"}),
        (["fracture"], ["Fracture"], {}),
        (["fracture"], ["fracture", "oblique"], {"oblique": "fracture"}),
        (["fracture"], ["metal", "text", "bones", "humerus", "soft tissue"], {}),
        (["fracture"], ["no fracture", "periosteal reaction"], {"no fracture": NOTHING}),
        (["fracture"], ["dislocation"], {}),
        (["fracture"], ["lower leg fracture", "Non-displaced fracture"], None),
        (["wrist"], ["elbow"], {}),
        (list(CLASSES), ["wrist positive"], {}),
    ],
)
def test_what_may_mean_the_same_is_proposed(first, second, expected) -> None:
    expected = dict.fromkeys(second, "fracture") if expected is None else expected
    assert propose(first, second) == expected


def test_of_the_public_sets_every_fracture_is_proposed_and_nothing_else() -> None:
    bones = {"bones", "humerus"}
    wanted = {name: "fracture" for name in FRACTURE7 if name not in bones}
    assert propose(["fracture"], FRACTURE7) == wanted
    kinds = {name: "fractured" for name in FRACTURE10 if name != "Healthy"}
    assert propose(["fractured"], FRACTURE10) == kinds | {"Healthy": NOTHING}


names = st.lists(
    st.sampled_from([*FRACTURE7, *FRACTURE10, "fracture", "Fractured", "metal", "no finding"]),
    max_size=6,
)


@given(names, names)
def test_a_proposal_never_goes_round_and_keeps_what_both_have(first, second) -> None:
    found = propose(first, second)
    bring_together(first, second, is_a=found)
    both = {name.casefold() for name in first} & {name.casefold() for name in second}
    assert not both & {name.casefold() for name in found}


def test_what_was_confirmed_is_kept_for_the_pair_in_either_order() -> None:
    assert kept(["fracture"], FRACTURE7) is None
    class_names.keep(["fracture"], FRACTURE7, {"wrist positive": "fracture"})
    class_names.keep(["fracture"], ["fractured"], {"fractured": "fracture"})
    assert kept(FRACTURE7, ["Fracture "]) == {"wrist positive": "fracture"}
    class_names.keep(FRACTURE7, ["fracture"], {})
    assert kept(["fracture"], FRACTURE7) == {}
    assert class_names.kept_among([["fracture"], FRACTURE7, ["fractured"]]) == {
        "fractured": "fracture"
    }
    class_names.forget(["fracture"], FRACTURE7)
    assert kept(["fracture"], FRACTURE7) is None
    assert kept(["fracture"], ["fractured"]) == {"fractured": "fracture"}


@pytest.mark.parametrize("others", [["fracture"], ["healthy", "fracture"]])
def test_of_its_own_kinds_the_package_asks_nobody_and_a_reader_may_say_otherwise(
    others: list[str],
) -> None:
    own = dict.fromkeys(CLASSES, "fracture")
    assert kept(others, CLASSES) == own
    assert class_names.kept_among([others, CLASSES, ["implant"]]) == own
    class_names.keep(others, CLASSES, {})
    assert kept(CLASSES, others) == {}
    class_names.forget(others, CLASSES)
    assert kept(CLASSES, others) == own


def test_a_table_that_goes_round_is_not_kept() -> None:
    with pytest.raises(ConfigError):
        class_names.keep(["a"], ["b"], {"a": "b", "b": "a"})
    assert kept(["a"], ["b"]) is None


@pytest.mark.parametrize("text", ["{", '{"tables": [{"first": 3}]}', '{"version": 9}'])
def test_a_kept_file_of_nonsense_is_said(home, text: str) -> None:
    (home / "class_names.json").write_text(text)
    with pytest.raises(ConfigError, match=r"class_names\.json: expected"):
        kept(["a"], ["b"])


# ---- names that say that nothing was found ------------------------------------------------------

NEGATIVE = [
    *("healthy", "Healthy", "normal", "Normal ", "negative", "Negative"),
    *("No finding", "no findings", "NO_FINDING", "no fracture", "no_fracture", "No-Fractures"),
    *("not fractured", "Not_fractured", "Non_fractured", "non-fractured", "nonfractured"),
]
NOT_NEGATIVE = ["fracture", "abnormal", "unhealthy", "", "bones", "finding", "no", "non"]


@pytest.mark.parametrize("name", NEGATIVE)
def test_a_negative_name_means_the_same_everywhere(name: str) -> None:
    assert is_negative(name)
    assert negative_among(("fracture", name)) == name
    assert propose(["fracture"], [name]) == {name: NOTHING}
    issue_log = IssueLog()
    warn_of_issues({}, ("fracture", name), issue_log)
    assert issue_log.sentences() == (f"{issues.HEALTHY_CLASS}: 1 ({name}).",)
    (limit,) = Hdf5Writer(name="set", side_px=64).limits([], ("fracture", name), frozenset())
    assert limit.sentence.split(";")[1] == f" boxes of {name!r} mark none"


@pytest.mark.parametrize("name", NOT_NEGATIVE)
def test_other_names_mean_a_finding_everywhere(name: str) -> None:
    assert not is_negative(name)
    assert negative_among(("metal", name)) == ""
    assert propose(["metal"], [name]) == {}
    issue_log = IssueLog()
    warn_of_issues({}, ("metal", name), issue_log)
    assert issue_log.sentences() == ()


def test_of_several_negative_names_none_is_the_one() -> None:
    assert negative_among(("normal", "healthy")) == ""
    assert negative_among(()) == ""
