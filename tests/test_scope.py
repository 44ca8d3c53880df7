"""Whether an image lies within what a model was made for."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fracture_core.attributes import PART_OF
from fracture_core.models import fake
from fracture_core.models.cards import ModelCard, read_card, write_card
from fracture_core.scope import SYNTHETIC, Scope, check_scope, scope_of_images, scope_words

REAL = Scope(
    modalities=("CR", "DX"),
    body_parts=("hand", "leg", "hip", "shoulder"),
    views=("frontal", "lateral"),
    origins=("real",),
)
HAND = {"modality": "DX", "body part": "hand"}


@pytest.mark.parametrize(
    "attributes",
    [
        HAND,
        {"modality": "RG", "body part": "wrist"},
        {"modality": "CR", "body part": "ankle", "view": "lateral", "origin": "real"},
        {"modality": "CR", "body part": "hand, foot", "age group": "child"},
    ],
)
def test_what_a_model_was_made_for_is_inside(attributes: dict[str, str]) -> None:
    check = check_scope(REAL, attributes)
    assert (check.standing, check.sentence, check.held_back) == ("inside", "", False)


@pytest.mark.parametrize("code", ["MG", "CT", "MR", "US", "PT", "PX", "OT", "IO", "ZZ"])
def test_another_modality_is_held_back_and_named(code: str) -> None:
    check = check_scope(REAL, {"modality": code})
    assert check.standing == "outside"
    assert check.held_back
    assert check.sentence.startswith(f"This model has never seen images like this: {code}")


@pytest.mark.parametrize(("part", "code"), [("jaw", "PX"), ("teeth", "PX"), ("breast", "MG")])
def test_a_projection_of_teeth_or_of_a_breast_is_held_back(part: str, code: str) -> None:
    check = check_scope(REAL, {"modality": "DX", "body part": part})
    assert check.held_back
    assert f"like this: {code} (" in check.sentence


def test_a_ct_model_reads_ct_and_holds_radiographs_back() -> None:
    ct = Scope(modalities=("CT",), body_parts=("cervical spine",), origins=("real",))
    neck = {"body part": "cervical spine"}
    assert check_scope(ct, neck | {"modality": "CT"}).standing == "inside"
    assert check_scope(ct, neck | {"modality": "DX"}).held_back


def test_another_body_part_is_outside_but_read() -> None:
    check = check_scope(REAL, HAND | {"body part": "chest"})
    assert check.sentence == "This model has never seen images like this: chest"
    assert (check.standing, check.held_back) == ("outside", False)


def test_all_that_is_strange_is_named() -> None:
    check = check_scope(REAL, {"modality": "MG", "body part": "breast", "view": "mlo"})
    assert check.sentence.endswith(": MG (mammogram), breast, mlo view")


def test_a_model_of_synthetic_images_has_never_seen_a_real_one() -> None:
    told = HAND | {"view": "frontal"}
    assert check_scope(SYNTHETIC, told | {"origin": "synthetic"}).standing == "inside"
    for real in (told, told | {"origin": "real"}):
        check = check_scope(SYNTHETIC, real)
        assert check.standing == "outside"
        assert check.sentence.endswith("real (it was trained on synthetic images alone)")
        assert not check.held_back


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"body part": "hand"},
        {"modality": "DX"},
        {"modality": "DX", "body part": "extremity"},
        {"modality": "DX", "body part": "pelvis"},
    ],
)
def test_where_nothing_tells_the_image_is_read_with_a_banner(attributes: dict[str, str]) -> None:
    check = check_scope(REAL, attributes)
    assert check.standing == "unknown"
    assert check.sentence.startswith("Nothing tells what this image shows: ")
    assert not check.held_back


def test_a_scope_that_is_not_stated_leaves_doubt() -> None:
    check = check_scope(None, HAND)
    assert (check.standing, check.held_back) == ("unknown", False)
    assert "is not stated" in check.sentence
    assert check_scope(None, {"modality": "CT"}).held_back is False
    assert check_scope(None, {"modality": "MG"}).held_back
    assert check_scope(None, {"modality": "MR"}).standing == "unknown"


@given(st.sampled_from(sorted(PART_OF)), st.sampled_from(sorted(PART_OF)))
def test_a_model_of_a_region_has_seen_each_of_its_parts(part: str, whole: str) -> None:
    scope = Scope(modalities=("DX",), body_parts=(whole,), origins=("real",))
    standing = check_scope(scope, {"modality": "CR", "body part": part}).standing
    # Teeth and breasts are images of another kind.
    if standing == "inside":
        narrow = Scope(modalities=("DX",), body_parts=(part,), origins=("real",))
        assert check_scope(narrow, {"modality": "CR", "body part": whole}).standing in (
            "inside",
            "unknown",
        )


def test_a_scope_is_written_in_the_words_of_attributes() -> None:
    scope = Scope(modalities=("x-ray",), body_parts=("LHAND",), views=("PA",), origins=("real",))
    assert scope.modalities == ("DX",)
    assert scope.body_parts == ("hand",)
    assert scope.views == ("frontal",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": (), "body_parts": ("hand",), "origins": ("real",)},
        {"modalities": ("DX",), "body_parts": (), "origins": ("real",)},
        {"modalities": ("DX",), "body_parts": ("hand",), "origins": ("drawn",)},
        {"modalities": ("DX",), "body_parts": ("hand",), "origins": ("real",), "sex": "f"},
    ],
)
def test_a_scope_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Scope.model_validate(wrong)


def test_an_older_card_without_a_scope_still_opens(tmp_path: Path) -> None:
    older = fake.CARD.model_dump(mode="json")
    del older["scope"]
    (tmp_path / "card.json").write_text(json.dumps(older), encoding="utf-8")
    assert read_card(tmp_path).scope is None


def test_a_scope_comes_back_from_its_card(tmp_path: Path) -> None:
    card = fake.CARD.model_copy(update={"scope": REAL})
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card


def test_every_shipped_model_states_its_scope() -> None:
    folder = Path(__file__).parents[1] / "fracture_core" / "weights"
    cards = [
        ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*/card.json"))
    ]
    assert cards
    assert all(card.scope is not None for card in (*cards, fake.CARD))


def test_a_training_s_scope_is_what_its_images_tell() -> None:
    images = [
        HAND | {"view": "frontal"},
        {"modality": "CR", "body part": "leg, hip", "view": "lateral", "origin": "synthetic"},
    ]
    scope = scope_of_images(images)
    assert scope == Scope(
        modalities=("CR", "DX"),
        body_parts=("hand", "hip", "leg"),
        views=("frontal", "lateral"),
        origins=("real", "synthetic"),
    )
    assert all(check_scope(scope, image).standing == "inside" for image in images)


@pytest.mark.parametrize("images", [[], [HAND, {"modality": "DX"}], [HAND, {"body part": "leg"}]])
def test_where_one_image_does_not_tell_the_scope_is_not_stated(images: list[dict]) -> None:
    assert scope_of_images(images) is None


def test_views_and_ages_are_stated_where_all_tell_them() -> None:
    scope = scope_of_images([HAND | {"view": "frontal", "age group": "child"}, HAND])
    assert scope is not None
    assert (scope.views, scope.age_group) == ((), "")


def test_a_scope_in_a_line() -> None:
    assert scope_words(None) == "not stated"
    assert scope_words(REAL) == "CR, DX · hand, leg, hip, shoulder · frontal, lateral · real"
