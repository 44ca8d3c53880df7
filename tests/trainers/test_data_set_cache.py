"""Packing: what is kept, when it is made anew, and what stops it."""

import errno
import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from fracture_core import masks
from fracture_core.datasets import open_dataset
from fracture_core.datasets.hdf5 import Slice, write_rsna
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.models.families import family
from fracture_core.models.query_detector import DetrInput
from fracture_core.settings import settings
from trainers import data_set_cache
from trainers.config import FINDINGS_CLASSES, TrainConfig
from trainers.data_set_cache import chosen_samples, pack, pack_split
from trainers.family_configs import make_config
from trainers.label_map import class_names, label_map
from trainers.packed import FACTS, GROUND_TRUTH, PIXELS, Packed
from trainers.reading import Reader
from trainers.sources import Source

NAMES = ("crack", "break", "chip")
HEIGHT, WIDTH = 60, 80


def square(height: int, width: int) -> tuple[int, int]:
    return 32, 32


def large(height: int, width: int) -> tuple[int, int]:
    return 128, 96


def config(**changes: object) -> TrainConfig:
    return make_config({"family": "scratch_detr", "data": "x", **changes}, "test")


def write_yolo(folder: Path, count: int = 6, split: str = "train", outlines: bool = False) -> Path:
    """Noise; image i has i % 3 boxes, the last one has no label file."""
    rng = np.random.default_rng(0)
    (folder / "data.yaml").parent.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text(f"names: [{', '.join(NAMES)}]\n")
    for name in ("images", "labels"):
        (folder / split / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH + 2 * i), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / split / "images" / f"{i}.png")
        box = "0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75" if outlines else "0.5 0.5 0.25 0.5"
        lines = "".join(f"{(i + n) % 3} {box}\n" for n in range(i % 3))
        if i < count - 1:
            (folder / split / "labels" / f"{i}.txt").write_text(lines)
    return folder


def write_hdf5(path: Path, count: int = 70) -> Path:
    rng = np.random.default_rng(1)
    write_rsna(
        (
            Slice(
                image=rng.random((32, 32), dtype=np.float32),
                xyxy=np.array([[4, 6, 20, 30]], dtype=np.float32)[: i % 2],
                fractured=bool(i % 2),
                split="train" if i < 60 else "val",
                study=f"s{i // 10}",
                number=f"{i}",
            )
            for i in range(count)
        ),
        path,
        corners=False,
    )
    return path


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "set")


def packs() -> list[Path]:
    return sorted(each for each in (settings().cache / "packed").glob("*") if each.is_dir())


class TestContent:
    def test_images_and_boxes_at_their_size(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(), "train", square)
        assert packed.pixels.shape == (5, 32, 32)
        assert packed.pixels.dtype == np.uint8
        assert packed.left_out == 1
        assert packed.ids[1].endswith("1.png")
        assert packed.ground_truth.originals[1].tolist() == [60, 82]
        assert packed.ground_truth.sizes.tolist() == [[32, 32]] * 5
        # 0.5 ± 0.125 across and 0.5 ± 0.25 down of 32 pixels.
        assert np.allclose(packed.ground_truth.boxes_xyxy[1, 0], [12, 8, 20, 24], atol=1e-4)
        assert packed.ground_truth.labels.tolist() == [[-1, -1], [1, -1], [2, 0], [-1, -1], [1, -1]]

    def test_never_enlarged(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(), "train", large)
        assert packed.ground_truth.inputs.tolist() == [[128, 96]] * 5
        assert packed.ground_truth.sizes.tolist() == [
            [60, 80],
            [60, 82],
            [60, 84],
            [60, 86],
            [60, 88],
        ]
        assert packed.pixels.shape == (5, 60, 88)
        original = np.asarray(Image.open(yolo / "train/images/0.png"))
        assert (packed.pixels[0, :, :80] == original).all()
        assert (packed.pixels[0, :, 80:] == 0).all()

    def test_samples_are_the_packed_images(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(), "train", large)
        sample = packed.samples()[2]
        assert (sample.height, sample.width, sample.split) == (60, 84, "train")
        assert (sample.shown() == packed.pixels[2, :60, :84]).all()
        assert sample.ground_truth is not None
        assert sample.ground_truth.labels.tolist() == [2, 0]
        assert np.allclose(sample.ground_truth.xyxy[0], [31.5, 15, 52.5, 45])
        assert packed.samples([2])[0].sample_id == packed.ids[2]

    def test_masks_come_along(self, tmp_path: Path) -> None:
        dataset = open_dataset(write_yolo(tmp_path / "set", outlines=True))
        labelling = label_map(dataset, config())
        packed = pack(dataset, dataset.ids, size_of=square, labelling=labelling, masks=True)
        ground_truth = packed.samples()[2].ground_truth
        assert ground_truth is not None
        covered = masks.decode(ground_truth.masks[1])
        assert covered.shape == (32, 32)
        assert covered[8:24, 8:16].all()
        assert covered.sum() == 16 * 8
        empty = packed.samples()[0].ground_truth
        assert empty is not None
        assert empty.masks == ()

    def test_slices_as_shown(self, tmp_path: Path) -> None:
        dataset = open_dataset(write_hdf5(tmp_path / "demo.h5"))
        packed = pack_split(dataset, config(), "train", square)
        assert len(packed) == 60
        for row in (0, 31, 32, 59):
            assert (packed.pixels[row] == dataset[packed.ids[row]].shown()).all()
        assert packed.ground_truth.boxes_xyxy[1, 0].tolist() == [4, 6, 20, 30]
        assert packed.groups[10] == "s1"

    @pytest.mark.parametrize(("name", "side"), [("scratch_detr", 48), ("resnet", 32)])
    def test_as_the_adapter_prepares_it(self, yolo: Path, name: str, side: int) -> None:
        known = {"scratch_detr": "scratch:random", "resnet": "resnet18"}
        made = family(name).from_name(known[name])
        card = made.card.model_copy(update={"input_size": side})
        model = type(made)(card, made._network)
        dataset = open_dataset(yolo)
        packed = pack_split(dataset, config(), "train", lambda _h, _w: (side, side))
        for row, sample in enumerate(chosen_samples(dataset, config(), "train")):
            prepared = model._prepare(sample)
            grey = prepared.grey if name == "scratch_detr" else prepared.placed
            assert (grey[0].numpy() == packed.pixels[row]).all()

    def test_as_a_detr_prepares_it(self, yolo: Path) -> None:
        """Also once more: validation gives packed images to the adapter."""
        network_input = DetrInput(shortest_edge=40, longest_edge=50)
        dataset = open_dataset(yolo)
        packed = pack_split(dataset, config(), "train", network_input.size)
        for sample, small in zip(
            chosen_samples(dataset, config(), "train"), packed.samples(), strict=True
        ):
            prepared = network_input.resize(sample.shown())[0].numpy()
            assert (prepared == small.shown()).all()
            assert (network_input.resize(small.shown())[0].numpy() == prepared).all()


class TestLabels:
    def test_merged(self, yolo: Path) -> None:
        dataset, merged = open_dataset(yolo), config(merge_classes="fracture")
        packed = pack_split(dataset, merged, "train", square)
        assert packed.classes == class_names(dataset, merged) == ("fracture",)
        assert set(packed.ground_truth.labels.ravel().tolist()) == {-1, 0}

    def test_by_class(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(family="resnet"), "train", square)
        assert packed.classes == NAMES
        assert packed.ground_truth.image_classes.tolist() == [1, 2, 1]
        # Two images without a finding have no class, one has no label file.
        assert packed.left_out == 3

    def test_by_findings(self, yolo: Path) -> None:
        by_findings = config(family="efficientnet_gate", classify="findings")
        packed = pack_split(open_dataset(yolo), by_findings, "train", square)
        assert packed.classes == FINDINGS_CLASSES
        assert packed.ground_truth.image_classes.tolist() == [0, 1, 1, 0, 1]
        assert [each.image_class for each in packed.samples()] == [0, 1, 1, 0, 1]

    def test_one_class_cannot_be_told_apart(self, tmp_path: Path) -> None:
        dataset = open_dataset(write_hdf5(tmp_path / "demo.h5"))
        with pytest.raises(ConfigError, match=r"only 'fracture'.*classify=findings"):
            class_names(dataset, config(family="resnet"))

    def test_nothing_known(self, tmp_path: Path) -> None:
        dataset = open_dataset(write_yolo(tmp_path / "set", count=1))
        with pytest.raises(DatasetError, match="none among 1"):
            pack_split(dataset, config(), "train", square)


class TestChoice:
    def test_limit_draws_by_the_seed_in_order(self, tmp_path: Path) -> None:
        dataset = open_dataset(write_hdf5(tmp_path / "demo.h5"))
        first = pack_split(dataset, config(limit=20), "train", square)
        again = pack_split(dataset, config(limit=20), "train", square)
        other = pack_split(dataset, config(limit=20, seed=1), "train", square)
        assert len(first) == 20
        assert first.ids == again.ids != other.ids
        order = [dataset.ids.index(each) for each in first.ids]
        assert order == sorted(order)
        chosen = chosen_samples(dataset, config(limit=20), "train")
        assert tuple(each.sample_id for each in chosen) == first.ids

    def test_split_that_is_not_there(self, yolo: Path) -> None:
        with pytest.raises(ConfigError, match=r"'val' in the data set set, found only train"):
            pack_split(open_dataset(yolo), config(), "val", square)

    def test_no_splits_at_all(self, tmp_path: Path) -> None:
        source = write_yolo(tmp_path / "set")
        flat = tmp_path / "flat"
        shutil.copytree(source / "train", flat)
        shutil.copy(source / "data.yaml", flat)
        with pytest.raises(ConfigError, match=r"no splits at all.*--splits 70,15,15"):
            pack_split(open_dataset(flat), config(), "train", square)


class TestCache:
    def test_kept(self, yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = pack_split(open_dataset(yolo), config(), "train", square)
        monkeypatch.setattr(Reader, "blocks", _refuse)
        again = pack_split(open_dataset(yolo), config(), "train", square)
        assert (again.pixels == first.pixels).all()
        assert again.fingerprint == first.fingerprint

    @pytest.mark.parametrize("what", ["picture", "box", "size", "merge", "class name"])
    def test_packed_anew_when_it_changes(self, yolo: Path, what: str) -> None:
        first = pack_split(open_dataset(yolo), config(), "train", square)
        image = yolo / "train/images/1.png"
        changes: dict[str, object] = {}
        if what == "picture":
            pixels = 255 - np.asarray(Image.open(image))
            Image.fromarray(pixels).save(image)
        elif what == "box":
            (yolo / "train/labels/1.txt").write_text("1 0.5 0.5 0.26 0.5\n")
        elif what == "merge":
            changes = {"merge_classes": "fracture"}
        elif what == "class name":
            (yolo / "data.yaml").write_text("names: [crack, break, other]\n")
        size_of = large if what == "size" else square
        again = pack_split(open_dataset(yolo), config(**changes), "train", size_of)
        assert again.fingerprint != first.fingerprint
        assert len(packs()) == 2
        if what == "picture":
            assert (again.pixels[1] != first.pixels[1]).any()

    def test_a_image_with_its_times_set_back(self, yolo: Path) -> None:
        image = yolo / "train/images/1.png"
        first = pack_split(open_dataset(yolo), config(), "train", square)
        facts = image.stat()
        content = image.read_bytes()
        image.write_bytes(content)
        os.utime(image, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        again = pack_split(open_dataset(yolo), config(), "train", square)
        assert again.fingerprint != first.fingerprint

    @pytest.mark.parametrize("damage", ["facts", "truth", "short", "text", "absent"])
    def test_a_broken_pack_is_made_anew(self, yolo: Path, damage: str) -> None:
        first = pack_split(open_dataset(yolo), config(), "train", square)
        expected = np.array(first.pixels)
        [folder] = packs()
        if damage == "facts":
            (folder / FACTS).write_text("{")
        elif damage == "truth":
            (folder / GROUND_TRUTH).write_bytes((folder / GROUND_TRUTH).read_bytes()[:200])
        elif damage == "short":
            content = (folder / PIXELS).read_bytes()
            (folder / PIXELS).unlink()
            (folder / PIXELS).write_bytes(content[:-100])
        elif damage == "text":
            (folder / PIXELS).unlink()
            (folder / PIXELS).write_text("nothing")
        else:
            (folder / PIXELS).unlink()
        again = pack_split(open_dataset(yolo), config(), "train", square)
        assert (again.pixels == expected).all()

    def test_two_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset = open_dataset(write_hdf5(tmp_path / "demo.h5"))
        written, write = [], data_set_cache._write
        monkeypatch.setattr(data_set_cache, "_write", lambda *a: (written.append(1), write(*a)))
        found: list[Packed] = []

        def work() -> None:
            found.append(pack_split(dataset, config(), "train", square))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert len(written) == 1
        assert all((each.pixels == found[0].pixels).all() for each in found)


class TestRefusals:
    def test_unreadable_images_are_named(self, yolo: Path) -> None:
        for i in (1, 3):
            path = yolo / f"train/images/{i}.png"
            path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(DatasetError, match=r"2 that cannot \(.*1\.png.*3\.png") as caught:
            pack_split(open_dataset(yolo), config(), "train", square)
        assert caught.value.name == "set"
        assert packs() == []

    def test_the_first_five_and_their_count(self, tmp_path: Path) -> None:
        folder = write_yolo(tmp_path / "set", count=10)
        dataset = open_dataset(folder)
        for path in (folder / "train/images").iterdir():
            path.write_bytes(b"none")
        with pytest.raises(DatasetError, match=r"10 that cannot.*and 5 more"):
            pack_split(dataset, config(), "train", square)

    def test_a_slice_out_of_range_is_named(self, tmp_path: Path) -> None:
        path = write_hdf5(tmp_path / "demo.h5")
        with h5py.File(path, "r+") as file:
            file["images"][40] = 2.0
        with pytest.raises(DatasetError, match=r"1 that cannot \(s4/40: .*row 40"):
            pack_split(open_dataset(path), config(), "train", square)

    def test_too_little_room(self, yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 2_000))
        with pytest.raises(ConfigError, match=r"0\.1 GB free.*FRACTURE_HOME"):
            pack_split(open_dataset(yolo), config(), "train", square)
        assert packs() == []

    def test_a_disk_that_becomes_full(self, yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(data_set_cache, "_write_pixels", full)
        with pytest.raises(ConfigError, match=r"a full disk.*FRACTURE_HOME"):
            pack_split(open_dataset(yolo), config(), "train", square)
        assert packs() == []

    def test_a_real_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        dataset = open_dataset(write_hdf5(tmp_path / "demo.h5"))
        make = Path.mkdir

        def mkdir(self: Path, *args: object, **options: object) -> None:
            make(self, *args, **options)
            if self.name == "folder":
                (self / PIXELS).symlink_to("/dev/full")

        monkeypatch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(ConfigError, match=r"a full disk.*FRACTURE_HOME"):
            pack_split(dataset, config(), "train", square)
        assert packs() == []


class TestSource:
    @pytest.fixture
    def packed(self, yolo: Path) -> Packed:
        return pack_split(open_dataset(yolo), config(), "train", square)

    def test_exact_pixels(self, packed: Packed) -> None:
        batch = Source(packed, torch.device("cpu")).batch([3, 1], torch.Generator())
        assert batch.pixels.shape == (2, 1, 32, 32)
        assert batch.pixels.dtype == torch.float32
        assert (batch.pixels[:, 0].numpy() == packed.pixels[[3, 1]]).all()
        assert batch.sizes.tolist() == [[32, 32], [32, 32]]
        assert batch.labels.tolist() == [[-1], [1]]
        assert batch.boxes_xyxy[1, 0].tolist() == packed.ground_truth.boxes_xyxy[1, 0].tolist()
        assert batch.rows.tolist() == [3, 1]
        assert batch.image_classes.tolist() == [-1, 1]

    def test_enlarged_on_the_way(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(), "train", large)
        batch = Source(packed, torch.device("cpu")).batch([0, 1], torch.Generator())
        assert batch.pixels.shape == (2, 1, 128, 96)
        for i in range(2):
            own = torch.from_numpy(packed.samples()[i].shown().astype(np.float32))
            expected = torch.nn.functional.interpolate(own[None, None], (128, 96), mode="bilinear")
            assert torch.allclose(batch.pixels[i], expected[0], atol=0.02)
        scale = np.tile([96 / 82, 128 / 60], 2)
        expected_box = packed.ground_truth.boxes_xyxy[1, 0] * scale
        assert np.allclose(batch.boxes_xyxy[1, 0].numpy(), expected_box, atol=1e-3)

    def test_images_of_several_sizes_stay_exact(self, yolo: Path) -> None:
        packed = pack_split(open_dataset(yolo), config(), "train", lambda h, w: (h, w))
        batch = Source(packed, torch.device("cpu")).batch([0, 4], torch.Generator())
        assert batch.sizes.tolist() == [[60, 80], [60, 88]]
        assert (batch.pixels[:, 0].numpy() == packed.pixels[[0, 4]]).all()

    def test_a_stream_keeps_the_order(self, packed: Packed) -> None:
        source = Source(packed, torch.device("cpu"))
        rows = [[4, 0], [1], [2, 3, 0], [1, 4]]
        steps = ((each, torch.Generator()) for each in rows)
        found = list(source.batches(steps))
        assert [each.rows.tolist() for each in found] == rows
        for each in found:
            assert (each.pixels[:, 0].numpy() == packed.pixels[each.rows.numpy()]).all()

    def test_a_stream_can_be_left(self, packed: Packed) -> None:
        stream = Source(packed, torch.device("cpu")).batches([([0], torch.Generator())] * 50)
        next(stream)
        stream.close()
        assert not [each for each in threading.enumerate() if each.name.startswith("ahead")]


def _refuse(*_: object) -> None:
    raise AssertionError("images are read although they are packed")
