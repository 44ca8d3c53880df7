import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.matching import match
from fracture_core.types import Detections
from tests.support.agreement import agree
from tests.support.strategies import SIZE, boxes_xyxy, detections, ground_truths, thresholds

rules = st.sampled_from(["iou", "centre"])
teams = st.lists(detections(most=8), min_size=1, max_size=4)


@st.composite
def teams_of_distinct_scores(draw: st.DrawFn) -> list[Detections]:
    """Two to four models among whose findings no score occurs twice."""
    counts = draw(st.lists(st.integers(0, 6), min_size=2, max_size=4))
    scores = draw(st.permutations(np.linspace(0.02, 0.98, sum(counts)).tolist()))
    team, start = [], 0
    for count in counts:
        own = sorted(scores[start : start + count], reverse=True)
        labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
        team.append(Detections.of(draw(boxes_xyxy(count)), own, labels))
        start += count
    return team


def one_box(score: float, *xyxy: float, label: int = 0) -> Detections:
    return Detections.of([xyxy], [score], [label])


def test_two_models_share_a_place_and_keep_one_each() -> None:
    first = Detections.of([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.4], [0, 0])
    second = Detections.of([[30, 30, 40, 40], [1, 0, 10, 10]], [0.95, 0.5], [0, 0])
    ground_truth = Detections.ground_truth(
        [[0, 0, 10, 10], [50, 50, 60, 58], [80, 80, 90, 90]], [0, 0, 0]
    )
    found = agree([first, second], ground_truth)
    assert [place.members for place in found.places] == [(-1, 0), (0, 1), (1, -1)]
    assert [place.first for place in found.places] == [1, 0, 0]
    assert [place.ground_truth for place in found.places] == [-1, 0, 1]
    assert found.places[1].found_by == (0, 1)
    assert found.found_by == ((0, 1), (0,), ())


def test_unknown_truth_is_not_no_truth() -> None:
    shown = [one_box(0.9, 0, 0, 10, 10)]
    assert agree(shown, None).found_by is None
    assert agree(shown, Detections.empty()).found_by == ()


def test_a_second_finding_of_a_model_begins_a_place_of_its_own() -> None:
    twice = Detections.of([[0, 0, 10, 10], [0, 0, 10, 9]], [0.9, 0.8], [0, 0])
    assert [p.members for p in agree([twice], None).places] == [(0,), (1,)]


def test_a_finding_joins_the_place_it_overlaps_most() -> None:
    two = Detections.of([[0, 0, 10, 10], [4, 0, 14, 10]], [0.9, 0.8], [0, 0])
    found = agree([two, one_box(0.5, 3, 0, 13, 10)], None, 0.5)
    assert [place.members for place in found.places] == [(0, -1), (1, 0)]


def test_overlap_counts_with_the_first_finding_of_a_place_only() -> None:
    chain = [one_box(0.9 - n / 10, 4 * n, 0, 10 + 4 * n, 10) for n in range(3)]
    # Each overlaps its neighbour by 6 of 14: the third does not reach the first.
    places = agree(chain, None, 0.4).places
    assert [place.members for place in places] == [(0, 0, -1), (-1, -1, 0)]


def test_equal_scores_go_by_the_order_of_the_models() -> None:
    same = one_box(0.5, 0, 0, 10, 10)
    assert agree([same, same], None).places[0].first == 0


def test_classes_count_only_when_asked() -> None:
    pair = [one_box(0.9, 0, 0, 10, 10), one_box(0.8, 0, 0, 10, 10, label=1)]
    assert len(agree(pair, None).places) == 2
    assert len(agree(pair, None, class_aware=False).places) == 1


def test_the_centre_rule_takes_a_small_box_into_a_large_one() -> None:
    pair = [one_box(0.9, 0, 0, 100, 100), one_box(0.8, 45, 45, 55, 55)]
    assert len(agree(pair, None).places) == 2
    assert len(agree(pair, None, rule="centre").places) == 1


def test_boxes_that_do_not_touch_share_no_place_even_at_zero() -> None:
    pair = [one_box(0.9, 0, 0, 10, 10), one_box(0.8, 10, 0, 20, 10)]
    assert len(agree(pair, None, 0).places) == 2


@given(teams, st.none() | ground_truths(), thresholds, rules, st.booleans())
def test_every_finding_is_in_exactly_one_place(team, ground_truth, iou, rule, class_aware) -> None:
    found = agree(team, ground_truth, iou, rule=rule, class_aware=class_aware)
    for model, shown in enumerate(team):
        indices = [place.members[model] for place in found.places if place.members[model] >= 0]
        assert sorted(indices) == list(range(len(shown)))
    best = [float(team[p.first].scores[p.members[p.first]]) for p in found.places]
    assert best == sorted(best, reverse=True)
    for place in found.places:
        scores = [float(team[model].scores[place.members[model]]) for model in place.found_by]
        assert max(scores) == float(team[place.first].scores[place.members[place.first]])
        if class_aware:
            assert len({int(team[m].labels[place.members[m]]) for m in place.found_by}) == 1


@given(detections(), thresholds, rules, st.booleans())
def test_one_model_alone_has_a_place_a_finding(shown, iou, rule, class_aware) -> None:
    found = agree([shown], None, iou, rule=rule, class_aware=class_aware)
    assert [place.members for place in found.places] == [(n,) for n in range(len(shown))]


@given(teams_of_distinct_scores(), ground_truths(), thresholds, rules, st.booleans(), st.randoms())
def test_the_order_of_the_models_does_not_matter(
    team, ground_truth, iou, rule, class_aware, random
) -> None:
    order = list(range(len(team)))
    random.shuffle(order)
    settings = {"rule": rule, "class_aware": class_aware}
    straight = agree(team, ground_truth, iou, **settings)
    shuffled = agree([team[model] for model in order], ground_truth, iou, **settings)
    back = [
        (tuple(place.members[order.index(model)] for model in range(len(team))), place.ground_truth)
        for place in shuffled.places
    ]
    assert back == [(place.members, place.ground_truth) for place in straight.places]


@given(teams, ground_truths(), thresholds, rules, st.booleans())
def test_truths_are_found_as_each_model_is_judged_alone(
    team, ground_truth, iou, rule, aware
) -> None:
    found = agree(team, ground_truth, iou, rule=rule, class_aware=aware)
    assert found.found_by is not None
    for model, shown in enumerate(team):
        alone = match(shown, ground_truth, iou, rule=rule, class_aware=aware)
        missed = [j for j, by in enumerate(found.found_by) if model not in by]
        assert missed == alone.missed.tolist()
    reached = {place.ground_truth for place in found.places} - {-1}
    assert reached <= {j for j, by in enumerate(found.found_by) if by}


@pytest.mark.parametrize("count", [0, 300])
def test_four_models_of_many_findings_are_gathered(count: int) -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, SIZE / 2, (count, 2))
    xyxy = np.concatenate([low, low + rng.uniform(1, SIZE / 2, (count, 2))], axis=1)
    shown = Detections.of(xyxy, np.linspace(1, 0.1, count), np.zeros(count))
    found = agree([shown] * 4, None, 1.0)
    assert [place.members for place in found.places] == [(n,) * 4 for n in range(count)]
