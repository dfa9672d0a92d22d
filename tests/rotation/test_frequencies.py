"""Inverse frequencies against the formula written out, and against published numbers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import inverse_frequencies, proportional_frequencies, wavelengths


@given(pairs=st.integers(1, 128), base=st.floats(1.5, 1e8))
def test_each_frequency_is_the_formula(pairs, base):
    inv_freq = inverse_frequencies(2 * pairs, base)
    assert inv_freq.dtype == torch.float64
    assert inv_freq.shape == (pairs,)
    for i, theta in enumerate(inv_freq.tolist()):
        assert theta == pytest.approx(math.exp(-2 * i / (2 * pairs) * math.log(base)), rel=1e-12)


def test_the_article_s_width():
    """d = 128, base 10,000: from 2 pi tokens to about 54,000."""
    lengths = wavelengths(inverse_frequencies(128))
    assert lengths[0].item() == pytest.approx(2 * math.pi)
    assert lengths[-1].item() == pytest.approx(2 * math.pi * 10_000 ** (126 / 128))
    assert round(lengths[-1].item()) == 54_410


@given(pairs=st.integers(1, 64), fraction=st.floats(0, 1))
def test_proportional_keeps_the_fast_pairs_and_stops_the_slow_ones(pairs, fraction):
    full, part = inverse_frequencies(2 * pairs), proportional_frequencies(2 * pairs, fraction)
    turning = int(fraction * pairs)
    assert torch.allclose(part[:turning], full[:turning], rtol=1e-15, atol=0)
    assert torch.equal(part[turning:], torch.zeros(pairs - turning).double())


def test_a_pair_that_stands_still_never_comes_round():
    assert wavelengths(torch.zeros(1)).item() == math.inf


def test_wavelengths_are_wide_and_frequencies_live_where_they_are_asked_to():
    assert wavelengths(torch.ones(1)).dtype == torch.float64
    assert inverse_frequencies(8, device="meta").device.type == "meta"


@pytest.mark.parametrize(
    ("width", "error", "message"),
    [
        (7, ValueError, "rotary_dim must be even.*got 7"),
        (0, ValueError, "rotary_dim must be at least 1, got 0"),
        (-2, ValueError, "rotary_dim must be at least 1, got -2"),
        (4.0, TypeError, "rotary_dim must be an integer, got 4.0"),
        (True, TypeError, "rotary_dim must be an integer, got True"),
        ("8", TypeError, "rotary_dim must be an integer, got '8'"),
    ],
)
def test_bad_widths_are_named(width, error, message):
    for function in (inverse_frequencies, lambda w: proportional_frequencies(w, 0.5)):
        with pytest.raises(error, match=message):
            function(width)


@pytest.mark.parametrize(
    "base", [0, -1.0, math.nan, math.inf, pytest.param(10**400, id="too large for a float")]
)
def test_bad_bases_are_named(base):
    with pytest.raises(ValueError, match="base must be finite and greater than 0, got"):
        inverse_frequencies(8, base)


@pytest.mark.parametrize("base", ["10000", None, True, 1j, torch.tensor(10.0)])
def test_bases_that_are_no_numbers_are_named(base):
    with pytest.raises(TypeError, match="base must be a real number, got"):
        inverse_frequencies(8, base)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_bad_fractions_are_named(fraction):
    with pytest.raises(ValueError, match="fraction must lie between 0 and 1, got"):
        proportional_frequencies(8, fraction)


@pytest.mark.parametrize("fraction", ["half", None, True])
def test_fractions_that_are_no_numbers_are_named(fraction):
    with pytest.raises(TypeError, match="fraction must be a real number, got"):
        proportional_frequencies(8, fraction)


@pytest.mark.parametrize(
    ("inv_freq", "error", "message"),
    [
        ([1.0], TypeError, "inv_freq must be a torch.Tensor, got list"),
        (torch.arange(3), TypeError, "inv_freq must have .* got torch.int64"),
        (torch.tensor([1.0, math.nan]), ValueError, "inv_freq must be finite, got nan"),
    ],
)
def test_bad_frequencies_are_named(inv_freq, error, message):
    with pytest.raises(error, match=message):
        wavelengths(inv_freq)
