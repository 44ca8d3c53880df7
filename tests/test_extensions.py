"""Families that other packages bring, as an installer would lay them down."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fracture_core.errors import ConfigError
from fracture_core.models import library
from fracture_core.models.families import family, family_of, find_family, installed
from fracture_core.models.listing import listing
from tests.yolo_files import picture, sample

MODULE = """
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.models.families import ModelFamily


class Echo(FakeModel):
    @classmethod
    def from_name(cls, name):
        return cls(CARD.model_copy(update={"family": "echo", "model_id": name}))


ADAPTER = Echo
FAMILY = ModelFamily(name="echo", module="echo_family", names="echo:.*", example="echo:one")
"""


def install(site: Path, name: str, entry: str, code: str) -> None:
    """A module and the metadata with its entry point, below a folder of `sys.path`."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fracture_core.families]\n{name} = {entry}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    installed.cache_clear()
    yield folder
    installed.cache_clear()
    for name in ("echo_family", "broken_family"):
        sys.modules.pop(name, None)


def test_a_family_of_another_package_is_one_like_ours(site: Path) -> None:
    install(site, "echo_family", "echo_family:FAMILY", MODULE)
    assert installed().broken == ()
    assert family_of("echo:two") == "echo"
    assert "echo" in listing().families
    model = library.open_model("echo:two")
    assert model.card.family == "echo"
    (prediction,) = model.predict([sample(picture())])
    assert prediction.model_id == "echo:two"


@pytest.mark.parametrize(
    ("code", "entry", "said"),
    [
        ("1 / 0", "broken_family:FAMILY", "ZeroDivisionError: division by zero"),
        ("FAMILY = 3", "broken_family:FAMILY", "to be a ModelFamily, found int"),
        ("", "broken_family:FAMILY", "AttributeError"),
        (MODULE.replace('"echo"', '"yolo"'), "broken_family:FAMILY", "a name of its own"),
    ],
)
def test_a_broken_one_is_told_and_keeps_nothing_else_away(
    site: Path, code: str, entry: str, said: str
) -> None:
    install(site, "broken_family", entry, code)
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
