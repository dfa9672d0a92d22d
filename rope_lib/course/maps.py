"""Two dimensions: how a score falls off around its peak, for axial and for mixed frequencies.

Pair ``j`` turns by ``row * frequencies[0, j] + column * frequencies[1, j]``. Axial rotation is the
case where one of the two numbers of each pair is zero.
"""

import math

import torch

from ..checks import require_even, require_finite, require_float_tensor, require_real
from ..frequencies import inverse_frequencies

#: The golden angle in radians, about 137.5 degrees, which spreads directions over a full circle.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def axial_frequencies(pairs: int, base: float) -> torch.Tensor:
    """The first half of the pairs turns by the row, the other half by the column.

    Args:
        pairs: of a head; even.
        base: of the ladder that each half has.

    Returns:
        Tensor ``(2, pairs)``, float64, radians for each row and for each column.

    Raises:
        TypeError, ValueError: an odd number of pairs, a base that is no finite number above 0.

    Example:
        >>> axial_frequencies(4, 100.0)
        tensor([[1.0000, 0.1000, 0.0000, 0.0000],
                [0.0000, 0.0000, 1.0000, 0.1000]], dtype=torch.float64)
    """
    ladder = inverse_frequencies(require_even("pairs", pairs), base)
    zero = torch.zeros_like(ladder)
    return torch.stack((torch.cat((ladder, zero)), torch.cat((zero, ladder))))


def mixed_frequencies(pairs: int, base: float, turn: float = GOLDEN_ANGLE) -> torch.Tensor:
    """The speeds of :func:`axial_frequencies`, each in a direction of its own.

    Every direction is ``turn`` radians on from that of the pair before. A wave and the wave in the
    opposite direction are the same, so that directions repeat after half a circle, and half of the
    golden angle is what spreads them evenly.

    Args, raises: as in :func:`axial_frequencies`; the turn is a finite number.

    Returns:
        Tensor ``(2, pairs)``, float64, radians for each row and for each column.

    Source: Heo et al., arXiv 2403.13298, for mixed frequencies, which they learn.
    """
    ladder = inverse_frequencies(require_even("pairs", pairs), base).repeat_interleave(2)
    direction = torch.arange(pairs, dtype=torch.float64) * require_real("turn", turn)
    return ladder * torch.stack((direction.sin(), direction.cos()))


def mean_cosine(down: torch.Tensor, right: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """The score of a head with equal weight on all its pairs, as a part of its highest score.

    Args:
        down, right: rows and columns from the place of the peak, any shape; they broadcast.
        frequencies: radians for each row and for each column, ``(2, pairs)``.

    Returns:
        Tensor of the common shape, float64; 1 at the peak.

    Raises:
        TypeError, ValueError: frequencies that are not finite or not ``(2, pairs)``.
    """
    require_finite("frequencies", require_float_tensor("frequencies", frequencies))
    if frequencies.ndim != 2 or len(frequencies) != 2:
        raise ValueError(f"frequencies must be (2, pairs), got shape {tuple(frequencies.shape)}")
    rows, columns = frequencies.double()
    angles = down.double().unsqueeze(-1) * rows + right.double().unsqueeze(-1) * columns
    return angles.cos().mean(dim=-1)


def largest_gap(frequencies: torch.Tensor) -> float:
    """The largest gap between neighbouring directions, in degrees; directions repeat after 180.

    Args:
        frequencies: ``(2, pairs)``, none of them zero in both numbers.
    """
    directions = torch.atan2(frequencies[0], frequencies[1]).remainder(math.pi).sort().values
    around = torch.cat((directions, directions[:1] + math.pi))
    return math.degrees(around.diff().max().item())
