"""A consensus: how its members' answers become one, and what its card may say."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fracture_core import masks
from fracture_core.cli import app
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import library
from fracture_core.models.cards import CARD_FILE, ModelCard, write_card
from fracture_core.models.consensus import ConsensusModel
from fracture_core.models.consensus_cards import ConsensusArchitecture, Member, shared_classes
from fracture_core.models.consensus_making import Rule, Voice, add_consensus
from fracture_core.models.points import write_points
from fracture_core.scope import Scope
from fracture_core.settings import settings
from fracture_core.types import Detections, Heatmap, Prediction, Sample
from tests.support.measurements import measured

HEIGHT, WIDTH = 40, 100
BOX = (10, 10, 30, 30)
MIRRORED = (70, 10, 90, 30)


def dark_with_a_light_corner() -> Sample:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    pixels[:20, :20] = 255
    return Sample(sample_id="a", group_id="a", height=HEIGHT, width=WIDTH, read=lambda: pixels)


SAMPLE = dark_with_a_light_corner()


@dataclass
class Told:
    """A model that finds what it is told to; where it is told to, only with light on the left."""

    card: ModelCard
    found: Detections
    image_score: float = 0.0
    needs_light: bool = False
    explained: int | None = -1

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Prediction:
        seen = not self.needs_light or sample.pixels[0, 0] > 0
        return Prediction(
            model_id=self.card.model_id,
            sample_id=sample.sample_id,
            detections=self.found if seen else Detections.empty(),
            image_score=self.image_score,
            seconds=0.5,
        )

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        self.explained = index
        values = np.zeros((sample.height, sample.width))
        values[0, 0] = 1
        return Heatmap.of(values, "told", "something")


def card_of(model_id: str, **facts: object) -> ModelCard:
    usual: dict[str, object] = {
        "title": model_id.title(),
        "family": "yolo",
        "task": "detect",
        "classes": ("fracture",),
        "input_size": 320,
        "needs_nms": True,
        "weights_sha256": hashlib.sha256(model_id.encode()).hexdigest(),
    }
    return ModelCard.model_validate({"model_id": model_id, **usual, **facts})


def told(model_id: str, *rows: tuple[float, ...], score: float = 0.0, **facts: object) -> Told:
    """`rows`: four corners, a score and, where it is not 0, a label."""
    boxes = [row[:4] for row in rows]
    found = Detections.of(boxes, [row[4] for row in rows], [(*row, 0)[5] for row in rows])
    return Told(card_of(model_id, **facts), found, score)


def joined(members: Sequence[Told], changes: dict[str, object] | None = None, **rule: object):
    """A consensus of these, each once; `changes` are of the last member."""
    facts = [
        {"model_id": m.card.model_id, "weights_sha256": m.card.weights_sha256} for m in members
    ]
    facts[-1] |= changes or {}
    architecture = ConsensusArchitecture(members=tuple(Member(**each) for each in facts), **rule)
    cards = [each.card for each in members]
    card = card_of(
        "all",
        family="consensus",
        classes=shared_classes(cards)[0],
        task="segment" if all(each.task == "segment" for each in cards) else "detect",
        architecture=architecture.model_dump(mode="json"),
        weights_sha256=architecture.sha256,
    )
    return ConsensusModel(card, members)


def answer(model: ConsensusModel) -> Prediction:
    (found,) = model.predict([SAMPLE])
    return found


def test_boxes_are_fused_and_scores_are_means() -> None:
    model = joined([told("a", (*BOX, 0.8), score=0.8), told("b", (*BOX, 0.4), score=0.5)])
    found = answer(model)
    assert found.detections.xyxy.tolist() == [list(BOX)]
    assert found.detections.scores.tolist() == pytest.approx([0.6])
    assert found.image_score == pytest.approx(0.65)
    assert found.model_id == "all"
    assert found.seconds > 1


def test_each_members_own_candidates_are_suppressed_first() -> None:
    near = (11, 10, 31, 30)
    rows = ((*BOX, 0.8), (*near, 0.7))
    suppressed = answer(joined([told("a", *rows), told("b")]))
    assert suppressed.detections.xyxy.tolist() == [list(BOX)]
    kept = answer(joined([told("a", *rows, needs_nms=False), told("b")]))
    assert kept.detections.xyxy[0, 0] == pytest.approx(10 + 0.7 / 1.5)


def test_classes_are_joined_by_name() -> None:
    first = told("a", (*BOX, 0.8, 1), classes=("metal", "Fracture"))
    second = told("b", (*BOX, 0.6), classes=("fracture ",))
    model = joined([first, second])
    assert model.card.classes == ("metal", "Fracture")
    found = answer(model).detections
    assert found.labels.tolist() == [1]
    assert found.scores.tolist() == pytest.approx([0.7])


def test_what_only_one_member_knows_is_not_voted_down() -> None:
    first = told("a", (*BOX, 0.8), classes=("metal", "fracture"))
    assert answer(joined([first, told("b")])).detections.scores.tolist() == pytest.approx([0.8])


def test_a_classifier_lowers_the_boxes_of_an_image_it_finds_healthy() -> None:
    sorts = told("c", score=0.25, task="classify", classes=("healthy", "fracture"))
    members = [told("a", (*BOX, 0.8), score=0.8), sorts]
    for gate, score in ((0, 0.8), (0.5, 0.4), (1, 0.2)):
        found = answer(joined(members, gate=gate))
        assert found.detections.scores.tolist() == pytest.approx([score])
        assert found.image_score == pytest.approx((0.8 + 0.25) / 2)


def test_a_weight_counts_for_box_and_image() -> None:
    members = [told("a", (*BOX, 0.8), score=0.8), told("b", score=0.2)]
    found = answer(joined(members, {"weight": 3}))
    assert found.detections.scores.tolist() == pytest.approx([0.2])
    assert found.image_score == pytest.approx((0.8 + 3 * 0.2) / 4)


def test_scores_are_read_as_what_they_are_worth() -> None:
    members = [told("a", (*BOX, 0.8), score=0.8), told("b", (*BOX, 0.4), score=0.4)]
    model = joined(members)
    curves = [((0.8, 0.5),), ((0.4, 0.9),)]
    both = zip(ConsensusArchitecture.of(model.card).members, curves, strict=True)
    worth = [member.model_copy(update={"ppv": curve}) for member, curve in both]
    architecture = ConsensusArchitecture(members=tuple(worth), scores="ppv")
    facts = {"architecture": architecture.model_dump(mode="json")}
    found = answer(ConsensusModel(model.card.model_copy(update=facts), members))
    assert found.detections.scores.tolist() == pytest.approx([0.7], abs=1e-3)
    assert found.image_score == pytest.approx(0.7, abs=1e-3)


def test_a_flipped_member_reads_the_mirrored_image() -> None:
    light = told("a", (*BOX, 0.8))
    light.needs_light = True
    straight, flipped = (joined([told("b"), light], {"flipped": flip}) for flip in (False, True))
    assert answer(straight).detections.xyxy.tolist() == [list(BOX)]
    assert len(answer(flipped).detections) == 0
    light.needs_light = False
    assert answer(flipped).detections.xyxy.tolist() == [list(MIRRORED)]


def test_a_finding_is_explained_by_its_strongest_member() -> None:
    weak = told("a", (0, 0, 5, 5, 0.9), (*BOX, 0.3))
    strong = told("b", (50, 0, 55, 5, 0.9), (60, 0, 65, 5, 0.8), (*BOX, 0.7))
    model = joined([weak, strong])
    found = answer(model).detections
    index = found.xyxy.tolist().index(list(BOX))
    heatmap = model.explain(SAMPLE, index)
    assert (weak.explained, strong.explained) == (-1, 2)
    assert heatmap.target == f"finding {index + 1}, fracture, by B"


def test_an_explanation_of_a_flipped_member_is_mirrored_back() -> None:
    model = joined([told("a"), told("b", (*BOX, 0.7))], {"flipped": True})
    heatmap = model.explain(SAMPLE, 0)
    assert heatmap.values[0, WIDTH - 1] == 1
    assert heatmap.values[0, 0] == 0
    assert heatmap.target.endswith("by B (mirrored)")


def test_an_image_is_explained_by_the_loudest_member_that_finds_boxes() -> None:
    sorts = told("c", score=0.9, task="classify", classes=("healthy", "fracture"))
    quiet, loud = told("a", (*BOX, 0.2), score=0.2), told("b", (*BOX, 0.4), score=0.4)
    heatmap = joined([sorts, quiet, loud]).explain(SAMPLE, None)
    assert heatmap.target == "something, by B"
    assert (sorts.explained, quiet.explained, loud.explained) == (-1, -1, None)


def test_a_mask_is_taken_over_from_the_strongest_box_and_cut_to_the_fused_one() -> None:
    shape = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    shape[10:30, 10:20] = True
    moved = (14, 10, 34, 30)
    members = [
        told("a", (*BOX, 0.6), task="segment"),
        told("b", (*moved, 0.3), task="segment"),
    ]
    whole = masks.encode(np.ones((HEIGHT, WIDTH), dtype=np.bool_))
    for member, code in zip(members, (masks.encode(shape), whole), strict=True):
        member.found = replace(member.found, masks=(code,))
    model = joined(members)
    found = answer(model).detections
    (left, *_) = found.xyxy[0]
    assert left == pytest.approx(10 + 4 / 3)
    kept = shape.copy()
    kept[:, : int(left)] = False
    assert (masks.decode(found.masks[0]) == kept).all()


def test_a_mask_of_a_flipped_member_is_mirrored_back() -> None:
    shape = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    shape[12:20, 10:30] = True
    member = told("a", (*BOX, 0.6), task="segment")
    member.found = replace(member.found, masks=(masks.encode(shape),))
    empty = told("b", task="segment")
    found = answer(joined([empty, member], {"flipped": True})).detections
    assert (masks.decode(found.masks[0]) == shape[:, ::-1]).all()


# What the library holds.


def kept(card: ModelCard) -> ModelCard:
    """A card in the library, with weights that nobody opens."""
    folder = settings().models / card.model_id
    folder.mkdir(parents=True)
    (folder / "weights.pt").write_bytes(card.model_id.encode())
    written = card.model_copy(update={"weights_file": "weights.pt"})
    write_card(written, folder)
    return written


@pytest.fixture
def pair() -> ModelCard:
    """A consensus of two models of the library."""
    kept(card_of("left", note="For wrists alone.")), kept(card_of("right"))
    return add_consensus([Voice(model_id="left"), Voice(model_id="right")], title="Both")


def rewritten(card: ModelCard, **facts: object) -> None:
    write_card(card.model_copy(update=facts), settings().models / card.model_id)


def broken() -> str:
    (error,) = library.read_library().broken
    return str(error)


def test_a_consensus_is_listed_with_what_its_members_know(pair: ModelCard) -> None:
    assert pair in library.list_cards()
    assert (pair.title, pair.classes, pair.needs_nms) == ("Both", ("fracture",), False)
    assert pair.note.startswith("Weighted box fusion of Left; Right: IoU 0.55")
    assert pair.note.endswith("scores as they are. For wrists alone.")
    assert library.weights_bytes(pair) == len("left") + len("right")


def test_its_scope_is_what_lies_within_all_of_its_members(home: Path) -> None:
    facts = {"modalities": ("CR", "DX"), "origins": ("real", "synthetic")}
    wide = Scope(body_parts=("hand", "leg"), **facts)
    narrow = Scope(body_parts=("finger", "hip"), views=("frontal",), **facts)
    for name, scope in (("wide", wide), ("narrow", narrow), ("old", None)):
        kept(card_of(name, scope=scope))
    made = add_consensus([Voice(model_id="wide"), Voice(model_id="narrow")])
    assert made.scope == Scope(body_parts=("finger",), views=("frontal",), **facts)
    assert add_consensus([Voice(model_id="wide"), Voice(model_id="old")]).scope is None


def test_it_is_listed_without_torch(pair: ModelCard) -> None:
    code = (
        "import sys, fracture_core.models.library as library;"
        "print([card.model_id for card in library.list_cards()][-3:], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['consensus', 'left', 'right'] False"


def test_a_deleted_member_is_said_in_one_sentence(pair: ModelCard) -> None:
    library.delete_model("left")
    sha = card_of("left").weights_sha256[:12]
    assert broken() == (
        f"consensus: expected its member left with sha256 {sha}…, found no such model. "
        "Add that model again under this id."
    )
    with pytest.raises(WeightsError, match="no such model"):
        library.open_model("consensus")
    assert pair not in library.list_cards()
    kept(card_of("left"))
    assert pair in library.list_cards()


def test_an_exchanged_member_is_said_in_one_sentence(pair: ModelCard) -> None:
    library.delete_model("left")
    kept(card_of("left", weights_sha256="0" * 64))
    assert "found other weights, 000000000000…. Make the consensus anew." in broken()


def test_a_consensus_of_a_consensus_is_refused(pair: ModelCard) -> None:
    with pytest.raises(ConfigError, match="Name its members instead"):
        add_consensus([Voice(model_id="left"), Voice(model_id=pair.model_id)])
    inner = {"model_id": pair.model_id, "weights_sha256": pair.weights_sha256}
    other = {"model_id": "left", "weights_sha256": card_of("left").weights_sha256}
    architecture = ConsensusArchitecture(members=(Member(**inner), Member(**other)))
    facts = {
        "model_id": "outer",
        "architecture": architecture.model_dump(mode="json"),
        "weights_sha256": architecture.sha256,
    }
    folder = settings().models / "outer"
    folder.mkdir()
    write_card(pair.model_copy(update=facts), folder)
    assert "a consensus, which cannot be a member" in broken()


@pytest.mark.parametrize(
    "model_id", ["../left", "/etc/passwd", "left/../right", "owner/model", "", "..", "a\nb"]
)
def test_a_card_cannot_name_a_path(pair: ModelCard, model_id: str) -> None:
    members = json.loads(json.dumps(pair.architecture))
    members["members"][0]["model_id"] = model_id
    rewritten(pair, architecture=members)
    assert "members.0.model_id" in broken()


def test_a_name_that_a_family_knows_is_no_member(pair: ModelCard) -> None:
    changed = json.loads(json.dumps(pair.architecture))
    changed["members"][0]["model_id"] = "resnet50"
    checked = ConsensusArchitecture.model_validate_json(json.dumps(changed))
    rewritten(pair, architecture=changed, weights_sha256=checked.sha256)
    assert "its member resnet50" in broken()
    with pytest.raises(WeightsError, match="no such model"):
        library.open_model(pair.model_id)


def test_a_card_that_was_changed_by_hand_is_refused(pair: ModelCard) -> None:
    rewritten(pair, architecture={**pair.architecture, "fusion_iou": 0.6})
    assert "that its card names" in broken()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fusion_iou": 0.01}, "fusion_iou"),
        ({"fusion_iou": float("nan")}, "fusion_iou"),
        ({"gate": -1}, "gate"),
        ({"members": []}, "members"),
        ({"more": 1}, "more"),
        ({"scores": "ppv"}, "expected ppv of each"),
    ],
)
def test_a_malformed_card_is_broken(pair: ModelCard, changes: dict, said: str) -> None:
    folder = settings().models / pair.model_id
    text = json.dumps({**pair.model_dump(mode="json"), "architecture": pair.architecture | changes})
    (folder / CARD_FILE).write_text(text)
    assert said in broken()


def test_other_members_or_another_rule_are_other_weights(pair: ModelCard) -> None:
    voices = [Voice(model_id="left"), Voice(model_id="right")]
    others = [
        add_consensus(voices, Rule(fusion_iou=0.6)),
        add_consensus([voices[0], Voice(model_id="right", flipped=True)]),
        add_consensus([voices[0], Voice(model_id="right", weight=2)]),
    ]
    assert len({pair.weights_sha256, *(card.weights_sha256 for card in others)}) == 4
    again = add_consensus(voices)
    assert again.weights_sha256 == pair.weights_sha256
    assert again.model_id == "consensus-5"


def test_a_shipped_consensus_is_a_card_alone(pair: ModelCard) -> None:
    library.delete_model(pair.model_id)
    folder = library.SHIPPED / "consensus"
    folder.mkdir(parents=True)
    write_card(pair, folder)
    assert library.is_built_in("consensus")
    assert library.list_cards()[1] == pair


def test_measured_members_give_what_their_scores_are_worth(home: Path) -> None:
    cards = [kept(card_of(name)) for name in ("left", "right")]
    for card in cards:
        facts = {"model_id": card.model_id, "weights_sha256": card.weights_sha256}
        write_points(measured(**facts), card)
    voices = [Voice(model_id=card.model_id) for card in cards]
    architecture = ConsensusArchitecture.of(add_consensus(voices))
    assert architecture.scores == "ppv"
    assert all(member.ppv for member in architecture.members)
    raw = ConsensusArchitecture.of(add_consensus(voices, Rule(scores="raw")))
    assert not any(member.ppv for member in raw.members)


def test_scores_of_what_was_never_measured_cannot_be_asked_for(pair: ModelCard) -> None:
    voices = [Voice(model_id="left"), Voice(model_id="right")]
    with pytest.raises(ConfigError, match="Left: expected a model whose scores were measured"):
        add_consensus(voices, Rule(scores="ppv"))


@pytest.mark.parametrize(
    ("voices", "said"),
    [
        (["left"], "two members or more"),
        (["left", "left"], "each model once, and once flipped"),
        (["left", "nobody"], "nobody: expected a model of the library"),
        (["left", "fake"], "a model without weights"),
        (["left", "right=0"], "greater than 0"),
        (["left", "right=much"], "a weight such as 2"),
        (["sorts", "sorts+flipped"], "a member that finds boxes"),
        (["left", "blind"], "none of whose classes means that nothing is there"),
    ],
)
def test_what_cannot_be_a_consensus_is_said(pair: ModelCard, voices: list[str], said: str) -> None:
    facts = {"task": "classify", "classes": ("healthy", "fracture")}
    kept(card_of("sorts", **facts, architecture={"healthy": "healthy"}))
    kept(card_of("blind", **facts))
    with pytest.raises((ConfigError, WeightsError), match=said):
        add_consensus([Voice.parse(text) for text in voices])


def test_the_command_line_makes_one(pair: ModelCard) -> None:
    words = ["consensus", "left", "left+flipped=0.5", "right", "--id", "three", "--title", "Three"]
    done = CliRunner().invoke(app, [*words, "--fusion-iou", "0.6"])
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith("three: consensus, detect, 1 classes")
    card = {each.model_id: each for each in library.list_cards()}["three"]
    architecture = ConsensusArchitecture.of(card)
    votes = [(m.model_id, m.flipped, m.weight) for m in architecture.members]
    assert votes == [("left", False, 1), ("left", True, 0.5), ("right", False, 1)]
    assert (card.title, architecture.fusion_iou) == ("Three", 0.6)


def test_a_card_from_elsewhere_is_added_where_its_members_are(
    pair: ModelCard, tmp_path: Path
) -> None:
    write_card(pair.model_copy(update={"note": "<b>mine</b>"}), tmp_path)
    file = tmp_path / CARD_FILE
    card = library.add_model(file, family_name="consensus", title="Theirs")
    assert (card.model_id, card.title) == ("consensus-2", "Theirs")
    assert card.weights_sha256 == pair.weights_sha256
    assert card.note == pair.note
    library.delete_model("right")
    with pytest.raises(WeightsError, match="its member right"):
        library.add_model(file, family_name="consensus")
    file.write_text("{")
    with pytest.raises(WeightsError, match="a model card"):
        library.add_model(file, family_name="consensus")
