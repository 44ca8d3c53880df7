"""Operating points chosen on one evaluation, applied on another, and what is said of a model."""

import numpy as np
import pytest

from fracture_core.errors import ConfigError
from fracture_core.evaluations import (
    apply_points,
    measure_points,
    measuring,
    sentence_of_negative,
    sentence_of_score,
)
from fracture_core.files import hash_file
from fracture_core.models import library
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.library import (
    add_folder,
    delete_model,
    points_of,
    store_points,
)
from fracture_core.models.points import (
    POINTS_FILE,
    Point,
    card_points,
    read_points,
    tiers,
    write_points,
)
from fracture_core.operating_points import RULES, Rule, classifier_curve, measure
from tests.evaluations.test_report import FOUND, GROUND_TRUTHS, GROUPS, classifier
from tests.support.dial_evaluations import detector
from tests.support.measurements import measured, point

SHA = {"weights_sha256": "abc"}


@pytest.fixture
def valid():
    return detector(4, FOUND, GROUND_TRUTHS, GROUPS, **SHA)


def test_what_is_measured_by_hand(valid):
    found = measure_points(valid)
    assert [point.rule for point in found.points] == [rule.name for rule in RULES]
    sensitive = found.point("sensitivity ≥ 0.9")
    assert sensitive.confidence == pytest.approx(0.3)
    chosen = sensitive.chosen
    assert (chosen.sensitivity.count, chosen.sensitivity.total) == (3, 3)
    assert (chosen.precision.count, chosen.precision.total) == (3, 5)
    assert (chosen.specificity.count, chosen.specificity.total) == (1, 1)
    assert (chosen.false_positives, chosen.images) == (2, 4)
    assert found.knots.confidences == pytest.approx((0.9, 0.8, 0.7, 0.4, 0.3, 0.2))
    assert found.knots.true_positives == (1, 2, 2, 2, 3, 3)
    assert found.knots.false_positives == (0, 0, 1, 2, 2, 3)
    assert found.knots.false_alarms == (0, 0, 0, 0, 0, 1)
    assert (found.knots.positives, found.knots.negatives, found.knots.images) == (3, 1, 4)
    assert (found.weights_sha256, found.data, found.split) == ("abc", "nowhere", "val")


def test_evidence_is_counted_in_tenths_of_the_score():
    """0.6 lies in 0.6–0.7, and 1 in the last."""
    rows = [(0, 0, 1.0, 0), (1, 0, 0.6, 0), (1, 50, 0.65, 0), (2, 0, 0.0625, 0)]
    found = measure_points(detector(3, rows, [(0, 0, 0), (1, 0, 0), (2, 0, 0)])).evidence
    assert [(each.right, each.total) for each in found] == [
        (1, 1),
        *[(0, 0)] * 5,
        (1, 2),
        *[(0, 0)] * 2,
        (1, 1),
    ]
    assert [each.low for each in found] == [k / 10 for k in range(10)]


def test_only_known_images_are_measured_on():
    known = [True, False, True, True]
    ground_truths = [GROUND_TRUTHS[0], GROUND_TRUTHS[2]]
    found = measure_points(detector(4, FOUND, ground_truths, GROUPS, known=known))
    assert (found.knots.positives, found.knots.images) == (2, 3)


def test_rules_that_cannot_be_met_say_why():
    found = measure_points(detector(1, [(0, 0, 0.5, 0)], [(0, 0, 0)]))
    point = next(each for each in found.points if each.rule == "specificity ≥ 0.9")
    assert (point.confidence, point.chosen) == (None, None)
    assert "no negative image" in point.reason
    nothing = measure_points(detector(1, [(0, 0, 0.5, 0)], []))
    reasons = {each.rule: each.reason for each in nothing.points}
    assert "no ground truth to find" in reasons["max F1"]
    assert sentence_of_negative(nothing, 0.5).endswith(
        "its sensitivity is undefined: nothing to find in nowhere, split val."
    )


def test_knots_are_few_and_exact():
    rng = np.random.default_rng(0)
    positive = rng.random(20_000) < 0.1
    scores = np.clip(rng.normal(0.3 + 0.3 * positive, 0.15), 0, 1).astype(np.float32)
    curve = classifier_curve(scores, positive)
    knots = measuring._knots(curve, [float(scores[5]), float(scores[77])])
    assert 200 < len(knots.confidences) <= measuring.MOST_KNOTS
    assert float(scores[5]) in knots.confidences
    assert knots.confidences[0] == scores.max()
    assert knots.confidences[-1] == scores.min()
    assert list(knots.confidences) == sorted(knots.confidences, reverse=True)
    for place, confidence in enumerate(knots.confidences):
        at = measure(curve, confidence)
        assert knots.true_positives[place] == at.sensitivity.count
        assert knots.false_positives[place] == at.false_positives
    steps = np.diff(knots.true_positives) / knots.positives
    assert steps.max() < 0.02


def test_they_are_applied_on_other_images(valid):
    chosen = measure_points(valid)
    rows = [(0, 0, 0.9, 0), (1, 60, 0.35, 0)]
    test = detector(2, rows, [(0, 0, 0), (0, 30, 0)], split="test", data_stamp="2", **SHA)
    applied = apply_points(chosen, test)
    point = applied.point("sensitivity ≥ 0.9")
    assert point.confidence == chosen.point("sensitivity ≥ 0.9").confidence
    assert (point.applied.sensitivity.count, point.applied.sensitivity.total) == (1, 2)
    assert (point.applied.specificity.count, point.applied.specificity.total) == (0, 1)
    assert (point.applied.false_positives, point.applied.images) == (1, 2)
    assert point.applied_to == "nowhere, split test"
    assert (
        sentence_of_negative(applied, point.confidence)
        == "No finding above this operating point; measured sensitivity 0.50 (0.09–0.91) "
        "per lesion on nowhere, split test."
    )
    assert chosen.points[0].applied is None


def test_not_on_the_same_images_nor_of_another_model(valid):
    chosen = measure_points(valid)
    with pytest.raises(ConfigError, match="expected images that they were not chosen on"):
        apply_points(chosen, valid)
    unstamped = chosen.model_copy(update={"data_stamp": ""})
    with pytest.raises(ConfigError, match="expected images that they were not chosen on"):
        apply_points(unstamped, valid)
    other = detector(4, FOUND, GROUND_TRUTHS, GROUPS, weights_sha256="def", split="test")
    with pytest.raises(ConfigError, match="with other weights"):
        apply_points(chosen, other)
    one_class = detector(4, FOUND, GROUND_TRUTHS, GROUPS, one_class=True, split="test", **SHA)
    with pytest.raises(ConfigError, match="expected an evaluation with each class by itself"):
        apply_points(chosen, one_class)


def test_sentences_say_what_was_measured():
    held = measured()
    assert (
        sentence_of_negative(held, 0.1)
        == "No finding above this operating point; measured sensitivity 0.90 (0.85–0.93) "
        f"per lesion on {held.data}, split val."
    )
    assert (
        sentence_of_score(held, 0.65)
        == "Boxes scored 0.6–0.7 by this model were right 58 % of the time on validation (n = 31)."
    )
    assert (
        sentence_of_score(held, 0.8)
        == "No box was scored 0.8–0.9 by this model on validation: what that is worth is not known."
    )
    assert sentence_of_score(held, 1.0).startswith("Boxes scored 0.9–1.0")


def test_sentences_of_a_classifier_are_of_images():
    found = measure_points(
        classifier([[0.9, 0.1], [0.25, 0.75], [0.25, 0.75], [0.1, 0.9]], [0, 1, 0, 1])
    )
    assert found.unit == "image"
    assert (
        sentence_of_score(found, 0.75)
        == "Images scored 0.7–0.8 by this model had a finding 50 % of the time on validation "
        "(n = 2)."
    )
    assert "per image on" in sentence_of_negative(found, 0.5)


def test_a_classifier_without_a_class_for_nothing_has_none():
    strange = classifier([[0.9, 0.1]], [0], healthy="", classes=("a", "b"))
    with pytest.raises(ConfigError, match="expected a class that means that nothing is there"):
        measure_points(strange)


def test_the_usual_rules_make_the_viewers_tiers():
    rng = np.random.default_rng(1)
    ground_truth = (rng.random(400) < 0.5).astype(int)
    ill = np.clip(rng.normal(0.35 + 0.3 * ground_truth, 0.2), 0.01, 0.99)
    found = measure_points(
        classifier(np.stack([1 - ill, ill], axis=1).tolist(), ground_truth.tolist())
    )
    dashed, solid = tiers(found)
    assert dashed == found.point("sensitivity ≥ 0.9").confidence
    assert solid == found.point("specificity ≥ 0.9").confidence
    assert dashed < solid


# ---- with the model -----------------------------------------------------------------------------


def saved_model(folder, model_id: str = "m") -> ModelCard:
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights of " + model_id.encode())
    card = ModelCard(
        model_id=model_id,
        title="M",
        family="scratch_detr",
        task="detect",
        classes=("a", "b", "c"),
        input_size=64,
        needs_nms=False,
        weights_file="weights.safetensors",
        weights_sha256=hash_file(folder / "weights.safetensors"),
    )
    write_card(card, folder)
    return card


def of_model(card: ModelCard, **rules: object):
    evaluation = detector(
        4, FOUND, GROUND_TRUTHS, GROUPS, model_id=card.model_id, weights_sha256=card.weights_sha256
    )
    return measure_points(evaluation, **rules)


def test_points_go_along_when_a_run_joins_the_library(tmp_path, home):
    card = saved_model(tmp_path / "run" / "m")
    write_points(of_model(card), card, tmp_path / "run" / "m")
    first, second = (add_folder(tmp_path / "run" / "m") for _ in range(2))
    assert (first.model_id, second.model_id) == ("m", "m-2")
    assert points_of(second).model_id == "m-2"
    assert points_of(second).points == points_of(first).points == of_model(card).points
    delete_model("m")
    assert points_of(first) is None
    assert points_of(second) is not None


def test_points_of_other_weights_do_not_go_along(tmp_path):
    card = saved_model(tmp_path / "m")
    write_points(of_model(card).model_copy(update=SHA), card, tmp_path / "m")
    assert points_of(add_folder(tmp_path / "m")) is None


def test_points_are_stored_with_the_model_that_was_measured(tmp_path, home):
    card = add_folder_of(tmp_path)
    path = store_points(of_model(card))
    assert path == home / "models" / "m" / POINTS_FILE
    again = of_model(card, rules=(Rule(aim="max F1"),))
    store_points(again)
    assert points_of(card) == again
    with pytest.raises(ConfigError, match="found none of this id"):
        store_points(again.model_copy(update={"model_id": "nobody"}))
    with pytest.raises(ConfigError, match="found other weights"):
        store_points(again.model_copy(update=SHA))


def add_folder_of(tmp_path) -> ModelCard:
    saved_model(tmp_path / "m")
    return add_folder(tmp_path / "m")


def test_a_built_in_model_has_its_points_under_the_home_folder(home, monkeypatch):
    card = saved_model(library.SHIPPED / "m")
    path = store_points(of_model(card))
    assert path == home / "points" / "m.json"
    assert points_of(card) == of_model(card).model_copy(
        update={"created_utc": points_of(card).created_utc}
    )
    assert not (library.SHIPPED / "m" / POINTS_FILE).exists()


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", '{"version": 2}', "[1]", "\x00", '{"version": "x"}']
)
def test_a_file_that_makes_no_sense_is_one_sentence(tmp_path, text):
    card = saved_model(tmp_path / "m")
    (tmp_path / "m" / POINTS_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"^points\.json: expected measurements"):
        read_points(card, tmp_path / "m")


def test_points_go_into_a_card_by_their_rule() -> None:
    unmet = Point(rule="specificity ≥ 1", unit="lesion", confidence=None, reason="never")
    met = (point("max F1", 2), point("FP per image ≤ 1", 4))
    named = card_points([*met, unmet])
    assert named == {"max F1": 0.7, "FP per image ≤ 1": 0.3}
    card = ModelCard(
        model_id="m",
        title="M",
        family="fake",
        task="classify",
        classes=("a",),
        input_size=32,
        needs_nms=False,
        operating_points=named,
    )
    assert ModelCard.model_validate_json(card.model_dump_json()).operating_points == named
