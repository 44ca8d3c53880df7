import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding

from fracture_core.errors import ConfigError
from fracture_core.nets.transformer import SinePositions


def test_by_hand_with_padding() -> None:
    valid = torch.tensor([[[True, True, False], [True, True, False]]])
    positions = SinePositions(8)(valid)
    assert positions.shape == (1, 8, 2, 3)
    # Row 1 of 2 is half way, π; the second wavelength is 10000^(1/2) = 100 times longer.
    slow = math.pi / 100
    half = [0.0, -1.0, math.sin(slow), math.cos(slow)]
    whole = [0.0, 1.0, math.sin(2 * slow), math.cos(2 * slow)]
    torch.testing.assert_close(positions[0, :, 0, 0], torch.tensor(half + half))
    torch.testing.assert_close(positions[0, :, 0, 1], torch.tensor(half + whole))
    torch.testing.assert_close(positions[0, :, 1, 0], torch.tensor(whole + half))


def test_a_wholly_padded_row_has_finite_positions() -> None:
    valid = torch.zeros(1, 3, 3, dtype=torch.bool)
    valid[:, :2, :2] = True
    assert SinePositions(16)(valid).isfinite().all()


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 4), st.integers(0, 4))
def test_padding_moves_no_valid_cell(height: int, width: int, below: int, right: int) -> None:
    alone = SinePositions(16)(torch.ones(1, height, width, dtype=torch.bool))
    valid = torch.zeros(1, height + below, width + right, dtype=torch.bool)
    valid[:, :height, :width] = True
    padded = SinePositions(16)(valid)
    torch.testing.assert_close(padded[..., :height, :width], alone)


def test_agrees_with_hugging_face() -> None:
    valid = torch.zeros(2, 5, 6, dtype=torch.bool)
    valid[0] = True
    valid[1, :3, :4] = True
    theirs = DetrSinePositionEmbedding(num_position_features=16, normalize=True)
    expected = theirs((2, 32, 5, 6), torch.device("cpu"), torch.float32, valid)
    if expected.dim() == 3:
        expected = expected.transpose(1, 2).unflatten(-1, (5, 6))
    ours = SinePositions(32)(valid)
    inside = valid[:, None].expand_as(ours)
    torch.testing.assert_close(ours[inside], expected[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("width", [0, 2, 6, 10])
def test_width_must_split_in_four(width: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        SinePositions(width)
