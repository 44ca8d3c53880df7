"""Families that other packages bring, as an installer would lay them down."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fracture_core.errors import ConfigError
from fracture_core.info import listing
from fracture_core.models import library
from fracture_core.models.families import family, family_of, find_family, installed
from tests.support.made_packages import install, install_spots
from tests.support.yolo_files import sample

MODULE = """
from fracture_core.models.families import ModelFamily
FAMILY = ModelFamily(name="broken", module="nowhere")
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    installed.cache_clear()
    yield folder
    installed.cache_clear()
    for name in ("spots_family", "broken_family"):
        sys.modules.pop(name, None)


def test_a_family_of_another_package_is_one_like_ours(site: Path, tmp_path: Path) -> None:
    install_spots(site)
    assert installed().broken == ()
    assert family_of("spots:8") == "spots"
    assert "spots" in listing().families
    model = library.open_model("spots:8")
    bright = np.zeros((80, 40), dtype=np.uint8)
    bright[45:50, 20:25] = 255
    (prediction,) = model.predict([sample(bright)])
    best = prediction.detections[:1]
    np.testing.assert_allclose(best.xyxy, [[20, 40, 25, 50]])
    values = model.explain(sample(bright), 0).values
    assert np.unravel_index(values.argmax(), values.shape)[0] in range(40, 50)
    kept = tmp_path / "kept"
    again = family("spots").load(model.save(kept), kept)
    np.testing.assert_array_equal(
        again.predict([sample(bright)])[0].detections.scores, prediction.detections.scores
    )


def test_a_family_of_another_package_is_added_to_the_library(site: Path) -> None:
    install_spots(site)
    card = library.add_named("spots:4")
    assert library.open_model(card.model_id).card.family == "spots"


@pytest.mark.parametrize(
    ("code", "entry", "said"),
    [
        ("1 / 0", "broken_family:FAMILY", "ZeroDivisionError: division by zero"),
        ("FAMILY = 3", "broken_family:FAMILY", "to be a ModelFamily, found int"),
        ("", "broken_family:FAMILY", "AttributeError"),
        (MODULE.replace('"broken"', '"yolo"'), "broken_family:FAMILY", "a name of its own"),
    ],
)
def test_a_broken_one_is_told_and_keeps_nothing_else_away(
    site: Path, code: str, entry: str, said: str
) -> None:
    install(site, "families", "broken_family", entry, code)
    (sentence,) = installed().broken
    assert said in sentence
    assert sentence in listing().broken
    assert find_family("yolo").module == "fracture_core.models.yolo"


def test_every_family_is_declared_under_the_name_that_its_cards_have() -> None:
    for name, declared in installed().families.items():
        assert declared.name == name
        assert callable(family(name).load)
    with pytest.raises(ConfigError, match="expected a model family"):
        find_family("nonsense")
