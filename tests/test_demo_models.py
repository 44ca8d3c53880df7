"""The demo models: what they are trained on, how they begin, and what they reach.

They were trained on seed 101, validated on 202 and tested on 303. `HELD_OUT_SEED` is none of these.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture_core.demo import write_demo
from fracture_core.demo.samples import demo_sample
from fracture_core.errors import TrainingError
from fracture_core.metrics import classification, coco
from fracture_core.models import library
from fracture_core.models.base import Model
from fracture_core.models.cards import read_card, write_card
from fracture_core.models.library import SHIPPED
from fracture_core.runs import RunFolder, new_run
from fracture_core.settings import settings
from fracture_core.types import Detections, Sample
from tests import torchvision_files
from tests.trainee_networks import CLASSES, make_batch
from trainers import demo_data, demo_models, demo_points
from trainers.config import TrainConfig
from trainers.demo_models import DEMO_MODELS, DemoModel
from trainers.families.faster_rcnn import build as build_faster_rcnn
from trainers.families.resnet import build as build_resnet
from trainers.recipes import find_recipe
from trainers.shipped_models import SHIPPED_MODELS

HELD_OUT_SEED, HELD_OUT_PICTURES = 404, 150
MOST_BYTES = 60_000_000
SPLITS = ("val", "test")
LEAST = {"detect": ("ap50", 0.8), "segment": ("mask_ap50", 0.7), "classify": ("balanced", 0.8)}
IDS = sorted(folder.name for folder in SHIPPED.iterdir()) if SHIPPED.is_dir() else []
SYNTHETIC_ONLY = [name for name in IDS if name in DEMO_MODELS]


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "SHIPPED", SHIPPED)


@cache
def held_out() -> tuple[Sample, ...]:
    return tuple(demo_sample(HELD_OUT_SEED, number) for number in range(HELD_OUT_PICTURES))


def figure(model: Model, samples: Sequence[Sample]) -> float:
    """What `LEAST` asks of a model of this task."""
    answers = model.predict(samples)
    truths = [sample.truth or Detections.empty() for sample in samples]
    if model.card.task == "classify":
        fracture = model.card.classes.index("fracture")
        chosen = np.array([np.argmax(each.class_scores) == fracture for each in answers])
        there = np.array([len(truth) > 0 for truth in truths])
        found = classification.report(there.astype(np.int64), chosen.astype(np.int64), 2)
        return found.balanced_accuracy
    merged = [Detections.truth(t.xyxy, np.zeros(len(t)), t.masks) for t in truths]
    raw = [each.detections for each in answers]
    kept = [each.nms(0.5) for each in raw] if model.card.needs_nms else raw
    if model.card.task == "segment":
        return coco.evaluate_masks(kept, merged, 1).ap50
    return coco.evaluate_boxes(kept, merged, 1).ap50


@pytest.mark.slow
@pytest.mark.parametrize("model_id", IDS)
def test_it_reaches_its_goal_on_pictures_it_has_never_seen(shipped: None, model_id: str) -> None:
    model = library.open_model(model_id)
    name, least = LEAST[model.card.task]
    reached = figure(model, held_out())
    assert reached >= least, f"{model_id}: {name} {reached:.3f} on seed {HELD_OUT_SEED}"


@pytest.mark.parametrize("model_id", SYNTHETIC_ONLY)
def test_its_card_says_what_it_is_not_for(shipped: None, model_id: str) -> None:
    card = read_card(SHIPPED / model_id)
    assert card in library.list_cards()
    assert "synthetic data only, not for real radiographs" in card.note
    assert card.title.startswith("Demo")
    assert library.weights_bytes(card) == (SHIPPED / model_id / card.weights_file).stat().st_size


def test_together_they_are_small() -> None:
    files = (file for file in SHIPPED.rglob("*") if file.is_file())
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


@pytest.fixture(scope="module")
def pair() -> demo_data.Pair:
    return demo_data.make_pair(1)


class TestData:
    def test_a_pair_differs_by_its_fractures(self, pair: demo_data.Pair) -> None:
        broken, intact = pair
        assert len(broken.truth or ()) == 2
        assert intact.truth is not None
        assert len(intact.truth) == 0
        assert max(broken.height, broken.width) == demo_data.HEIGHT_PX
        changed = np.abs(broken.shown().astype(int) - intact.shown().astype(int)) > 25
        near = np.zeros_like(changed)
        assert broken.truth is not None
        for left, top, right, bottom in broken.truth.xyxy.astype(int):
            near[max(0, top - 12) : bottom + 12, max(0, left - 12) : right + 12] = True
        assert changed[near].sum() > 40
        assert changed[near].mean() > 10 * changed[~near].mean()

    def test_shrunk_masks_fill_their_shrunk_boxes(self, pair: demo_data.Pair) -> None:
        truth = pair[0].truth
        assert truth is not None
        for code, xyxy in zip(truth.masks, truth.xyxy, strict=True):
            rows, columns = np.nonzero(demo_data.masks.decode(code))
            tight = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_allclose(tight, xyxy, atol=1.5)

    def test_both_sets_are_read_back(self, pair: demo_data.Pair, tmp_path: Path) -> None:
        from fracture_core.datasets import open_dataset

        plain = [demo_data.shrunk(demo_sample(7, n), f"{s}-{n}", s) for n, s in enumerate(SPLITS)]
        demo_data.write_radiographs(tmp_path / "radiographs", [pair, pair], plain)
        demo_data.write_parts(tmp_path / "patches", [pair], demo_data.PATCHES)
        whole, patches = (open_dataset(tmp_path / name) for name in ("radiographs", "patches"))
        assert {split: len(found) for split, found in whole.splits.items()} == {
            "train": 2,
            "val": 1,
            "test": 1,
        }
        found = [patches[sample_id] for sample_id in patches.splits["train"]]
        assert len(found) == 8
        assert sum(len(sample.truth or ()) > 0 for sample in found) == 4
        sides = {(sample.height, sample.width) for sample in found}
        assert sides == {(demo_data.PATCHES.side_px, demo_data.PATCHES.side_px)}

    def test_no_seed_is_used_twice(self) -> None:
        seeds = (demo_data.TRAIN_SEED, demo_data.VALID_SEED, demo_data.TEST_SEED, HELD_OUT_SEED)
        assert len(set(seeds)) == 4


class TestTable:
    @pytest.mark.parametrize("name", DEMO_MODELS)
    def test_settings_are_those_of_a_training(self, name: str) -> None:
        model = DEMO_MODELS[name]
        config = find_recipe(model.recipe).config("", dict(model.settings))
        assert config.recipe == model.recipe
        assert config.start == ""
        names = list(DEMO_MODELS)
        assert not model.begins_from or model.begins_from in names[: names.index(name)]

    def test_it_is_what_is_shipped(self) -> None:
        models = {**DEMO_MODELS, **SHIPPED_MODELS}
        assert set(IDS) <= {name for name, model in models.items() if model.shipped}
        assert set(SYNTHETIC_ONLY) == {n for n, model in DEMO_MODELS.items() if model.shipped}

    def test_a_name_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(demo_models.ConfigError, match="demo-yolo-detect"):
            demo_models.train_demo_models(tmp_path, ("demo-x",))
        assert not list(tmp_path.iterdir())

    def test_a_finished_run_is_shipped_in_half_precision(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (demo_models, demo_points, library):
            monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
        run = new_run(tmp_path / "demo-resnet")
        config = TrainConfig(
            family="resnet", data="", input_size=64, network={"name": "resnet18", "width": 8}
        )
        trainee = build_resnet(config, ("healthy", "fracture"), "demo-resnet")
        trained = trainee.wrap(trainee.network).save(run.path)
        reached = trained.model_copy(update={"metrics": {"test balanced_accuracy": 0.8}})
        write_card(reached, run.path)
        write_demo(tmp_path / "data" / "radiographs", count=20, size=(160, 128), format="yolo")
        line = demo_models.ship("demo-resnet", RunFolder(path=run.path), tmp_path)
        card = library.open_model("demo-resnet").card
        assert line.startswith("demo-resnet  0.")
        assert "synthetic data only, not for real radiographs" in card.note
        assert (card.title, card.classes) == ("Demo: ResNet-18 of width 32", trained.classes)
        whole = (run.path / trained.weights_file).stat().st_size
        assert library.weights_bytes(card) < 0.6 * whole
        measured = library.points_of(card)
        assert measured is not None
        assert (measured.split, measured.data) == ("val", "synthetic radiographs")
        met = [point for point in measured.points if point.confidence is not None]
        assert {point.applied_to for point in met} == {"synthetic radiographs, split test"}

    def test_one_after_another_in_different_precisions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (demo_models, demo_points, library):
            monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
        monkeypatch.setattr(demo_models, "GOALS", {"classify": ("test accuracy", 0.0)})
        common = {"start": "", "input_size": 32, "epochs": 1, "batch": 8, "monitor": "loss"}
        first = DemoModel(
            title="First",
            recipe="r5-resnet",
            data="radiographs",
            settings={
                **common,
                "classify": "findings",
                "network": {"name": "resnet18", "width": 4},
                "precision": "bfloat16",
            },
            shipped=False,
        )
        settings = {**first.settings, "network": {}, "precision": "float32"}
        second = replace(first, title="Second", settings=settings, begins_from="a", shipped=True)
        monkeypatch.setattr(demo_models, "DEMO_MODELS", {"a": first, "b": second})
        write_demo(tmp_path / "data" / "radiographs", count=20, size=(128, 128), format="yolo")
        (line,) = demo_models.train_demo_models(tmp_path)
        assert line.startswith("b  ")
        # The width is that of what it began from.
        assert library.open_model("b").card.architecture["width"] == 4

    def test_a_model_that_misses_its_goal_is_not_shipped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demo_models, "SHIPPED", tmp_path / "weights")
        run = new_run(tmp_path / "demo-resnet")
        trained = torchvision_files.resnet().save(run.path)
        missed = trained.model_copy(update={"metrics": {"test balanced_accuracy": 0.79}})
        write_card(missed, run.path)
        with pytest.raises(TrainingError, match=r"test balanced_accuracy of 0\.8 or more"):
            demo_models.ship("demo-resnet", RunFolder(path=run.path), tmp_path)
        assert not (tmp_path / "weights").exists()


def test_a_light_faster_rcnn_begins_from_a_resnet_of_other_classes() -> None:
    config = TrainConfig(
        family="resnet", data="", input_size=64, network={"name": "resnet18", "width": 8}
    )
    trunk = build_resnet(config, ("healthy", "fracture"), "patches")
    trunk.wrap(trunk.network).save(settings().models / "patches")
    light = TrainConfig(
        family="faster_rcnn",
        data="",
        input_size=64,
        start="patches",
        network={"name": "fasterrcnn_light", "pyramid_width": 16},
    )
    trainee = build_faster_rcnn(light, CLASSES, "light")
    own, given = trainee.network.backbone.body.state_dict(), trunk.network.state_dict()
    assert set(given) - set(own) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(own[name], given[name]) for name in own)
    shape = trainee.card.architecture["light"]
    assert isinstance(shape, dict)
    assert (shape["backbone_width"], shape["pyramid_width"]) == (8, 16)
    assert "backbone begins from" in trainee.notes[0]
    assert trainee.train()(make_batch())["loss"].isfinite()
