"""Maps over an image, with numbers worked out by hand."""

import numpy as np
import pytest
import torch

from fracture_core.models.attention_maps import class_and_box_evidence, over_image


def test_cells_tile_the_image() -> None:
    cells = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    values = over_image(cells, 40, 90)
    assert values.shape == (40, 90)
    # Centres of cells are 20 rows and 30 columns apart, the first at 9.5 and 14.5.
    assert values[9:11, 44:46].mean() == pytest.approx(1, abs=0.06)
    assert values[29:31, 74:76].mean() == pytest.approx(0.5, abs=0.06)
    assert np.unravel_index(values.argmax(), values.shape)[0] < 20


def test_a_image_smaller_than_its_cells_has_their_mean() -> None:
    cells = torch.arange(16.0).view(4, 4)
    assert over_image(cells, 1, 1).item() == pytest.approx(7.5)


def test_evidence_of_a_linear_score_is_its_summands() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]], requires_grad=True)
    weights = torch.tensor([[1.0, 0.5], [-2.0, -1.0]])
    score = (features[0, 0] * weights).sum()
    # Two sides of the box: 0.1 of each cell but the first, and nothing.
    sides = torch.tensor([[0.0, 0.1], [0.1, 0.05]])
    box = torch.stack([(features[0, 0] * sides).sum(), features.sum() * 0])
    found = class_and_box_evidence(score, box, [features])
    # Summands 1, 1, −6, 4; influence 0, 0.2, 0.3, 0.2 of at most 0.3.
    expected = torch.tensor([[0.0, 1 * 0.2 / 0.3], [0.0, 4 * 0.2 / 0.3]])
    torch.testing.assert_close(found, expected)


def test_where_nothing_bears_on_the_box_the_class_alone_counts() -> None:
    features = torch.tensor([[[[1.0, 2.0]]]], requires_grad=True)
    found = class_and_box_evidence(features.sum(), torch.ones(4).requires_grad_(), [features])
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0]]))


def test_levels_are_spread_to_the_finest_and_added() -> None:
    fine = torch.ones(1, 2, 4, 4, requires_grad=True)
    coarse = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    score = fine.sum() + coarse.sum()
    found = class_and_box_evidence(score, score[None], [fine, coarse])
    torch.testing.assert_close(found, torch.full((4, 4), 5.0))
