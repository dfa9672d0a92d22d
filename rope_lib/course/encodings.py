"""The rivals of RoPE: none, sinusoidal, learned, T5's bias and ALiBi, behind one protocol.

An encoding can act in two places. ``forward`` may change queries and keys before they are compared;
``bias`` may add a number to each score afterwards. Each rival uses one of the two, or neither.
"""

import math

import torch
from torch import nn

from ..checks import (
    FLOATS,
    require_a_position_each,
    require_count,
    require_dtype,
    require_even,
    require_float_tensor,
    require_instance,
    require_positions,
    require_positive,
    require_same_device,
    seen_any,
)
from ..frequencies import float64_device, inverse_frequencies
from ..functional import rotation_tables


class Encoding(nn.Module):
    """What every encoding can be asked. By itself it changes nothing.

    ``positions`` are tokens: ``(seq,)``, or ``(batch, 1, seq)`` for rows of their own, where the 1
    leaves room for the heads.
    """

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What to compare in place of ``q`` and ``k``, each ``(..., heads, seq, head_dim)``."""
        return q, k

    def bias(self, positions_q: torch.Tensor, positions_k: torch.Tensor) -> torch.Tensor | None:
        """What to add to the scores, ``(..., heads, seq_q, seq_k)``, or None for nothing."""
        return None


class NoPosition(Encoding):
    """Queries and keys as they are: only a causal mask can still tell where a token stands."""


class _Label(Encoding):
    """A vector for each position, to be added. Subclasses say which: ``vectors(positions)``."""

    width: int

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the vector of its position to each query and key; the dtypes stay.

        Raises:
            TypeError, ValueError: ``q`` or ``k`` is not ``width`` wide; a position for each row is
                missing; positions that :meth:`vectors` refuses.
        """
        return self._add("q", q, positions), self._add("k", k, positions)

    def _add(self, name: str, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        require_float_tensor(name, x, dims=2)
        require_positions("positions", positions)
        if x.shape[-1] != self.width:
            raise ValueError(
                f"{name} must have width = {self.width} as its last dimension, "
                f"got shape {tuple(x.shape)}"
            )
        require_a_position_each(name, x, positions)
        wide = torch.promote_types(x.dtype, torch.float32)  # 16-bit sums are rounded once
        labels = self.vectors(positions, wide)
        if positions.ndim == 2 and x.ndim == 4:
            labels = labels.unsqueeze(1)  # (batch, seq): the same for all heads
        return (x + labels).to(x.dtype)


class Sinusoidal(_Label):
    """Sines and cosines of the position, side by side: ``sin, cos, sin, cos, ...``.

    Pair ``i`` holds the sine and the cosine of ``position * base ** (-2 i / width)``: a clock hand.
    A model adds :meth:`vectors` to its embeddings, once; ``forward`` adds them to queries and keys
    instead. Many codes put all sines first, then all cosines. That is another order of the same
    numbers, but trained weights know the difference.

    Args:
        width: of the vectors; even.
        base: as in :func:`rope_lib.frequencies.inverse_frequencies`.

    Raises:
        TypeError, ValueError: an odd width, a base that is not above 0.

    Source: Attention Is All You Need (arXiv 1706.03762), section 3.5.
    """

    def __init__(self, width: int, base: float = 10_000.0):
        super().__init__()
        self.width = require_even("width", width)
        self.base = require_positive("base", base)

    def vectors(self, positions: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The labels, ``(*positions.shape, width)``; any finite positions.

        Raises:
            TypeError, ValueError: as in :func:`rope_lib.functional.rotation_tables`.
        """
        require_positions("positions", positions)
        device = float64_device(positions.device)
        inv_freq = inverse_frequencies(self.width, self.base, device=device)
        cos, sin = rotation_tables(positions, inv_freq, dtype)
        return torch.stack((sin, cos), dim=-1).flatten(-2)

    def extra_repr(self) -> str:
        return f"{self.width}, base={self.base:.15g}"


class Learned(_Label):
    """A table of vectors, one for each position, found by training. Where it ends, so does it.

    A model adds :meth:`vectors` to its embeddings, once; ``forward`` adds them to queries and keys
    instead. The table starts as that of ``torch.nn.Embedding``, with standard normal numbers.

    Args:
        max_positions: rows of the table; positions ``0 .. max_positions - 1`` are allowed.
        width: of the vectors.

    Raises:
        TypeError, ValueError: sizes that are not positive integers.
    """

    def __init__(self, max_positions: int, width: int):
        super().__init__()
        self.max_positions = require_count("max_positions", max_positions)
        self.width = require_count("width", width)
        self.table = nn.Embedding(self.max_positions, self.width)

    def vectors(self, positions: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The labels, ``(*positions.shape, width)``, in ``dtype`` or else in that of the table.

        Raises:
            TypeError: positions that are not integers.
            ValueError: positions below 0 or past the end of the table (seen on the CPU only).
        """
        _require_whole("positions", positions)
        last = self.max_positions - 1
        if seen_any(positions, lambda numbers: (numbers < 0) | (numbers > last)):
            raise ValueError(
                f"positions must lie between 0 and {last}, the last of the table; got "
                f"{positions.min().item()} to {positions.max().item()}"
            )
        if dtype is not None:
            require_dtype("dtype", dtype, FLOATS)
        return self.table(positions.long()).to(dtype or self.table.weight.dtype)


class T5Bias(Encoding):
    """One learned number a head for each bucket of distances, added to the score.

    Near distances have a bucket each; farther ones share, in steps that grow like a logarithm; all
    beyond ``max_distance`` share the last. T5 itself does not divide its scores by
    ``sqrt(head_dim)``, and uses one table in all its layers.

    Args:
        heads: of the queries.
        bidirectional: True tells keys ahead from keys behind (half of the buckets each); False puts
            all keys ahead into one bucket with distance 0, for use under a causal mask.
        buckets: how many numbers a head has.
        max_distance: tokens.

    Raises:
        TypeError, ValueError: sizes that are not positive integers; too few buckets; a largest
            distance below the distances that have a bucket of their own.

    Source: Raffel et al. (arXiv 1910.10683), section 2.1; the rounding is that of their code.
    """

    def __init__(
        self, heads: int, *, bidirectional: bool, buckets: int = 32, max_distance: int = 128
    ):
        super().__init__()
        self.heads = require_count("heads", heads)
        self.buckets = require_count("buckets", buckets)
        self.max_distance = require_count("max_distance", max_distance)
        self.bidirectional = require_instance("bidirectional", bidirectional, bool)
        if self._exact() < 1:
            least = 4 if bidirectional else 2
            raise ValueError(f"buckets must be at least {least}, got {buckets}")
        if self.max_distance <= self._exact():
            raise ValueError(
                f"max_distance must be above {self._exact()}, since nearer distances have a bucket "
                f"of their own; got {max_distance}"
            )
        self.table = nn.Embedding(self.buckets, self.heads)

    def bucket(self, distance: torch.Tensor) -> torch.Tensor:
        """Which bucket a distance falls into; key position minus query position, integers."""
        distance = _require_whole("distance", distance).long()  # since |-128| has no int8
        exact, first = self._exact(), 0
        sided = self.buckets // 2 if self.bidirectional else self.buckets
        if self.bidirectional:
            first, distance = sided * (distance > 0), distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        # Float32, as in the models that ship: an edge between buckets hangs on its rounding.
        steps = (distance.clamp(min=exact).float() / exact).log()
        far = exact + (steps / math.log(self.max_distance / exact) * (sided - exact)).long()
        return first + torch.where(distance < exact, distance, far.clamp(max=sided - 1))

    def bias(self, positions_q: torch.Tensor, positions_k: torch.Tensor) -> torch.Tensor:
        """The number of each pair's bucket, ``(..., heads, seq_q, seq_k)``.

        Raises:
            TypeError: positions that are not integers.
            ValueError: shapes or devices that do not fit.
        """
        _require_whole("positions_q", positions_q)
        _require_whole("positions_k", positions_k)
        bucket = self.bucket(_distances(positions_q, positions_k))
        if bucket.ndim > 2:
            bucket = bucket.squeeze(-3)  # the heads take this place
        return self.table(bucket).movedim(-1, -3)

    def _exact(self) -> int:
        """How many distances have a bucket of their own, on each side."""
        return self.buckets // (4 if self.bidirectional else 2)

    def extra_repr(self) -> str:
        return (
            f"{self.heads}, bidirectional={self.bidirectional}, buckets={self.buckets}, "
            f"max_distance={self.max_distance}"
        )


class ALiBi(Encoding):
    """Take ``slope * distance`` off each score; every head has its own slope, and none learns.

    The distance has no sign here: under a causal mask that is the paper's definition, without a
    mask it is the symmetric variant.

    Args:
        heads: of the queries. For a power of two the slopes are ``2 ** (-8 i / heads)`` with
            ``i = 1 .. heads``. Otherwise those of the next lower power of two come first; the
            missing ones are every other slope of twice that power, as in the paper's code.

    Raises:
        TypeError, ValueError: ``heads`` is not a positive integer.

    Source: Press et al. (arXiv 2108.12409), section 3.

    Example:
        >>> ALiBi(2).bias(torch.arange(3), torch.arange(3))[0]  # of the first head
        tensor([[-0.0000, -0.0625, -0.1250],
                [-0.0625, -0.0000, -0.0625],
                [-0.1250, -0.0625, -0.0000]])
    """

    def __init__(self, heads: int):
        super().__init__()
        self.heads = require_count("heads", heads)

    def slopes(self) -> list[float]:
        """How much a token of distance costs, head by head."""
        power = 2 ** (self.heads.bit_length() - 1)
        slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
        between = [2 ** (-4 * i / power) for i in range(1, 2 * power, 2)]
        return slopes + between[: self.heads - power]

    def bias(self, positions_q: torch.Tensor, positions_k: torch.Tensor) -> torch.Tensor:
        """``-slope * |distance|``, ``(..., heads, seq_q, seq_k)``, float32.

        Raises:
            TypeError, ValueError: positions, shapes or devices that do not fit.
        """
        distances = _distances(positions_q, positions_k).abs().float()
        slopes = torch.tensor(self.slopes(), dtype=torch.float32, device=distances.device)
        return -slopes[:, None, None] * distances

    def extra_repr(self) -> str:
        return f"{self.heads}"


def _distances(positions_q: torch.Tensor, positions_k: torch.Tensor) -> torch.Tensor:
    """Key position minus query position: ``(seq_q, seq_k)`` or ``(batch, 1, seq_q, seq_k)``."""
    for name, positions in (("positions_q", positions_q), ("positions_k", positions_k)):
        require_positions(name, positions)
        if positions.ndim == 0 or (positions.ndim > 1 and positions.shape[-2] != 1):
            raise ValueError(
                f"{name} must have shape (seq,) or (batch, 1, seq), got {tuple(positions.shape)}"
            )
    require_same_device("positions_q", positions_q, "positions_k", positions_k)
    if positions_q.shape[:-1] != positions_k.shape[:-1]:
        raise ValueError(
            "positions_q and positions_k must agree before their last dimension, got shapes "
            f"{tuple(positions_q.shape)} and {tuple(positions_k.shape)}"
        )
    # Whole numbers in a signed type, since 2 - 5 in uint8 is 253.
    signed = (p if p.is_floating_point() else p.long() for p in (positions_q, positions_k))
    query, key = signed
    return key[..., None, :] - query[..., :, None]


def _require_whole(name: str, value: torch.Tensor) -> torch.Tensor:
    require_positions(name, value)
    if value.is_floating_point():
        raise TypeError(f"{name} must be integers, got {value.dtype}")
    return value
