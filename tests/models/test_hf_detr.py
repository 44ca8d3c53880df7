"""The DETR family of transformers: against the library itself, and explanations that are true."""

import json
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import library, quiet_transformers
from fracture_core.models.hf_architectures import ARCHITECTURES, named_config
from fracture_core.models.hf_configs import build_network, checked_config
from fracture_core.models.hf_detr import HfDetrModel
from fracture_core.settings import settings
from fracture_core.types import Prediction
from tests.support.detr_networks import (
    SQUARE,
    LocalBackbone,
    carry_brightness,
    hf_model,
    image_with_square,
    look_at_brightness,
    silence,
)
from tests.support.yolo_files import image, sample

NAMES = list(ARCHITECTURES)
CLASSES = ("a", "b", "c")
PROCESSORS = {
    "detr": "DetrImageProcessor",
    "conditional_detr": "ConditionalDetrImageProcessor",
    "deformable_detr": "DeformableDetrImageProcessor",
    "dab-detr": "ConditionalDetrImageProcessor",
    "rt_detr": "RTDetrImageProcessor",
    "rt_detr_v2": "RTDetrImageProcessor",
    "d_fine": "RTDetrImageProcessor",
    "yolos": "YolosImageProcessor",
}
ATTENTION = ["detr", "conditional_detr", "dab-detr"]
EVIDENCE = ["deformable_detr", "rt_detr", "rt_detr_v2", "d_fine"]


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> HfDetrModel:
    return HfDetrModel.from_name(f"{request.param}:tiny")


def model_type(model: HfDetrModel) -> str:
    return str(model.card.architecture["model_type"])


def processor(model: HfDetrModel) -> Any:
    kind = getattr(quiet_transformers.part("transformers"), PROCESSORS[model_type(model)])
    edge = model.card.input_size
    square = ARCHITECTURES[model_type(model)].square
    shortest = {"shortest_edge": edge, "longest_edge": edge * 1333 // 800}
    return kind(size={"height": edge, "width": edge} if square else shortest)


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


def assert_identical(first: Prediction, second: Prediction) -> None:
    np.testing.assert_array_equal(first.detections.xyxy, second.detections.xyxy)
    np.testing.assert_array_equal(first.detections.scores, second.detections.scores)
    np.testing.assert_array_equal(first.detections.labels, second.detections.labels)


# Against the library


@pytest.mark.parametrize("shape", [(90, 120), (300, 200), (64, 64), (41, 97)])
def test_the_input_is_that_of_the_librarys_processor(
    model: HfDetrModel, shape: tuple[int, int]
) -> None:
    pixels = image(*shape)
    expected = processor(model)(images=rgb(pixels), return_tensors="pt")["pixel_values"]
    found = model._pixels([model._prepare(sample(pixels))])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_findings_are_those_of_the_librarys_post_processing(model: HfDetrModel) -> None:
    pixels = image(100, 140)
    tool = processor(model)
    inputs = tool(images=rgb(pixels), return_tensors="pt")
    with torch.no_grad():
        output = model._network(inputs["pixel_values"])
    top = (
        {"top_k": 10_000}
        if "top_k" in tool.post_process_object_detection.__code__.co_varnames
        else {}
    )
    (listed,) = tool.post_process_object_detection(
        output, threshold=0.0, target_sizes=[pixels.shape], **top
    )
    found = model.predict([sample(pixels)])[0].detections
    assert len(found) >= 25
    scores, labels = listed["scores"].numpy(), listed["labels"].numpy()
    boxes = np.clip(listed["boxes"].numpy(), 0, [140, 100, 140, 100])
    for xyxy, score, label in zip(found.xyxy, found.scores, found.labels, strict=True):
        if score < scores.min() + 1e-4:
            # RT-DETR's list is as long as there are queries, over all pairs of query and class.
            continue
        same = np.abs(boxes - xyxy).max(axis=1) < 1e-2
        same &= (np.abs(scores - score) < 1e-4) & (labels == label)
        assert same.any()


def test_the_best_class_of_every_query_is_listed_once(model: HfDetrModel) -> None:
    one = sample(image(100, 140))
    logits = model._network(model._pixels([model._prepare(one)])).logits[0]
    softmax = ARCHITECTURES[model_type(model)].scores == "softmax"
    shares = logits.softmax(-1)[:, :-1] if softmax else logits.sigmoid()
    expected = shares.amax(-1).sort(descending=True).values
    found = model.predict([one])[0].detections.scores
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-5)
    assert len(found) == int((expected >= 0.01).sum())


@pytest.mark.parametrize("name", ["rt_detr", "conditional_detr"])
def test_with_one_class_the_list_is_the_librarys(name: str) -> None:
    architecture, config, _ = named_config(f"{name}:tiny")
    card = HfDetrModel.from_name(f"{name}:tiny").card.model_copy(update={"classes": ("a",)})
    model = HfDetrModel(card, build_network(architecture, config, 1, "test"))
    pixels = image(100, 140)
    inputs = processor(model)(images=rgb(pixels), return_tensors="pt")
    with torch.no_grad():
        output = model._network(inputs["pixel_values"])
    (listed,) = processor(model).post_process_object_detection(
        output, threshold=0.01, target_sizes=[pixels.shape]
    )
    found = model.predict([sample(pixels)])[0].detections
    np.testing.assert_allclose(
        found.scores, listed["scores"].sort(descending=True).values, atol=1e-5
    )


# Weights


def state_of(model: HfDetrModel) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model._network.state_dict().items()}


WRAPPINGS: dict[str, Any] = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 3},
    "state_dict": lambda state: {
        "state_dict": {f"model.{k}": v for k, v in state.items()} | {"criterion.w": torch.ones(2)}
    },
    "ema": lambda state: {
        "model": {k: v + 1 for k, v in state.items()},
        "ema": {"module": {f"module.{k}": v for k, v in state.items()}},
    },
    "detr": lambda state: {f"detr.{k}": v for k, v in state.items()},
}


def described_model(file: Path) -> HfDetrModel:
    card = HfDetrModel.describe(file, model_id="m", title="M", classes=CLASSES)
    return HfDetrModel.load(card, file if file.is_dir() else file.parent)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_checkpoint_however_it_is_wrapped(wrapping: str, tmp_path: Path) -> None:
    model = HfDetrModel.from_name("detr:tiny")
    torch.save(WRAPPINGS[wrapping](state_of(model)), tmp_path / "m.pt")
    again = described_model(tmp_path / "m.pt")
    config = again.card.architecture["config"]
    assert isinstance(config, dict)
    assert (config["num_queries"], config["d_model"], config["decoder_layers"]) == (30, 32, 2)
    wide = again.card.model_copy(update={"input_size": 64})
    again = HfDetrModel.load(wide, tmp_path)
    one = sample(image())
    assert_identical(model.predict([one])[0], again.predict([one])[0])


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("d_fine", "yolos")])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_sizes_are_read_from_the_tensors(name: str, suffix: str, tmp_path: Path) -> None:
    model = HfDetrModel.from_name(f"{name}:tiny")
    file = tmp_path / f"m{suffix}"
    if suffix == ".pt":
        torch.save(model._network.state_dict(), file)
    else:
        file = tmp_path / model.save(tmp_path).weights_file
    card = HfDetrModel.describe(file, model_id="m", title="M", classes=CLASSES)
    assert card.architecture["model_type"] == name
    found, built = card.architecture["config"], model.card.architecture["config"]
    assert isinstance(found, dict)
    assert isinstance(built, dict)
    for key in set(built) - {"backbone_config", "num_queries"}:
        assert found[key] == built[key], key
    for key in set(built["backbone_config"]) - {"out_features"}:
        assert found["backbone_config"][key] == built["backbone_config"][key], key


def test_two_stages_and_refinement_are_told_from_the_tensors(tmp_path: Path) -> None:
    for two_stage in (False, True):
        changes = {"with_box_refine": True, "two_stage": two_stage, "two_stage_num_proposals": 30}
        model = hf_model("deformable_detr", **changes)
        torch.save(model._network.state_dict(), tmp_path / "m.pt")
        card = HfDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=CLASSES)
        config = card.architecture["config"]
        assert isinstance(config, dict)
        assert (config["two_stage"], config["with_box_refine"]) == (two_stage, True)


def test_a_folder_of_save_pretrained(model: HfDetrModel, tmp_path: Path) -> None:
    names = {0: "wrist", 1: "elbow", 2: "hand"}
    model._network.config.id2label = names
    model._network.save_pretrained(tmp_path)
    processor(model).save_pretrained(tmp_path)
    card = HfDetrModel.describe(tmp_path, model_id="m", title="M", classes=None)
    assert card.classes == ("wrist", "elbow", "hand")
    assert card.input_size == 64
    again = HfDetrModel.load(card, tmp_path)
    one = sample(image())
    assert_identical(model.predict([one])[0], again.predict([one])[0])


def test_the_weights_of_a_folder_bring_its_config_along(model: HfDetrModel, tmp_path: Path) -> None:
    model._network.config.id2label = {0: "wrist", 1: "elbow", 2: "hand"}
    model._network.save_pretrained(tmp_path)
    processor(model).save_pretrained(tmp_path)
    card = library.add_model(tmp_path / "model.safetensors", family_name="hf_detr")
    assert (card.classes, card.input_size) == (("wrist", "elbow", "hand"), 64)
    one = sample(image())
    assert_identical(
        model.predict([one])[0],
        replace(library.open_model(card.model_id).predict([one])[0], model_id=model.card.model_id),
    )
    # The config of a run, which lies beside its weights too, is none of transformers.
    (tmp_path / "config.json").write_text('{"family": "hf_detr"}')
    with pytest.raises(WeightsError, match="class names"):
        library.add_model(tmp_path / "model.safetensors", family_name="hf_detr")


def test_timms_resnet_under_its_own_names(tmp_path: Path) -> None:
    """facebook/detr-resnet-50 is saved with timm's names, which are torchvision's."""
    torch.manual_seed(0)
    resnet = resnet18().eval()
    for module in resnet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    _, small, _ = named_config("detr:tiny")
    raw = {**small, "model_type": "detr", "backbone_config": None, "backbone": "resnet18"}
    raw |= {"use_timm_backbone": True, "use_pretrained_backbone": True, "auto_map": {"a": "b"}}
    raw["id2label"] = {str(i): name for i, name in enumerate(CLASSES)}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    architecture = ARCHITECTURES["detr"]
    checked = checked_config(architecture, raw, tmp_path)
    assert "auto_map" not in checked
    network = build_network(architecture, checked, 3, tmp_path)
    state = {k: v for k, v in network.state_dict().items() if "backbone" not in k}
    legacy = {
        k.replace(".o_proj.", ".out_proj.").replace(".mlp.fc", ".fc"): v for k, v in state.items()
    }
    for name, tensor in resnet.state_dict().items():
        if not name.startswith("fc."):
            legacy[f"model.backbone.conv_encoder.model.{name}"] = tensor
    save_file({k: v.contiguous() for k, v in legacy.items()}, tmp_path / "model.safetensors")
    model = described_model(tmp_path)
    pixels = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        stem = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(pixels))))
        expected = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(stem))))
        found = model._network.model.backbone(pixels, torch.ones(1, 96, 64))[-1][0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_differs_is_listed_by_name_and_shape(tmp_path: Path) -> None:
    state = state_of(HfDetrModel.from_name("detr:tiny"))
    state["model.decoder.layers.1.self_attn_layer_norm.weight"] = torch.ones(31)
    state["surplus"] = torch.ones(2, 3)
    del state["bbox_predictor.layers.2.bias"]
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(WeightsError) as caught:
        HfDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=CLASSES)
    assert "self_attn_layer_norm.weight (31,) instead of (32,)" in caught.value.found
    assert "no bbox_predictor.layers.2.bias (4,)" in caught.value.found
    assert "an extra surplus (2, 3)" in caught.value.found


def test_the_first_ten_differences_are_listed(tmp_path: Path) -> None:
    state = state_of(HfDetrModel.from_name("detr:tiny"))
    shortened = {k: v for k, v in state.items() if "encoder.layers.0.self_attn." not in k}
    shortened |= {f"x{i}": torch.ones(1) for i in range(9)}
    torch.save(shortened, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="and 7 more"):
        HfDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=CLASSES)


def test_other_class_counts(tmp_path: Path) -> None:
    torch.save(state_of(HfDetrModel.from_name("detr:tiny")), tmp_path / "m.pt")
    for names in (("a",), None):
        with pytest.raises(WeightsError, match="3 class"):
            HfDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=names)


class Opens:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Opens()}, tmp_path / "code.pt")
    (tmp_path / "code.bin").write_bytes(pickle.dumps(Opens()))
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04 and then nothing")
    state = {k: v.contiguous() for k, v in state_of(HfDetrModel.from_name("detr:tiny")).items()}
    save_file(state, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "header.safetensors").write_bytes(struct.pack("<Q", 10 << 30) + b"{}")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"a": torch.ones(3)}, tmp_path / "other.safetensors")
    files = "code.pt code.bin zip.pth short.safetensors header.safetensors empty.safetensors"
    for name in [*files.split(), "other.safetensors"]:
        with pytest.raises(WeightsError):
            HfDetrModel.describe(tmp_path / name, model_id="m", title="M", classes=CLASSES)
        with pytest.raises(WeightsError):
            library.add_model(tmp_path / name, family_name="hf_detr", classes=CLASSES)
    assert not (tmp_path / "executed").exists()
    assert [card.model_id for card in library.list_cards()] == ["fake"]


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    state = state_of(HfDetrModel.from_name("detr:tiny"))
    state["class_labels_classifier.bias"][0] = torch.nan
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="finite"):
        HfDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=CLASSES)


@pytest.mark.parametrize(
    "raw",
    [
        {"model_type": "llama"},
        {"model_type": ["detr"]},
        {"model_type": "detr", "encoder_layers": 10**9},
        {"model_type": "detr", "d_model": 10**7},
        {"model_type": "detr", "d_model": "many"},
        {"model_type": "detr", "activation_function": "no such"},
        {"model_type": "detr", "backbone": "swin", "use_timm_backbone": True},
        {"model_type": "detr", "backbone_config": {"model_type": "resnet", "depths": [10**6]}},
        {"model_type": "detr", "backbone_config": ["resnet"]},
        {"model_type": "yolos", "hidden_size": 16_380, "intermediate_size": 16_380},
    ],
)
def test_configurations_from_outside_are_checked(raw: dict[str, Any], tmp_path: Path) -> None:
    name = "yolos" if raw["model_type"] == "yolos" else "detr"
    save_file(
        {k: v.contiguous() for k, v in state_of(HfDetrModel.from_name(f"{name}:tiny")).items()},
        tmp_path / "model.safetensors",
    )
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(WeightsError):
        HfDetrModel.describe(tmp_path, model_id="m", title="M", classes=CLASSES)


# Names


def test_unknown_names() -> None:
    for name in ("detr", "detr:huge", "x:tiny"):
        with pytest.raises(ConfigError, match="hub id"):
            HfDetrModel.from_name(name)


def test_without_network_or_cache_a_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = quiet_transformers.part("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        HfDetrModel.from_name("facebook/detr-resnet-50")
    place = settings().cache / "huggingface" / "facebook--detr-resnet-50"
    assert "model.safetensors" in caught.value.advice
    assert str(place) in caught.value.advice
    tiny = HfDetrModel.from_name("detr:tiny")
    tiny._network.config.id2label = dict(enumerate(CLASSES))
    tiny._network.save_pretrained(place)
    found = HfDetrModel.from_name("facebook/detr-resnet-50")
    assert found.card.model_id == "facebook--detr-resnet-50"
    assert found.card.classes == CLASSES


def test_transformers_is_imported_on_first_use() -> None:
    code = "import sys, fracture_core.models.hf_detr; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_weights_are_drawn_anew_but_always_the_same(model: HfDetrModel) -> None:
    one = sample(image())
    first, again, other = (model.with_random_weights(seed).predict([one])[0] for seed in (5, 5, 6))
    assert_identical(first, again)
    assert not np.array_equal(first.detections.scores[:5], other.detections.scores[:5])
    assert model.with_random_weights(5).card == model.card


# Explanations


def test_an_explanation_has_the_size_of_the_image(model: HfDetrModel) -> None:
    for shape in [(90, 120), (1, 1), (4, 900)]:
        one = sample(image(*shape))
        count = len(model.predict([one])[0].detections)
        for index in [None, *range(min(count, 2))]:
            heatmap = model.explain(one, index)
            assert heatmap.values.shape == shape
            assert np.isfinite(heatmap.strength)
    with pytest.raises(IndexError):
        model.explain(one, count)


def test_explaining_leaves_predictions_alone(model: HfDetrModel) -> None:
    one = sample(image())
    before = model.predict([one])[0]
    model.explain(one, 0)
    assert_identical(before, model.predict([one])[0])
    assert not any(module._forward_hooks for module in model._network.modules())
    twin = model._eager_twin()
    assert twin is not model._network
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model._network.parameters()}


def test_two_threads_explain_and_predict(model: HfDetrModel) -> None:
    several = [sample(image(80, 100, seed=i)) for i in range(4)]
    alone = [(model.predict([one])[0], model.explain(one, 1).values) for one in several]
    with ThreadPoolExecutor(4) as pool:
        predictions = [pool.submit(model.predict, [one]) for one in several]
        maps = [pool.submit(model.explain, one, 1) for one in several]
    for (prediction, values), again, heatmap in zip(alone, predictions, maps, strict=True):
        assert_identical(prediction, again.result()[0])
        np.testing.assert_array_equal(values, heatmap.result().values)


@pytest.mark.parametrize("name", ATTENTION)
def test_a_findings_map_is_its_own_querys_attention(name: str) -> None:
    model = hf_model(name)
    one = sample(image(256, 256))
    pixels = model._pixels([model._prepare(one)])
    transformers_own = model._eager_twin()(pixels, output_attentions=True)
    found = model.predict([one])[0].detections
    centre = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2 / 256
    for index in (0, 3, len(found) - 1):
        near = transformers_own.pred_boxes[0, :, :2] - torch.from_numpy(centre[index])
        # Clipping moves centres of boxes at the edge, the score settles it.
        predictions = model._predictions(transformers_own)
        far = near.norm(dim=1) + 100 * (predictions.scores[0] - float(found.scores[index])).abs()
        query = int(far.argmin())
        expected = transformers_own.cross_attentions[-1][0].mean(0)[query].view(8, 8)
        heatmap = model.explain(one, index)
        sampled = heatmap.values[16::32, 16::32] * heatmap.strength
        np.testing.assert_allclose(sampled, expected, rtol=0.2)
        assert np.unravel_index(heatmap.values.argmax(), (256, 256)) is not None
        peak = np.array(np.unravel_index(heatmap.values.argmax(), (256, 256))) // 32
        assert tuple(peak) == np.unravel_index(int(expected.argmax()), (8, 8))


def hand_set(name: str) -> HfDetrModel:
    """A network whose queries look for brightness, each cell seeing itself alone."""
    if name == "yolos":
        return _hand_set_yolos()
    model = hf_model(name, encoder_layers=0, decoder_layers=1)
    inner = model._network.model
    axis = carry_brightness(inner.input_projection)
    local = LocalBackbone([32], [inner.input_projection.in_channels])
    layer = inner.decoder.layers[0]
    # From a state of zeros a norm would make all brightness above zero the same.
    own = layer.self_attn if name == "dab-detr" else layer
    torch.nn.init.normal_(own.self_attn_layer_norm.bias)
    if name == "dab-detr":
        inner.backbone.conv_encoder = local
        cross = layer.cross_attn
        silence(cross.cross_attn_query_pos_proj, cross.cross_attn_query_pos_sine_proj)
        silence(cross.cross_attn_key_pos_proj)
        look_at_brightness(
            cross.cross_attn_query_content_proj, cross.cross_attn_key_content_proj, 4, axis
        )
        return model
    inner.backbone = local
    cross = layer.encoder_attn
    if name == "detr":
        look_at_brightness(cross.q_proj, cross.k_proj, 4, axis)
    else:
        silence(cross.q_pos_proj, cross.k_pos_proj, cross.q_pos_sine_proj)
        look_at_brightness(cross.q_content_proj, cross.k_content_proj, 4, axis)
    return model


def _hand_set_yolos() -> HfDetrModel:
    model = hf_model("yolos", num_hidden_layers=1)
    embeddings = model._network.vit.embeddings
    axis = carry_brightness(embeddings.patch_embeddings.projection)
    # Beside nothing but brightness a norm would make all brightness above zero the same.
    torch.nn.init.normal_(embeddings.position_embeddings)
    with torch.no_grad():
        embeddings.position_embeddings[..., 0] = 0
    attention = model._network.vit.encoder.layer[0].attention.attention
    look_at_brightness(attention.query, attention.key, 8, axis)
    return model


def inside_square(values: np.ndarray) -> bool:
    row, column = np.unravel_index(values.argmax(), values.shape)
    rows, columns = SQUARE
    return rows.start <= row < rows.stop and columns.start <= column < columns.stop


def change(model: HfDetrModel, before: np.ndarray, after: np.ndarray) -> float:
    """How far any class score of any query moves."""
    first, second = (
        model._network(model._pixels([model._prepare(sample(p))])).logits.sigmoid()
        for p in (before, after)
    )
    return float((first - second).abs().max())


@pytest.mark.parametrize("name", [*ATTENTION, "yolos"])
def test_attention_is_greatest_where_alone_it_matters(name: str) -> None:
    model = hand_set(name)
    pixels = image_with_square()
    elsewhere = pixels.copy()
    elsewhere[:128, 128:] = 60
    without = change(model, pixels, image_with_square(level=120))
    assert without > 10 * change(model, pixels, elsewhere)
    for index in (0, 7, None):
        heatmap = model.explain(sample(pixels), index)
        assert inside_square(heatmap.values)
        assert heatmap.values[:128, 128:].max() < 0.05


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_is_greatest_where_alone_it_matters(name: str) -> None:
    model = hf_model(name)
    inner = model._network.model
    channels = inner.backbone.intermediate_channel_sizes
    inner.backbone = LocalBackbone([8, 16, 32], list(channels), seen=SQUARE)
    pixels = image(256, 256)
    pixels[0, 0] = 0
    elsewhere, there = pixels.copy(), pixels.copy()
    elsewhere[:128, 128:] = 255
    there[SQUARE] = 255 - there[SQUARE]
    assert change(model, pixels, elsewhere) == 0
    assert change(model, pixels, there) > 0
    shown = [model.explain(sample(pixels), index) for index in (*range(8), None)]
    seen = [heatmap for heatmap in shown if heatmap.strength > 0]
    assert len(seen) > 3
    assert all(inside_square(heatmap.values) for heatmap in seen)
    assert all(heatmap.values[:128, 128:].max() == 0 for heatmap in seen)


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_differs_from_finding_to_finding(name: str) -> None:
    model = hf_model(name)
    one = sample(image(256, 256))
    maps = [model.explain(one, index) for index in range(6)]
    shown = [heatmap.values.ravel() for heatmap in maps if heatmap.strength > 0]
    assert len(shown) > 1
    alike = np.corrcoef(shown)
    assert alike[np.triu_indices(len(shown), 1)].min() < 0.9


class TestSmall:
    """RT-DETR and D-FINE on MobileNetV2."""

    @pytest.mark.parametrize("name", ["rt_detr:small", "rt_detr_v2:small", "d_fine:small"])
    def test_it_is_small_and_answers_the_same_when_loaded(self, name: str, tmp_path: Path) -> None:
        model = HfDetrModel.from_name(name)
        assert 3e6 < sum(each.numel() for each in model.network.parameters()) < 5e6
        card = model.card.model_copy(update={"input_size": 96})
        model = HfDetrModel(card, model.network)
        again = HfDetrModel.load(model.save(tmp_path), tmp_path)
        one = sample(image(100, 120))
        first, second = (each.predict([one])[0].detections for each in (model, again))
        np.testing.assert_array_equal(first.scores, second.scores)
        assert len(first) > 20
        assert model.explain(one, 0).values.shape == (100, 120)

    def test_the_backbones_maps(self) -> None:
        network: Any = HfDetrModel.from_name("rt_detr:small").network
        maps = network.model.backbone.model(torch.zeros(1, 3, 64, 96)).feature_maps
        assert [tuple(each.shape) for each in maps] == [
            (1, 32, 8, 12), (1, 96, 4, 6), (1, 320, 2, 3)
        ]  # fmt: skip

    def test_others_have_no_small_one(self) -> None:
        with pytest.raises(ConfigError, match=r"or rt_detr or rt_detr_v2 or d_fine with :small"):
            HfDetrModel.from_name("detr:small")
