"""Sentences for a person: printable whatever files say, and named by the first fault."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fracture_core.errors import ImageError, first_fault


def test_what_cannot_be_printed_is_shown_as_an_escape() -> None:
    error = ImageError("a.png", expected="a PNG", found="a chunk I\x9f\x00\tZ")
    assert str(error) == r"a.png: expected a PNG, found a chunk I\x9f\x00\tZ."


@given(st.text())
def test_every_sentence_is_printable_and_survives_a_process_border(text: str) -> None:
    error = ImageError(text, expected=text, found=text, advice=text)
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


class Inner(BaseModel):
    sizes: list[int]


def test_a_fault_is_told_after_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"sizes": [1, "x"]})
    assert first_fault(caught.value).startswith("sizes.1: Input should be a valid integer")
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate(3)
    assert first_fault(caught.value, "architecture").startswith("architecture: Input should be")
