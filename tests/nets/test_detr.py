from typing import Any

import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from fracture_core.errors import ConfigError
from fracture_core.nets.backbone import Backbone, resnet_backbone
from fracture_core.nets.detr import Detr, DetrArchitecture, DetrOutput, build_detr
from fracture_core.nets.resnet import ResNet, resnet
from fracture_core.nets.set_loss import HungarianMatcher, SetCriterion
from fracture_core.nets.transformer import Transformer
from tests.support.padded_targets import pad_targets

pytestmark = pytest.mark.usefixtures("one_thread")


TINY: dict[str, Any] = {
    "class_count": 2,
    "query_count": 3,
    "backbone": "resnet18",
    "backbone_width": 4,
    "in_channels": 1,
    "frozen_norm": False,
    "width": 16,
    "head_count": 2,
    "encoder_depth": 1,
    "decoder_depth": 2,
    "feedforward_width": 32,
    "dropout": 0.1,
}


def tiny(**changed: Any) -> Detr:
    torch.manual_seed(0)
    return build_detr(DetrArchitecture(**TINY | changed)).eval()


class Patches(nn.Module):
    """A backbone whose cells see 4 × 4 pixels and nothing beyond: exact under padding."""

    stride = 4
    channels = 6

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 6, 4, stride=4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # As many cells as a ResNet would give, ⌈H/4⌉ × ⌈W/4⌉.
        below, right = -pixels.shape[-2] % 4, -pixels.shape[-1] % 4
        return self.patch(nn.functional.pad(pixels, (0, right, 0, below)))


def detr_on_patches(*, two_stage: bool = False) -> Detr:
    torch.manual_seed(0)
    transformer = Transformer(
        width=16,
        head_count=2,
        encoder_depth=2,
        decoder_depth=2,
        feedforward_width=32,
        dropout=0.1,
        norm_first=False,
    )
    model = Detr(Patches(), transformer, class_count=2, query_count=3, two_stage=two_stage)
    return model.eval()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"query_count": 1, "class_count": 1},
        {"query_count": 50, "head_count": 8},
        {"in_channels": 3, "backbone": "resnet34"},
        {"backbone": "resnet50", "frozen_norm": True},
        {"encoder_depth": 0, "decoder_depth": 1},
        {"encoder_depth": 3, "decoder_depth": 4, "norm_first": True},
        {"width": 20, "head_count": 5, "dropout": 0.0},
        {"auxiliary": False},
        {"two_stage": True, "query_count": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 50)])
def test_shapes(changed: dict[str, Any], height: int, width: int) -> None:
    model = tiny(**changed)
    shape = TINY | {"auxiliary": True} | changed
    queries, classes = shape["query_count"], shape["class_count"] + 1
    answer = model(torch.randn(2, shape["in_channels"], height, width), with_attention=True)
    layers = shape["decoder_depth"] - 1 if shape["auxiliary"] else 0
    assert answer.logits.shape == (2, queries, classes)
    assert answer.boxes_cxcywh.shape == (2, queries, 4)
    assert answer.auxiliary_logits.shape == (layers, 2, queries, classes)
    assert answer.auxiliary_boxes_cxcywh.shape == (layers, 2, queries, 4)
    assert answer.attention.shape == (2, queries, -(-height // 32), -(-width // 32))
    assert ((answer.boxes_cxcywh > 0) & (answer.boxes_cxcywh < 1)).all()


def test_attention_is_a_share_of_the_valid_cells_and_changes_nothing() -> None:
    model = tiny()
    pixels = torch.randn(2, 1, 96, 128)
    valid = torch.ones(2, 96, 128, dtype=torch.bool)
    valid[1, 40:] = False
    valid[1, :, 64:] = False
    plain = model(pixels, valid)
    answer = model(pixels, valid, with_attention=True)
    assert plain.attention is None
    torch.testing.assert_close(answer.logits, plain.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer.boxes_cxcywh, plain.boxes_cxcywh, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer.attention.sum(dim=(2, 3)), torch.ones(2, 3))
    assert (answer.attention[1, :, 2:] == 0).all()
    assert (answer.attention[1, :, :, 2:] == 0).all()
    assert (answer.attention[1, :, :2, :2] > 0).all()


@settings(max_examples=25, deadline=None)
@given(st.booleans(), st.integers(1, 6), st.integers(1, 6), st.integers(0, 17), st.integers(0, 17))
def test_a_image_alone_or_padded_gives_the_same(
    two_stage: bool, rows: int, columns: int, below: int, right: int
) -> None:
    # With fewer cells than queries, cells of the padding would have to fill up.
    assume(not two_stage or rows * columns >= 3)
    model = detr_on_patches(two_stage=two_stage)
    height, width = 4 * rows, 4 * columns
    image = torch.randn(1, 1, height, width)
    alone = model(image, with_attention=True)
    padded = torch.full((2, 1, height + below, width + right), 7.0)
    padded[0, :, :height, :width] = image[0]
    valid = torch.ones(2, height + below, width + right, dtype=torch.bool)
    valid[0, height:] = False
    valid[0, :, width:] = False
    both = model(padded, valid, with_attention=True)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(both.logits[:1], alone.logits, **close)
    torch.testing.assert_close(both.boxes_cxcywh[:1], alone.boxes_cxcywh, **close)
    torch.testing.assert_close(both.attention[:1, :, :rows, :columns], alone.attention, **close)


def test_what_lies_in_the_padding_never_matters() -> None:
    model = tiny()
    pixels = torch.randn(2, 1, 64, 64)
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    valid[1, :, 40:] = False
    expected = model(pixels, valid)
    pixels[1, :, :, 40:] = torch.nan
    assert torch.equal(model(pixels, valid).logits, expected.logits)


def test_batch_equals_one_by_one_and_no_mask_equals_a_full_one() -> None:
    model = tiny()
    pixels = torch.randn(3, 1, 64, 96)
    together = model(pixels)
    masked = model(pixels, torch.ones(3, 64, 96, dtype=torch.bool))
    torch.testing.assert_close(masked.logits, together.logits, atol=1e-5, rtol=1e-4)
    for index in range(3):
        one = model(pixels[index : index + 1])
        torch.testing.assert_close(one.logits[0], together.logits[index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            one.boxes_cxcywh[0], together.boxes_cxcywh[index], atol=1e-5, rtol=1e-4
        )


def test_eval_is_deterministic_and_training_is_not() -> None:
    model = tiny()
    pixels = torch.randn(2, 1, 64, 64)
    assert torch.equal(model(pixels).logits, model(pixels).logits)
    model.train()
    assert not torch.equal(model(pixels).logits, model(pixels).logits)


def _in_order_of_places(answer: DetrOutput) -> DetrOutput:
    order = answer.boxes_cxcywh[..., :2].sum(-1).argsort(dim=1)[..., None].expand(-1, -1, 4)
    return answer._replace(boxes_cxcywh=answer.boxes_cxcywh.gather(1, order))


def backbone_of(trunk: ResNet, depth: int = 4) -> Backbone:
    stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
    layers = (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
    channels = [trunk.feature_channels // 2**halvings for halvings in (3, 2, 1, 0)]
    return Backbone(stem, layers, channels, depth=depth)


@pytest.mark.parametrize("norm_first", [False, True])
def test_gradient_reaches_every_parameter(norm_first: bool) -> None:
    backbone = backbone_of(
        ResNet(
            block="basic",
            depths=(1, 1, 1, 1),
            class_count=1,
            width=4,
            in_channels=1,
            zero_init_last_norm=False,
        )
    )
    torch.manual_seed(0)
    transformer = Transformer(
        width=16,
        head_count=2,
        encoder_depth=2,
        decoder_depth=2,
        feedforward_width=32,
        dropout=0.0,
        norm_first=norm_first,
    )
    model = Detr(backbone, transformer, class_count=2, query_count=3)
    targets = pad_targets(
        [torch.tensor([0, 1]), torch.tensor([1])],
        [torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.6, 0.2, 0.4]]), torch.tensor([[0.5] * 4])],
        class_count=2,
    )
    criterion = SetCriterion(class_count=2, matcher=HungarianMatcher())
    criterion(model(torch.randn(2, 1, 96, 96)), targets).total.backward()
    untouched = set()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if parameter.grad.abs().max() < 1e-6 and not name.endswith("key.bias"):
            untouched.add(name)
    # By design: the bias of a key shifts all its scores alike, which softmax undoes; and the first
    # decoder layer begins with queries that are all zero, so there is nothing to attend to yet.
    first = "transformer.decoder.0.self_attention"
    expected = {f"{first}.{part}" for part in ("query.weight", "query.bias", "key.weight")}
    expected.add(f"{first}.value.weight")
    assert untouched == expected | (
        {"transformer.decoder.0.self_norm.weight"} if norm_first else set()
    )


@pytest.mark.parametrize("two_stage", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_compiles_into_one_graph(masked: bool, two_stage: bool) -> None:
    model = tiny(two_stage=two_stage)
    pixels = torch.randn(2, 1, 64, 64)
    valid = None
    if masked:
        valid = torch.ones(2, 64, 64, dtype=torch.bool)
        valid[0, 40:] = False
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    answer, expected = compiled(pixels, valid), model(pixels, valid)
    torch.testing.assert_close(answer.logits, expected.logits)
    torch.testing.assert_close(
        compiled(pixels, valid, with_attention=True).attention,
        model(pixels, valid, with_attention=True).attention,
    )


def test_bfloat16_autocast_and_channels_last() -> None:
    model = tiny()
    pixels = torch.randn(2, 1, 96, 96)
    valid = torch.ones(2, 96, 96, dtype=torch.bool)
    valid[0, 64:] = False
    expected = model(pixels, valid)
    model = model.to(memory_format=torch.channels_last)
    pixels = pixels.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(pixels, valid).logits, expected.logits, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(pixels, valid, with_attention=True)
    assert half.boxes_cxcywh.dtype == torch.float32
    torch.testing.assert_close(half.boxes_cxcywh, expected.boxes_cxcywh, atol=0.03, rtol=0)
    torch.testing.assert_close(half.logits, expected.logits, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("two_stage", [False, True])
def test_whole_network_in_bfloat16(two_stage: bool) -> None:
    # As many queries as cells: which come first is no matter of rounding then.
    changed = {"two_stage": two_stage, "query_count": 4}
    pixels = torch.randn(1, 1, 64, 64)
    expected = tiny(**changed)(pixels)
    half = tiny(**changed).bfloat16()(pixels.bfloat16())
    if two_stage:
        expected, half = (_in_order_of_places(answer) for answer in (expected, half))
    torch.testing.assert_close(half.boxes_cxcywh.float(), expected.boxes_cxcywh, atol=0.05, rtol=0)


def test_backbone_is_the_resnets_last_feature_map() -> None:
    torch.manual_seed(0)
    trunk = resnet("resnet18", class_count=2, width=4).eval()
    pixels = torch.randn(1, 3, 65, 40)
    torch.testing.assert_close(backbone_of(trunk)(pixels), trunk.features(pixels))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_shorter_backbone_stops_earlier(depth: int) -> None:
    torch.manual_seed(0)
    trunk = resnet("resnet50", class_count=2, width=4).eval()
    backbone = backbone_of(trunk, depth=depth)
    pixels = torch.randn(1, 3, 64, 96)
    expected = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(pixels))))
    for stage in (trunk.layer1, trunk.layer2, trunk.layer3)[:depth]:
        expected = stage(expected)
    cells = backbone(pixels)
    torch.testing.assert_close(cells, expected)
    assert (backbone.stride, backbone.channels) == (64 // cells.shape[2], cells.shape[1])


def test_frozen_norm_is_torchvisions() -> None:
    theirs = torchvision.models.resnet18(norm_layer=torchvision.ops.FrozenBatchNorm2d)
    ours = resnet_backbone("resnet18", frozen_norm=True)
    trunk = nn.Sequential(*list(theirs.children())[:-2])
    renamed = dict(zip(ours.state_dict(), trunk.state_dict().values(), strict=True))
    ours.load_state_dict(renamed)
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(pixels), trunk(pixels))
    assert not any("bn" in name for name, _ in ours.named_parameters())


@pytest.mark.parametrize("frozen_stages", range(6))
def test_frozen_stages_neither_learn_nor_drift(frozen_stages: int) -> None:
    backbone = resnet_backbone("resnet18", width=4, frozen_stages=frozen_stages).train()
    stages = [backbone.stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    before = [{k: v.clone() for k, v in stage.state_dict().items()} for stage in stages]
    backbone(torch.randn(2, 3, 64, 64))
    for number, (stage, old) in enumerate(zip(stages, before, strict=True)):
        frozen = number < frozen_stages
        same = all(torch.equal(old[k], v) for k, v in stage.state_dict().items())
        assert same == frozen
        assert all(p.requires_grad != frozen for p in stage.parameters())


def test_proposals_begin_as_small_squares_on_their_cells() -> None:
    model = tiny(two_stage=True, backbone_depth=3)
    proposed = model(torch.randn(1, 1, 64, 32)).proposals
    assert proposed.logits.shape == (1, 8, 3)
    x, y, width, height = proposed.boxes_cxcywh[0].unbind(-1)
    torch.testing.assert_close(x, torch.tensor([0.25, 0.75] * 4))
    torch.testing.assert_close(y, torch.tensor([0.125, 0.375, 0.625, 0.875]).repeat_interleave(2))
    torch.testing.assert_close(width, torch.full((8,), 0.12))
    torch.testing.assert_close(height, width)


def test_queries_begin_from_the_likeliest_cells() -> None:
    model = tiny(two_stage=True, backbone_depth=3, query_count=2)
    answer = model(torch.randn(3, 1, 64, 64))
    likely = answer.proposals.logits[..., :-1].amax(-1) - answer.proposals.logits[..., -1]
    best = likely.topk(2).indices[..., None].expand(-1, -1, 4)
    # Nothing is learnt yet, so that the decoder leaves the boxes as they were proposed.
    expected = answer.proposals.boxes_cxcywh.gather(1, best)
    torch.testing.assert_close(answer.boxes_cxcywh, expected)


def test_cells_in_the_padding_are_no_object() -> None:
    model = tiny(two_stage=True, backbone_depth=3, query_count=16)
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    valid[:, 32:] = False
    answer = model(torch.randn(1, 1, 64, 64), valid)
    assert (answer.proposals.logits.softmax(-1)[0, 8:, -1] == 1).all()
    assert (answer.proposals.logits.softmax(-1)[0, :8, -1] < 1).all()


def test_the_loss_judges_proposals_too() -> None:
    model = tiny(two_stage=True, backbone_depth=3)
    answer = model(torch.randn(1, 1, 64, 64))
    targets = pad_targets([torch.tensor([1])], [torch.tensor([[0.5] * 4])], class_count=2)
    criterion = SetCriterion(class_count=2, matcher=HungarianMatcher())
    alone = criterion(answer._replace(proposals=None), targets)
    both = criterion(answer, targets)
    proposed = criterion(answer.proposals, targets)
    torch.testing.assert_close(both.total, alone.total + proposed.total)
    assert proposed.total > 0
    assert torch.equal(both.l1, alone.l1)


def test_defaults_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = build_detr(DetrArchitecture(class_count=7))
    assert model.queries.shape == (4, 256)
    assert (len(model.transformer.encoder), len(model.transformer.decoder)) == (3, 3)
    assert model.backbone.channels == 2048
    assert model.transformer.encoder[0].feedforward[0].out_features == 2048
    assert model.class_head.out_features == 8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "vgg16"}, r"one of resnet18, .*found 'vgg16'"),
        ({"query_count": 0}, "query_count"),
        ({"class_count": 0}, "class_count"),
        ({"width": 18, "head_count": 2}, "multiple of 4"),
        ({"head_count": 3}, "divisor of the width"),
        ({"backbone_depth": 5}, "backbone_depth"),
    ],
)
def test_shapes_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny(**wrong)


@pytest.mark.parametrize(
    "valid",
    [torch.ones(2, 64, 32, dtype=torch.bool), torch.ones(2, 64, 64), torch.ones(64, 64) > 0],
)
def test_a_mask_that_does_not_fit(valid: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"valid: expected shape \(2, 64, 64\) of bool, found"):
        tiny()(torch.randn(2, 1, 64, 64), valid)


@pytest.mark.parametrize("two_stage", [False, True])
def test_overfits_one_image_with_two_boxes(two_stage: bool) -> None:
    torch.manual_seed(0)
    shape = {"width": 32, "backbone_width": 8, "feedforward_width": 64, "query_count": 4}
    model = tiny(dropout=0.0, two_stage=two_stage, **shape)
    model.train()
    pixels = torch.zeros(1, 1, 96, 96)
    pixels[0, 0, 10:40, 8:30] = 1.0
    pixels[0, 0, 50:80, 40:90] = -1.0
    ground_truth = torch.tensor(
        [[19 / 96, 25 / 96, 22 / 96, 30 / 96], [65 / 96, 65 / 96, 50 / 96, 30 / 96]]
    )
    targets = pad_targets([torch.tensor([0, 1])], [ground_truth], class_count=2)
    criterion = SetCriterion(class_count=2, matcher=HungarianMatcher())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(250):
        loss = criterion(model(pixels), targets)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    answer = model(pixels)
    labels = answer.logits[0].argmax(-1).tolist()
    assert sorted(labels) == [0, 1, 2, 2]
    for label in (0, 1):
        found = answer.boxes_cxcywh[0, labels.index(label)]
        torch.testing.assert_close(found, ground_truth[label], atol=0.03, rtol=0)
