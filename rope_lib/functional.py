"""Rotating vectors: the tables of cosines and sines, and the rotation itself.

Tables are half width: one cosine and one sine for each pair. A table therefore fits both pairings
and cannot disagree with either; only :func:`rotate` needs to be told which numbers form a pair.
"""

from dataclasses import dataclass
from typing import Any

import torch

from .arithmetic import define, wide
from .checks import (
    FLOATS,
    LAYOUTS,
    PAIRINGS,
    WIDE_FLOATS,
    fits_rows,
    refuse_foreign,
    require_choice,
    require_dtype,
    require_finite,
    require_float_tensor,
    require_instance,
    require_positions,
    require_positive,
    require_same_device,
    require_tensor,
    seen_any,
)
from .eager.few import turn_few
from .eager.passes import in_order_of, turn, turn_
from .frequencies import float64_device


@dataclass(frozen=True)
class Precision:
    """Where a rotation rounds. The default rounds once, at the end.

    Shipped models round earlier, each in its own way; with their value here, results agree with
    theirs bit for bit.

    Args:
        angles: the dtype of frequencies and angles. In float32, an angle at position 1,000,000 is
            off by up to 0.06 radians.
        wide_tables: keep tables in float32 or wider; otherwise in the dtype of what is rotated.
        wide_arithmetic: multiply and add in float32 or wider; otherwise in the wider of the dtypes
            of the tables and of what is rotated.
    """

    angles: torch.dtype = torch.float64
    wide_tables: bool = True
    wide_arithmetic: bool = True

    def __post_init__(self):
        require_dtype("angles", self.angles, WIDE_FLOATS)
        require_instance("wide_tables", self.wide_tables, bool)
        require_instance("wide_arithmetic", self.wide_arithmetic, bool)


EXACT = Precision()


def rotation_tables(
    positions: torch.Tensor,
    inv_freq: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    *,
    axis: torch.Tensor | None = None,
    angles: torch.dtype = torch.float64,
    amplitude: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of every angle ``position * inv_freq``.

    The angles are computed in float64 by multiplication and the results are cast once. An angle is
    off by at most about ``position * 2**-52`` radians: 2e-10 at position 1,000,000, far below the
    rounding of a float32.

    Args:
        positions: tokens, any shape; integers, or float32/float64 (fractions and negative numbers
            are angles like any other). With ``axis``, the first dimension holds the axes.
        inv_freq: radians per token, ``(pairs,)``, float32 or float64.
        dtype: what the tables are stored in.
        axis: ``(pairs,)`` integers, which axis of the positions rotates each pair.
        angles: float64, or float32 to round as most shipped models do.
        amplitude: what cosines and sines are multiplied by (see :mod:`rope_lib.scaling`).

    Returns:
        ``cos, sin``, each ``(*positions.shape, pairs)``, without the dimension of the axes, on the
        device of ``positions``.

    Raises:
        TypeError: a dtype that cannot hold positions or angles (bool, complex, 8 or 16-bit floats).
        ValueError: NaN or infinity, ``inv_freq`` with other than one dimension, two devices.

    Example:
        >>> inv_freq = inverse_frequencies(4, base=100.0)
        >>> cos, sin = rotation_tables(torch.arange(2), inv_freq)
        >>> sin  # a row for each position, a column for each pair
        tensor([[0.0000, 0.0000],
                [0.8415, 0.0998]])
    """
    _require_tabulable(positions, inv_freq, dtype, angles)
    require_positive("amplitude", amplitude)
    if axis is not None:
        _require_axis(axis, positions, inv_freq)
    return tables_at(positions, inv_freq, dtype, axis, angles, amplitude)


def tables_at(
    positions: torch.Tensor, inv_freq: torch.Tensor, dtype: torch.dtype, axis: torch.Tensor | None,
    angles: torch.dtype, amplitude: float,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """:func:`rotation_tables` of what fits already."""
    work = float64_device(positions.device)
    placed = positions.to(work, angles)
    placed = placed.unsqueeze(-1) if axis is None else placed[axis.to(work)].movedim(0, -1)
    turned = placed * inv_freq.to(work, angles)
    tables = (turned.cos(), turned.sin())
    if amplitude != 1:
        tables = (amplitude * table for table in tables)
    return tuple(table.to(positions.device, dtype) for table in tables)


def rotate(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    pairing: str,
    *,
    rotated: str | None = None,
    inverse: bool = False,
    layout: str = "bhsd",
    precision: Precision = EXACT,
    **foreign: Any,
) -> torch.Tensor:
    """Rotate each pair of the last dimension counter-clockwise by its angle.

    The pair ``(a, b)`` becomes ``(a cos - b sin, a sin + b cos)``. Lengths stay, and the dot
    product of two rotated vectors depends on the difference of their positions only.

    Args:
        x: ``(..., seq, head_dim)``, floating point; in another order with ``layout``.
        cos, sin: from :func:`rotation_tables`: ``(pairs,)`` for all rows alike, ``(seq, pairs)``
            row by row, ``(batch, seq, pairs)`` those of each sequence where ``x`` has four
            dimensions; otherwise as many dimensions as ``x`` and in its order, broadcast against
            it. ``pairs`` is ``head_dim / 2``, or fewer with ``rotated``.
        pairing: ``"interleaved"`` for pairs ``(2i, 2i+1)``, ``"half"`` for ``(i, i + head_dim/2)``.
        rotated: for tables of fewer pairs: whether they rotate the ``"first"`` or the ``"last"``.
        inverse: rotate clockwise instead.
        layout: ``"bhsd"`` (batch, heads, seq, head_dim; any dimensions may come before the last
            two), ``"bshd"``, ``"sbhd"``, or ``"thd"`` (tokens, heads, head_dim). Said, since heads
            that are taken for tokens rotate without an error where there are equally many.
        precision: where to round. With another than the default, every step is that of the formula
            above; with the default, a processor may also fuse a product with a sum.

    Returns:
        A new tensor with the shape and dtype of ``x``, in memory as ``torch.empty_like(x)`` is.

    Raises:
        TypeError: ``x`` or a table is not a floating-point tensor; an argument of other libraries.
        ValueError: shapes or devices that do not fit, an unknown pairing or layout.

    Source: RoFormer (arXiv 2104.09864), equation 34.

    Example:
        >>> x = torch.tensor([[1.0, 0.0, 2.0, 0.0]])
        >>> cos, sin = torch.zeros(1, 2), torch.ones(1, 2)  # a quarter of a turn
        >>> rotate(x, cos, sin, pairing="interleaved")  # the pairs (1, 0) and (2, 0)
        tensor([[0., 1., 0., 2.]])
        >>> rotate(x, cos, sin, pairing="half")  # the pairs (1, 2) and (0, 0)
        tensor([[-2.,  0.,  1.,  0.]])
    """
    if precision is EXACT and layout == "bhsd" and not (rotated or inverse or foreign):
        few = turn_few((x,), cos, sin, pairing)
        if few is not None:
            return few[0]
    refuse_foreign("rotate", foreign)
    view, cos, sin = heads_first("x", x, layout, cos, sin)
    require_fitting(view, cos, sin, pairing, rotated)
    sin = -sin if inverse else sin
    return heads_back(turn_part(view, cos, sin, pairing, rotated, precision), layout)


def rotate_(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    pairing: str,
    *,
    rotated: str | None = None,
    inverse: bool = False,
    layout: str = "bhsd",
    **foreign: Any,
) -> torch.Tensor:
    """Rotate ``x`` in place: :func:`rotate`, without room for a second ``x``.

    A float32 or float64 tensor in interleaved order is one complex multiplication over its own
    memory. Everything else is rotated block by block and takes the memory of a block. Where a
    gradient of ``x`` is recorded, or a compiler traces, it is a copy of :func:`rotate`'s result.

    Args:
        x: ``(..., seq, head_dim)``, overwritten. With a ``RuntimeError``, PyTorch refuses a leaf
            that requires a gradient, and an expanded tensor, whose rows are one row in memory.
        cos, sin, pairing, rotated, inverse, layout: as in :func:`rotate`.

    Returns:
        ``x`` itself.

    Raises:
        TypeError, ValueError: as in :func:`rotate`; ``x`` is then untouched.
    """
    if layout == "bhsd" and not (rotated or inverse or foreign):
        few = turn_few((x,), cos, sin, pairing)
        if few is not None:
            return x.copy_(few[0])
    refuse_foreign("rotate_", foreign)
    view, cos, sin = heads_first("x", x, layout, cos, sin)
    require_fitting(view, cos, sin, pairing, rotated)
    turn_part_(view, cos, -sin if inverse else sin, pairing, rotated)
    return x


def turn_part(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str,
    rotated: str | None = None, precision: Precision = EXACT,
) -> torch.Tensor:  # fmt: skip
    """:func:`rotate` of what fits already, ``(..., seq, head_dim)``."""
    cos, sin = for_heads(cos, x), for_heads(sin, x)
    start, width = _start(x, cos, rotated), 2 * cos.shape[-1]
    part = x if width == x.shape[-1] else x[..., start : start + width]
    if precision is EXACT or precision == EXACT:
        turned = turn(part, cos, sin, pairing, wide(x, cos))
    else:
        work = torch.promote_types(x.dtype, cos.dtype)
        work = wide(x, cos) if precision.wide_arithmetic else work
        turned = define(part, cos, sin, pairing, work)
    if part is not x:
        turned = torch.cat((x[..., :start], turned, x[..., start + width :]), dim=-1)
        turned = in_order_of(x, turned)
    return turned


def turn_part_(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, rotated: str | None = None
) -> None:
    """:func:`rotate_` of what fits already."""
    cos, sin = for_heads(cos, x), for_heads(sin, x)
    start, width = _start(x, cos, rotated), 2 * cos.shape[-1]
    part = x if width == x.shape[-1] else x[..., start : start + width]
    turn_(part, cos, sin, pairing, wide(x, cos))


def _start(x: torch.Tensor, cos: torch.Tensor, rotated: str | None) -> int:
    return x.shape[-1] - 2 * cos.shape[-1] if rotated == "last" else 0


def for_heads(table: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``(batch, seq, pairs)`` with a dimension for the heads of ``x``, the same for all."""
    is_deep = isinstance(table, torch.Tensor) and table.ndim == 3
    return table.unsqueeze(1) if is_deep and x.ndim == 4 else table


# ---------------------------------------------------------------- the order of the dimensions


def heads_first(
    name: str, x: torch.Tensor, layout: str, *tables: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Views of ``x``, called ``name``, and of tables as deep as it, as ``(..., seq, head_dim)``.

    Raises:
        TypeError, ValueError: not a tensor, an unknown layout, too many or too few dimensions.
    """
    if layout == "bhsd":
        return (x, *tables)
    require_choice("layout", layout, LAYOUTS)
    if require_tensor(name, x).ndim != len(layout):
        raise ValueError(
            f"{name} must have {len(layout)} dimensions for layout {layout!r}, "
            f"got shape {tuple(x.shape)}"
        )
    order = _ORDERS[layout]
    deep = (isinstance(each, torch.Tensor) and each.ndim == x.ndim for each in (x, *tables))
    pairs = zip((x, *tables), deep, strict=True)
    return tuple(each.permute(order) if is_deep else each for each, is_deep in pairs)


def heads_back(x: torch.Tensor, layout: str) -> torch.Tensor:
    """Undo :func:`heads_first`."""
    if layout == "bhsd":
        return x
    order = _ORDERS[layout]
    return x.permute([order.index(place) for place in range(len(order))])


# For each layout, where the dimensions of (..., heads, seq, head_dim) stand in it.
_ORDERS = {"bshd": (0, 2, 1, 3), "thd": (1, 0, 2), "sbhd": (1, 2, 0, 3)}


def _require_tabulable(
    positions: torch.Tensor, inv_freq: torch.Tensor, dtype: torch.dtype, angles: torch.dtype
) -> None:
    require_positions("positions", positions)
    require_float_tensor("inv_freq", inv_freq)
    if inv_freq.dtype not in WIDE_FLOATS:
        raise TypeError(f"inv_freq must be float32 or float64, got {inv_freq.dtype}")
    if inv_freq.ndim != 1:
        raise ValueError(f"inv_freq must have one dimension, got shape {tuple(inv_freq.shape)}")
    require_finite("inv_freq", inv_freq)
    if inv_freq.device != float64_device(positions.device):
        require_same_device("inv_freq", inv_freq, "positions", positions)
    if dtype not in FLOATS:
        raise TypeError(f"dtype must be a 16, 32 or 64-bit float dtype, got {dtype}")
    require_dtype("angles", angles, WIDE_FLOATS)


def _require_axis(axis: torch.Tensor, positions: torch.Tensor, inv_freq: torch.Tensor) -> None:
    require_tensor("axis", axis)
    if axis.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"axis must hold int32 or int64 numbers, got {axis.dtype}")
    if axis.shape != inv_freq.shape or positions.ndim == 0:
        raise ValueError(
            f"axis must hold one number for each pair, {tuple(inv_freq.shape)}, and positions must "
            f"have the axes first; got {tuple(axis.shape)} and {tuple(positions.shape)}"
        )
    count = positions.shape[0]
    if seen_any(axis, lambda numbers: (numbers < 0) | (numbers >= count)):
        raise ValueError(f"axis must lie in 0..{count - 1}, got {axis.tolist()}")


def fits_at_a_glance(x: Any, cos: Any, sin: Any) -> bool:
    """The common case. The checks with words take longer than rotating one token."""
    if not type(x) is type(cos) is type(sin) is torch.Tensor:
        return False
    table = cos.shape
    return (
        len(table) == 2
        and table == sin.shape
        and x.shape[-2:] == (table[0], 2 * table[1])
        and x.dtype in FLOATS
        and cos.dtype in FLOATS
        and sin.dtype is cos.dtype
        and x.layout is cos.layout is sin.layout is torch.strided
        and x.device == cos.device == sin.device
    )


def require_fitting(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str,
    rotated: str | None = None, name: str = "x",
) -> None:  # fmt: skip
    """Raise unless tables of half width fit the rows and pairs of ``x``, called ``name``."""
    require_choice("pairing", pairing, PAIRINGS)
    if rotated is not None:
        require_choice("rotated", rotated, ("first", "last"))
    if fits_at_a_glance(x, cos, sin):
        return
    require_float_tensor(name, x)
    require_float_tensor("cos", cos)
    require_float_tensor("sin", sin)
    if cos.shape != sin.shape or cos.dtype != sin.dtype:
        raise ValueError(
            "cos and sin must have the same shape and dtype, got "
            f"{tuple(cos.shape)} {cos.dtype} and {tuple(sin.shape)} {sin.dtype}"
        )
    require_same_device("cos", cos, name, x)
    require_same_device("sin", sin, name, x)
    _require_pairs(x, cos, rotated, name)
    if not fits_rows(tuple(cos.shape[:-1]), tuple(x.shape[:-1])):
        raise ValueError(
            f"cos and sin of shape {tuple(cos.shape)} do not fit {name} of shape {tuple(x.shape)}: "
            "allowed are (pairs,), (seq, pairs), (batch, seq, pairs), or as many dimensions as "
            f"{name} with size 1 or its own before the sequence"
        )


def _require_pairs(x: torch.Tensor, cos: torch.Tensor, rotated: str | None, name: str) -> None:
    """Raise unless a table has one number for each pair, or for some where a part is rotated."""
    width, needed = x.shape[-1], 2 * cos.shape[-1]
    if needed == width or (rotated is not None and needed < width):
        return
    hint = "; to rotate a part of it, say rotated='first' or 'last'" if needed < width else ""
    if needed == 2 * width:
        hint = "; of tables that hold each number twice, give one half"
    raise ValueError(
        f"cos and sin must hold one number for each pair, {width} / 2 for {name} of shape "
        f"{tuple(x.shape)}{hint}; got {tuple(cos.shape)}"
    )
