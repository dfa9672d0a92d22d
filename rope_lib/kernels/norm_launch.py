"""From tensors to a launch of the kernels that also normalise."""

import functools
from dataclasses import dataclass

import torch

from . import launch
from .launch import Turn

LARGEST = 2**15  # numbers of a tile of all heads: they stay in registers
PROGRAMS = 1024  # of a backward pass, before one takes several blocks of tokens; not measured

EIGHT_BITS = torch.float8_e4m3fn


@dataclass(frozen=True)
class Norm:
    """What is normalised, and when.

    Args:
        eps: what is added to the mean of the squares.
        after: normalise what was rotated, not what will be.
        whole: one mean for all the heads of a token, not one for each.
    """

    eps: float
    after: bool = False
    whole: bool = False


def fits(q: torch.Tensor, k: torch.Tensor, norm: Norm, each: bool) -> bool:
    """Whether a tile can hold what is normalised together."""
    tile = launch.power(max(q.shape[-3], k.shape[-3])) * launch.power(q.shape[-1])
    return q.shape[-1] == k.shape[-1] and (tile <= LARGEST or not (norm.whole or each))


def norm_turn_qk(
    q, k, q_weight, k_weight, q_out, k_out, cos, sin, positions, turn: Turn, norm: Norm
) -> None:
    """One launch: ``q`` and ``k``, normalised and rotated, into ``q_out`` and ``k_out``."""
    q, k, *outs = (_deep(x) for x in (q, k, q_out, k_out))
    batch, heads, seq, _ = q.shape
    k_heads = k.shape[1]
    weights, w_steps, each = _weights(q_weight, k_weight)
    rows, group, warps = share(q, k, cos, norm, each)
    count = batch * -(-seq // rows) * (-(-heads // group) + -(-k_heads // group))
    if count == 0:
        return
    turns, where, steps = launch.tables_for(cos, sin, positions)
    with launch.on(q.device):
        _programs().norm_turn_qk[launch.grid(count)](
            q, k, *weights, *outs, *turns, where, seq, heads, k_heads, turns[0].shape[-2],
            *(step for x in (q, k, *outs) for step in x.stride()), *w_steps, *steps,
            **constants(q, k, weights, cos, turn, norm, each), ROWS=rows, HEADS=group,
            num_warps=warps,
        )  # fmt: skip


def norm_turn_into_cache(
    q, k, v, q_weight, k_weight, q_out, k_cache, v_cache, cos, sin, positions, slots,
    k_scale: float, v_scale: float, turn: Turn, norm: Norm,
) -> None:  # fmt: skip
    """One launch: ``q`` into ``q_out``, and ``k``, like it, and ``v`` into rows of a cache."""
    batch, heads, seq, _ = q.shape
    k_heads, values = v.shape[1], v.shape[-1]
    weights, w_steps, each = _weights(q_weight, k_weight)
    rows, group, warps = share(q, k, cos, norm, each)
    count = batch * -(-seq // rows) * (-(-heads // group) + 2 * -(-k_heads // group))
    if count == 0:
        return
    turns, where, steps = launch.tables_for(cos, sin, positions)
    strides = [x.stride() for x in (q, k, v, q_out)]
    strides += [launch.cache_steps(cache, batch) for cache in (k_cache, v_cache)]
    with launch.on(q.device):
        _programs().norm_turn_into_cache[launch.grid(count)](
            q, k, v, *weights, q_out, k_cache, v_cache, *turns, where, slots,
            seq, heads, k_heads, turns[0].shape[-2], k_cache.shape[-2], k_scale, v_scale,
            *(step for each_of in strides for step in each_of), *w_steps, *steps,
            *launch.steps_of(slots if slots.ndim == 2 else slots[None]),
            **constants(q, k, weights, cos, turn, norm, each), VALUES=values,
            VALUE_BLOCK=launch.power(values), LIMIT=limit_of(k_cache) or 0.0, ROWS=rows,
            HEADS=group, num_warps=warps,
        )  # fmt: skip


def norm_turn_back(
    q, k, q_weight, k_weight, q_up, k_up, q_down, k_down, cos, sin, positions,
    turn: Turn, norm: Norm,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:  # fmt: skip
    """One launch: gradients of ``q`` and ``k`` into ``q_down`` and ``k_down``.

    Returns:
        Those of the weights, in their shapes and dtypes, or None. They are sums of what the
        programs added up, in the same order each time.
    """
    six = [_deep(x) for x in (q, k, q_up, k_up, q_down, k_down)]
    batch, heads, seq, width = six[0].shape
    k_heads = six[1].shape[1]
    weights, w_steps, each = _weights(q_weight, k_weight)
    rows, group, warps = share(*six[:2], cos, norm, each)
    q_groups, k_groups = -(-heads // group), -(-k_heads // group)
    groups, blocks = q_groups + k_groups, batch * -(-seq // rows)
    if blocks * groups == 0:
        return tuple(None if w is None else torch.zeros_like(w) for w in (q_weight, k_weight))
    steps = max(1, blocks * groups // PROGRAMS)
    parts = -(-blocks // steps)
    lanes = group if each else 1
    known = constants(*six[:2], weights, cos, turn, norm, each)
    partial = q.new_empty(parts, groups * lanes, width, dtype=wide_of(q, k, cos, *weights))
    turns, where, table_steps = launch.tables_for(cos, sin, positions)
    with launch.on(q.device):
        _programs().norm_turn_back[launch.grid(parts * groups)](
            *six[:2], *weights, *six[2:], partial, *turns, where,
            seq, heads, k_heads, turns[0].shape[-2], blocks, steps,
            *(step for x in six for step in x.stride()), *w_steps, *table_steps,
            **known, ROWS=rows, HEADS=group, num_warps=warps,
        )  # fmt: skip
    q_rows = partial[:, : heads if each else q_groups]
    k_rows = partial[:, q_groups * lanes :][:, : k_heads if each else k_groups]
    return _added_up(q_rows, q_weight), _added_up(k_rows, k_weight)


def share(q, k, cos, norm: Norm, each: bool) -> tuple[int, int, int]:
    """As :func:`launch.share`, with all heads of a token where they, or their weights, differ.

    Not measured: for a tile of all heads, a warp for every 512 numbers, as far as there are any.
    """
    batch, seq = q.shape[0], q.shape[-2]
    heads = max(q.shape[-3], k.shape[-3])
    if not (norm.whole or each):
        return launch.share(seq, cos.shape[-1], batch, heads)
    group = launch.power(heads)
    return 1, group, min(16, max(1, group * launch.power(q.shape[-1]) // 512))


def limit_of(cache: torch.Tensor) -> float | None:
    """The largest number that a cache of 8 bits holds; None for wider ones."""
    return torch.finfo(cache.dtype).max if cache.dtype == EIGHT_BITS else None


def wide_of(*tensors: torch.Tensor | None) -> torch.dtype:
    """What is computed in: float32, or float64 where any of the tensors is."""
    is_double = any(x is not None and x.dtype == torch.float64 for x in tensors)
    return torch.float64 if is_double else torch.float32


def constants(q, k, weights, cos, turn: Turn, norm: Norm, each: bool) -> dict:
    import triton.language as tl

    wide = tl.float64 if wide_of(q, k, cos, *weights) == torch.float64 else tl.float32
    own = {"WIDE": wide, "EPS": norm.eps, "AFTER": norm.after, "ALL": norm.whole, "EACH": each}
    return launch.constants(q, False, cos, turn) | own


@functools.cache
def _programs():
    from . import norm_programs

    return norm_programs


def _deep(x: torch.Tensor) -> torch.Tensor:
    return x if x.ndim == 4 else x[None]


def _weights(*weights: torch.Tensor | None):
    """Weights with adjacent numbers, their strides from head to head, and whether heads differ."""
    near = [w if w is None or w.stride(-1) == 1 else w.contiguous() for w in weights]
    steps = [0 if w is None or w.ndim == 1 else w.stride(0) for w in near]
    return near, steps, any(w is not None and w.ndim == 2 for w in near)


def _added_up(rows: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor | None:
    if weight is None:
        return None
    return rows.sum(0 if weight.ndim == 2 else (0, 1)).to(weight.dtype)
