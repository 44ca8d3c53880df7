"""Matcher, overlap, targets and criterion, held against brute force and Hugging Face."""

import itertools
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DetrConfig, ResNetConfig
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss
from transformers.loss.loss_for_object_detection import HungarianMatcher as TheirMatcher

from fracture_core.errors import ConfigError
from fracture_core.nets.detr import DetrOutput
from fracture_core.nets.set_loss import (
    HungarianMatcher,
    SetCriterion,
    Targets,
    cxcywh_to_xyxy,
    generalised_iou,
)
from tests.support.padded_targets import pad_targets

CLASSES = 3


def random_boxes(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, 4) * 0.4 + torch.tensor([0.3, 0.3, 0.05, 0.05])


def random_truth(counts: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    labels = [torch.randint(0, CLASSES, (n,)) for n in counts]
    return labels, [random_boxes(n) for n in counts]


def random_answers(layers: int, batch: int, queries: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and boxes of every layer, leaves of the graph."""
    logits = torch.randn(layers, batch, queries, CLASSES + 1, requires_grad=True)
    return logits, random_boxes(layers, batch, queries).requires_grad_()


def as_output(logits: torch.Tensor, boxes: torch.Tensor) -> DetrOutput:
    return DetrOutput(logits[-1], boxes[-1], logits[:-1], boxes[:-1], None)


def random_output(layers: int, batch: int, queries: int) -> DetrOutput:
    return as_output(*random_answers(layers, batch, queries))


def test_giou_by_hand() -> None:
    first = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    second = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [4.0, 0.0, 6.0, 2.0]])
    # Shared 1, union 7, enclosing 9; the same box; two apart by their own width: union 8 of 12.
    expected = torch.tensor([1 / 7 - 2 / 9, 1.0, -4 / 12])
    torch.testing.assert_close(generalised_iou(first, second), expected)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_giou_agrees_with_torchvision(n: int, m: int, seed: int) -> None:
    torch.manual_seed(seed)
    first, second = cxcywh_to_xyxy(random_boxes(n)), cxcywh_to_xyxy(random_boxes(m))
    torch.testing.assert_close(
        generalised_iou(first[:, None], second[None]),
        torchvision.ops.generalized_box_iou(first, second),
        atol=1e-5,
        rtol=1e-5,
    )


def test_giou_of_boxes_without_area_is_finite_and_so_is_its_gradient() -> None:
    dot = torch.tensor([0.5, 0.5, 0.5, 0.5], requires_grad=True)
    overlap = generalised_iou(dot, dot.detach())
    overlap.backward()
    assert overlap.isfinite()
    assert dot.grad is not None
    assert dot.grad.isfinite().all()


@settings(deadline=None)
@given(
    st.integers(1, 4), st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 10_000)
)
def test_matcher_finds_the_cheapest_of_all_assignments(
    queries: int, counts: list[int], seed: int
) -> None:
    torch.manual_seed(seed)
    targets = pad_targets(*random_truth(counts), class_count=CLASSES)
    output = random_output(2, len(counts), queries)
    matcher = HungarianMatcher()
    logits, boxes = output.every_layers_logits(), output.every_layers_boxes_cxcywh()
    costs = matcher.costs(logits, boxes, targets).detach().double()
    target_of = matcher.assign(logits, boxes, targets)
    for layer, image in itertools.product(range(2), range(len(counts))):
        count = counts[image]
        table = costs[layer, image, :, :count]
        found = target_of[layer, image]
        pairs = [(q, int(t)) for q, t in enumerate(found) if t >= 0]
        assert len(pairs) == min(queries, count)
        assert len({t for _, t in pairs}) == len(pairs)
        cost = sum(float(table[q, t]) for q, t in pairs)
        assert cost == pytest.approx(cheapest(table), abs=1e-6)


def cheapest(table: torch.Tensor) -> float:
    """The least total over every way to pair as many rows and columns as there can be."""
    rows, columns = table.shape
    if rows > columns:
        table, rows, columns = table.T, columns, rows
    return min(
        sum(float(table[row, column]) for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(columns), rows)
    )


def test_cost_by_hand() -> None:
    logits = torch.log(torch.tensor([0.2, 0.5, 0.3])).expand(1, 1, 1, 3)
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(1, 1, 1, 4)
    targets = pad_targets(
        [torch.tensor([1])], [torch.tensor([[0.6, 0.5, 0.2, 0.2]])], class_count=2
    )
    # Distance 0.1; shared 0.02 of a union of 0.06, which fills its enclosing box: GIoU 1/3.
    cost = HungarianMatcher(class_cost=2, l1_cost=3, giou_cost=4).costs(logits, boxes, targets)
    assert float(cost) == pytest.approx(-2 * 0.5 + 3 * 0.1 - 4 / 3)


def test_matcher_takes_a_query_gone_wrong_last() -> None:
    torch.manual_seed(0)
    targets = pad_targets(*random_truth([2]), class_count=CLASSES)
    output = random_output(1, 1, 3)
    boxes = output.every_layers_boxes_cxcywh().detach().clone()
    boxes[0, 0, 1] = torch.nan
    target_of = HungarianMatcher().assign(output.every_layers_logits(), boxes, targets)
    assert target_of[0, 0, 1] == -1
    assert sorted(target_of[0, 0].tolist()) == [-1, 0, 1]


COUNTS = [[0], [0, 0], [1], [1, 0], [0, 3, 1], [2, 2], [9, 0], [5, 7, 0, 1]]


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_matcher_agrees_with_hugging_face(counts: list[int]) -> None:
    torch.manual_seed(sum(counts))
    labels, boxes = random_truth(counts)
    output = random_output(1, len(counts), 6)
    theirs = TheirMatcher(class_cost=1, bbox_cost=5, giou_cost=2)(
        {"logits": output.logits, "pred_boxes": output.boxes_cxcywh},
        [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)],
    )
    ours = HungarianMatcher(class_cost=1, l1_cost=5, giou_cost=2).assign(
        output.every_layers_logits(),
        output.every_layers_boxes_cxcywh(),
        pad_targets(labels, boxes, class_count=CLASSES),
    )
    for image, (queries, objects) in enumerate(theirs):
        expected = torch.full((6,), -1)
        expected[queries] = objects
        assert torch.equal(ours[0, image], expected)


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("weights", [(5, 2), (10, 5)], ids=["1:5:2", "1:10:5"])
def test_criterion_agrees_with_hugging_face(
    counts: list[int], layers: int, weights: tuple[int, int]
) -> None:
    torch.manual_seed(sum(counts) + layers)
    labels, boxes = random_truth(counts)
    leaves = random_answers(layers, len(counts), 6)
    output = as_output(*leaves)
    l1, giou = weights
    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(),
        num_labels=CLASSES,
        decoder_layers=layers,
        auxiliary_loss=layers > 1,
        bbox_loss_coefficient=l1,
        giou_loss_coefficient=giou,
    )
    expected, parts, _ = ForObjectDetectionLoss(
        output.logits,
        [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)],
        torch.device("cpu"),
        output.boxes_cxcywh,
        config,
        outputs_class=leaves[0],
        outputs_coord=leaves[1],
    )
    criterion = SetCriterion(
        class_count=CLASSES, matcher=HungarianMatcher(), l1_weight=l1, giou_weight=giou
    )
    loss = criterion(output, pad_targets(labels, boxes, class_count=CLASSES))
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(loss.total, expected, **close)
    for ours, name in (
        (loss.of_class, "loss_ce"),
        (loss.l1, "loss_bbox"),
        (loss.giou, "loss_giou"),
    ):
        keys = [*(f"{name}_{layer}" for layer in range(layers - 1)), name]
        theirs = torch.stack([parts[key] for key in keys])
        torch.testing.assert_close(ours, theirs, **close)
    their_gradients = torch.autograd.grad(expected, leaves, retain_graph=True)
    our_gradients = torch.autograd.grad(loss.total, leaves)
    for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our_gradient, their_gradient, **close)


def test_nothing_annotated_still_teaches_no_object() -> None:
    torch.manual_seed(0)
    output = random_output(2, 2, 4)
    criterion = SetCriterion(class_count=CLASSES, matcher=HungarianMatcher())
    loss = criterion(output, pad_targets(*random_truth([0, 0]), class_count=CLASSES))
    assert loss.l1.tolist() == [0, 0]
    assert loss.giou.tolist() == [0, 0]
    no_object = output.every_layers_logits().log_softmax(-1)[..., -1]
    torch.testing.assert_close(loss.of_class, -no_object.mean(dim=(1, 2)))


def test_criterion_in_bfloat16_computes_in_float32() -> None:
    torch.manual_seed(0)
    output = random_output(2, 2, 4)
    half = DetrOutput(*(part.bfloat16() for part in output[:4]), None)
    criterion = SetCriterion(class_count=CLASSES, matcher=HungarianMatcher())
    targets = pad_targets(*random_truth([1, 3]), class_count=CLASSES)
    assert criterion(half, targets).total.dtype == torch.float32
    torch.testing.assert_close(
        criterion(half, targets).total, criterion(output, targets).total, atol=0.1, rtol=0.02
    )


TWO_PROCESSES = """
import sys, torch
from fracture_core.nets.set_loss import SetCriterion
from fracture_core.nets.detr import DetrOutput
from fracture_core.nets.set_loss import HungarianMatcher

def boxes(n):
    return torch.tensor([[0.5, 0.5, 0.2, 0.2]]).repeat(n, 1)

def work(rank, store):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    output = DetrOutput(torch.zeros(1, 3, 2), boxes(3)[None] + 0.1, torch.zeros(0, 1, 3, 2),
                        torch.zeros(0, 1, 3, 4), None)
    objects = 1 if rank == 0 else 3
    targets = pad_targets([torch.zeros(objects)], [boxes(objects)], class_count=1)
    loss = SetCriterion(class_count=1, matcher=HungarianMatcher())(output, targets)
    # Each object is 0.4 away; four objects on two processes are two a process.
    torch.testing.assert_close(loss.l1, torch.tensor([0.4 * objects / 2]))
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(sys.argv[1],), nprocs=2)
"""


@pytest.mark.slow
def test_objects_are_counted_over_all_processes(tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, script, tmp_path / "store"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_targets_are_padded() -> None:
    labels, boxes = random_truth([2, 0, 1])
    targets = pad_targets(labels, boxes, class_count=CLASSES)
    assert targets.labels.shape == (3, 2)
    assert targets.boxes_cxcywh.shape == (3, 2, 4)
    assert targets.labels[1].tolist() == [-1, -1]
    assert torch.equal(targets.labels[0], labels[0])
    torch.testing.assert_close(targets.boxes_cxcywh[2, :1], boxes[2])
    moved = targets.to(torch.device("meta"))
    assert isinstance(moved, Targets)
    assert moved.labels.is_meta


ONE = torch.tensor([[0.5, 0.5, 0.1, 0.1]])


@pytest.mark.parametrize(
    ("labels", "boxes", "message"),
    [
        ([], [], "the same images, found 0 and 0"),
        ([torch.tensor([0])], [], "found 1 and 0"),
        ([torch.tensor([0, 1])], [ONE], r"found \(2,\) and \(1, 4\)"),
        ([torch.tensor([3])], [ONE], r"image 0: expected labels 0…2, found \[3\]"),
        ([torch.tensor([-1])], [ONE], "expected labels"),
        ([torch.tensor([0])], [ONE * torch.tensor([1, 1, 0, 1])], "boxes with an area"),
        ([torch.tensor([0])], [ONE * torch.nan], "finite boxes"),
    ],
)
def test_targets_that_make_no_sense(
    labels: list[torch.Tensor], boxes: list[torch.Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pad_targets(labels, boxes, class_count=CLASSES)


def test_weights_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="only zeros"):
        HungarianMatcher(class_cost=0, l1_cost=0, giou_cost=0)
    with pytest.raises(ConfigError, match="giou_cost: expected a finite number"):
        HungarianMatcher(giou_cost=-1)
    with pytest.raises(ConfigError, match="no_object_weight"):
        SetCriterion(class_count=2, matcher=HungarianMatcher(), no_object_weight=0)
    with pytest.raises(ConfigError, match="l1_weight"):
        SetCriterion(class_count=2, matcher=HungarianMatcher(), l1_weight=float("nan"))
