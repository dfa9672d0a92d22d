"""What distance does to a score: the paper's bound, and the truth beside it.

A score between a query at ``m`` and a key at ``n`` depends on the distance ``m - n`` alone. With
the pair ``i`` of query and key written as complex numbers, it is the real part of the sum over
pairs of ``q_i conj(k_i) e^(i (m-n) theta_i)``.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from ..checks import (
    PAIRINGS,
    require_choice,
    require_count,
    require_even,
    require_finite,
    require_float_tensor,
    require_positions,
    require_positive,
    require_real,
    require_same_device,
)
from ..frequencies import inverse_frequencies
from ..functional import rotate, rotation_tables
from ..layout import to_half
from .attention import require_broadcast


def partial_sums(inv_freq: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """``S_j = sum of e^(i distance theta_l) for l < j``, for ``j = 1 .. pairs``.

    Args:
        inv_freq: radians per token, ``(pairs,)``.
        distances: tokens, ``(n,)``.

    Returns:
        Tensor ``(n, pairs)``, complex128.

    Raises:
        TypeError, ValueError: not tensors of numbers, NaN or infinity, other than one dimension,
            two devices.

    Source: RoFormer (arXiv 2104.09864), section 3.4.3.
    """
    angles = _angles(inv_freq, distances)
    return torch.complex(angles.cos(), angles.sin()).cumsum(dim=-1)


def bound_factor(inv_freq: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """The curve that is known as long-range decay: the mean of ``|S_j|`` over ``j``.

    It is one factor of an upper bound on the size of a score. It is not a score.

    Args, raises, source: as in :func:`partial_sums`.

    Returns:
        Tensor ``(n,)``, float64; ``(pairs + 1) / 2`` at distance 0.

    Example:
        >>> bound_factor(inverse_frequencies(128), torch.tensor([0, 256]))
        tensor([32.5000,  6.5431], dtype=torch.float64)
    """
    return partial_sums(inv_freq, distances).abs().mean(dim=-1)


def score_by_distance(
    q: torch.Tensor,
    k: torch.Tensor,
    inv_freq: torch.Tensor,
    distances: torch.Tensor,
    *,
    pairing: str,
) -> torch.Tensor:
    """The true unscaled score of ``q`` and ``k`` at each distance from ``q`` back to ``k``.

    Args:
        q, k: ``(..., head_dim)``; leading dimensions broadcast.
        inv_freq: radians per token, ``(head_dim / 2,)``.
        distances: ``m - n`` in tokens, ``(n,)``; negative when the key lies ahead.
        pairing: ``"interleaved"`` or ``"half"``.

    Returns:
        Tensor ``(..., n)``, float64.

    Raises:
        TypeError, ValueError: widths that differ, leading dimensions that do not broadcast, an
            unknown pairing, or as in :func:`partial_sums`.
    """
    angles = _angles(inv_freq, distances)
    _require_head("q", q, inv_freq, pairing)
    _require_head("k", k, inv_freq, pairing)
    require_broadcast("q", q, "k", k, last=1)
    product = _as_complex(q, pairing) * _as_complex(k, pairing).conj()
    return product.real @ angles.cos().T - product.imag @ angles.sin().T


def score_bound(
    q: torch.Tensor,
    k: torch.Tensor,
    inv_freq: torch.Tensor,
    distances: torch.Tensor,
    *,
    pairing: str,
) -> torch.Tensor:
    """RoFormer's upper bound on the size of the score of ``q`` and ``k`` at each distance.

    With ``h_i = q_i conj(k_i)`` and a 0 behind the last, it is ``max |h_(i+1) - h_i|`` times the
    sum of all ``|S_j|``: the largest step of the words, times the curve of :func:`bound_factor`
    times the number of pairs.

    Args, raises: as in :func:`score_by_distance`.

    Returns:
        Tensor ``(..., n)``, float64.

    Source: RoFormer (arXiv 2104.09864), equation 37.
    """
    _require_head("q", q, inv_freq, pairing)
    _require_head("k", k, inv_freq, pairing)
    require_broadcast("q", q, "k", k, last=1)
    h = _as_complex(q, pairing) * _as_complex(k, pairing).conj()
    steps = torch.nn.functional.pad(h, (0, 1)).diff(dim=-1).abs()
    lengths = partial_sums(inv_freq, distances).abs().sum(dim=-1)
    return steps.amax(dim=-1, keepdim=True) * lengths


def uniform_score(inv_freq: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """The true score for a query and key of ones: ``2 * sum cos(distance theta_i)``.

    Up to a positive factor it is also how much more, on average, a query scores a key like itself
    than a random key (arXiv 2405.14591, section 4).

    Args:
        inv_freq: radians per token, ``(pairs,)``.
        distances: tokens, ``(n,)``.

    Returns:
        Tensor ``(n,)``, float64.

    Raises:
        TypeError, ValueError: as in :func:`partial_sums`.

    Example:
        >>> uniform_score(inverse_frequencies(128), torch.tensor([0]))  # 2 a pair
        tensor([128.], dtype=torch.float64)
    """
    return 2 * _angles(inv_freq, distances).cos().sum(dim=-1)


def first_negative(inv_freq: torch.Tensor, limit: int) -> int | None:
    """The first distance below ``limit`` at which :func:`uniform_score` is negative, if any.

    Args:
        inv_freq: radians per token, ``(pairs,)``.
        limit: how far to look, in tokens.

    Raises:
        TypeError, ValueError: ``limit`` is not a positive integer, or as in :func:`partial_sums`.
    """
    for start, scores in _uniform_scores(inv_freq, require_count("limit", limit)):
        negative = (scores < 0).nonzero()
        if len(negative):
            return start + int(negative[0])
    return None


class Shortfall(NamedTuple):
    """How far :func:`uniform_score` falls below zero within a context.

    ``first`` is the first distance at which it is negative, or None; ``count`` is at how many
    distances it is; ``lowest`` is its smallest value and ``at`` the distance of that.
    """

    first: int | None
    count: int
    lowest: float
    at: int


def shortfall(inv_freq: torch.Tensor, context_length: int) -> Shortfall:
    """How badly frequencies miss the rule of :func:`base_bound` at this length.

    Args:
        inv_freq: radians per token, ``(pairs,)``.
        context_length: distances 0 to ``context_length - 1`` are looked at, in tokens.

    Raises:
        TypeError, ValueError: no positive integer, or as in :func:`partial_sums`.

    Source: the rule is from arXiv 2405.14591, section 4.
    """
    first, count, lowest, at = None, 0, math.inf, 0
    for start, scores in _uniform_scores(inv_freq, require_count("context_length", context_length)):
        negative = (scores < 0).nonzero()
        if first is None and len(negative):
            first = start + int(negative[0])
        count += len(negative)
        if scores.min() < lowest:
            lowest, at = scores.min().item(), start + int(scores.argmin())
    return Shortfall(first, count, lowest, at)


def _uniform_scores(inv_freq: torch.Tensor, limit: int) -> Iterator[tuple[int, torch.Tensor]]:
    """:func:`uniform_score` at the distances below ``limit``, piece by piece: (first, scores)."""
    pairs = require_float_tensor("inv_freq", inv_freq).numel()
    # Keeps the table of angles small however far one looks and however many pairs there are.
    chunk = max(1, min(8192, 2**20 // max(1, pairs)))
    for start in range(0, limit, chunk):
        distances = torch.arange(start, min(start + chunk, limit), device=inv_freq.device)
        yield start, uniform_score(inv_freq, distances)


def base_bound(context_length: int, head_dim: int, bases: list[float]) -> float | None:
    """The smallest of ``bases`` whose :func:`uniform_score` never turns negative in the context.

    The condition is not monotone in the base, so this is a search, not a bisection: a larger base
    may fail again.

    Args:
        context_length: distances 0 to ``context_length - 1`` are checked, in tokens.
        head_dim: width of a head; even.
        bases: the grid to search.

    Returns:
        The smallest such base, or None where no base of the grid holds.

    Raises:
        TypeError, ValueError: the context is not a positive integer, the width not an even one, a
            base not a finite number above 0.

    Source: arXiv 2405.14591, section 4.
    """
    require_count("context_length", context_length)
    require_even("head_dim", head_dim)
    for base in sorted(require_positive("bases", base) for base in bases):
        if first_negative(inverse_frequencies(head_dim, base), context_length) is None:
            return base
    return None


def key_peaking_at(
    query: torch.Tensor, distance: float, inv_freq: torch.Tensor, *, pairing: str
) -> torch.Tensor:
    """A key as long as the query that scores highest exactly ``distance`` tokens before it.

    The key is the query turned ahead by ``distance``: the two then lie in one direction when they
    stand that far apart, and no rotation can make a dot product larger than that.

    Args:
        query: ``(head_dim,)``.
        distance: tokens.
        inv_freq: radians per token, ``(head_dim / 2,)``.
        pairing: ``"interleaved"`` or ``"half"``.

    Returns:
        Tensor ``(head_dim,)``, float64.

    Raises:
        TypeError, ValueError: widths or devices that differ, a distance that is not a finite
            number, an unknown pairing.

    Source: Barbero et al., arXiv 2410.06205, proposition 3.1.
    """
    _require_head("query", query, inv_freq, pairing)
    where = torch.tensor(require_real("distance", distance), dtype=torch.float64, device="cpu")
    where = require_finite("distance", where).to(inv_freq.device)
    cos, sin = rotation_tables(where, inv_freq, torch.float64)
    return rotate(query.double(), cos, sin, pairing=pairing)


def score_spread(
    q_factor: torch.Tensor,
    k_factor: torch.Tensor,
    inv_freq: torch.Tensor,
    distances: torch.Tensor,
    *,
    pairing: str,
) -> torch.Tensor:
    """The standard deviation of the scores of random pairs, exactly, at each distance.

    The query is ``x @ q_factor`` and the key ``y @ k_factor``, where all numbers of ``x`` and ``y``
    are independent with mean 0 and variance 1. Their covariances are then
    ``q_factor.T @ q_factor`` and ``k_factor.T @ k_factor``; ``torch.diag(deviations)`` gives every
    number a deviation of its own. A score is the sum of ``x_a y_b s_ab``, with ``s_ab`` the score
    of row ``a`` with row ``b``, so its variance is the sum of all ``s_ab ** 2``.

    Where the covariance of the queries, or that of the keys, is a multiple of the identity, the
    spread is the same at every distance. In general it is not.

    Args:
        q_factor: ``(rows, head_dim)``.
        k_factor: ``(rows, head_dim)``; its number of rows may be another.
        inv_freq: radians per token, ``(head_dim / 2,)``.
        distances: tokens, ``(n,)``.
        pairing: ``"interleaved"`` or ``"half"``.

    Returns:
        Tensor ``(n,)``, float64.

    Raises:
        TypeError, ValueError: as in :func:`score_by_distance`.
    """
    scores = score_by_distance(
        q_factor.unsqueeze(-2), k_factor.unsqueeze(-3), inv_freq, distances, pairing=pairing
    )
    return scores.square().sum(dim=(0, 1)).sqrt()


def similar_spread(
    inv_freq: torch.Tensor, distances: torch.Tensor, *, noise: float = 1.0
) -> torch.Tensor:
    """The standard deviation of the score of a query and a key like it, at each distance.

    The query has independent standard normal numbers and the key is the query plus independent
    normal noise. The mean of the score is :func:`uniform_score`. Pair ``i`` of the query adds
    ``|q_i|^2 cos(distance theta_i)``, where ``|q_i|^2`` has variance 4, and the noise adds
    ``head_dim * noise ** 2``, so the variance is
    ``4 sum cos(distance theta_i)^2 + head_dim noise^2``.

    Args:
        inv_freq: radians per token, ``(head_dim / 2,)``.
        distances: tokens, ``(n,)``.
        noise: standard deviation of each number of the noise; above 0.

    Returns:
        Tensor ``(n,)``, float64.

    Raises:
        TypeError, ValueError: the noise is not a finite number above 0, or as in
            :func:`partial_sums`.
    """
    noise = require_positive("noise", noise)
    cosines = _angles(inv_freq, distances).cos()
    return (4 * cosines.square().sum(dim=-1) + 2 * len(inv_freq) * noise**2).sqrt()


def lead_probability(
    inv_freq: torch.Tensor,
    distances: torch.Tensor,
    *,
    noise: float = 1.0,
    keys: int = 1,
    deviation: float = 1.0,
) -> torch.Tensor:
    """How probably a key like the query scores higher than each of some random keys.

    Query and similar key are those of :func:`similar_spread`. All scores are divided by the length
    of the query. That of a random key is then exactly normal with this ``deviation`` wherever the
    key stands, and the random keys are independent. That of the similar key is
    ``sum |q_i|^2 cos(distance theta_i) / |q|`` plus ``noise`` times a standard normal number. The
    approximation is to take the first part as normal as well, with the mean and variance that the
    delta method gives: with ``c_i`` the cosines and ``d`` the width, ``(2 sum c_i) (1 - 1 / 4d) /
    sqrt(d)`` and ``(4 sum c_i^2 - 6 (sum c_i)^2 / d) / d``. At a width of 128 and for one random
    key this is within 0.003 of the mean over sampled queries, and within 0.008 for 1,000.

    Args:
        inv_freq: radians per token, ``(head_dim / 2,)``.
        distances: from the query to the similar key in tokens, ``(n,)``.
        noise: standard deviation of each number of the noise; above 0.
        keys: how many random keys there are.
        deviation: standard deviation of each number of a random key. The similar key is as long as
            a random one, on average, where it is ``sqrt(1 + noise ** 2)``.

    Returns:
        Tensor ``(n,)``, float64.

    Raises:
        TypeError, ValueError: ``keys`` is no positive integer, a deviation is not a finite number
            above 0, or as in :func:`partial_sums`.
    """
    require_count("keys", keys)
    noise, deviation = require_positive("noise", noise), require_positive("deviation", deviation)
    cosines = _angles(inv_freq, distances).cos()
    total, width = cosines.sum(dim=-1), 2 * len(inv_freq)
    mean = 2 * total * (1 - 1 / (4 * width)) / math.sqrt(width)
    variance = (4 * cosines.square().sum(dim=-1) - 6 * total.square() / width) / width + noise**2
    # The mean, over z, of the probability that all random keys score less.
    z = torch.linspace(-9, 9, 3601, dtype=torch.float64, device=inv_freq.device)
    weights = torch.exp(-z.square() / 2)
    similar = mean.unsqueeze(-1) + variance.sqrt().unsqueeze(-1) * z
    below = torch.special.ndtr(similar / deviation) ** keys
    return below @ (weights / weights.sum())


def cosine_integral(x: float) -> float:
    """``Ci(x)``, minus the integral of ``cos(u) / u`` from ``x`` to infinity, for ``x > 0``.

    Up to 2 by its power series, ``gamma + ln x + sum (-x^2)^k / (2k (2k)!)``; beyond, by the
    continued fraction of the exponential integral, of which ``Ci(x)`` is ``-Re E1(ix)``.

    Raises:
        TypeError, ValueError: not a finite number above 0.

    Source: Digital Library of Mathematical Functions, 6.6.6 and 6.9.1.
    """
    x = require_positive("x", x)
    if x <= 2:
        total, power = _EULER_GAMMA + math.log(x), 1.0
        for k in range(1, 20):
            power *= -x * x / ((2 * k - 1) * 2 * k)
            total += power / (2 * k)
        return total
    # E1(z) = e^-z / (z + 1 - 1 / (z + 3 - 4 / (z + 5 - ...))), from the inside out.
    below = complex(2 * _TERMS + 1, x)
    for k in range(_TERMS, 0, -1):
        below = complex(2 * k - 1, x) - k * k / below
    return -(complex(math.cos(x), -math.sin(x)) / below).real


_EULER_GAMMA = 0.5772156649015329
_TERMS = 200  # of the continued fraction; enough for a float64 from x = 2 on


def many_pairs_mean(distances: torch.Tensor, base: float) -> torch.Tensor:
    """The mean cosine that a head tends to when it gets ever more pairs at one base.

    The frequencies ``base ** (-2 i / d)`` then fill the stretch from ``1 / base`` to 1 evenly on a
    logarithmic scale, and ``(2 / d) sum cos(m theta_i)`` tends to the integral of
    ``cos(m base^-t)`` over ``t`` from 0 to 1. With ``u = m base^-t`` this is
    ``(Ci(m) - Ci(m / base)) / ln(base)``. ``Ci(m)`` is no larger than ``1 / m``, so for a large
    base the mean is zero where ``Ci(m / base)`` is: at :func:`many_pairs_reach` times the base.

    Args:
        distances: tokens, ``(n,)``; not negative.
        base: above 1.

    Returns:
        Tensor ``(n,)``, float64; 1 at distance 0.

    Raises:
        TypeError, ValueError: distances that are no positions, a base of at most 1.
    """
    require_positions("distances", distances)
    if (distances < 0).any():
        raise ValueError(f"distances must be at least 0, got {distances.min()}")
    if require_positive("base", base) <= 1:
        raise ValueError(f"base must be greater than 1, got {base}")
    means = [
        (cosine_integral(m) - cosine_integral(m / base)) / math.log(base) if m else 1.0
        for m in distances.double().tolist()
    ]
    return torch.tensor(means, dtype=torch.float64, device=distances.device)


def many_pairs_reach() -> float:
    """The first zero of ``Ci``, 0.616505...: the reach of a head of many pairs, in bases.

    The mean of :func:`many_pairs_mean` changes its sign at this number times the base, but for at
    most three tokens.
    """
    low, high = 0.5, 1.0  # Ci rises from minus infinity to its maximum at pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cosine_integral(middle) < 0 else (low, middle)
    return (low + high) / 2


def _angles(inv_freq: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    require_finite("inv_freq", require_float_tensor("inv_freq", inv_freq))
    require_positions("distances", distances)
    require_same_device("inv_freq", inv_freq, "distances", distances)
    if inv_freq.ndim != 1 or distances.ndim != 1:
        raise ValueError(
            "inv_freq and distances must have one dimension each, got shapes "
            f"{tuple(inv_freq.shape)} and {tuple(distances.shape)}"
        )
    return distances.double().unsqueeze(-1) * inv_freq.double()


def _require_head(name: str, x: torch.Tensor, inv_freq: torch.Tensor, pairing: str) -> None:
    require_choice("pairing", pairing, PAIRINGS)
    require_float_tensor("inv_freq", inv_freq)
    require_float_tensor(name, x)
    require_same_device(name, x, "inv_freq", inv_freq)
    if x.shape[-1] != 2 * len(inv_freq):
        raise ValueError(
            f"{name} must have {2 * len(inv_freq)} as its last dimension, two for each number of "
            f"inv_freq; got shape {tuple(x.shape)}"
        )


def _as_complex(x: torch.Tensor, pairing: str) -> torch.Tensor:
    """Pairs as complex numbers, ``(..., pairs)``, complex128."""
    halves = (x if pairing == "half" else to_half(x)).double().chunk(2, dim=-1)
    return torch.complex(*halves)
