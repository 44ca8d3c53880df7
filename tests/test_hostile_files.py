"""No weights file keeps its reader busy, fills its memory or gets anything but a sentence."""

import resource
from pathlib import Path

import pytest

from fracture_core.errors import WeightsError
from fracture_core.models.base import FAMILIES
from fracture_core.models.checkpoints.process import Kind, read_contents
from tests.hostile_files import CHECKPOINTS, NETWORKS, SAFETENSORS

WEIGHT_FAMILIES = sorted(name for name in FAMILIES if name != "fake")
# Of the reader's own time, which others who want the processor do not lengthen.
MOST_SECONDS = 3.0


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refused(file: Path, read_as: Kind) -> str:
    before = children_seconds()
    with pytest.raises(WeightsError) as refusal:
        read_contents(file, read_as)
    assert children_seconds() - before < MOST_SECONDS
    sentence = str(refusal.value)
    assert sentence.startswith(f"{file.name}: expected ")
    assert len(sentence) < 700
    assert sentence.isprintable()
    assert "did not survive" not in sentence
    return sentence


class TestReading:
    @pytest.mark.parametrize("kind", CHECKPOINTS)
    def test_a_hostile_checkpoint_gets_a_sentence_in_time(self, kind: str, tmp_path: Path) -> None:
        refused(CHECKPOINTS[kind](tmp_path / "hostile"), "state dict")

    @pytest.mark.parametrize("kind", NETWORKS)
    def test_a_hostile_network_gets_a_sentence_in_time(self, kind: str, tmp_path: Path) -> None:
        refused(NETWORKS[kind](tmp_path / "hostile"), "yolo")

    def test_the_walk_of_shared_modules_reaches_the_network(self, tmp_path: Path) -> None:
        sentence = refused(NETWORKS["modules shared 2 ** 38 times"](tmp_path / "a"), "yolo")
        assert "no list of class names" in sentence
        shared = "tensors in modules shared 2 ** 38 times"
        assert "more than 20000 tensors" in refused(NETWORKS[shared](tmp_path / "b"), "yolo")

    @pytest.mark.parametrize("kind", SAFETENSORS)
    def test_hostile_safetensors_get_a_sentence_in_time(self, kind: str, tmp_path: Path) -> None:
        refused(SAFETENSORS[kind](tmp_path / "hostile"), "state dict")
