"""Printing a difference that ought to be nothing but rounding."""

import torch

from ..checks import require_positive


def below(difference: float | torch.Tensor, bound: float = 1e-12) -> str:
    """``"below 1e-12"`` if the difference is, and the number itself if it is not.

    The exact size of a rounding error differs between processors and teaches nothing; that it is
    one does. So a page shows this in place of ``0.0``.

    Args:
        difference: a number of any sign, or a tensor, of which the largest counts.
        bound: above 0; float64 rounds numbers near 1 to about 1e-16.

    Raises:
        ValueError: a bound that is not above 0.

    Example:
        >>> below(3e-16), below(0.25)
        ('below 1e-12', '0.25')
    """
    require_positive("bound", bound)
    largest = torch.as_tensor(difference, dtype=torch.float64).abs().max().item()
    return f"below {bound:g}" if largest < bound else f"{largest:.3g}"
