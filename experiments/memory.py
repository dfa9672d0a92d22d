"""Ways to read with one set of trained weights: what a query sees, and how far off it seems.

A :class:`Memory` holds keys that are *not rotated*, and values. A :class:`Way` rotates queries and
keys when they meet: each of its ranges says for which distances it is meant, and to which positions
the two are rotated there. Plain RoPE has one range, and rotates everything to its own position; a
window has one that ends; a clamped distance has two, the second of which rotates all far keys to
one position. Text is read in chunks, each of which looks at the memory and at itself.

Positions, and what is computed from them alone, stay on the CPU; all else is where the model is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from llama import Llama

from rope_lib.functional import rotate

CHUNK = 1024
Move = Callable[[torch.Tensor], torch.Tensor]


def stay(positions: torch.Tensor) -> torch.Tensor:
    return positions


@dataclass(frozen=True)
class Range:
    """Distances from ``nearest`` up to, not including, ``beyond``, and how they are rotated.

    Args:
        query_at, key_at: positions ``(seq,)`` to those that are rotated to: ``(seq,)``, or
            ``(seq, pairs)`` where pairs go to positions of their own.
        first: only keys at positions below it; None means all.
    """

    nearest: float = 0
    beyond: float = math.inf
    query_at: Move = stay
    key_at: Move = stay
    first: float = math.inf

    def holds(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Which pairs are in it, ``(queries, keys)``, from their positions."""
        distance = queries[:, None] - keys
        return (distance >= self.nearest) & (distance < self.beyond) & (keys < self.first)

    def splits(self, queries: torch.Tensor, keys: torch.Tensor) -> tuple[int, int, int, int]:
        """Where rising ``keys`` begin and end to be held by some query, and by all of them.

        Returns:
            ``(some, all, no longer all, none)``: four indices that never fall.
        """
        low, high = queries.min(), queries.max()
        last = min(len(keys), int(torch.searchsorted(keys, torch.tensor(float(self.first)))))
        bounds = [
            _count(keys <= low - self.beyond), _count(keys <= high - self.beyond),
            _count(keys <= low - self.nearest), _count(keys <= high - self.nearest),
        ]  # fmt: skip
        some, whole, less, none = (min(bound, last) for bound in bounds)
        return (some, whole, less, none) if whole < less else (some, some, some, none)


@dataclass(frozen=True)
class Way:
    """How queries and keys are rotated when they meet.

    Args:
        inv_freq: ``(head_dim / 2,)`` radians a token.
        amplitude: both are multiplied by it (YaRN's temperature).
        ranges: which must not overlap; what no range holds is not seen.
        query_scale: positions to a factor of the query, for scores that grow with the position.
        silent: pairs that add nothing to the score, by number.
    """

    inv_freq: torch.Tensor
    amplitude: float = 1.0
    ranges: tuple[Range, ...] = (Range(),)
    query_scale: Move | None = None
    silent: tuple[int, ...] = ()

    def turn(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """``x``, half-split, rotated to ``positions``: ``(seq,)`` or ``(seq, pairs)``."""
        if positions.ndim == 1:
            positions = positions[:, None]
        angles = positions.double() * self.inv_freq
        tables = (self.amplitude * table for table in (angles.cos(), angles.sin()))
        cos, sin = (table.to(x.device, torch.float32) for table in tables)
        return rotate(x, cos, sin, pairing="half")

    def queries(self, q: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Queries before their rotation: silenced and scaled."""
        if self.query_scale is not None:
            scale = self.query_scale(positions.double())[:, None]
            q = q * scale.to(q.device, torch.float32)
        if self.silent:
            half = q.shape[-1] // 2
            q = q.clone()
            q[..., [*self.silent, *(half + pair for pair in self.silent)]] = 0
        return q


@dataclass
class Memory:
    """What was read: for each layer keys before rotation and values; and one row of positions."""

    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)
    positions: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: torch.Tensor, positions: torch.Tensor | None = None) -> "Memory":
        """Some rows only, in rising order, at their positions or at others."""
        kept = [[x[..., rows, :] for x in tensors] for tensors in (self.keys, self.values)]
        return Memory(*kept, self.positions[rows] if positions is None else positions.double())

    def extended(self, other: "Memory") -> "Memory":
        """This, followed by ``other``."""
        if not self.keys:
            return other
        pairs = (
            zip(self.keys, other.keys, strict=True),
            zip(self.values, other.values, strict=True),
        )
        joined = [[torch.cat(two, dim=-2) for two in both] for both in pairs]
        return Memory(*joined, torch.cat((self.positions, other.positions)))


@torch.no_grad()
def read(
    model: Llama,
    tokens: torch.Tensor,
    way: Way,
    memory: Memory | None = None,
    *,
    positions: torch.Tensor | None = None,
    sees: torch.Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[torch.Tensor, Memory]:
    """Read ``tokens`` after what is in ``memory``.

    Args:
        tokens: ids, ``(seq,)``.
        positions: of the tokens; by default they follow the memory.
        sees: which of its own tokens each one sees, ``(seq, seq)``, read in one chunk; by default
            those before it and itself.

    Returns:
        What stands before the output, ``(seq, width)``, and the memory with the new tokens in it.
    """
    memory = memory or Memory()
    if positions is None:
        first = memory.positions[-1] + 1 if len(memory) else 0
        positions = first + torch.arange(len(tokens))
    found, device = [], model.embedding.weight.device
    chunk = len(tokens) if sees is not None else chunk
    for part, places in zip(tokens.split(chunk), positions.double().split(chunk), strict=True):
        step = _Step(way, memory, places, sees)
        found.append(model(part[None].to(device), step.attend)[0])
        memory = memory.extended(Memory(step.keys, step.values, places))
    return torch.cat(found), memory


@torch.no_grad()
def queries_keys_values(model: Llama, tokens: torch.Tensor, way: Way) -> list[tuple]:
    """What each layer compares when ``tokens`` are read in one chunk: q, k and v, not rotated."""
    step = _Step(way, Memory(), torch.arange(len(tokens)).double(), None)
    seen = []

    def attend(q, k, v, number: int) -> torch.Tensor:
        seen.append((q.cpu(), k.cpu(), v.cpu()))
        return step.attend(q, k, v, number)

    model(tokens[None].to(model.embedding.weight.device), attend)
    return seen


class _Step:
    """One chunk on its way through the layers."""

    def __init__(self, way: Way, memory: Memory, positions: torch.Tensor, sees):
        self.way, self.memory, self.positions = way, memory, positions
        order = torch.arange(len(positions))
        self.sees = order[:, None] >= order if sees is None else sees
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def attend(self, q, k, v, number: int) -> torch.Tensor:
        self.keys.append(k)
        self.values.append(v)
        groups = q.shape[1] // k.shape[1]
        q = self.way.queries(q, self.positions)
        parts = []
        for held in self.way.ranges:
            turned = self.way.turn(q, held.query_at(self.positions))
            turned = turned.unflatten(1, (-1, groups)).flatten(2, 3)  # a group shares its keys
            parts += self._own(held, turned, k, v, groups)
            if len(self.memory):
                parts += self._past(held, turned, number, groups)
        return merge(parts).unflatten(2, (groups, -1)).flatten(1, 2)

    def _own(self, held: Range, q, k, v, groups: int) -> list:
        mask = self.sees & held.holds(self.positions, self.positions)
        if not mask.any():
            return []
        k = self.way.turn(k, held.key_at(self.positions))
        return [partial_attention(q, k, v, mask.repeat(groups, 1))]

    def _past(self, held: Range, q, number: int, groups: int) -> list:
        memory, parts = self.memory, []
        some, whole, less, none = held.splits(self.positions, memory.positions)
        if some == none:
            return []
        seen = slice(some, none)
        k = self.way.turn(memory.keys[number][..., seen, :], held.key_at(memory.positions[seen]))
        v = memory.values[number][..., seen, :]
        for begin, end in ((some, whole), (whole, less), (less, none)):
            if begin == end:
                continue
            mask = None
            if (begin, end) != (whole, less):
                mask = held.holds(self.positions, memory.positions[begin:end]).repeat(groups, 1)
            cut = slice(begin - some, end - some)
            parts.append(partial_attention(q, k[..., cut, :], v[..., cut, :], mask))
        return parts


def partial_attention(q, k, v, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over a part of the keys, and the logarithm of the sum that it divided by.

    Args:
        q: ``(batch, heads, rows, head_dim)``; k, v: ``(batch, heads, keys, head_dim)``.
        mask: ``(rows, keys)``, True where a row sees a key. A row that sees nothing gets -inf.
    """
    bias = None
    if mask is not None:
        mask = mask.to(q.device)
        bias = torch.zeros(mask.shape, device=q.device).masked_fill_(~mask, -torch.inf)
    if q.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, total = flash(q, k, v, attn_mask=bias)
    else:
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores if bias is None else scores + bias
        total = scores.logsumexp(dim=-1)
        out = (scores - total[..., None]).exp() @ v
    if mask is not None:
        blind = ~mask.any(dim=-1)  # what the kernel gives there is not defined
        out[..., blind, :], total[..., blind] = 0.0, -torch.inf
    return out, total


def merge(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Attention over all keys from attention over parts of them."""
    if len(parts) == 1:
        return parts[0][0]
    shares = torch.stack([total for _, total in parts]).softmax(dim=0)
    return sum(share[..., None] * out for share, (out, _) in zip(shares, parts, strict=True))


def _count(true: torch.Tensor) -> int:
    return int(true.sum())
