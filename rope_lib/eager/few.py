"""Few numbers, as in a step of one token: to start an operation costs more than its work.

So there are three operations for a tensor. What they multiply by is made once for a table, and so
are the checks of the table: one table serves all the layers of a model.
"""

import functools
from collections.abc import Callable

import torch

from ..arithmetic import as_numbers, is_plain, is_watched
from ..checks import PAIRINGS
from . import passes
from .blocks import both_halves
from .passes import in_order_of

Given = tuple[torch.Tensor | None, ...]
SMALL = 2**13  # numbers of a table that is kept: 32 KiB
RECENT = 32  # so many; a model has one or two kinds of layers
_WIDE = torch.float32
_NARROW = {torch.bfloat16: torch.Tensor.bfloat16, torch.float16: torch.Tensor.half}


class Factors:
    """What numbers are multiplied by, of float32 tables on a CPU.

    Args:
        cos, sin: ``(pairs,)``, ``(seq, pairs)``, or ``(batch, seq, pairs)`` for all heads.
    """

    def __init__(self, cos: torch.Tensor, sin: torch.Tensor):
        self.made_from = cos, sin
        self.copies = cos.clone(), sin.clone()
        self.pairs = cos.shape[-1]
        self.cos, self.sin = (x.unsqueeze(1) if x.ndim == 3 else x for x in self.copies)
        self._fitting: set[tuple] = set()  # shapes that were looked at, and dtypes

    @functools.cached_property
    def halves(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines of both halves, and the sines with their signs."""
        return both_halves(self.cos, self.sin)

    @functools.cached_property
    def turns(self) -> torch.Tensor:
        """Complex numbers, for pairs that lie side by side."""
        return torch.complex(self.cos, self.sin)

    def are_of(self, cos: torch.Tensor, sin: torch.Tensor) -> bool:
        """Whether they were made from these tables, and the numbers are still the same."""
        return (
            cos is self.made_from[0]
            and sin is self.made_from[1]
            and torch.equal(cos, self.copies[0])
            and torch.equal(sin, self.copies[1])
        )

    def turn_all(
        self, given: Given, pairing: str, rotated: str | None = None, head_dim: int | None = None
    ) -> Given | None:
        """Queries and keys turned, with None in the place of None.

        Returns None for everything unusual, mistakes included: the long way says what is wrong.
        """
        if pairing not in PAIRINGS:
            return None
        turn = self._turn_halves if pairing == "half" else self._turn_adjacent
        results, found = [], False
        for x in given:
            if x is not None:
                if not self._fits(x, head_dim):
                    return None
                x = turn(x) if rotated is None else self._turn_part(x, turn, rotated)
                if x is None:
                    return None
                found = True
            results.append(x)
        return tuple(results) if found else None

    def _fits(self, x: torch.Tensor, head_dim: int | None) -> bool:
        """Whether the tables turn ``x``, and no gradient is wanted."""
        if type(x) is not torch.Tensor or not x.is_cpu or x.layout is not torch.strided:
            return False
        if x.requires_grad and torch.is_grad_enabled():
            return False
        seen = (x.shape, x.dtype, head_dim)
        if seen in self._fitting:
            return True
        if self._has_place_for(*seen):
            self._fitting.add(seen)
            return True
        return False

    def _has_place_for(self, shape: torch.Size, dtype: torch.dtype, head_dim: int | None) -> bool:
        rows = self.made_from[0].shape[:-1]
        return (
            len(shape) > 1
            and (dtype is _WIDE or dtype in _NARROW)
            and shape[-1] == (head_dim or 2 * self.pairs)
            and shape.numel() <= passes.FEW
            and (not rows or rows[-1] == shape[-2])
            and (len(rows) < 2 or (len(shape) == 4 and rows[0] in (1, shape[0])))
        )

    def _turn_halves(self, x: torch.Tensor) -> torch.Tensor:
        """In float32, rounded once. Derivatives and vmap see through these operations."""
        doubled, signed = self.halves
        dtype = x.dtype
        wide = x if dtype is _WIDE else x.float()
        turned = wide.roll(self.pairs, -1).mul_(signed).addcmul_(wide, doubled)
        turned = turned if dtype is _WIDE else _NARROW[dtype](turned)
        return turned if x.is_contiguous() else in_order_of(x, turned)

    def _turn_adjacent(self, x: torch.Tensor) -> torch.Tensor | None:
        """The same; None where pairs do not lie side by side in memory, or are not plain."""
        if not is_plain(x):
            return None
        dtype = x.dtype
        try:
            pairs = (x if dtype is _WIDE else x.float()).view(torch.complex64)
        except RuntimeError:  # an odd stride or offset
            return None
        turned = as_numbers(pairs * self.turns, _WIDE)
        turned = turned if dtype is _WIDE else _NARROW[dtype](turned)
        return turned if x.is_contiguous() else in_order_of(x, turned)

    def _turn_part(self, x: torch.Tensor, turn: Callable, rotated: str) -> torch.Tensor | None:
        start = x.shape[-1] - 2 * self.pairs if rotated == "last" else 0
        end = start + 2 * self.pairs
        turned = turn(x[..., start:end])
        if turned is None:
            return None
        return in_order_of(x, torch.cat((x[..., :start], turned, x[..., end:]), dim=-1))


_recent: dict[int, Factors] = {}


def factors_of(cos: torch.Tensor, sin: torch.Tensor) -> Factors | None:
    """The factors of tables, made at their first use; None where tables are not small and plain."""
    factors = _recent.get(id(cos))
    if is_watched():
        return None
    if factors is not None and factors.are_of(cos, sin):
        return factors
    if not (type(cos) is type(sin) is torch.Tensor and cos.is_cpu and sin.is_cpu):
        return None
    if not (cos.dtype is sin.dtype is torch.float32 and cos.shape == sin.shape):
        return None
    if not (1 <= cos.ndim <= 3 and 0 < cos.numel() <= SMALL and cos.layout is torch.strided):
        return None
    if cos.requires_grad or sin.requires_grad or not is_plain(cos, sin):
        return None
    while len(_recent) >= RECENT:
        _recent.pop(next(iter(_recent)), None)
    _recent[id(cos)] = factors = Factors(cos, sin)  # which keeps cos: no other gets its id
    return factors


def turn_few(given: Given, cos, sin, pairing: str) -> Given | None:
    """:meth:`Factors.turn_all` by the factors of tables."""
    factors = factors_of(cos, sin)
    return None if factors is None else factors.turn_all(given, pairing)
