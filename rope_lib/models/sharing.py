"""How families share out the pairs of a head among axes, by the names that conventions use."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..axes import Axes, axial, pairs_of_each, require_sizes, sections


def alternating(rotary_dim: int, count: int = 2) -> Axes:
    """One ladder, dealt out step by step: with two axes, the even steps and the odd ones.

    Source: Pixtral's vision tower.

    Example:
        >>> alternating(64)
        <32 pairs of a ladder of 64: 16 to axis 0, 16 to axis 1>
    """
    pairs = pairs_of_each(rotary_dim, count)
    axis = tuple(number for number in range(count) for _ in range(pairs))
    step = tuple(count * pair + number for number in range(count) for pair in range(pairs))
    return Axes(axis, step, rotary_dim)


def _columns_first(rotary_dim: int) -> Axes:
    shared = axial(rotary_dim)
    return replace(shared, axis=tuple(1 - axis for axis in shared.axis))


def _alternating_ladders(rotary_dim: int) -> Axes:
    """Column, row, column, row ..., each with a ladder of its own (Kimi)."""
    pairs = 2 * pairs_of_each(rotary_dim, 2)
    return Axes(tuple(1 - j % 2 for j in range(pairs)), tuple(j // 2 for j in range(pairs)), pairs)


def _alternating_in_place(rotary_dim: int) -> Axes:
    """Row, column, row, column ... down one ladder (NeoMME)."""
    pairs = 2 * pairs_of_each(rotary_dim, 2)
    return Axes(tuple(j % 2 for j in range(pairs)), tuple(range(pairs)), rotary_dim)


def _rows_and_columns_then_time(sizes: Sequence[int]) -> Axes:
    """ERNIE 4.5: rows and columns take turns on the fast pairs, time gets the slow ones."""
    require_sizes(sizes)
    rows, columns, time = sizes
    axis = (1, 2) * rows + (0,) * time
    if rows != columns:
        raise ValueError(f"sizes must give rows and columns equally many pairs, got {tuple(sizes)}")
    return Axes(axis, tuple(range(len(axis))), 2 * len(axis))


#: By the names that families use. Models that have sections give their sizes, others rotary_dim.
SHARED_OUT: dict[str, Callable[..., Axes]] = {
    "axial": axial,
    "axial, columns first": _columns_first,
    "alternating": alternating,
    "alternating ladders": _alternating_ladders,
    "alternating in place": _alternating_in_place,
    "blocks": lambda rotary_dim: axial(rotary_dim, blocks=True),
    "sections": sections,
    "interleaved sections": lambda sizes: sections(sizes, interleaved=True),
    "rows and columns, then time": _rows_and_columns_then_time,
}
