"""How fast each pair of elements rotates.

A head of width ``d`` is cut into ``d/2`` pairs. Pair ``i`` rotates by the angle ``m * theta_i`` at
position ``m``. The numbers ``theta_i`` are called inverse frequencies in most code (radians per
token); they are a geometric sequence from 1 down to almost ``1/base``.
"""

import math

import torch

from .checks import (
    WIDE_FLOATS,
    require_dtype,
    require_even,
    require_finite,
    require_float_tensor,
    require_fraction,
    require_positive,
)


def tokens_per_radian(
    rotary_dim: int,
    base: float = 10_000.0,
    *,
    pairs: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Tokens that each pair needs for one radian: the reciprocal of :func:`inverse_frequencies`.

    ``pairs`` is how many are wanted, fastest first; all ``rotary_dim / 2`` by default.
    """
    rotary_dim = require_even("rotary_dim", rotary_dim)
    base = require_positive("base", base)
    require_dtype("dtype", dtype, WIDE_FLOATS)
    end = rotary_dim if pairs is None else 2 * pairs
    steps = torch.arange(0, end, 2, dtype=dtype, device=device)
    return torch.pow(base, steps / rotary_dim)


def inverse_frequencies(
    rotary_dim: int,
    base: float = 10_000.0,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Radians per token of each pair: ``theta_i = base ** (-2 i / rotary_dim)``.

    Args:
        rotary_dim: how many elements of a head are rotated; even.
        base: the longest wavelength is a little under ``2 pi base`` tokens; greater than 0.
        dtype: what they are computed in; float32 is what most shipped models do.
        device: where the result lives.

    Returns:
        Tensor ``(rotary_dim / 2,)``, fastest pair first.

    Raises:
        TypeError, ValueError: ``rotary_dim`` is not a positive even integer, ``base`` is not a
            finite number above 0, ``dtype`` is neither float32 nor float64.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2, equation 15, counting ``i`` from 0.

    Example:
        >>> inverse_frequencies(8)
        tensor([1.0000, 0.1000, 0.0100, 0.0010], dtype=torch.float64)
    """
    return 1.0 / tokens_per_radian(rotary_dim, base, dtype=dtype, device=device)


def float64_device(device: torch.device) -> torch.device:
    """Where angles are formed: on ``device``, but on the CPU for Apple's GPUs, without float64."""
    return torch.device("cpu") if device.type == "mps" else device


def proportional_frequencies(
    rotary_dim: int,
    fraction: float,
    base: float = 10_000.0,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """p-RoPE: keep the fastest ``fraction`` of the pairs, let the slow ones stand still.

    The frequencies are those of the whole width; the slow ones are replaced by 0. This is not
    partial rotation, which spreads the whole range of frequencies over fewer pairs.

    Args:
        rotary_dim: how many elements belong to the pairs, rotating or not; even.
        fraction: the share of pairs that rotate, from 0 to 1; rounded down to whole pairs.
        base, dtype, device: as in :func:`inverse_frequencies`.

    Returns:
        Tensor ``(rotary_dim / 2,)``.

    Raises:
        TypeError, ValueError: ``fraction`` is no number or lies outside 0 to 1, or as in
            :func:`inverse_frequencies`.

    Source: Barbero et al., arXiv 2410.06205, section 6.

    Example:
        >>> proportional_frequencies(8, 0.5)
        tensor([1.0000, 0.1000, 0.0000, 0.0000], dtype=torch.float64)
    """
    require_even("rotary_dim", rotary_dim)
    turning = int(require_fraction("fraction", fraction) * (rotary_dim // 2))
    tokens = tokens_per_radian(rotary_dim, base, pairs=turning, dtype=dtype, device=device)
    return torch.cat((1.0 / tokens, tokens.new_zeros(rotary_dim // 2 - turning)))


def wavelengths(inv_freq: torch.Tensor) -> torch.Tensor:
    """Tokens that each pair needs for one full turn: ``2 pi / theta_i``.

    Args:
        inv_freq: radians per token, ``(pairs,)``.

    Returns:
        Tensor ``(pairs,)``, float64; infinite for a pair that does not rotate.

    Raises:
        TypeError, ValueError: not a floating-point tensor, NaN or infinity.

    Example:
        >>> wavelengths(inverse_frequencies(4))
        tensor([  6.2832, 628.3185], dtype=torch.float64)
    """
    require_finite("inv_freq", require_float_tensor("inv_freq", inv_freq))
    return 2 * math.pi / inv_freq.double()
