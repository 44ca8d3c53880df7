"""What every model family promises, held against small random weights of each.

A new family adds a line to `FAMILIES`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture_core import masks
from fracture_core.files import hash_file
from fracture_core.models import library
from fracture_core.models.base import Model
from fracture_core.models.cards import CARD_FILE, ModelCard, read_card
from fracture_core.models.consensus_making import Voice, add_consensus
from fracture_core.models.families import family
from fracture_core.models.hf_architectures import ARCHITECTURES
from fracture_core.settings import settings
from fracture_core.types import MAX_CANDIDATES, SCORE_FLOOR, Detections, Prediction, Sample, Window
from tests.support import torchvision_files
from tests.support.detr_networks import saved
from tests.support.yolo_files import image, sample, save_checkpoint, yolo_network


def fake(folder: Path) -> ModelCard:
    return library.list_cards()[0]


def yolo(name: str) -> Callable[[Path], ModelCard]:
    def add(folder: Path) -> ModelCard:
        file = save_checkpoint(yolo_network(name), folder / f"{Path(name).stem}.pt")
        return library.add_model(file)

    return add


def consensus(folder: Path) -> ModelCard:
    """Boxes that need merging and boxes that do not, one model twice, and a classifier."""
    members = (
        yolo("yolov8n.yaml")(folder),
        saved("scratch_detr", "scratch:tiny")(folder),
        torchvision_files.saved(torchvision_files.gating_resnet)(folder),
    )
    voices = [Voice(model_id=card.model_id) for card in members]
    return add_consensus([*voices, Voice(model_id=members[0].model_id, flipped=True)])


def consensus_segment(folder: Path) -> ModelCard:
    """A segmenter and its mirrored self."""
    card = yolo("yolo26n-seg.yaml")(folder)
    return add_consensus(
        [Voice(model_id=card.model_id, flipped=flipped) for flipped in (False, True)]
    )


FAMILIES: dict[str, Callable[[Path], ModelCard]] = {
    "fake": fake,
    "yolo detect": yolo("yolov8n.yaml"),
    "yolo segment": yolo("yolo11n-seg.yaml"),
    "yolo end to end": yolo("yolov10n.yaml"),
    "yolo end to end segment": yolo("yolo26n-seg.yaml"),
    "faster_rcnn": torchvision_files.saved(torchvision_files.faster_rcnn),
    "faster_rcnn light": torchvision_files.saved(torchvision_files.light_faster_rcnn),
    "faster_rcnn light mobilenet": torchvision_files.saved(torchvision_files.mobile_faster_rcnn),
    "retinanet": torchvision_files.saved(torchvision_files.retinanet),
    "retinanet v2": torchvision_files.saved(
        partial(torchvision_files.retinanet, "retinanet_resnet50_fpn_v2")
    ),
    "retinanet light": torchvision_files.saved(
        partial(torchvision_files.retinanet, "retinanet_light")
    ),
    "efficientnet_gate lite0": torchvision_files.saved(
        partial(torchvision_files.efficientnet_gate, "efficientnet_lite0")
    ),
    "resnet mobilenet": torchvision_files.saved(torchvision_files.mobile_classifier),
    "efficientnet_gate": torchvision_files.saved(torchvision_files.efficientnet_gate),
    "resnet": torchvision_files.saved(torchvision_files.resnet),
    **{f"hf_detr {name}": saved("hf_detr", f"{name}:tiny") for name in ARCHITECTURES},
    "scratch_detr": saved("scratch_detr", "scratch:tiny"),
    "consensus": consensus,
    "consensus segment": consensus_segment,
}
SHAPES = [(120, 150), (150, 120), (1, 1), (8, 3), (4, 900), (700, 5), (64, 64)]


ODD_SHAPES = [(120, 150), (1, 1), (4, 900)]


class Loaded:
    def __init__(self, card: ModelCard, folder: Path) -> None:
        self.card, self.folder, self.home = card, folder, settings().home
        self.model = self.open()

    def open(self) -> Model:
        return family(self.card.family).load(self.card, self.folder)


@pytest.fixture(scope="module", params=list(FAMILIES))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRACTURE_HOME", str(tmp_path_factory.mktemp("home")))
        settings.cache_clear()
        card = FAMILIES[request.param](tmp_path_factory.mktemp("files"))
        folder = settings().models / card.model_id
        return Loaded(card, folder)


@pytest.fixture(autouse=True)
def _same_home(home: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consensus finds its members in the library where it was made."""
    monkeypatch.setenv("FRACTURE_HOME", str(loaded.home))
    settings.cache_clear()


@pytest.fixture
def model(loaded: Loaded) -> Model:
    return loaded.model


@pytest.fixture
def samples() -> list[Sample]:
    return [sample(image(*shape, seed=i)) for i, shape in enumerate(SHAPES)]


def assert_same(first: Prediction, second: Prediction, pixel: float = 0.05) -> None:
    """The same findings up to what another batch size changes in the last digits."""
    if first.class_scores is not None:
        np.testing.assert_allclose(first.class_scores, second.class_scores, atol=1e-3)
    a, b = first.detections, second.detections
    sure = [np.flatnonzero(d.scores > SCORE_FLOOR + 1e-3) for d in (a, b)]
    assert len(sure[0]) == len(sure[1])
    close = np.abs(a.scores[sure[0]][:, None] - b.scores[sure[1]][None]) < 1e-3
    alike = close & (a.labels[sure[0]][:, None] == b.labels[sure[1]][None])
    near = np.abs(a.xyxy[sure[0]][:, None] - b.xyxy[sure[1]][None]).max(axis=2) < pixel
    assert (alike & near).any(axis=1).all()
    assert (alike & near).any(axis=0).all()


def assert_identical(first: Prediction, second: Prediction) -> None:
    np.testing.assert_array_equal(first.detections.xyxy, second.detections.xyxy)
    np.testing.assert_array_equal(first.detections.scores, second.detections.scores)
    np.testing.assert_array_equal(first.detections.labels, second.detections.labels)
    assert first.detections.masks == second.detections.masks
    np.testing.assert_array_equal(first.class_scores, second.class_scores)


def test_one_prediction_a_sample_in_order_and_in_range(model: Model, samples: list[Sample]) -> None:
    predictions = model.predict(samples)
    assert [a.sample_id for a in predictions] == [s.sample_id for s in samples]
    for answer, one in zip(predictions, samples, strict=True):
        found = answer.detections
        assert answer.model_id == model.card.model_id
        assert len(found) <= MAX_CANDIDATES
        assert (found.scores >= SCORE_FLOOR).all()
        assert (found.labels < len(model.card.classes)).all()
        assert (found.xyxy[:, [0, 2]] <= one.width).all()
        assert (found.xyxy[:, [1, 3]] <= one.height).all()
        classifies = model.card.task == "classify"
        scores = answer.class_scores if classifies else found.scores
        if model.card.family == "consensus":
            # The mean of its members' scores; `test_models_consensus` computes it.
            assert 0 <= answer.image_score <= 1
        else:
            assert answer.image_score == pytest.approx(scores.max(initial=0))
        assert not classifies or len(scores) == len(model.card.classes)
        assert answer.seconds > 0
        # Those without a network of their own have the total alone.
        assert (answer.stages is None) == (model.card.family in ("fake", "consensus"))
        if answer.stages is not None:
            assert answer.seconds == answer.stages.total
            stages = (answer.stages.preprocess, answer.stages.inference, answer.stages.postprocess)
            assert min(stages) > 0


def test_there_is_something_to_see(model: Model, samples: list[Sample]) -> None:
    answer = model.predict(samples[:1])[0]
    if model.card.task == "classify":
        assert answer.class_scores is not None
        assert answer.class_scores.max() < 1
    else:
        assert len(answer.detections) > 20


def test_masks_lie_in_their_boxes(model: Model, samples: list[Sample]) -> None:
    for one, answer in zip(samples, model.predict(samples), strict=True):
        found = answer.detections
        wanted = len(found) if model.card.task == "segment" else 0
        assert len(found.masks) == wanted
        for code, (left, top, right, bottom) in zip(found.masks, found.xyxy, strict=False):
            mask = masks.decode(code)
            assert mask.shape == (one.height, one.width)
            rows, columns = np.nonzero(mask)
            assert not len(rows) or (rows.min() >= np.floor(top) and rows.max() < np.ceil(bottom))
            assert not len(rows) or (columns.min() >= np.floor(left))
            assert not len(rows) or (columns.max() < np.ceil(right))


def test_nothing_is_suppressed(model: Model, samples: list[Sample]) -> None:
    if not model.card.needs_nms:
        pytest.skip("this family answers without overlaps")
    found = model.predict(samples[:1])[0].detections
    assert len(found.nms(0.5)) < len(found)


def test_a_batch_is_the_same_as_one_by_one(model: Model, samples: list[Sample]) -> None:
    for one, together in zip(samples, model.predict(samples), strict=True):
        assert_same(model.predict([one])[0], together)


def test_twice_the_same_and_no_samples(model: Model, samples: list[Sample]) -> None:
    first, again = model.predict(samples[:1]) + model.predict(samples[:1])
    assert_identical(first, again)
    assert model.predict([]) == []


def network_of(model: Model) -> torch.nn.Module:
    network = getattr(model, "_network", None)
    if network is None:
        pytest.skip("no network in it")
    return network


def test_in_eval_mode_and_frozen(model: Model) -> None:
    network = network_of(model)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_image(model: Model, level: int) -> None:
    answer = model.predict([sample(np.full((90, 110), level, dtype=np.uint8))])[0]
    assert isinstance(answer.detections, Detections)


def test_loaded_again_it_answers_the_same(loaded: Loaded, samples: list[Sample]) -> None:
    again = loaded.open()
    assert again.card == loaded.card
    assert_identical(loaded.model.predict(samples[:1])[0], again.predict(samples[:1])[0])


def test_saved_and_loaded_it_answers_the_same(
    model: Model, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    rename = Path.replace

    def watch(self: Path, target: Path) -> Path:
        renamed.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    card = model.save(tmp_path / "saved")
    assert renamed == [name for name in (card.weights_file, CARD_FILE) if name]
    assert {file.name for file in (tmp_path / "saved").iterdir()} == set(renamed)
    assert read_card(tmp_path / "saved") == card
    facts = {"weights_file", "weights_sha256", "architecture"}
    assert card.model_dump(exclude=facts) == model.card.model_dump(exclude=facts)
    again = family(card.family).load(card, tmp_path / "saved")
    assert_identical(model.predict(samples[:1])[0], again.predict(samples[:1])[0])
    if card.weights_file:
        assert card.weights_file.endswith(".safetensors")
        assert card.weights_sha256 == hash_file(tmp_path / "saved" / card.weights_file)


def indices(model: Model, one: Sample) -> list[int | None]:
    """The image, and the first finding where there is one, or the first class."""
    if model.card.task == "classify":
        return [None, 0]
    return [None, 0] if len(model.predict([one])[0].detections) else [None]


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_an_explanation_lies_on_the_image(model: Model, shape: tuple[int, int]) -> None:
    one = sample(image(*shape))
    for index in indices(model, one):
        heatmap = model.explain(one, index)
        assert heatmap.values.shape == shape
        assert np.isfinite(heatmap.values).all()
        assert heatmap.strength >= 0
        assert heatmap.values.max() == (1 if heatmap.strength > 0 else 0)
        assert heatmap.method
        assert heatmap.target


def test_there_is_something_to_explain(model: Model, samples: list[Sample]) -> None:
    maps = [model.explain(samples[0], index) for index in (None, 0)]
    assert all(heatmap.strength > 0 for heatmap in maps)
    assert all(np.ptp(heatmap.values) > 0 for heatmap in maps)


def test_nothing_to_explain_beyond_the_findings(model: Model, samples: list[Sample]) -> None:
    for index in (-1, MAX_CANDIDATES):
        with pytest.raises(IndexError):
            model.explain(samples[0], index)


def test_a_blank_image_is_explained(model: Model) -> None:
    blank = sample(np.zeros((90, 110), dtype=np.uint8))
    for index in indices(model, blank):
        assert np.isfinite(model.explain(blank, index).values).all()


def test_explaining_leaves_nothing_behind(model: Model, samples: list[Sample]) -> None:
    network = network_of(model)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = model.predict(samples[:1])[0]
    model.explain(samples[0], 0)
    model.explain(samples[1], None)
    assert_identical(model.predict(samples[:1])[0], before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    for module in network.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


def test_other_weights_give_another_answer(model: Model, samples: list[Sample]) -> None:
    before = model.predict(samples[:1])[0]
    first, again, other = (model.with_random_weights(seed) for seed in (1, 1, 2))
    assert first.card.classes == model.card.classes
    answer = first.predict(samples[:1])[0]
    assert_identical(answer, again.predict(samples[:1])[0])
    assert_identical(model.predict(samples[:1])[0], before)
    if model.card.family == "fake":
        # It has no weights to lose, so that its explanations rightly fail.
        assert_identical(answer, before)
        return
    if model.card.family != "consensus":
        assert not same_weights(first, model)
        assert not same_weights(first, other)
        assert same_weights(first, again)
    with pytest.raises(AssertionError):
        assert_identical(answer, before)


def same_weights(first: Model, second: Model) -> bool:
    states = [network_of(model).state_dict() for model in (first, second)]
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_two_threads_predict_and_explain_at_once(model: Model, samples: list[Sample]) -> None:
    rounds = 3
    alone = [model.predict([one])[0] for one in samples[:2]]
    maps = [model.explain(one, 0).values for one in samples[:2]]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            (
                pool.submit(model.predict, [samples[i % 2]]),
                pool.submit(model.explain, samples[i % 2], 0),
            )
            for i in range(2 * rounds)
        ]
        for i, (answer, heatmap) in enumerate(jobs):
            assert_identical(answer.result()[0], alone[i % 2])
            np.testing.assert_array_equal(heatmap.result().values, maps[i % 2])


def test_eight_and_sixteen_bits_of_the_same_grey_are_the_same(model: Model) -> None:
    grey = image(100, 130)
    deep = sample(grey.astype(np.uint16) * 257)
    assert_identical(model.predict([deep])[0], model.predict([sample(grey)])[0])


def test_sixteen_bits_are_seen_through_the_window(model: Model) -> None:
    deep = image(100, 130).astype(np.uint16) * 16 + 5000
    window = Window(center=7000, width=4000)
    through = model.predict([sample(deep, windows=(window,))])[0]
    seen = model.predict([sample(window.apply(deep))])[0]
    assert_identical(through, seen)
