"""Scores by distance: the bound against its definition, the truth against the rotation itself."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rope_lib import inverse_frequencies
from rope_lib.course import reference
from rope_lib.course.decay import (
    base_bound,
    bound_factor,
    first_negative,
    key_peaking_at,
    partial_sums,
    score_by_distance,
    uniform_score,
)

NAN = math.nan
pairings = st.sampled_from(["interleaved", "half"])


def vector(width, seed):
    return torch.randn(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_partial_sums_are_their_definition():
    inv_freq = inverse_frequencies(8, 100.0)
    sums = partial_sums(inv_freq, torch.tensor([0, 1, 5, -5]))
    for row, distance in enumerate([0, 1, 5, -5]):
        total = 0
        for j, theta in enumerate(inv_freq.tolist()):
            total += complex(math.cos(distance * theta), math.sin(distance * theta))
            assert sums[row, j].item() == pytest.approx(total)


def test_the_famous_curve():
    """Su's figure at d = 128: 32.5 at distance 0, 12.6 at 50, 6.5 at 256, rising on 115 steps."""
    curve = bound_factor(inverse_frequencies(128), torch.arange(257))
    assert [round(curve[i].item(), 1) for i in (0, 50, 256)] == [32.5, 12.6, 6.5]
    assert int((curve.diff() > 0).sum()) == 115


@given(pairing=pairings, seed=st.integers(0, 999), distance=st.integers(-500, 500))
def test_the_true_score_is_the_rotation_s(pairing, seed, distance):
    q, k = vector(12, seed), vector(12, seed + 1)
    ours = score_by_distance(
        q, k, inverse_frequencies(12), torch.tensor([distance]), pairing=pairing
    )
    turned = reference.rotation_matrix(distance, 12, pairing=pairing) @ q.numpy()
    np.testing.assert_allclose(ours.item(), turned @ k.numpy(), atol=1e-9)


@given(seed=st.integers(0, 999))
def test_the_bound_bounds(seed):
    """Abel's summation: |score| <= max |h_(j+1) - h_j| * sum |S_j|."""
    q, k, inv_freq, distances = vector(32, seed), vector(32, seed + 1), inverse_frequencies(32), (
        torch.arange(300)
    )  # fmt: skip
    h = torch.complex(*q.chunk(2)) * torch.complex(*k.chunk(2)).conj()
    steps = torch.cat((h, torch.zeros(1))).diff().abs().max()
    bound = steps * 16 * bound_factor(inv_freq, distances)
    assert (score_by_distance(q, k, inv_freq, distances, pairing="half").abs() <= bound).all()


def test_ones_against_ones():
    """The true score of q = k = 1 at d = 128 first turns negative at distance 1,707."""
    inv_freq, ones = inverse_frequencies(128), torch.ones(128)
    distances = torch.arange(0, 2000, 7)
    torch.testing.assert_close(
        uniform_score(inv_freq, distances),
        score_by_distance(ones, ones, inv_freq, distances, pairing="half"),
    )
    assert first_negative(inv_freq, 1707) is None
    assert first_negative(inv_freq, 1708) == first_negative(inv_freq, 100_000) == 1707


def test_the_base_bound_and_that_it_is_not_monotone():
    """arXiv 2405.14591 and Su: about 4.3e3 for 1k; 6.3e5 outlasts 1e6."""
    assert base_bound(1024, 128, [1e4, 1e3, 4e3, 4.2e3, 4.3e3]) == 4.3e3
    assert base_bound(1024, 128, [1e3]) is None
    assert first_negative(inverse_frequencies(128, 6.3e5), 40_000) == 33_259
    assert first_negative(inverse_frequencies(128, 1e6), 40_000) == 27_115


@settings(max_examples=30)
@given(pairing=pairings, seed=st.integers(0, 999), distance=st.integers(0, 900))
def test_a_key_can_peak_anywhere(pairing, seed, distance):
    query, inv_freq = vector(16, seed), inverse_frequencies(16)
    key = key_peaking_at(query, distance, inv_freq, pairing=pairing)
    curve = score_by_distance(query, key, inv_freq, torch.arange(1000), pairing=pairing)
    assert curve.argmax().item() == distance
    torch.testing.assert_close(curve.max(), query @ query)
    torch.testing.assert_close(key.norm(), query.norm())


@pytest.mark.parametrize("first", [1, 8191, 8192, 8193, 16_384])
def test_the_search_skips_no_distance(first):
    """One hand that passes a quarter turn just before ``first``; the search goes in chunks."""
    inv_freq = torch.tensor([math.pi / 2 / (first - 0.5)]).double()
    assert first_negative(inv_freq, 20_000) == first
    assert first_negative(inv_freq, first + 1) == first
    assert first_negative(inv_freq, first) is None


def test_zero_is_not_negative():
    inv_freq = torch.tensor([0.0, math.pi], dtype=torch.float64)
    assert uniform_score(inv_freq, torch.arange(2)).tolist() == [4, 0]
    assert first_negative(inv_freq, 2) is None


def test_a_distance_between_tokens_is_not_rounded_to_float32():
    query, inv_freq = vector(8, 1), inverse_frequencies(8)
    expected = reference.rotation_matrix(300.7, 8, pairing="half") @ query.numpy()
    key = key_peaking_at(query, 300.7, inv_freq, pairing="half")
    np.testing.assert_allclose(key.numpy(), expected, rtol=0, atol=1e-12)
    score = uniform_score(inv_freq, torch.tensor([300.7], dtype=torch.float64)).item()
    exact = 2 * sum(math.cos(300.7 * theta) for theta in inv_freq.tolist())
    assert score == pytest.approx(exact, abs=1e-12)


def test_a_key_is_float64_and_lives_where_its_query_does():
    query, inv_freq = torch.ones(8, device="meta"), inverse_frequencies(8, device="meta")
    key = key_peaking_at(query, 3, inv_freq, pairing="half")
    assert (key.device, key.dtype) == (query.device, torch.float64)


def test_another_default_device_changes_nothing():
    inv_freq, distances, ones = inverse_frequencies(128), torch.arange(9), torch.ones(128)
    expected = bound_factor(inv_freq, distances)
    with torch.device("meta"):
        assert torch.equal(bound_factor(inv_freq, distances), expected)
        assert first_negative(inv_freq, 2000) == 1707
        assert key_peaking_at(ones, 3, inv_freq, pairing="half").device == ones.device


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: uniform_score(f[None], torch.arange(3)), ValueError, "one dimension each"),
        (lambda f: uniform_score(f, torch.tensor(3)), ValueError, "one dimension each"),
        (lambda f: bound_factor(f, torch.tensor([math.nan])), ValueError, "distances .* got nan"),
        (lambda f: bound_factor([1.0], torch.arange(3)), TypeError, "inv_freq must be a torch.T"),
        (lambda f: first_negative(f, 0), ValueError, "limit must be at least 1, got 0"),
        (lambda f: first_negative(f * NAN, 9), ValueError, "inv_freq must be finite, got nan"),
        (lambda f: first_negative([1.0], 9), TypeError, "inv_freq must be a torch.Tensor"),
        (lambda f: uniform_score(f, [1, 2]), TypeError, "distances must be a torch.Tensor, got l"),
        (lambda f: uniform_score(f, torch.ones(2) + 0j), TypeError, "distances must .*complex64"),
        (lambda f: uniform_score(f, torch.ones(2).half()), TypeError, "distances must .*float16"),
        (lambda f: uniform_score(f.to("meta"), torch.arange(3)), ValueError, "inv_freq is on meta"),
        (lambda f: base_bound(0, 8, [1.0]), ValueError, "context_length must be at least 1, got 0"),
        (lambda f: base_bound(8, 7, [1.0]), ValueError, "head_dim must be even.*got 7"),
        (lambda f: base_bound(8, 8, [1e4, NAN]), ValueError, "bases must be finite .*got nan"),
        (lambda f: base_bound(8, 8, ["1e4"]), TypeError, "bases must be a real number, got '1e4'"),
        (lambda f: score(torch.ones(6), torch.ones(8), f), ValueError, "q must have 8 as its last"),
        (lambda f: score(torch.ones(8), torch.ones(6), f), ValueError, "k must have 8 as its last"),
        (lambda f: score(torch.ones(8), torch.ones(8), f, "x"), ValueError, "pairing must be"),
        (lambda f: score(torch.ones(2, 8), torch.ones(3, 8), f), ValueError, "q and k must broad"),
        (
            lambda f: score(torch.ones(8, device="meta"), torch.ones(8), f),
            ValueError,
            "q is on met",
        ),
        (lambda f: score(torch.ones(8), torch.ones(8), 4), TypeError, "inv_freq must be a torch.T"),
        (lambda f: peak(torch.ones(6), 1, f), ValueError, "query must have 8 as its last"),
        (lambda f: peak(torch.ones(8) + 0j, 1, f), TypeError, "query must have .*complex64"),
        (lambda f: peak([1.0] * 8, 1, f), TypeError, "query must be a torch.Tensor, got list"),
        (lambda f: peak(torch.ones(8), NAN, f), ValueError, "distance must be finite, got nan"),
        (lambda f: peak(torch.ones(8), "1", f), TypeError, "distance must be a real number"),
    ],
)
def test_bad_calls_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(inverse_frequencies(8))


def peak(query, distance, inv_freq):
    return key_peaking_at(query, distance, inv_freq, pairing="half")


def score(q, k, inv_freq, pairing="half"):
    return score_by_distance(q, k, inv_freq, torch.arange(3), pairing=pairing)
