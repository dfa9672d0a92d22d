"""What distance does to a score: the paper's bound, and the truth beside it.

A score between a query at ``m`` and a key at ``n`` depends on the distance ``m - n`` alone. With
the pair ``i`` of query and key written as complex numbers, it is the real part of the sum over
pairs of ``q_i conj(k_i) e^(i (m-n) theta_i)``.
"""

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
    require_float_tensor("inv_freq", inv_freq)
    chunk = 8192  # keeps the table of angles small however far the search goes
    for start in range(0, require_count("limit", limit), chunk):
        distances = torch.arange(start, min(start + chunk, limit), device=inv_freq.device)
        negative = (uniform_score(inv_freq, distances) < 0).nonzero()
        if len(negative):
            return start + int(negative[0])
    return None


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
