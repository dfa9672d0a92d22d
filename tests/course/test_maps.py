"""Two dimensions: maps against the rotation itself, and what axial heads and origins cannot do."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import RotaryEmbedding, axes
from rope_lib.course.maps import (
    GOLDEN_ANGLE,
    axial_frequencies,
    largest_gap,
    mean_cosine,
    mixed_frequencies,
)
from rope_lib.models.grids import centered_grid, grid_positions


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def axial_rope(width, base, **options):
    return RotaryEmbedding(width, pairing="half", base=base, axes=axes.axial(width), **options)


def test_a_map_is_the_score_of_ones_under_the_library_s_rotation():
    places = grid_positions(6, 5)
    ones = torch.ones(1, 30, 16, dtype=torch.float64)
    q, k = axial_rope(16, 10.0)(ones, ones, places)
    down, right = (places[:, :1] - places).unbind()
    found = mean_cosine(down, right, axial_frequencies(8, 10.0))
    torch.testing.assert_close(found, (q[0, 0] * k[0]).sum(-1) / 16)


def test_mixed_pairs_have_the_speeds_of_axial_ones_in_other_directions():
    axial, mixed = axial_frequencies(16, 10.0), mixed_frequencies(16, 10.0)
    torch.testing.assert_close(mixed.norm(dim=0), axial.norm(dim=0).sort(descending=True).values)
    row, column = mixed[:, 3]
    direction = math.degrees(math.atan2(row, column)) % 360
    assert direction == pytest.approx(3 * 137.50776405 % 360)


def test_opposite_directions_are_the_same_wave():
    waves = mixed_frequencies(8, 10.0)
    flipped = waves * torch.tensor([1.0, -1.0] * 4).double()
    down, right = randn(2, 50)
    torch.testing.assert_close(mean_cosine(down, right, waves), mean_cosine(down, right, flipped))
    assert largest_gap(waves) == pytest.approx(largest_gap(flipped))


def test_gaps_between_directions_are_counted_in_half_a_circle():
    assert largest_gap(axial_frequencies(8, 10.0)) == pytest.approx(90)
    assert largest_gap(mixed_frequencies(16, 10.0, math.pi / 16)) == pytest.approx(180 / 16)
    assert largest_gap(mixed_frequencies(16, 10.0, math.pi)) == pytest.approx(180)


@pytest.mark.parametrize("pairs", [8, 16, 64])
def test_half_of_the_golden_angle_spreads_directions_better(pairs):
    whole, half = (largest_gap(mixed_frequencies(pairs, 10.0, GOLDEN_ANGLE / n)) for n in (1, 2))
    assert 180 / pairs <= half < whole


# Axial heads after the softmax


def weights_of(seed, *, side=5, scale=1.0):
    """A softmax over an image, of an axial head with a random query and random content alike."""
    q, k = scale * randn(2, 16, seed=seed)
    rope = axial_rope(16, 10.0)
    query = q.expand(1, side * side, -1)
    turned_q, turned_k = rope(query, k.expand(1, side * side, -1), grid_positions(side, side))
    middle = side * side // 2
    return (turned_k[0] @ turned_q[0, middle]).softmax(-1).view(side, side)


@given(seed=st.integers(0, 999))
def test_an_axial_map_of_weights_is_a_product_of_rows_and_columns(seed):
    """``exp(F + G) = exp(F) exp(G)``: the weight is the row's share times the column's share."""
    weights = weights_of(seed)
    product = weights.sum(1, keepdim=True) * weights.sum(0, keepdim=True)
    torch.testing.assert_close(weights, product)


@given(seed=st.integers(0, 999))
def test_the_diagonals_tie_as_products_but_not_as_sums(seed):
    w = weights_of(seed)
    falling, rising = (w[3, 3], w[1, 1]), (w[3, 1], w[1, 3])
    torch.testing.assert_close(falling[0] * falling[1], rising[0] * rising[1])
    # As sums they differ by the rows' difference times the columns'.
    rows, columns = w.sum(1), w.sum(0)
    difference = (rows[3] - rows[1]) * (columns[3] - columns[1])
    torch.testing.assert_close(sum(falling) - sum(rising), difference)
    # So never do both corners of one diagonal beat both of the other.
    assert min(falling) <= max(rising) * (1 + 1e-9)
    assert min(rising) <= max(falling) * (1 + 1e-9)


# A token that does not turn


@given(seed=st.integers(0, 999))
def test_an_unturned_token_is_one_at_the_origin(seed):
    q, k = randn(2, 1, 12, 16, seed=seed)
    rope = axial_rope(16, 100.0, signed=True)
    turned, at_origin = rope(q, k, centered_grid(3, 4)), rope(q, k, torch.zeros(2, 12).double())
    torch.testing.assert_close(turned[0] @ k.mT, turned[0] @ at_origin[1].mT, rtol=0, atol=0)
    torch.testing.assert_close(q @ turned[1].mT, at_origin[0] @ turned[1].mT, rtol=0, atol=0)


@given(seed=st.integers(0, 999), down=st.floats(-9, 9), right=st.floats(-9, 9))
def test_a_shift_of_all_coordinates_changes_what_an_unturned_token_sees(seed, down, right):
    """Among patches nothing changes; to the token it is as if it stood at minus the shift."""
    q, k = randn(2, 1, 12, 16, seed=seed)
    rope, places = axial_rope(16, 100.0, signed=True), centered_grid(3, 4)
    shift = torch.tensor([[down], [right]], dtype=torch.float64)
    q_here, k_here = rope(q, k, places)
    q_there, k_there = rope(q, k, places + shift)
    torch.testing.assert_close(q_here @ k_here.mT, q_there @ k_there.mT)
    moved, _ = rope(q, k, (-shift).expand(2, 12).contiguous())
    torch.testing.assert_close(q @ k_there.mT, moved @ k_here.mT)
    if abs(down) > 0.1:
        assert not torch.allclose(q @ k_there.mT, q @ k_here.mT)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: axial_frequencies(7, 10.0), ValueError, "pairs must be even.*got 7"),
        (lambda: mixed_frequencies(8, 0.0), ValueError, "base must be finite"),
        (lambda: mixed_frequencies(8, 10.0, "x"), TypeError, "turn must be a real number"),
        (lambda: mean_cosine(*torch.ones(2, 3), torch.ones(3, 4)), ValueError, r"be \(2, pairs\)"),
        (lambda: mean_cosine(*torch.ones(2, 3), [1.0]), TypeError, "frequencies must be a torch"),
    ],
)
def test_bad_calls_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
