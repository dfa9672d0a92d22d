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
    cosine_integral,
    first_negative,
    key_peaking_at,
    lead_probability,
    many_pairs_mean,
    many_pairs_reach,
    partial_sums,
    score_bound,
    score_by_distance,
    score_spread,
    shortfall,
    similar_spread,
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
    found = score_bound(q, k, inv_freq, distances, pairing="half")
    torch.testing.assert_close(found, bound)
    assert (score_by_distance(q, k, inv_freq, distances, pairing="half").abs() <= bound).all()


def test_the_bound_of_many_pairs_of_vectors_is_that_of_each():
    q, k, inv_freq, distances = vector((5, 8), 0), vector((5, 8), 1), inverse_frequencies(8), (
        torch.tensor([0, 7, 90])
    )  # fmt: skip
    found = score_bound(q, k, inv_freq, distances, pairing="interleaved")
    assert found.shape == (5, 3)
    for row, one_q, one_k in zip(found, q, k, strict=True):
        halves = [torch.cat((x[0::2], x[1::2])) for x in (one_q, one_k)]
        torch.testing.assert_close(row, score_bound(*halves, inv_freq, distances, pairing="half"))


def test_products_that_fall_in_even_steps_have_the_famous_curve_as_their_bound():
    """``h_i = 1 - i / 64``; with its square, at 256, |q| |k| is 21.8 and the bound 13.0."""
    inv_freq, distances = inverse_frequencies(128), torch.tensor([0, 50, 256])
    h = 1 - torch.arange(64, dtype=torch.float64) / 64
    even, square = (torch.cat((x.sqrt(), torch.zeros(64).double())) for x in (h, h**2))
    bound = score_bound(even, even, inv_freq, distances, pairing="half")
    torch.testing.assert_close(bound, bound_factor(inv_freq, distances))
    at_256 = score_bound(square, square, inv_freq, distances, pairing="half")[2].item()
    assert (round((square @ square).item(), 1), round(at_256, 1)) == (21.8, 13.0)


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


@pytest.mark.parametrize("width", [2, 128, 300_000])
def test_the_search_is_the_same_for_any_number_of_pairs(width):
    """Wide heads are searched in smaller pieces, down to one distance at a time."""
    inv_freq = torch.full((width // 2,), math.pi / 2 / 8.5, dtype=torch.float64)
    assert first_negative(inv_freq, 11) == 9
    assert first_negative(inv_freq, 9) is None
    assert shortfall(inv_freq, 11)[:2] == (9, 2)


def test_a_shortfall_is_counted_over_all_distances():
    inv_freq = inverse_frequencies(32, 500.0)
    scores = uniform_score(inv_freq, torch.arange(20_000))
    found = shortfall(inv_freq, 20_000)
    assert found.first == first_negative(inv_freq, 20_000)
    assert (found.count, found.at) == (int((scores < 0).sum()), int(scores.argmin()))
    assert found.lowest == scores.min().item()
    kept = shortfall(inv_freq, found.first)
    assert kept[:2] == (None, 0)
    assert kept.lowest >= 0


# The spread of scores


@settings(max_examples=20, deadline=None)
@given(pairing=pairings, seed=st.integers(0, 999), distance=st.integers(-300, 300))
def test_the_spread_is_that_of_the_rotation_matrix(pairing, seed, distance):
    """The variance of ``q^T R k`` is the trace of ``C_q R C_k R^T``."""
    q_factor, k_factor = vector((5, 8), seed), vector((9, 8), seed + 1)
    turn = torch.from_numpy(reference.rotation_matrix(distance, 8, pairing=pairing))
    covariance_q, covariance_k = q_factor.T @ q_factor, k_factor.T @ k_factor
    variance = (covariance_q @ turn.T @ covariance_k @ turn).trace()
    found = score_spread(
        q_factor, k_factor, inverse_frequencies(8), torch.tensor([distance]), pairing=pairing
    )
    torch.testing.assert_close(found.square(), variance[None])


@given(seed=st.integers(0, 999))
def test_equal_spread_on_one_side_makes_the_spread_independent_of_distance(seed):
    other, distances = vector((12, 12), seed), torch.tensor([0, 1, 77, 5000])
    found = score_spread(
        3 * torch.eye(12).double(), other, inverse_frequencies(12), distances, pairing="half"
    )
    torch.testing.assert_close(found, torch.full((4,), 3 * other.norm().item()).double())


def test_the_spread_of_unequal_pairs_has_a_formula():
    """Deviations 1 and a: cos^2 meets 1 + a^4, sin^2 meets 2 a^2, and the first is larger."""
    inv_freq, distances = inverse_frequencies(64), torch.tensor([0, 5, 100, 1000])
    cos = (distances.double().unsqueeze(-1) * inv_freq).cos()
    for a in (0.2, 0.7):
        factor = torch.tensor([1.0, a]).double().repeat(32).diag()
        variance = (cos**2 * (1 + a**4) + (1 - cos**2) * 2 * a**2).sum(-1)
        found = score_spread(factor, factor, inv_freq, distances, pairing="interleaved")
        torch.testing.assert_close(found, variance.sqrt())
        assert (found[1:] < found[0]).all()


# The lead of a similar key


def queries(count, pairs=64, seed=0):
    """Squared lengths of the pairs of standard normal queries, ``(count, pairs)``."""
    return vector((count, pairs, 2), seed).square().sum(-1)


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_the_spread_of_a_similar_key_is_that_of_samples(noise):
    inv_freq, distances = inverse_frequencies(16), torch.tensor([0, 3, 200])
    q, e = vector((2, 40_000, 16), 1)
    scores = score_by_distance(q, q + noise * e, inv_freq, distances, pairing="half")
    expected = similar_spread(inv_freq, distances, noise=noise)
    torch.testing.assert_close(scores.std(0), expected, rtol=0.03, atol=0)
    mean, error = scores.mean(0), expected / 200
    assert ((mean - uniform_score(inv_freq, distances)).abs() < 4 * error).all()


@pytest.mark.parametrize(("noise", "deviation"), [(1.0, 1.0), (0.5, 1.3), (1.0, math.sqrt(2))])
def test_the_probability_of_one_random_key(noise, deviation):
    """For one query the lead is normal, and its probability exact; the mean of those is wanted."""
    inv_freq, distances = inverse_frequencies(128), torch.tensor([30, 100, 500, 1000, 1706])
    squares = queries(20_000)
    lead = squares @ (distances.double().unsqueeze(-1) * inv_freq).cos().T
    spread = squares.sum(-1, keepdim=True).sqrt() * math.hypot(noise, deviation)
    exact = torch.special.ndtr(lead / spread).mean(0)
    found = lead_probability(inv_freq, distances, noise=noise, deviation=deviation)
    torch.testing.assert_close(found, exact, rtol=0, atol=0.003)


def test_the_probability_against_many_random_keys():
    inv_freq, distances = inverse_frequencies(128), torch.tensor([100, 500, 1000])
    squares = queries(30_000)
    lead = squares @ (distances.double().unsqueeze(-1) * inv_freq).cos().T
    similar = lead / squares.sum(-1, keepdim=True).sqrt() + vector((30_000, 1), 7)
    exact = (torch.special.ndtr(similar) ** 1000).mean(0)  # all random keys, for this similar key
    found = lead_probability(inv_freq, distances, keys=1000)
    torch.testing.assert_close(found, exact, rtol=0, atol=0.008)
    assert (found < lead_probability(inv_freq, distances, keys=10)).all()


def test_without_a_lead_all_keys_win_equally_often():
    """At right angles in every pair the query and a similar key have nothing in common."""
    inv_freq = torch.full((500,), math.pi / 2, dtype=torch.float64)
    for keys in (1, 4, 9):
        (found,) = lead_probability(inv_freq, torch.tensor([1]), keys=keys)
        assert found.item() == pytest.approx(1 / (1 + keys), abs=1e-6)


# Ever more pairs


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0.1, -1.7278683866), (0.5, -0.1777840788), (1.0, 0.3374039229), (2.0, 0.4229808288),
     (5.0, -0.1900297497), (10.0, -0.0454564330), (100.0, -0.0051488251)],
)  # fmt: skip
def test_the_cosine_integral_is_that_of_printed_tables(x, expected):
    """Abramowitz and Stegun, tables 5.1 and 5.3."""
    assert cosine_integral(x) == pytest.approx(expected, abs=2e-10)


def test_the_cosine_integral_has_the_right_slope_on_both_sides_of_2():
    """Its derivative is ``cos(x) / x``; across 2, series and fraction must meet."""
    for x in (0.3, 1.9999, 2.0, 2.0001, 3.0, 40.0):
        slope = (cosine_integral(x + 1e-5) - cosine_integral(x - 1e-5)) / 2e-5
        assert slope == pytest.approx(math.cos(x) / x, abs=1e-7)
    assert all(abs(cosine_integral(x)) <= 1 / x for x in (0.7, 2.5, 33.0, 1e4, 1e7))


def test_the_mean_tends_to_the_difference_of_two_cosine_integrals():
    """The sum over pairs is a midpoint rule for the integral, if half a step is taken back."""
    distances, base, width = torch.tensor([0, 1, 7, 60, 616]), 1000.0, 40_000
    cosines = distances.double().unsqueeze(-1) * inverse_frequencies(width, base)
    midpoints = (cosines * base ** (-1 / width)).cos().mean(-1)
    torch.testing.assert_close(many_pairs_mean(distances, base), midpoints, rtol=0, atol=1e-5)


@pytest.mark.parametrize("base", [1e2, 1e3, 1e4])
def test_the_first_zero_is_at_the_same_part_of_any_base(base):
    zero = many_pairs_reach()
    assert zero == pytest.approx(0.616505485620716, abs=1e-12)
    assert cosine_integral(zero) == pytest.approx(0, abs=1e-12)
    means = many_pairs_mean(torch.arange(int(base)), base)
    first = int((means < 0).nonzero()[0])
    assert abs(first - zero * base) <= 3
    assert (means[int(zero * base) + 4 :] < 0).all()


def test_a_large_head_reaches_most_of_the_way():
    assert 0.6 < first_negative(inverse_frequencies(32_768, 1000.0), 1000) / 1000 < 0.63


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
        (lambda f: shortfall(f, 0), ValueError, "context_length must be at least 1, got 0"),
        (lambda f: lead_probability(f, torch.arange(3), keys=0), ValueError, "keys must be at"),
        (lambda f: lead_probability(f, torch.arange(3), noise=0), ValueError, "noise must be fin"),
        (lambda f: lead_probability(f, torch.arange(3), deviation=NAN), ValueError, "deviation mu"),
        (lambda f: lead_probability(f, [1, 2]), TypeError, "distances must be a torch.Tensor"),
        (lambda f: similar_spread(f, torch.arange(3), noise=-1.0), ValueError, "noise must be fin"),
        (lambda f: cosine_integral(0.0), ValueError, "x must be finite and greater than 0, got 0"),
        (lambda f: many_pairs_mean(torch.arange(3), 1.0), ValueError, "base must be greater than"),
        (lambda f: many_pairs_mean(-torch.arange(3), 9.0), ValueError, "distances must be at l"),
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
