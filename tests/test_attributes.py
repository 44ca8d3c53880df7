"""What is known of an image, in words."""

import pytest

from fracture_core.attributes import (
    PART_OF,
    body_part,
    in_words,
    is_part_of,
    kind_of,
    merged,
    modality,
    several,
)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("HAND", "hand"),
        ("LHAND", "hand"),
        ("hand_left", "hand"),
        ("Rt. hands", "hand"),
        ("FINGER", "finger"),
        ("L SPINE", "spine"),
        ("LSPINE", "lumbar spine"),
        ("CSPINE", "cervical spine"),
        ("LEG", "leg"),
        ("RLEG", "leg"),
        ("TIBIA FIBULA", "lower leg"),
        ("THORAX", "chest"),
        ("Ribs", "ribs"),
        ("left knee", "knee"),
        ("EXTREMITY", "extremity"),
        ("LOWER EXTREMITY", "lower extremity"),
        ("  Spleen ", "spleen"),
        ("", ""),
    ],
)
def test_body_parts_are_named_in_plain_words(told: str, meant: str) -> None:
    assert body_part(told) == meant


def test_every_word_for_a_body_part_is_understood_as_itself() -> None:
    for name, wholes in PART_OF.items():
        assert body_part(name) == name
        assert body_part(f"Left {name.upper()}") == name
        assert set(wholes) <= set(PART_OF)


def test_a_part_lies_in_what_it_is_part_of_and_not_the_other_way() -> None:
    assert is_part_of("thumb", "hand")
    assert is_part_of("wrist", "hand")
    assert is_part_of("ankle", "leg")
    assert is_part_of("hip", "extremity")
    assert not is_part_of("hand", "wrist")
    assert not is_part_of("elbow", "hand")
    assert is_part_of("spleen", "spleen")


@pytest.mark.parametrize(
    ("told", "code", "kind"),
    [
        ("dx", "DX", "radiograph"),
        ("X-ray", "DX", "radiograph"),
        ("CR", "CR", "radiograph"),
        ("MRI", "MR", "MR"),
        ("mammography", "MG", "mammogram"),
        ("orthopantomogram", "PX", "panoramic radiograph of the jaws"),
        ("ZZ", "ZZ", "ZZ"),
    ],
)
def test_modalities_are_dicoms_codes(told: str, code: str, kind: str) -> None:
    assert modality(told) == code
    assert kind_of(code) == kind


def test_a_readers_words_become_attributes() -> None:
    told = {
        "Modality": "cr",
        "body_part": "RWRIST; FOREARM",
        "View Position": "AP",
        "hardware": 1,
        "Age_group": "Child",
        "patient": None,
        "origin": "",
        "Scanner": "A 7",
    }
    assert in_words(told) == {
        "modality": "CR",
        "body part": "wrist, forearm",
        "view": "frontal",
        "hardware": "yes",
        "age group": "child",
        "scanner": "a 7",
    }


def test_several_values_stand_in_one_text() -> None:
    assert several("hand, leg") == ("hand", "leg")
    assert several("frontal|lateral") == ("frontal", "lateral")
    assert several("") == ()


def test_of_contradicting_body_parts_the_last_one_told_counts_and_it_is_said() -> None:
    words, said = merged(
        ("the file", {"body part": "hand"}), ("your choice", {"body part": "knee"})
    )
    assert words == {"body part": "knee"}
    assert said == (
        "Body part: the file says hand, your choice says knee. What your choice says counts.",
    )


def test_of_contradicting_modalities_the_first_one_told_counts() -> None:
    words, said = merged(("the file", {"modality": "MG"}), ("your choice", {"modality": "DX"}))
    assert words == {"modality": "MG"}
    assert said == ("Modality: the file says MG, your choice says DX. What the file says counts.",)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("hand", "finger", "finger"),
        ("finger", "hand", "finger"),
        ("extremity", "knee", "knee"),
        ("knee", "extremity", "knee"),
        ("hand", "hand", "hand"),
    ],
)
def test_of_a_region_and_its_part_the_finer_is_taken_without_a_word(
    first: str, second: str, taken: str
) -> None:
    assert merged(("a", {"body part": first}), ("b", {"body part": second})) == (
        {"body part": taken},
        (),
    )


def test_two_codes_of_one_kind_do_not_contradict_each_other() -> None:
    assert merged(("a", {"modality": "CR"}), ("b", {"modality": "DX"})) == ({"modality": "CR"}, ())


def test_views_that_differ_are_said() -> None:
    words, said = merged(("the file", {"view": "frontal"}), ("the table", {"view": "lateral"}))
    assert words == {"view": "lateral"}
    assert len(said) == 1
