"""Many numbers: turned in blocks that stay in a cache, in as few passes as eager PyTorch has.

An operation is one pass over its numbers. Adjacent pairs are complex numbers and take one pass;
half-split pairs take three: each number times its cosine, the halves exchanged, and those times
their sines added. The exchange is the pass too many: no operation of PyTorch multiplies by numbers
that lie elsewhere in the row without copying them first. A compiler needs no such copy. 16-bit
numbers take two passes more, there and back.
"""

from collections.abc import Iterator

import torch

Tensors = tuple[torch.Tensor, ...]
BLOCK = 2**19  # numbers; smaller ones cost more in starting operations than they gain


def both_halves(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines for both halves of a head, and sines with the sign that each half takes them with."""
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def exchanged(x: torch.Tensor) -> torch.Tensor:
    """A copy with the halves of the last dimension in each other's place."""
    return x.roll(x.shape[-1] // 2, -1)


def fill(
    result: torch.Tensor, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str
) -> None:
    """Turn ``x`` into ``result``, which may be ``x`` itself, in the dtype of the tables.

    Raises:
        RuntimeError: rows of ``result`` are one in memory.
    """
    turn, factors = _turn_adjacent, (torch.complex(cos, sin),)
    if pairing == "half":
        doubled, signed = both_halves(cos, sin)
        is_wide = x.dtype == cos.dtype
        turn = _turn_wide_halves if is_wide else _turn_narrow_halves
        factors = (doubled, exchanged(signed)) if is_wide else (doubled, signed)
    room = _Room(x, cos.dtype)
    for block in _blocks(*_in_memory_order(result, x, *factors)):
        turn(*block, room, result is x)


class _Room:
    """Memory for one block at a time: new memory costs more than a pass."""

    def __init__(self, x: torch.Tensor, dtype: torch.dtype):
        self.size, self.dtype = min(x.numel(), BLOCK), dtype
        self.memory: torch.Tensor | None = None

    def like(self, x: torch.Tensor) -> torch.Tensor:
        count = x.numel()
        if self.memory is None or count > self.memory.numel():  # a row may be longer than a block
            self.memory = torch.empty(max(count, self.size), dtype=self.dtype)
        return self.memory[:count].view(x.shape)


def _turn_wide_halves(result, x, doubled, signed, room: _Room, in_place: bool) -> None:
    """``signed`` has each sine where its number is before the exchange.

    So ``x`` is first read in its own order, which is quicker than half by half.
    """
    others = torch.mul(x, signed, out=room.like(x) if in_place else result)
    torch.addcmul(exchanged(others), x, doubled, out=result)


def _turn_narrow_halves(result, x, doubled, signed, room: _Room, in_place: bool) -> None:
    wide = room.like(x).copy_(x)
    result.copy_(exchanged(wide).mul_(signed).addcmul_(wide, doubled))


def _turn_adjacent(result, x, turns, room: _Room, in_place: bool) -> None:
    wide = room.like(x).copy_(x)
    wide.view(turns.dtype).mul_(turns)
    result.copy_(wide)


def _in_memory_order(*tensors: torch.Tensor) -> Tensors:
    """All with the dimensions of rows in the order in which those of the first lie in memory.

    Models hand on ``(batch, heads, seq, width)`` as a view of ``(batch, seq, heads, width)``. Cut
    by heads, each block would read short rows far apart.
    """
    rows = range(tensors[0].ndim - 1)
    order = sorted(rows, key=tensors[0].stride, reverse=True)
    if order == list(rows):
        return tensors
    return tuple(each.permute(*order, -1) for each in _broadcast(tensors))


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
