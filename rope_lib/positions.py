"""The position of each token: the numbers by which a rotation multiplies its frequencies.

A position is a whole number of tokens, an int64, one for each token. Images and video need one for
each axis, and then the axes come first, ``(axes, seq)``: see :mod:`rope_lib.models.grids`. What a
model rotates is decided elsewhere, so nothing here knows about heads or frequencies.

The next token of a sequence stands one past the largest number that is there, on every axis:
``positions.max() + 1``. In a plain sequence that is its length; after pictures it is smaller, and
the difference from the length is what Qwen's code calls ``rope_delta``.
"""

from numbers import Integral

import torch

from .checks import require_tensor, seen_any

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def sequence_positions(
    length: int, *, start: int | torch.Tensor = 0, device: torch.device | str | None = None
) -> torch.Tensor:
    """``start, start + 1, ...``: tokens in a row, from wherever a cache has got to.

    Args:
        length: how many tokens; 0 or more.
        start: position of the first, in tokens; or one for each row of a batch, ``(batch,)``.
        device: where the result lives; a tensor ``start`` has said so already.

    Returns:
        int64, ``(length,)``, or ``(batch, length)`` for a tensor ``start``.

    Raises:
        TypeError, ValueError: not integers of 0 or more, a tensor of other than one dimension,
            another ``device`` than that of ``start``.

    Example:
        >>> sequence_positions(3, start=7)
        tensor([7, 8, 9])
    """
    require_size("length", length)
    if not isinstance(start, torch.Tensor):
        return torch.arange(length, device=device) + require_size("start", start)
    require_integers("start", start)
    if device is not None and start.device != torch.device(device):
        raise ValueError(f"device must be that of start, {start.device}, got {device}")
    if seen_any(start, lambda numbers: numbers < 0):
        raise ValueError(f"start must be at least 0, got {start.min().item()}")
    return start.unsqueeze(-1) + torch.arange(length, device=start.device)


def left_padded_positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions in a padded batch: each row counts its own tokens from 0 and skips the padding.

    Padding gets 0, which is harmless where the attention mask hides it. Padding on the right, or
    holes, are skipped alike. The next token of a row stands at ``mask.sum(-1)``.

    Args:
        mask: ``(..., seq)``, 1 or True for a token, 0 or False for padding.

    Returns:
        int64, of the shape of ``mask`` and on its device.

    Raises:
        TypeError, ValueError: not a mask of booleans or integers, other values than 0 and 1.

    Source: what transformers' ``generate`` does with an ``attention_mask`` (version 5.23).

    Example:
        >>> left_padded_positions(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]))
        tensor([[0, 0, 0, 1],
                [0, 1, 2, 3]])
    """
    if require_tensor("mask", mask).dtype not in (torch.bool, *_INTEGERS):
        raise TypeError(f"mask must hold booleans or integers, got {mask.dtype}")
    if mask.ndim == 0:
        raise ValueError("mask must have at least 1 dimension, got shape ()")
    if seen_any(mask, lambda numbers: (numbers != 0) & (numbers != 1)):
        wrong = mask[(mask != 0) & (mask != 1)][0].item()
        raise ValueError(f"mask must hold 1 for a token and 0 for padding, got {wrong}")
    return (mask.long().cumsum(dim=-1) - 1).masked_fill(mask == 0, 0)


def packed_positions(cu_seqlens: torch.Tensor, *, total: int | None = None) -> torch.Tensor:
    """Positions of sequences packed into one row: each begins again at 0.

    Args:
        cu_seqlens: ``(sequences + 1,)`` integers: where each sequence begins, and at last where
            all end, in tokens. Starts at 0 and never falls; empty sequences are fine.
        total: the last of these, if it is known: then the result's shape does not depend on data,
            so a GPU need not be waited for, and a compiler can trace it.

    Returns:
        int64, ``(total,)``, on the device of ``cu_seqlens``.

    Raises:
        TypeError, ValueError: ``cu_seqlens`` is not as above, or ``total`` is not its end.

    Example:
        >>> packed_positions(torch.tensor([0, 3, 5]))  # three tokens and two
        tensor([0, 1, 2, 0, 1])
    """
    sequence, row = _unpack(cu_seqlens, total)
    return row - cu_seqlens[sequence]


def packed_mask(cu_seqlens: torch.Tensor, *, total: int | None = None) -> torch.Tensor:
    """Which packed tokens may look at each other: True within a sequence, False across.

    Args, raises: as in :func:`packed_positions`.

    Returns:
        bool, ``(total, total)``; ``.tril()`` makes it causal.
    """
    sequence, _ = _unpack(cu_seqlens, total)
    return sequence.unsqueeze(-1) == sequence


def _unpack(cu_seqlens: torch.Tensor, total: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """For each packed token: which sequence it belongs to, and its place in the row."""
    require_integers("cu_seqlens", cu_seqlens)
    if seen_any(cu_seqlens[:1], lambda first: first != 0):
        raise ValueError(f"cu_seqlens must start at 0, got {cu_seqlens[0].item()}")
    if seen_any(cu_seqlens, lambda ends: ends[1:] < ends[:-1]):
        raise ValueError(f"cu_seqlens must never fall, got {cu_seqlens.tolist()}")
    total = int(cu_seqlens[-1]) if total is None else require_size("total", total)
    if seen_any(cu_seqlens[-1:], lambda end: end != total):
        raise ValueError(f"total must be the end of cu_seqlens, {cu_seqlens[-1]}, got {total}")
    row = torch.arange(total, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens[1:].long(), row, right=True), row


def require_size(name: str, value: int) -> int:
    """Return ``value`` if it is an integer of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return value


def require_integers(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it is a row of one integer or more."""
    if require_tensor(name, value).dtype not in _INTEGERS:
        raise TypeError(f"{name} must hold integers, got {value.dtype}")
    if value.ndim != 1 or len(value) == 0:
        raise ValueError(
            f"{name} must have one dimension and a number in it, got shape {tuple(value.shape)}"
        )
    return value
