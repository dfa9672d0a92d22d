"""A turn in as few passes over memory as eager PyTorch has.

Turning does little with each number, so its cost is how often numbers travel between memory and
processor. The definition makes about five passes. A compiler joins them into one. An eager run
cannot, and takes other ways to the same result: two numbers that lie side by side are one complex
number (whose product a processor may round once less), and everything else is turned in blocks that
stay in a core's own cache.
"""

import torch

from ..arithmetic import as_dtype, as_numbers, define, is_plain
from .blocks import both_halves, exchanged, fill

FEW = 2**16  # numbers whose temporary copies stay in a core's own cache, without blocks


def turn(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> torch.Tensor:
    """:func:`define`, in fewer passes where that is possible."""
    if not _can_use_memory(x, cos, sin):
        return define(x, cos, sin, pairing, work)
    if x.requires_grad and torch.is_grad_enabled():
        return _Turn.apply(x, cos, sin, pairing, work)
    if x.numel() <= FEW:
        return in_order_of(x, _turn_few(x, cos, sin, pairing, work))
    cos, sin = as_dtype(work, cos), as_dtype(work, sin)
    pairs = _as_complex(x) if pairing == "interleaved" and x.dtype == work else None
    if pairs is not None:
        return in_order_of(x, as_numbers(pairs * torch.complex(cos, sin), work))
    result = torch.empty_like(x)
    fill(result, x, cos, sin, pairing)
    return result


def turn_(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> None:
    """:func:`turn`, with the result in the memory of ``x``."""
    if not _can_use_memory(x, cos, sin) or (x.requires_grad and torch.is_grad_enabled()):
        x.copy_(define(x, cos, sin, pairing, work))
        return
    cos, sin = as_dtype(work, cos), as_dtype(work, sin)
    pairs = _as_complex(x) if pairing == "interleaved" and x.dtype == work else None
    if pairs is not None:
        pairs.mul_(torch.complex(cos, sin))
    else:
        fill(x, x, cos, sin, pairing)


class _Turn(torch.autograd.Function):
    """The gradient of a turn is the turn back: it needs the tables, not what was turned."""

    @staticmethod
    def forward(ctx, x, cos, sin, pairing, work):
        ctx.save_for_backward(cos, sin)
        ctx.pairing, ctx.work = pairing, work
        return turn(x, cos, sin, pairing, work)

    @staticmethod
    def backward(ctx, gradient):
        cos, sin = ctx.saved_tensors
        return turn(gradient, cos, -sin, ctx.pairing, ctx.work), None, None, None, None


def _can_use_memory(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> bool:
    """Whether the memory of ``x`` can be worked on, with tables that do not learn."""
    return x.is_cpu and not (cos.requires_grad or sin.requires_grad) and is_plain(x, cos, sin)


def in_order_of(x: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """``result`` in memory as ``torch.empty_like(x)`` is, whatever way it was made."""
    if x.is_contiguous() or result.stride() == x.stride() or not is_plain(x, result):
        return result
    ordered = torch.empty_like(x)
    return result if ordered.stride() == result.stride() else ordered.copy_(result)


def _turn_few(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> torch.Tensor:
    """With few numbers, what costs is starting an operation, so as few as possible."""
    cos, sin = as_dtype(work, cos), as_dtype(work, sin)
    if pairing == "interleaved":
        return _times(x, torch.complex(cos, sin))
    wide = as_dtype(work, x)
    doubled, signed = both_halves(cos, sin)
    return as_dtype(x.dtype, exchanged(wide).mul_(signed).addcmul_(wide, doubled))


def _times(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Adjacent pairs times complex numbers."""
    kind = turns.dtype.to_real()
    numbers = as_dtype(kind, x)
    pairs = _as_complex(numbers)
    if pairs is None:
        pairs = _as_complex(numbers.clone(memory_format=torch.contiguous_format))
    return as_dtype(x.dtype, as_numbers(pairs * turns, kind))


def _as_complex(x: torch.Tensor) -> torch.Tensor | None:
    """The same memory as complex numbers; None where pairs do not lie side by side in it."""
    try:
        return x.view(x.dtype.to_complex())
    except RuntimeError:  # an odd stride or offset
        return None
