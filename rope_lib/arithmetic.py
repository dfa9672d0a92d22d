"""The arithmetic of a turn: its definition, and the same in fewer passes over memory.

Turning does little with each number, so its cost is how often numbers travel between memory and
processor. The definition makes about five passes. A compiler joins them into one. An eager run
cannot, and takes other ways to the same result: two numbers that lie side by side are one complex
number (whose product a processor may round once less), and everything else is turned in blocks that
stay in a core's own cache, with the very bits of the definition.
"""

from collections.abc import Iterator
from typing import Any

import torch

Tensors = tuple[torch.Tensor, ...]

BLOCK = 2**16  # numbers; 256 KiB of float32, of which a core's own cache holds several
_CPU = torch.device("cpu")
PLAIN = (torch.Tensor, torch.nn.Parameter)
FEW = 2**13  # numbers that take no longer to turn than the operations take to start


def define(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> torch.Tensor:
    """``(a cos - b sin, a sin + b cos)`` for each pair of ``x``, computed in the dtype ``work``.

    Plain operations, which compilers and transformations see through. The arguments fit each other
    already: :func:`rope_lib.functional.rotate` looks at them.
    """
    first, second = split(_in(work, x), pairing)
    cos, sin = _in(work, cos), _in(work, sin)
    turned = first * cos - second * sin, first * sin + second * cos
    # Narrowed before they are joined: a compiler would write the wide joint tensor to memory.
    return join([_in(x.dtype, part) for part in turned], pairing)


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
    cos, sin = _in(work, cos), _in(work, sin)
    pairs = _as_complex(x) if pairing == "interleaved" and x.dtype == work else None
    if pairs is not None:
        return in_order_of(x, (pairs * torch.complex(cos, sin)).view(work))
    result = torch.empty_like(x)
    _fill(result, x, cos, sin, pairing)
    return result


def turn_few_pairs(q: Any, k: Any, cos: Any, sin: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Queries and keys of few tokens in interleaved order and float32, or None.

    None is for everything unusual, mistakes included: the long way says what is wrong. With one
    token, the checks of the long way take longer than the work.
    """
    if not type(q) is type(k) is type(cos) is type(sin) is torch.Tensor:
        return None
    table = cos.shape
    if not (
        len(table) == 2
        and table == sin.shape
        and q.shape[-2:] == k.shape[-2:] == (table[0], 2 * table[1])
        and q.dtype is k.dtype is cos.dtype is sin.dtype is torch.float32
        and q.numel() <= FEW
        and k.numel() <= FEW
        and q.device == k.device == cos.device == sin.device == _CPU
        and is_plain(q, k, cos, sin)
    ):
        return None
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, cos, sin)):
        return None
    turns = torch.complex(cos, sin)
    try:
        return tuple(in_order_of(x, (x.view(turns.dtype) * turns).view(q.dtype)) for x in (q, k))
    except RuntimeError:  # an odd stride or offset
        return None


def wide(x: torch.Tensor, table: torch.Tensor) -> torch.dtype:
    """The dtype to compute in: 16-bit numbers are turned in float32 and rounded once."""
    return torch.promote_types(torch.promote_types(x.dtype, table.dtype), torch.float32)


def turn_(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> None:
    """:func:`turn`, with the result in the memory of ``x``."""
    if not _can_use_memory(x, cos, sin) or (x.requires_grad and torch.is_grad_enabled()):
        x.copy_(define(x, cos, sin, pairing, work))
        return
    cos, sin = _in(work, cos), _in(work, sin)
    pairs = _as_complex(x) if pairing == "interleaved" and x.dtype == work else None
    if pairs is not None:
        pairs.mul_(torch.complex(cos, sin))
    else:
        _fill(x, x, cos, sin, pairing)


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


def split(x: torch.Tensor, pairing: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of the first and the second number of every pair."""
    return (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, dim=-1)


def join(parts: list[torch.Tensor], pairing: str) -> torch.Tensor:
    """Undo :func:`split`."""
    if pairing == "interleaved":
        *rows, pairs = parts[0].shape
        return torch.stack(parts, dim=-1).reshape(*rows, 2 * pairs)
    return torch.cat(parts, dim=-1)


def is_plain(*tensors: torch.Tensor) -> bool:
    """The one question of every fast way: is each of these tensors its memory and nothing else?

    No subclass; no wrapper, as vmap and derivatives put around their arguments; no tangent of a
    forward derivative; and no compiler or tracer that watches. One argument that is not plain is
    enough to take the definition, which all of them see through.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return all(map(_is_bare, tensors))


def _is_bare(x: torch.Tensor) -> bool:
    if type(x) not in PLAIN:
        return False
    try:
        x.data_ptr()
    except RuntimeError:  # vmap or a derivative has wrapped it
        return False
    return torch.autograd.forward_ad.unpack_dual(x).tangent is None


def _can_use_memory(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> bool:
    """Whether the memory of ``x`` can be worked on, with tables that do not learn."""
    return x.is_cpu and not (cos.requires_grad or sin.requires_grad) and is_plain(x, cos, sin)


def in_order_of(x: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """``result`` in memory as ``torch.empty_like(x)`` is, whatever way it was made."""
    if x.is_contiguous() or result.stride() == x.stride() or not is_plain(x, result):
        return result
    ordered = torch.empty_like(x)
    return result if ordered.stride() == result.stride() else ordered.copy_(result)


def _in(dtype: torch.dtype, x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == dtype else x.to(dtype)


def _turn_few(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> torch.Tensor:
    """With few numbers, what costs is starting an operation, so as few as possible."""
    cos, sin = _in(work, cos), _in(work, sin)
    if pairing == "interleaved":
        return _times(x, torch.complex(cos, sin))
    first, second = _in(work, x).chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return _in(x.dtype, turned)


def _times(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Adjacent pairs times complex numbers."""
    kind = turns.dtype.to_real()
    numbers = _in(kind, x)
    pairs = _as_complex(numbers)
    if pairs is None:
        pairs = _as_complex(numbers.clone(memory_format=torch.contiguous_format))
    return _in(x.dtype, (pairs * turns).view(kind))


def _fill(
    result: torch.Tensor, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str
) -> None:
    """Turn ``x`` into ``result``, which may be ``x`` itself, in the dtype of the tables."""
    if pairing == "half":
        for block in _blocks(result, x, cos, sin):
            _turn_halves(*block, in_place=result is x)
    else:
        for block in _blocks(result, x, torch.complex(cos, sin)):
            _turn_copies(*block)


def _as_complex(x: torch.Tensor) -> torch.Tensor | None:
    """The same memory as complex numbers; None where pairs do not lie side by side in it."""
    try:
        return x.view(x.dtype.to_complex())
    except RuntimeError:  # an odd stride or offset
        return None


def _turn_halves(
    result: torch.Tensor, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, in_place: bool
) -> None:
    room = result if result.dtype == cos.dtype else torch.empty(x.shape, dtype=cos.dtype)
    if room is not result or not in_place:
        room.copy_(x)
    first, second = room.chunk(2, dim=-1)
    across, back = first * sin, second * sin
    first.mul_(cos).sub_(back)
    second.mul_(cos).add_(across)
    if room is not result:
        result.copy_(room)


def _turn_copies(result: torch.Tensor, x: torch.Tensor, turns: torch.Tensor) -> None:
    kind = turns.dtype.to_real()
    room = x.to(kind, copy=True, memory_format=torch.contiguous_format)
    room.view(turns.dtype).mul_(turns)
    result.copy_(room)


def _blocks(*tensors: torch.Tensor) -> Iterator[Tensors]:
    """Matching pieces of tensors whose rows broadcast, of BLOCK numbers at most.

    The sequence is cut first, so that its piece of the tables stays in the cache for all heads.

    Raises:
        RuntimeError: rows of the first tensor, which is written to, are one in memory.
    """
    first = tensors[0]
    if any(step == 0 and size > 1 for step, size in zip(first.stride(), first.shape, strict=True)):
        raise RuntimeError("rows of an expanded tensor are a single memory location")
    if first.numel() <= BLOCK:
        yield tensors
        return
    for piece in _rows(*tensors):
        yield from _cut(_broadcast(piece))


def _rows(*tensors: torch.Tensor) -> Iterator[Tensors]:
    """The sequence in pieces of BLOCK numbers for each head."""
    *rows, width = tensors[0].shape
    count = max(1, BLOCK // width)
    if not rows or rows[-1] <= count:
        yield tensors
    else:
        yield from zip(*(each.split(count, -2) for each in _broadcast(tensors)), strict=True)


def _cut(tensors: Tensors) -> Iterator[Tensors]:
    """Batches and heads in pieces of BLOCK numbers, or of one head."""
    first = tensors[0]
    if first.ndim <= 2:
        yield tensors
        return
    count = first.shape[0] * BLOCK // first.numel()
    cuts = (each.split(count) if count > 1 else each.unbind() for each in tensors)
    for piece in zip(*cuts, strict=True):
        if piece[0].numel() <= BLOCK:
            yield piece
        else:
            yield from _cut(piece)


def _broadcast(tensors: Tensors) -> Tensors:
    rows = tensors[0].shape[:-1]
    return tuple(each.expand(*rows, each.shape[-1]) for each in tensors)
