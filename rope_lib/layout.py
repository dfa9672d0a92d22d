"""The two pairings as two orders of the same numbers, and how weights move between them.

Interleaved order keeps the two numbers of a pair side by side: ``a0 b0 a1 b1 ...``. Half-split
order keeps all first numbers before all second ones: ``a0 a1 ... b0 b1 ...``. Rotating in one order
and reordering is the same as reordering and rotating in the other.
"""

import torch

from .checks import (
    PAIRINGS,
    require_choice,
    require_count,
    require_rotary_dim,
    require_tensor,
)


def to_half(x: torch.Tensor) -> torch.Tensor:
    """Reorder the last dimension from interleaved to half-split order.

    Args:
        x: ``(..., head_dim)``, any dtype, ``head_dim`` even.

    Returns:
        A new tensor of the same shape; undone by :func:`to_interleaved`.

    Raises:
        TypeError, ValueError: not a tensor, no dimension, or an odd last dimension.

    Example:
        >>> to_half(torch.tensor([0, 1, 2, 3, 4, 5]))
        tensor([0, 2, 4, 1, 3, 5])
    """
    _require_pairs(x)
    return torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1)


def to_interleaved(x: torch.Tensor) -> torch.Tensor:
    """Reorder the last dimension from half-split to interleaved order.

    Args, Returns, Raises: as in :func:`to_half`, which undoes it.

    Example:
        >>> to_interleaved(torch.tensor([0, 2, 4, 1, 3, 5]))
        tensor([0, 1, 2, 3, 4, 5])
    """
    _require_pairs(x)
    return torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)


def permute_projection(
    weight: torch.Tensor,
    num_heads: int,
    *,
    to: str,
    rotary_dim: int | None = None,
    rotated: str = "first",
) -> torch.Tensor:
    """Reorder the output rows of a query or key projection, head by head.

    A model that rotates in one pairing with the old weights, and one that rotates in the other with
    the permuted weights of *both* projections, give equal attention scores. Values are never
    rotated: leave their projection alone.

    Args:
        weight: ``(num_heads * head_dim, in_features)``, or the bias ``(num_heads * head_dim,)``; of
            any dtype, since rows are only moved.
        num_heads: heads in *this* projection; for grouped-query keys, the number of key heads.
        to: the pairing that the result is for, ``"half"`` or ``"interleaved"``.
        rotary_dim: reorder only so many rows of each head (partial rotation).
        rotated: whether those are the ``"first"`` or the ``"last"`` of a head (latent attention).

    Returns:
        A new tensor of the same shape; exactly undone with the other value of ``to``.

    Raises:
        TypeError, ValueError: rows that do not divide into heads, more than two dimensions, an odd
            or too large ``rotary_dim``, an unknown pairing.

    Example:
        >>> bias = torch.arange(8)  # of two heads
        >>> permute_projection(bias, num_heads=2, to="half")
        tensor([0, 2, 1, 3, 4, 6, 5, 7])
    """
    require_tensor("weight", weight)
    if weight.ndim not in (1, 2):
        raise ValueError(f"weight must have 1 or 2 dimensions, got shape {tuple(weight.shape)}")
    num_heads = require_count("num_heads", num_heads)
    head_dim, rest = divmod(weight.shape[0], num_heads)
    if rest or not head_dim:
        raise ValueError(
            f"num_heads must divide the {weight.shape[0]} rows of weight; got {num_heads}"
        )
    order = order_of_head(head_dim, to, rotary_dim, rotated).to(weight.device)
    starts = head_dim * torch.arange(num_heads, device=weight.device)
    return take_rows(weight, (starts[:, None] + order).flatten())


def order_of_head(head_dim: int, to: str, rotary_dim: int | None, rotated: str) -> torch.Tensor:
    """Which old number of a head each new one is, ``(head_dim,)``; as in permute_projection."""
    require_choice("to", to, PAIRINGS)
    require_choice("rotated", rotated, ("first", "last"))
    rotary_dim = require_rotary_dim(head_dim, rotary_dim)
    start = head_dim - rotary_dim if rotated == "last" else 0
    places = torch.arange(head_dim, device="cpu")
    before, part, after = places.tensor_split((start, start + rotary_dim))
    return torch.cat((before, to_half(part) if to == "half" else to_interleaved(part), after))


def take_rows(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of a tensor of any dtype, also of those that PyTorch cannot index (8-bit floats)."""
    is_byte = x.dtype.itemsize == 1
    taken = (x.view(torch.uint8) if is_byte else x)[rows]
    return taken.view(x.dtype) if is_byte else taken


def _require_pairs(x: torch.Tensor) -> None:
    require_tensor("x", x)
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ValueError(f"x must have an even last dimension, got shape {tuple(x.shape)}")
