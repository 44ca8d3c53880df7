"""No weights file keeps its reader busy, fills its memory or gets anything but a sentence."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fracture_core.errors import WeightsError
from fracture_core.models import library
from fracture_core.models.checkpoints import process, yolo
from fracture_core.models.checkpoints.process import Kind, read_contents
from fracture_core.models.families import installed
from fracture_core.models.state_dicts import fit, read_state
from fracture_core.models.yolo_architectures import _CHECKS
from fracture_core.settings import settings
from tests.support.hostile_files import CHECKPOINTS, NETWORKS, SAFETENSORS, pack
from tests.support.torchvision_files import resnet

ROOT = Path(__file__).parents[2]
WEIGHT_FAMILIES = sorted(name for name in installed().families if name not in {"fake", "consensus"})
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
        assert "is not a network's layer" in refused(NETWORKS[shared](tmp_path / "b"), "yolo")

    @pytest.mark.parametrize("kind", SAFETENSORS)
    def test_hostile_safetensors_get_a_sentence_in_time(self, kind: str, tmp_path: Path) -> None:
        refused(SAFETENSORS[kind](tmp_path / "hostile"), "state dict")


IN_EVERY_FAMILY = {
    kind: makers[kind]
    for makers, kinds in (
        (
            CHECKPOINTS,
            (
                "a name that is a list doubled forty times",
                "an attribute of a list doubled forty times",
                "a whole number of a million digits as a key",
                "a zip name that is no text",
            ),
        ),
        (NETWORKS, ("modules shared 2 ** 38 times",)),
        (SAFETENSORS, ("brackets in brackets",)),
    )
    for kind in kinds
}


@pytest.mark.parametrize("family_name", WEIGHT_FAMILIES)
def test_every_family_refuses_and_the_library_stays_as_it_was(
    family_name: str, tmp_path: Path
) -> None:
    for make in IN_EVERY_FAMILY.values():
        file = make(tmp_path / "hostile")
        with pytest.raises(WeightsError, match=rf"^{file.name}: expected "):
            library.add_model(file, family_name=family_name, classes=("a", "b"))
    assert list(settings().models.iterdir()) == []
    assert library.list_cards() == list(library.BUILT_IN)


@pytest.mark.parametrize("family_name", WEIGHT_FAMILIES)
def test_the_command_line_answers_in_one_sentence(
    family_name: str, home: Path, tmp_path: Path
) -> None:
    file = CHECKPOINTS["a name that is a list doubled forty times"](tmp_path / "frozen")
    assert file.stat().st_size < 1_000
    words = [sys.executable, "-m", "fracture_core", "add-model", str(file), "--family", family_name]
    before = children_seconds()
    done = subprocess.run(
        words,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=os.environ | {"FRACTURE_HOME": str(home)},
    )
    # Neither torch nor the family's library is imported for a file that cannot be read.
    assert children_seconds() - before < MOST_SECONDS
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("frozen.pt: expected a PyTorch checkpoint (.pt), found ")
    assert done.stderr.count("\n") == 1


class TestProcess:
    """What holds where none of the reader's own bounds does."""

    def reader(self, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        start += "from fracture_core.models.checkpoints import reader; "
        monkeypatch.setattr(process, "_PROGRAM", start + program)

    def file(self, folder: Path) -> Path:
        return pack(folder / "w.pt", b"N.")

    def test_a_reader_that_never_ends_is_stopped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.reader(monkeypatch, "reader._limit(1, 1 << 29)\nwhile True: pass")
        before = children_seconds()
        with pytest.raises(WeightsError, match=r"w\.pt: .* takes more than 2 s to read"):
            read_contents(self.file(tmp_path), "yolo")
        assert children_seconds() - before < MOST_SECONDS

    def test_a_reader_that_waits_is_stopped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.reader(monkeypatch, "import time; time.sleep(600)")
        monkeypatch.setattr(process, "SECONDS", 1)
        monkeypatch.setattr(process, "_PATIENCE", 1)
        with pytest.raises(WeightsError, match=r"w\.pt: .* takes more than 1 s to read"):
            read_contents(self.file(tmp_path), "yolo")

    def test_a_reader_that_fills_its_memory_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fill = "reader._read = lambda *_: bytearray(1 << 30); reader.main(*sys.argv[1:])"
        self.reader(monkeypatch, fill)
        with pytest.raises(WeightsError, match="more than its reader may have in memory"):
            read_contents(self.file(tmp_path), "yolo")

    def test_a_reader_that_breaks_down_is_logged(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.reader(monkeypatch, "raise LookupError('a bug')")
        with pytest.raises(WeightsError, match=r"did not survive \(LookupError: a bug\)"):
            read_contents(self.file(tmp_path), "yolo")
        assert "Traceback" in caplog.text

    def test_a_reader_that_is_killed_says_by_what(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.reader(monkeypatch, "import os; os.abort()")
        with pytest.raises(WeightsError, match=r"did not survive \(SIGABRT\)"):
            read_contents(self.file(tmp_path), "yolo")

    def test_nothing_but_pythons_own_library_is_there(self) -> None:
        program = process._PROGRAM.partition("main(*")[0]
        listing = "; import json; print(json.dumps(sorted(sys.modules)))"
        words = [sys.executable, "-I", "-S", "-c", program.rstrip("; ") + listing, str(ROOT)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        own = {name.partition(".")[0] for name in json.loads(done.stdout)}
        assert own - {"__main__", "fracture_core"} <= sys.stdlib_module_names

    def test_what_is_known_of_an_architecture_is_taken_along(self) -> None:
        assert set(yolo.ARCHITECTURE_KEYS) == {*_CHECKS, "ch"}


class TestKindsOfNumbers:
    """A weight has a fraction, a counter has none."""

    def state(self) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = resnet().network.state_dict()
        return state

    def added(self, state: dict[str, torch.Tensor], path: Path) -> str:
        if path.suffix == ".pt":
            torch.save(state, path)
        else:
            save_file(state, path)
        card = library.add_model(path, family_name="resnet", classes=("a", "b", "c"))
        return card.family

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    @pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool])
    def test_whole_numbers_are_no_weights(
        self, dtype: torch.dtype, suffix: str, tmp_path: Path
    ) -> None:
        state = {name: tensor.to(dtype) for name, tensor in self.state().items()}
        kind = str(dtype).removeprefix("torch.")
        with pytest.raises(WeightsError, match=rf"conv1\.weight of {kind} instead of float32"):
            self.added(state, tmp_path / f"net{suffix}")
        assert list(settings().models.iterdir()) == []

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_any_precision_is_taken(self, dtype: torch.dtype, tmp_path: Path) -> None:
        state = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in self.state().items()
        }
        assert self.added(state, tmp_path / "net.pt") == "resnet"

    def test_a_counter_may_have_been_halved_with_all_the_rest(self, tmp_path: Path) -> None:
        state = {name: tensor.half() for name, tensor in self.state().items()}
        assert self.added(state, tmp_path / "net.pt") == "resnet"

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_complex_numbers_are_called_that(self, suffix: str, tmp_path: Path) -> None:
        state = self.state() | {"fc.weight": torch.zeros(3, 64, dtype=torch.complex64)}
        with pytest.raises(WeightsError) as refusal:
            self.added(state, tmp_path / f"net{suffix}")
        assert "complex numbers (fc.weight)" in refusal.value.found
        assert "do not use" not in str(refusal.value)

    def test_a_whole_network_of_another_library_is_told_what_to_do(self, tmp_path: Path) -> None:
        from torchvision.models import resnet18

        torch.save(resnet18(), tmp_path / "net.pt")
        with pytest.raises(WeightsError) as refusal:
            library.add_model(tmp_path / "net.pt", family_name="resnet", classes=("a",))
        assert "torchvision.models.resnet.ResNet" in refusal.value.found
        assert "torch.save(model.state_dict()" in refusal.value.advice

    def test_fit_lists_what_is_of_another_kind(self) -> None:
        network = torch.nn.BatchNorm1d(2)
        wrong = {
            **network.state_dict(),
            "weight": torch.ones(2, dtype=torch.int32),
            "num_batches_tracked": torch.tensor(1.0),
        }
        with pytest.raises(WeightsError) as refusal:
            fit(network, wrong, Path("net.pt"))
        assert refusal.value.found == (
            "weight of int32 instead of float32; num_batches_tracked of float32 instead of int64"
        )
        assert network.weight.tolist() == [1.0, 1.0]


def test_views_and_tied_tensors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    whole = torch.arange(24.0)
    state = {
        "turned": whole.view(2, 3, 4).permute(2, 0, 1),
        "part": whole[5:9],
        "one": torch.tensor(7, dtype=torch.int16),
        "none": torch.zeros(0, 3),
        "halves": torch.arange(3, dtype=torch.bfloat16),
        "last channel": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    torch.save(state, tmp_path / "w.pt")
    read = read_state(tmp_path / "w.pt")
    assert list(read) == list(state)
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert all(read[name].dtype == tensor.dtype for name, tensor in state.items())
    assert read["turned"].data_ptr() == read["part"].data_ptr() - 20
