"""The end of a training: ordinary evaluations, operating points, and the card last."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fracture_core.datasets import Dataset, open_dataset
from fracture_core.demo import write_demo
from fracture_core.evaluations import list_evaluations, load_evaluation, report_of
from fracture_core.evaluations.folders import (
    delete_evaluation,
    evaluations_of,
    read_earlier,
    sentence_of_earlier,
)
from fracture_core.evaluations.labelling import label
from fracture_core.evaluations.matched_models import read_config
from fracture_core.files import hash_file
from fracture_core.metrics import coco
from fracture_core.models.cards import ModelCard, read_card
from fracture_core.models.fake import FakeModel
from fracture_core.models.points import read_points
from fracture_core.runs import RunFolder, new_run
from fracture_core.settings import settings
from fracture_core.types import Detections, Prediction, Sample
from tests.support.training_modules import build
from trainers.config import TrainConfig
from trainers.data_set_cache import chosen_samples
from trainers.family_configs import make_config
from trainers.family_configs import read_config as read_train_config
from trainers.label_map import counts_as_one, label_map
from trainers.metrics_log import MetricsLog
from trainers.running import finalise

OLD_RUNS = Path(__file__).parents[1] / "old_runs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=24, size=(160, 128))


class Trained(FakeModel):
    """Has weights, and remembers what it was asked about."""

    def __init__(self, classes: tuple[str, ...], family: str = "faster_rcnn") -> None:
        facts = {"input_size": 64, "needs_nms": True, "weights_file": "weights.safetensors"}
        super().__init__(
            ModelCard(
                model_id="new", title="New", family=family, task="detect", classes=classes, **facts
            )
        )
        self.asked: list[str] = []

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.asked += [sample.sample_id for sample in samples]
        return super().predict(samples)

    def save(self, folder: Path) -> ModelCard:
        weights = folder / self.card.weights_file
        weights.write_bytes(b"weights")
        return self.card.model_copy(update={"weights_sha256": hash_file(weights)})


def config_of(data: Path, **asked: object) -> TrainConfig:
    values = {"family": "faster_rcnn", "data": str(data), "recipe": "r", **asked}
    return make_config(values, "a test")


def ended(
    config: TrainConfig, name: str = "mine", model: Trained | None = None
) -> tuple[RunFolder, ModelCard, Trained]:
    dataset = open_dataset(config.data)
    model = model or Trained(dataset.classes)
    run = new_run(settings().runs / name)
    with MetricsLog(run) as log:
        card = finalise(config, dataset, run, model, log)
    return run, card, model


def test_it_ends_with_ordinary_evaluations_that_ask_about_each_image_once(demo: Path) -> None:
    run, card, model = ended(config_of(demo))
    splits = open_dataset(demo).splits
    assert model.asked == [*splits["val"], *splits["test"]]
    listed = {each.name: each for each in list_evaluations()}
    assert set(listed) == {"mine/validation", "mine/test"}
    assert [each.name for each in evaluations_of(run)] == ["mine/validation", "mine/test"]
    assert all(each.complete and not each.problem for each in listed.values())
    assert listed["mine/test"].file_stem == "mine-test"
    tested = load_evaluation(listed["mine/test"].folder)
    about = tested.about
    assert (about.model_id, about.split, about.scope) == ("mine", "test", tested.about.scope)
    assert about.weights_sha256 == card.weights_sha256 == hash_file(run.path / card.weights_file)
    assert about.scope.inside == len(splits["test"])
    # Nothing is predicted for the metrics.
    report = report_of(tested, intervals=False, measured=read_points(card, run.path))
    ap = report.metric("COCO, boxes", "AP", "lesion").value
    assert ap == pytest.approx(card.metrics["test ap"], abs=1e-12)
    assert len(model.asked) == report.images + len(splits["val"])


def test_the_card_has_what_the_predictions_come_to(demo: Path) -> None:
    config = config_of(demo, match_iou=0.3, nms_iou=0.6, shown_confidence=0.4)
    run, card, model = ended(config)
    dataset = open_dataset(demo)
    samples = [dataset[each] for each in dataset.splits["test"]]
    found = [each.detections.nms(0.6) for each in model.predict(samples)]
    ground_truths = [sample.ground_truth or Detections.empty() for sample in samples]
    expected = coco.evaluate_boxes(found, ground_truths, len(dataset.classes))
    assert card.metrics["test ap"] == pytest.approx(expected.ap)
    assert card.metrics["test ap50"] == pytest.approx(expected.ap50)
    assert 0 < card.metrics["test f1"] < 1
    assert "test mask_ap" not in card.metrics
    assert card == read_card(run.path)
    measured = read_points(card, run.path)
    assert (measured.nms_iou, measured.match_iou, measured.split) == (0.6, 0.3, "val")
    assert measured.data_stamp == load_evaluation(run.evaluations / "validation").about.data_stamp
    points = {each.rule: each for each in measured.points if each.confidence is not None}
    assert card.operating_points == {rule: each.confidence for rule, each in points.items()}
    assert all(each.applied_to.endswith("split test") for each in points.values())
    assert f"{len(samples)} images of 'test'" in card.note


def test_a_data_set_without_a_test_split_is_evaluated_on_validation(demo: Path) -> None:
    run, card, model = ended(config_of(demo, test_split="holdout"))
    assert model.asked == list(open_dataset(demo).splits["val"])
    assert [each.name for each in evaluations_of(run)] == ["mine/validation"]
    assert "val ap" in card.metrics
    assert all(not each.applied_to for each in read_points(card, run.path).points)
    assert any("no split 'holdout'" in str(line.get("text")) for line in run.read_metrics())


def test_the_same_split_for_both_is_asked_about_once(demo: Path) -> None:
    _, card, model = ended(config_of(demo, test_split="val"))
    assert model.asked == list(open_dataset(demo).splits["val"])
    assert "val ap" in card.metrics


def test_a_limit_takes_the_images_that_were_validated_on(demo: Path) -> None:
    config = config_of(demo, valid_split="train", test_split="", limit=5)
    run, _, model = ended(config)
    chosen = chosen_samples(open_dataset(demo), config, "train")
    assert model.asked == [each.sample_id for each in chosen]
    assert read_config(run.evaluations / "validation" / "config.json").limit == 5


def test_what_a_killed_one_has_begun_is_made_anew(demo: Path) -> None:
    class Killed(Trained):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            if set(self.asked) >= set(open_dataset(demo).splits["val"]):
                raise KeyboardInterrupt
            return super().predict(samples)

    config, dataset = config_of(demo), open_dataset(demo)
    with pytest.raises(KeyboardInterrupt):
        ended(config, model=Killed(dataset.classes))
    run = RunFolder(path=settings().runs / "mine")
    assert not run.card.exists()
    # Not half of one is offered.
    assert [each.name for each in list_evaluations()] == ["mine/validation"]
    model = Trained(dataset.classes)
    with MetricsLog(run) as log:
        finalise(config, dataset, run, model, log)
    assert model.asked == [*dataset.splits["val"], *dataset.splits["test"]]
    assert len(list_evaluations()) == 2


def test_one_of_them_can_be_deleted_and_the_run_stays(demo: Path) -> None:
    run, _, _ = ended(config_of(demo))
    delete_evaluation(run.evaluations / "test")
    assert [each.name for each in list_evaluations()] == ["mine/validation"]
    assert run.card.is_file()


# ---- classes ------------------------------------------------------------------------------------

MERGED = {"transverse": "fracture", "oblique": "fracture", "spiral": "fracture"}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("scratch_detr", {}),
        ("scratch_detr", {"merge_classes": "fracture"}),
        ("scratch_detr", {"is_a": MERGED}),
        ("resnet", {"classify": "findings"}),
        ("resnet", {"classify": "class"}),
        ("resnet", {"classify": "class", "is_a": MERGED}),
    ],
)
def test_what_was_learned_is_what_is_evaluated(demo: Path, name: str, asked: dict) -> None:
    dataset = open_dataset(demo)
    config = config_of(demo, family=name, **asked)
    learned = label_map(dataset, config)
    card = build(name, learned.classes, **asked).card
    one_class = counts_as_one(dataset, config)
    matched = label(card, dataset, one_class=one_class, is_a=config.is_a)
    assert matched.classes[: len(card.classes)] == learned.classes == card.classes
    assert matched.classifies == learned.classifies
    for sample in samples_of(dataset):
        assert matched.knows(sample) == learned.knows(sample)
        if matched.classifies:
            assert matched.image_class(sample) == learned.image_class(sample)
        else:
            assert matched.labels(sample).tolist() == learned.labels(sample).tolist()


def samples_of(dataset: Dataset) -> list[Sample]:
    samples = [dataset[each] for each in dataset.ids]
    assert {len(each.ground_truth) for each in samples} >= {0, 1}
    return samples


def test_a_classifier_without_a_class_for_nothing_has_no_operating_points(
    demo: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(demo)
    config = config_of(demo, family="resnet", classify="class")
    module = build("resnet", label_map(dataset, config).classes, classify="class")
    run = new_run(tmp_path / "kinds")
    with MetricsLog(run) as log:
        card = finalise(config, dataset, run, module.wrap(module.network), log)
    assert card.operating_points == {}
    assert read_points(card, run.path) is None
    assert set(card.metrics) == {"test accuracy", "test balanced_accuracy"}
    tested = load_evaluation(run.evaluations / "test")
    # Images without a finding are of no kind.
    assert tested.known.tolist() == [
        bool(len(dataset[each].ground_truth)) for each in tested.sample_ids
    ]
    matched = tested.matched()
    assert card.metrics["test accuracy"] == np.mean(matched.called == matched.image_classes)
    assert f"{len(matched)} images of 'test'" in card.note


# ---- runs of before -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["detector", "gate"])
def test_a_run_of_before_still_opens(name: str) -> None:
    run = RunFolder(path=OLD_RUNS / name)
    card, config = read_card(run.path), read_train_config(run.config)
    measured, earlier = read_points(card, run.path), read_earlier(run)
    assert (run.kind, card.model_id, config.family) == ("training", name, card.family)
    assert measured.model_id == name
    assert evaluations_of(run) == []
    assert earlier.evaluated_on == "test"
    for metric, value in card.metrics.items():
        assert earlier.metrics[metric.removeprefix("test ")] == value
    points = {each["rule"]: each["confidence"] for each in earlier.operating_points}
    assert points == {each.rule: each.confidence for each in measured.points}
    assert sentence_of_earlier(earlier).startswith("On 2 images of test: ")
    assert [line["kind"] for line in run.read_metrics()].count("epoch") == 1
