"""What a data set's classes mean for a run."""

from dataclasses import dataclass

import pytest

from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.family_configs import FasterRcnnConfig
from trainers.label_map import label_map

KINDS = ("wrist positive", "elbow positive", "metal")
TABLE = {"Wrist positive": "fracture", "elbow positive": "fracture"}


@dataclass
class Named:
    """Enough of a data set to tell its classes."""

    classes: tuple[str, ...] = KINDS


def config(**asked: object) -> TrainConfig:
    return FasterRcnnConfig.model_validate({"data": "d", "epochs": 1, **asked})


def test_classes_that_count_as_another_are_learned_as_that_one() -> None:
    found = label_map(Named(), config(is_a=TABLE))
    assert (found.classes, found.moved) == (("fracture", "metal"), (0, 0, 1))


def test_a_start_of_the_same_meaning_gives_its_name_and_so_its_head() -> None:
    found = label_map(Named(("fractured",)), config(is_a={"fractured": "fracture"}))
    assert found.classes == ("fracture",)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"is_a": TABLE, "merge_classes": "any"}, "one way to merge classes"),
        ({"is_a": {"metal": ""}}, "expected a class, found none for 'metal'"),
        ({"is_a": {"metal": "screw", "screw": "metal"}}, "no circle"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(asked: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        label_map(Named(), config(**asked))
