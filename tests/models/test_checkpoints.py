"""Weights files are hostile until proven otherwise: nothing in them runs, nothing runs away."""

import builtins
import collections
import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fracture_core.errors import WeightsError
from fracture_core.models import library, quiet_ultralytics
from fracture_core.models.checkpoints import yolo
from fracture_core.models.checkpoints.archive import open_checkpoint
from fracture_core.models.checkpoints.limits import Refusal
from fracture_core.models.checkpoints.pickles import Record, TensorRef, read_pickle
from fracture_core.models.checkpoints.process import read_contents
from fracture_core.models.yolo_architectures import read_yolo_weights
from fracture_core.models.yolo_networks import build_network
from fracture_core.settings import settings
from tests.support.yolo_files import CLASSES, INPUT_SIZE, image, save_checkpoint, yolo_network


@pytest.fixture(scope="module")
def network() -> Any:
    return yolo_network("yolov8n.yaml")


@pytest.fixture(scope="module")
def weights_file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(network, tmp_path_factory.mktemp("weights") / "best.pt")


def pack(path: Path, data: bytes, blocks: dict[str, bytes] | None = None, **how: Any) -> Path:
    """A file laid out as `torch.save` lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w", **how) as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/byteorder", b"little")
        archive.writestr("x/version", b"3\n")
        for key, block in (blocks or {}).items():
            archive.writestr(f"x/data/{key}", block)
    return path


def read_contents_of(path: Path) -> None:
    """In a process of its own, as the product does; raises WeightsError."""
    read_contents(path, "state dict")


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


class CallWithState(Call):
    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, {"training": True}


def evil_architecture(marker: Path) -> dict[str, Any]:
    return {
        "nc": 1,
        "activation": f"__import__('os').system('touch {marker}')",
        "backbone": [[-1, 1, "Conv", [16, 3, 2]]],
        "head": [[[0], 1, "Detect", ["nc"]]],
    }


def hostile_objects(marker: Path) -> dict[str, Any]:
    touch = f"touch {marker}"
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    downloads = quiet_ultralytics.part("ultralytics.utils.downloads")
    inner = pickle.dumps(Call(os.system, touch))
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Call(os.system, touch),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "builtins.eval": Call(builtins.eval, code),
        "builtins.exec": Call(builtins.exec, code),
        "io.open": Call(io.open, str(marker), "w"),
        "builtins.getattr": Call(getattr, Call(__import__, "os"), "system"),
        "nested pickle": Call(pickle.loads, inner),
        "nested torch load": Call(torch.storage._load_from_bytes, inner),
        "torch hub": Call(torch.hub.load, "someone/something", "model"),
        "torch.load": Call(torch.load, "elsewhere.pt"),
        "a loader of ultralytics": Call(tasks.load_checkpoint, "elsewhere.pt"),
        "a download": Call(downloads.safe_download, "http://example.invalid/a.zip"),
        "a network of an evil yaml": Call(tasks.DetectionModel, evil_architecture(marker)),
        "a layer with arguments": Call(torch.nn.Conv2d, 3, 1 << 20, 99),
        "state of a module class": CallWithState(torch.nn.Module.__setstate__, torch.nn.Module, {}),
        "a counter that calls": collections.defaultdict(os.getcwd, {1: Call(os.system, touch)}),
    }


KINDS = [
    "os.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "io.open",
    "builtins.getattr", "nested pickle", "nested torch load", "torch hub", "torch.load",
    "a loader of ultralytics", "a download", "a network of an evil yaml",
    "a layer with arguments", "state of a module class", "a counter that calls",
]  # fmt: skip


class TestHostile:
    def test_the_list_is_whole(self, tmp_path: Path) -> None:
        assert sorted(hostile_objects(tmp_path)) == sorted(KINDS)

    @pytest.mark.parametrize("protocol", [0, 2, 4, 5])
    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_runs_and_the_file_is_refused(
        self, kind: str, protocol: int, tmp_path: Path
    ) -> None:
        marker = tmp_path / "marker"
        content = {"model": hostile_objects(marker)[kind], "ema": None}
        file = pack(tmp_path / "evil.pt", pickle.dumps(content, protocol))
        with pytest.raises(WeightsError, match=r"evil\.pt: expected .* a pickle that asks for "):
            library.add_model(file)
        with pytest.raises(WeightsError, match="do not use this file"):
            library.open_model(str(file))
        assert not marker.exists()
        assert not list(settings().models.iterdir())

    def test_the_marker_would_have_appeared(self, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        pickle.loads(pickle.dumps(hostile_objects(marker)["os.system"]))
        assert marker.exists()

    def test_the_message_names_what_was_asked_for(self, tmp_path: Path) -> None:
        file = pack(tmp_path / "evil.pt", pickle.dumps({"model": Call(os.system, "true")}))
        with pytest.raises(WeightsError, match=rf"asks for {os.system.__module__}\.system\."):
            read_contents_of(file)

    @pytest.mark.parametrize(
        "path",
        [
            "torch.nn.modules.module._global_forward_hooks",
            "torch.nn.modules.Module.__setstate__",
            "torch.nn.functional.relu",
            "ultralytics.utils.checks.check_requirements",
            "ultralytics.hub.HUBTrainingSession",
            "ultralytics.nn.tasks.os.system",
            "numpy.load",
            "numpy.f2py.crackfortran.myeval",
            "types.FunctionType",
            "collections.Counter",
            "functools.partial",
            "operator.attrgetter",
        ],
    )
    def test_names_that_only_look_harmless(self, path: str, tmp_path: Path) -> None:
        module, _, name = path.rpartition(".")
        data = b"\x80\x04" + b"".join(
            b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)
        )
        file = pack(tmp_path / "evil.pt", data + b"\x93.")
        with pytest.raises(WeightsError, match="asks for"):
            read_contents_of(file)

    def test_extension_codes_instances_and_out_of_band_buffers_are_refused(
        self, tmp_path: Path
    ) -> None:
        for data in (b"\x82\x01.", b"(ios\nsystem\n.", b"\x97.", b"P1\n.", b"(cos\nsystem\no."):
            with pytest.raises(WeightsError, match="asks for"):
                read_contents_of(pack(tmp_path / "evil.pt", data))

    def test_a_state_that_looks_like_methods_stays_data(self) -> None:
        state = {"forward": "x", "__class__": "y", "_modules": {}}
        data = pickle.dumps(torch.nn.SiLU())
        assert isinstance(read_pickle(data), Record)
        described = read_pickle(pickle.dumps({"state": state}))
        assert described == {"state": state}


class TestEvilArchitectures:
    """Harmless as a pickle; the harm would come from building what it describes."""

    def with_architecture(self, network: Any, path: Path, change: Callable[[Any], None]) -> Path:
        import copy

        evil = copy.deepcopy(network)
        change(evil.yaml)
        return save_checkpoint(evil, path)

    @pytest.mark.parametrize(
        "activation",
        [
            "__import__('os').system('touch MARKER')",
            "nn.SiLU() or open('MARKER', 'w')",
            "nn.SiLU(inplace=open('MARKER', 'w'))",
            "torch.hub.load('a', 'b')",
            "nn.Module.__subclasses__()",
        ],
    )
    def test_activation(self, activation: str, network: Any, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        text = activation.replace("MARKER", str(marker))
        file = self.with_architecture(
            network, tmp_path / "a.pt", lambda y: y.update(activation=text)
        )
        with pytest.raises(WeightsError, match="activation"):
            library.add_model(file)
        assert not marker.exists()

    @pytest.mark.parametrize(
        "layer",
        [
            [-1, 1, "TorchVision", [64, "resnet50", "DEFAULT"]],
            [-1, 1, "torchvision.ops.DeformConv2d", [3, 3, 3]],
            [-1, 1, "nn.Module", []],
            [-1, 1, "nn.functional", []],
            [-1, 1, "load_checkpoint", ["elsewhere.pt"]],
            [-1, 1, "contextlib", []],
            [-1, 1, "Conv", ["__import__('os').getcwd()", 3, 2]],
            [-1, 1, "Conv", ["layers", 3, 2]],
            [-1, 10**9, "Conv", [16, 3, 2]],
            [-1, 1, "Conv", [10**9, 3, 2]],
            [-1, 1, "Conv", [float("nan"), 3, 2]],
            [-1, 1, "Conv", [[[16]], 3, 2]],
            [5, 1, "Conv", [16, 3, 2]],
            [-1, 1, "Conv"],
            "Conv",
        ],
    )
    def test_layers(self, layer: Any, network: Any, tmp_path: Path) -> None:
        def replace(architecture: Any) -> None:
            architecture["backbone"][0] = layer

        file = self.with_architecture(network, tmp_path / "a.pt", replace)
        with pytest.raises(WeightsError, match=r"a\.pt: expected an architecture made of YOLO"):
            library.add_model(file)

    @pytest.mark.parametrize(
        "rows",
        [
            [[-1, 1, "nn.Upsample", ["None", 4096, "nearest"]]],
            [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]]] * 30,
            [[-1, 100, "Conv", [8192, 31, 1]]] * 50,
            [[-1, 1, "RepNCSPELAN4", [64, 64, 64, 8192]]] * 20,
            [[-1, 1, "nn.ZeroPad2d", [8192]]] * 8,
            [[-1, 1, "C2PSA", [64, 1]]],
        ],
    )
    def test_bombs(self, rows: Any, network: Any, tmp_path: Path) -> None:
        def insert(architecture: Any) -> None:
            architecture["backbone"][:0] = rows

        file = self.with_architecture(network, tmp_path / "a.pt", insert)
        start = time.perf_counter()
        with pytest.raises(WeightsError):
            library.add_model(file)
        assert time.perf_counter() - start < 30

    def test_a_large_step_is_refused_before_it_is_made(self) -> None:
        from fracture_core.models.yolo_networks import _forward_on_meta, _SizeLimit

        with torch.device("meta"):
            layer = torch.nn.Upsample(scale_factor=256)
        layer.f = -1
        with pytest.raises(ValueError, match="a step that makes"), _SizeLimit():
            _forward_on_meta(torch.nn.Sequential(layer), 3, 640)

    @pytest.mark.parametrize("name", ["yolov8n-cls", "yolo11n-pose", "yolo11n-obb"])
    def test_other_tasks(self, name: str, tmp_path: Path) -> None:
        other = quiet_ultralytics.part("ultralytics").YOLO(f"{name}.yaml")
        other.save(tmp_path / "other.pt")
        with pytest.raises(WeightsError, match=r"other\.pt: expected a YOLO network that detects"):
            library.open_model(str(tmp_path / "other.pt"))


class TestDamaged:
    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "an empty file"),
            (b"these are no weights, but a letter", "another kind of file"),
            (b"PK\x03\x04" + bytes(500), "an archive that breaks off"),
            (b"\x89HDF\r\n\x1a\n" + bytes(500), "another kind of file"),
        ],
    )
    def test_no_archive(self, content: bytes, found: str, tmp_path: Path) -> None:
        file = tmp_path / "w.pt"
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"w\.pt: expected a PyTorch .* found {found}"):
            library.open_model(str(file))

    def test_a_zip_that_is_none(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
            archive.writestr("letter.txt", "hello")
        with pytest.raises(WeightsError, match=r"a zip file with 0 data\.pkl in it"):
            read_contents_of(tmp_path / "w.pt")

    @pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
    def test_torchscript(self, tmp_path: Path) -> None:
        torch.jit.trace(torch.nn.SiLU(), torch.zeros(1)).save(tmp_path / "w.pt")
        with pytest.raises(WeightsError, match="TorchScript"):
            read_contents_of(tmp_path / "w.pt")

    def test_a_zip_bomb(self, tmp_path: Path) -> None:
        data = pickle.dumps({"model": "a" * 30_000_000})
        file = pack(tmp_path / "w.pt", data, compression=zipfile.ZIP_DEFLATED)
        assert file.stat().st_size < 100_000
        with pytest.raises(WeightsError, match="as PyTorch never writes"):
            read_contents_of(file)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_truncated(self, share: float, weights_file: Path, tmp_path: Path) -> None:
        data = weights_file.read_bytes()
        (tmp_path / "w.pt").write_bytes(data[: int(share * len(data))])
        with pytest.raises(WeightsError, match=r"w\.pt: .*breaks off"):
            library.open_model(str(tmp_path / "w.pt"))

    def test_a_flipped_bit(self, weights_file: Path, tmp_path: Path) -> None:
        data = bytearray(weights_file.read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / "w.pt").write_bytes(data)
        with pytest.raises(WeightsError, match=r"w\.pt: .*damaged"):
            library.open_model(str(tmp_path / "w.pt"))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b".",
            b"\x80\x04",
            b"R.",
            b"(((((.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
            b"\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
            b"N" + b"r\xff\xff\xff\x7f" + b"a.",
            b"h\x05.",
            b"]" * 4_000_000 + b".",
            b"}" + b"(" + b")\x85" * 200 + b"Ns" + b".",
            b"I" + b"9" * 10_000 + b"\n.",
            b"Na.",
            b"NNs.",
        ],
    )
    def test_pickles_of_nonsense(self, data: bytes, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"w\.pt: .*The file is damaged"):
            library.open_model(str(pack(tmp_path / "w.pt", data)))

    def test_deep_nesting(self, tmp_path: Path) -> None:
        deep = b"(" + b")\x85" + b"\x85" * 300_000 + b"d."
        with pytest.raises(WeightsError):
            library.open_model(str(pack(tmp_path / "w.pt", deep)))
        with pytest.raises(WeightsError, match="expected a YOLO checkpoint"):
            library.open_model(str(pack(tmp_path / "w.pt", b"]" + b"\x85" * 300_000 + b".")))

    @given(data=st.binary(max_size=200))
    @hypothesis_settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_any_bytes_give_one_sentence(self, data: bytes, tmp_path: Path) -> None:
        for file in (pack(tmp_path / "a.pt", data), tmp_path / "b.pt"):
            if file.name == "b.pt":
                file.write_bytes(data)
            with pytest.raises(Refusal):
                yolo.describe(file)

    # pickletools decodes Python 2 strings with a warning.
    @pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
    @given(position=st.integers(0, 30_000), byte=st.integers(0, 255))
    @hypothesis_settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_a_changed_byte_in_the_pickle(
        self, position: int, byte: int, weights_file: Path, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(weights_file) as archive:
            data = bytearray(archive.read("best/data.pkl"))
        data[position % len(data)] = byte
        # Most changes are noticed, some change a name or a number; anything else is a bug.
        with contextlib.suppress(Refusal):
            yolo.describe(pack(tmp_path / "w.pt", bytes(data)))


class TestDeclaredTensors:
    """A tensor is a claim about a block; the block decides."""

    def refused(self, tmp_path: Path, tensor: bytes, block: bytes = bytes(16)) -> str:
        data = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + tensor + b"\x89)tR."
        checkpoint = open_checkpoint(pack(tmp_path / "w.pt", data, {"0": block}))
        assert isinstance(checkpoint.content, TensorRef)
        with pytest.raises(Refusal) as refusal:
            checkpoint.places({"a": checkpoint.content})
        return refusal.value.found

    def storage(self, numel: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
        return (
            b"(X\x07\x00\x00\x00storagectorch\n"
            + kind.encode()
            + b"\nX\x01\x00\x00\x00"
            + key.encode()
            + b"X\x03\x00\x00\x00cpu\x8a\x08"
            + struct.pack("<q", numel)
            + b"tQ"
        )

    def shape(self, offset: int, size: int, stride: int) -> bytes:
        whole = [b"\x8a\x08" + struct.pack("<q", n) for n in (offset, size, stride)]
        return whole[0] + whole[1] + b"\x85" + whole[2] + b"\x85"

    def test_a_huge_block(self, tmp_path: Path) -> None:
        message = self.refused(tmp_path, self.storage(1 << 40) + self.shape(0, 1 << 40, 1))
        assert "of another length than declared" in message

    def test_a_view_beyond_its_block(self, tmp_path: Path) -> None:
        assert "in a block of 4" in self.refused(tmp_path, self.storage(4) + self.shape(2, 3, 1))

    def test_a_view_that_repeats(self, tmp_path: Path) -> None:
        message = self.refused(tmp_path, self.storage(4) + self.shape(0, 1 << 40, 0))
        assert "in a block of 4" in message

    def test_a_block_that_is_not_there(self, tmp_path: Path) -> None:
        tensor = self.storage(4, key="7") + self.shape(0, 4, 1)
        assert "no block 7" in self.refused(tmp_path, tensor)


class TestOwnWeights:
    @pytest.mark.parametrize("half", [True, False])
    @pytest.mark.parametrize(
        "name", ["yolov8n.yaml", "yolo11n-seg.yaml", "yolov10n.yaml", "yolo26n.yaml"]
    )
    def test_the_same_as_ultralytics_loads(self, name: str, half: bool, tmp_path: Path) -> None:
        file = save_checkpoint(yolo_network(name), tmp_path / "best.pt", half=half)
        ours, _ = build_network(read_yolo_weights(file))
        tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
        theirs, _ = tasks.load_checkpoint(file)
        theirs.end2end = ours.end2end
        ours_state, theirs_state = ours.state_dict(), theirs.state_dict()
        assert list(ours_state) == list(theirs_state)
        assert all(torch.equal(ours_state[key], theirs_state[key]) for key in ours_state)
        assert torch.equal(ours.stride, theirs.stride)
        pixels = torch.from_numpy(image(96, 128))[None, None].expand(1, 3, -1, -1) / 255
        with torch.inference_mode():
            ours_out, theirs_out = ours(pixels)[0], theirs(pixels)[0]
        pairs = (
            zip(ours_out, theirs_out, strict=True) if "-seg" in name else [(ours_out, theirs_out)]
        )
        assert all(torch.equal(a, b) for a, b in pairs)

    def test_ultralytics_own_save(self, network: Any, tmp_path: Path) -> None:
        model = quiet_ultralytics.part("ultralytics").YOLO("yolov8n.yaml")
        model.model = network
        model.save(tmp_path / "saved.pt")
        ours, task = build_network(read_yolo_weights(tmp_path / "saved.pt"))
        assert task == "detect"
        halved = network.state_dict()["model.0.conv.weight"].half().float()
        assert torch.equal(ours.state_dict()["model.0.conv.weight"], halved)

    def test_the_card_tells_what_the_file_says(self, weights_file: Path) -> None:
        card = library.add_model(weights_file, title="My wrist model")
        assert (card.model_id, card.title, card.task) == ("best", "My wrist model", "detect")
        assert card.classes == CLASSES
        assert card.input_size == INPUT_SIZE
        assert card.needs_nms
        assert len(card.weights_sha256) == 64
        assert library.list_cards()[1] == card

    def test_averaged_weights_come_first(self, network: Any, tmp_path: Path) -> None:
        import copy

        other = copy.deepcopy(network)
        torch.nn.init.zeros_(other.model[0].conv.weight)
        file = save_checkpoint(network, tmp_path / "a.pt", half=False, model=other)
        ours, _ = build_network(read_yolo_weights(file))
        assert torch.equal(ours.model[0].conv.weight, network.model[0].conv.weight)

    def test_what_training_leaves_in_a_file_does_no_harm(
        self, network: Any, tmp_path: Path
    ) -> None:
        import datetime
        import pathlib
        import types

        more = {
            "date": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC),
            "best_fitness": np.float64(0.5),
            "save_dir": pathlib.PurePosixPath("runs/a"),
            "args": types.SimpleNamespace(imgsz=320),
            "results": {"epoch": [1, 2], "set": {1, 2}, "shape": torch.Size([1, 2])},
            "optimizer": torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9).state_dict(),
            "array": np.arange(3),
        }
        file = save_checkpoint(network, tmp_path / "a.pt", **more)
        assert read_yolo_weights(file).classes == CLASSES

    def test_same_name_twice_and_delete(self, weights_file: Path) -> None:
        ids = [library.add_model(weights_file).model_id for _ in range(3)]
        assert ids == ["best", "best-2", "best-3"]
        library.delete_model("best-2")
        assert [card.model_id for card in library.list_cards()] == ["fake", "best", "best-3"]
        assert sorted(path.name for path in settings().models.iterdir()) == ["best", "best-3"]

    @pytest.mark.parametrize(
        ("classes", "fits"), [(("a", "b", "c"), True), (("a",), False), (("a",) * 80, False)]
    )
    def test_class_names_may_be_given(
        self, classes: tuple[str, ...], fits: bool, weights_file: Path
    ) -> None:
        if fits:
            assert library.add_model(weights_file, classes=classes).classes == classes
        else:
            with pytest.raises(
                WeightsError, match=rf"best\.pt: expected 3 class .* {len(classes)}:"
            ):
                library.add_model(weights_file, classes=classes)
            assert library.list_cards() == list(library.BUILT_IN)

    def test_changed_after_it_was_added(self, weights_file: Path) -> None:
        card = library.add_model(weights_file)
        path = settings().models / card.model_id / card.weights_file
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(WeightsError, match=r"expected sha256 .* as on the card of best"):
            library.open_model("best")

    def test_mismatches_are_listed_by_name_and_shape(self, network: Any, tmp_path: Path) -> None:
        import copy

        wrong = copy.deepcopy(network)
        wrong.yaml["nc"] = 5
        file = save_checkpoint(wrong, tmp_path / "a.pt")
        text = r"model\.22\.cv3\.0\.2\.weight is \(3, 64, 1, 1\), not \(5, 64, 1, 1\)"
        with pytest.raises(WeightsError, match=text):
            library.add_model(file)

    def test_a_state_dict_alone_is_refused(self, network: Any, tmp_path: Path) -> None:
        for content in (network.state_dict(), {"model": network.state_dict()}):
            torch.save(content, tmp_path / "a.pt")
            with pytest.raises(WeightsError, match="a state dict, which does not say"):
                library.add_model(tmp_path / "a.pt")

    def test_the_yolov5_repository(self, tmp_path: Path) -> None:
        data = b"\x80\x02}X\x05\x00\x00\x00modelcmodels.yolo\nModel\n)\x81s."
        with pytest.raises(WeightsError) as refusal:
            read_contents_of(pack(tmp_path / "w.pt", data))
        assert "the older YOLOv5 or YOLOv7 repository" in refusal.value.found
        assert "(models.yolo.Model)" in refusal.value.found
        assert "yolov5su.pt" in refusal.value.advice
        assert "do not use" not in str(refusal.value)


QUIET = """
import sys, os, socket
loud = []
def watch(event, arguments):
    reader = event == "subprocess.Popen" and arguments[0] == sys.executable
    if not reader and event in (
        "socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname",
        "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        loud.append((event, str(arguments)[:200]))
        raise RuntimeError(event)
import torch
from tests.support.yolo_files import sample, image
torch.set_num_threads(3)
before = torch.get_num_threads(), torch.save, os.environ.get("OMP_NUM_THREADS")
sys.addaudithook(watch)
from fracture_core.models import library
model = library.open_model(sys.argv[1])
print(len(model.predict([sample(image())])[0].detections))
library.open_model("yolo11n-seg.yaml").predict([sample(image())])
assert not loud, loud
assert before == (torch.get_num_threads(), torch.save, os.environ.get("OMP_NUM_THREADS"))
from ultralytics.utils import SETTINGS, USER_CONFIG_DIR, ONLINE
assert not ONLINE
assert not any(SETTINGS[key] for key in ("sync", "mlflow", "wandb", "comet", "clearml", "raytune"))
assert str(USER_CONFIG_DIR).startswith(os.environ["FRACTURE_HOME"])
assert sorted(p.name for p in USER_CONFIG_DIR.glob("*.ttf")) == ["Arial.Unicode.ttf", "Arial.ttf"]
assert "ultralytics_platform" not in sys.modules
"""


def test_ultralytics_calls_nobody_and_starts_nothing(weights_file: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FRACTURE_HOME": str(tmp_path), "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(weights_file)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
    assert done.stderr == ""
