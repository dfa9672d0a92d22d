"""Positions with more than one axis: which pairs rotate by the row, the column or the time.

A token of an image has a row and a column; a token of a video also has a time. The pairs of a head
are then shared out among the axes. An :class:`Axes` says for every pair which axis rotates it, and
with which frequency of the ladder.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .checks import require_count, require_even, require_instance


@dataclass(frozen=True, repr=False)
class Axes:
    """Pair ``j`` rotates by ``positions[axis[j]] * inv_freq[step[j]]``.

    Args:
        axis: for each pair, the axis of the positions that rotates it.
        step: for each pair, its step on the ladder of frequencies.
        width: the ladder is ``inverse_frequencies(width, base)``; even.
        blocks: pairs are formed within each of so many equal slices of the head.

    Raises:
        TypeError, ValueError: lengths that differ, steps beyond the ladder, blocks that do not
            divide the pairs.
    """

    axis: tuple[int, ...]
    step: tuple[int, ...]
    width: int
    blocks: int = 1

    def __post_init__(self):
        require_even("width", self.width)
        for name in ("axis", "step"):
            numbers = tuple(require_instance(name, getattr(self, name), tuple | list))
            object.__setattr__(self, name, numbers)
            for number in numbers:
                if type(number) is not int:
                    raise TypeError(f"{name} must hold integers, got {number!r}")
        if len(self.axis) != len(self.step) or not self.axis:
            raise ValueError(
                f"axis and step must hold one number a pair, got {len(self.axis)} and "
                f"{len(self.step)}"
            )
        if not all(0 <= step < self.width // 2 for step in self.step):
            raise ValueError(f"step must lie in 0..{self.width // 2 - 1}, got {self.step}")
        if set(self.axis) != set(range(self.count)):
            raise ValueError(f"axis must name every axis from 0 up, got {self.axis}")
        if len(self.axis) % require_count("blocks", self.blocks):
            raise ValueError(f"blocks must divide {len(self.axis)} pairs, got {self.blocks}")

    def __repr__(self) -> str:
        owners = ", ".join(f"{self.axis.count(axis)} to axis {axis}" for axis in range(self.count))
        blocks = f", in {self.blocks} blocks" if self.blocks > 1 else ""
        return f"<{len(self.axis)} pairs of a ladder of {self.width}: {owners}{blocks}>"

    @property
    def count(self) -> int:
        """How many axes a position has."""
        return max(self.axis) + 1


def sections(sizes: Sequence[int], *, interleaved: bool = False) -> Axes:
    """M-RoPE: the pairs of one ladder are shared out, ``sizes[a]`` of them to axis ``a``.

    In sections (Qwen2-VL) the first axis gets the fastest pairs, the last one the slowest.
    Interleaved (Qwen3-VL) the axes take turns, so that each gets fast and slow ones; what is left
    goes to the first axis.

    Raises:
        ValueError: interleaved sizes that do not fit between each other.

    Source: Qwen2-VL (arXiv 2409.12191), section 2.1; Qwen3-VL's release for the interleaved form.

    Example:
        >>> sections([16, 24, 24])  # Qwen2-VL: pairs for time, row and column
        <64 pairs of a ladder of 128: 16 to axis 0, 24 to axis 1, 24 to axis 2>
    """
    require_sizes(sizes)
    require_instance("interleaved", interleaved, bool)
    pairs, count = sum(sizes), len(sizes)
    axis = [number for number, size in enumerate(sizes) for _ in range(size)]
    if interleaved:
        axis = [0] * pairs
        for number in range(1, count):
            for pair in range(number, count * sizes[number], count):
                if pair >= pairs:
                    raise ValueError(f"sizes {tuple(sizes)} cannot be interleaved")
                axis[pair] = number
    return Axes(tuple(axis), tuple(range(pairs)), 2 * pairs)


def axial(rotary_dim: int | Sequence[int], count: int = 2, *, blocks: bool = False) -> Axes:
    """Every axis has a whole ladder of its own, of ``rotary_dim / count`` numbers.

    Args:
        rotary_dim: elements to rotate; a multiple of ``2 * count``. Or those of each axis, as
            ``[16, 56, 56]`` in Flux and ``[44, 42, 42]`` in Wan: ladders of unequal width, taken
            as steps of one that is wider, which is what a scaling sees.
        count: axes, where they are alike.
        blocks: each axis rotates a slice of the head of its own, instead of a share of all pairs.
            The difference shows with half-split pairs only.

    Source: the vision towers of Qwen2-VL and DINOv3 (``blocks=False``), ChatGLM-6B and Gemma 4's
    vision tower (``blocks=True``).

    Example:
        >>> axial(64)
        <32 pairs of a ladder of 32: 16 to axis 0, 16 to axis 1>
    """
    if isinstance(rotary_dim, list | tuple):
        return _unequal(rotary_dim)
    pairs = pairs_of_each(rotary_dim, count)
    require_instance("blocks", blocks, bool)
    axis = tuple(number for number in range(count) for _ in range(pairs))
    return Axes(axis, tuple(range(pairs)) * count, 2 * pairs, blocks=count if blocks else 1)


def _unequal(widths: Sequence[int]) -> Axes:
    """Ladders of these widths are steps of one whose width is their least common multiple."""
    require_sizes(widths)
    for width in widths:
        require_even("rotary_dim", width)
    common = math.lcm(*widths)
    axis = tuple(number for number, width in enumerate(widths) for _ in range(width // 2))
    step = (pair * common // width for width in widths for pair in range(width // 2))
    return Axes(axis, tuple(step), common)


def require_sizes(sizes: Sequence[int]) -> None:
    for size in require_instance("sizes", sizes, list | tuple):
        require_count("sizes", size)
    if not sizes:
        raise ValueError("sizes must hold one number an axis, got none")


def pairs_of_each(rotary_dim: int, count: int) -> int:
    """Pairs for each axis."""
    require_even("rotary_dim", rotary_dim)
    pairs, rest = divmod(rotary_dim, 2 * require_count("count", count))
    if rest:
        raise ValueError(
            f"rotary_dim must be a multiple of 2 * count = {2 * count}, got {rotary_dim}"
        )
    return pairs
