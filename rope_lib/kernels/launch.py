"""From tensors to a launch: what a kernel can take, its strides, and how the work is shared out.

Triton is imported at the first launch, not before: importing this module needs only PyTorch.
"""

import contextlib
import functools
import importlib.util
from dataclasses import dataclass

import torch

from ..checks import FLOATS

GRID = 2**31 - 1  # programs that one launch can have
MANY = 64  # texts: with q and k, a program for nearly every multiprocessor of a large GPU (132)
TILE = 2048  # pairs of all the heads of a token that one program rotates


@dataclass(frozen=True)
class Turn:
    """What is the same for every head: how pairs lie and which way they are rotated.

    Args:
        pairing: ``"interleaved"`` or ``"half"``.
        rotated: whether the rotated elements are the ``"first"`` or the ``"last"`` of a head.
        inverse: rotate clockwise.
    """

    pairing: str
    rotated: str = "first"
    inverse: bool = False


def fault(device: torch.device) -> str | None:
    """Why no kernel can run on ``device``, or None."""
    if (why := _fault()) is not None:
        return why
    if device.type == "cuda" or interpreted():
        return None
    return (
        f"a kernel needs a GPU, and the tensors are on {device}; on a CPU, set TRITON_INTERPRET=1 "
        "in the environment before the first call"
    )


# A compiler takes the answer as it is. torch.compiler.assume_constant_result sets the same mark,
# but imports the whole compiler first.
fault._dynamo_marked_constant = True


@functools.cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, which takes tensors on any device."""
    return _fault() is None and type(_programs().turn_qk).__name__ == "InterpretedFunction"


def fits(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, positions) -> bool:
    """Whether the kernels can take these tensors, which fit each other already."""
    rows = positions if positions is not None else cos[..., 0]
    return (
        2 <= q.ndim <= 4
        and q.ndim == k.ndim
        and q.shape[:-3] == k.shape[:-3]
        and q.dtype in FLOATS
        and k.dtype in FLOATS
        and _per_text(rows) is not None
    )


def turn_qk(
    q: torch.Tensor, k: torch.Tensor, q_out: torch.Tensor, k_out: torch.Tensor,
    cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor | None, turn: Turn,
) -> None:  # fmt: skip
    """One launch: ``q`` and ``k`` rotated into ``q_out`` and ``k_out``, which may be themselves."""
    four = [x if x.ndim == 4 else x[(None,) * (4 - x.ndim)] for x in (q, k, q_out, k_out)]
    batch, heads, seq, _ = four[0].shape
    k_heads = four[1].shape[1]
    rows, group, warps = share(seq, cos.shape[-1], batch, max(heads, k_heads))
    count = batch * -(-seq // rows) * (-(-heads // group) + -(-k_heads // group))
    if count == 0:
        return
    turns, where, table_steps = tables_for(cos, sin, positions)
    with on(q.device):
        _programs().turn_qk[grid(count)](
            *four, *turns, where, seq, heads, k_heads, turns[0].shape[-2],
            *(step for x in four for step in x.stride()), *table_steps,
            **constants(q, q_out is q, cos, turn), ROWS=rows, HEADS=group, num_warps=warps,
        )  # fmt: skip


def turn_into_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, q_out: torch.Tensor,
    k_cache: torch.Tensor, v_cache: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
    positions: torch.Tensor | None, slots: torch.Tensor, turn: Turn,
) -> None:  # fmt: skip
    """One launch: ``q`` rotated into ``q_out``; ``k``, rotated, and ``v`` into rows of a cache."""
    batch, heads, seq, _ = q.shape
    k_heads, values = v.shape[1], v.shape[-1]
    rows, group, warps = share(seq, cos.shape[-1], batch, max(heads, k_heads))
    count = batch * -(-seq // rows) * (-(-heads // group) + 2 * -(-k_heads // group))
    if count == 0:
        return
    turns, where, table_steps = tables_for(cos, sin, positions)
    strides = [x.stride() for x in (q, k, v, q_out)]
    strides += [cache_steps(cache, batch) for cache in (k_cache, v_cache)]
    with on(q.device):
        _programs().turn_into_cache[grid(count)](
            q, k, v, q_out, k_cache, v_cache, *turns, where, slots,
            seq, heads, k_heads, turns[0].shape[-2], k_cache.shape[-2],
            *(step for each in strides for step in each), *table_steps,
            *steps_of(slots if slots.ndim == 2 else slots[None]),
            **constants(q, False, cos, turn), VALUES=values, VALUE_BLOCK=power(values),
            ROWS=rows, HEADS=group, num_warps=warps,
        )  # fmt: skip


def share(seq: int, pairs: int, texts: int = 1, heads: int = 1) -> tuple[int, int, int]:
    """Tokens and heads of one program, and its warps.

    Four pairs of a head for each thread, and tables that serve two heads. A single token has
    little to load: many small programs end sooner than a few large ones. Measured on an H100 for
    widths of 64 and 128; larger tiles lose up to 7 per cent, more heads a program gain nothing.

    Not measured: single tokens of so many texts that there is work for every multiprocessor
    anyhow. A program then takes all the heads of a token, and reads its tables once for them.
    """
    if interpreted():  # each program costs milliseconds: few, large ones
        return power(min(seq, 4096)), min(8, power(heads)), 4
    block = power(pairs)
    if seq == 1 and texts >= MANY:
        group = min(power(heads), max(1, TILE // block))
        return 1, group, min(8, max(1, group * block // 256))
    rows = min(power(seq), max(1, 512 // block))
    return rows, (2 if rows > 1 else 1), min(4, max(1, rows * block // 128))


@functools.cache
def _programs():
    from . import programs

    return programs


@functools.cache
def _fault() -> str | None:
    """Why no kernel can run on any device here, or None."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed (there is one for Linux)"
    try:
        _programs()
    except Exception as error:  # a Triton that does not fit this PyTorch or this machine
        return f"triton cannot be used: {error}"
    return None


def constants(q: torch.Tensor, in_place: bool, cos: torch.Tensor, turn: Turn) -> dict:
    import triton.language as tl

    pairs, width = cos.shape[-1], q.shape[-1]
    rest = width - 2 * pairs
    first = turn.rotated == "first"
    wide = tl.float64 if torch.float64 in (q.dtype, cos.dtype) else tl.float32
    return {
        "INTERLEAVED": turn.pairing == "interleaved", "INVERSE": turn.inverse, "WIDE": wide,
        "PAIRS": pairs, "BLOCK": power(pairs), "START": 0 if first else rest,
        "REST": 0 if in_place else rest, "REST_START": 2 * pairs if first else 0,
        "REST_BLOCK": power(rest),
    }  # fmt: skip


def tables_for(cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor | None):
    """Tables with adjacent pairs, positions, and the four strides of both."""
    if cos.stride(-1) != 1 or sin.stride() != cos.stride():
        cos, sin = cos.contiguous(), sin.contiguous()
    if positions is not None:
        where = _per_text(positions)
        return (cos, sin), where, (0, cos.stride(0), *steps_of(where))
    return (cos, sin), None, (*steps_of(_per_text(cos[..., 0])), 0, 0)


def _per_text(rows: torch.Tensor) -> torch.Tensor | None:
    """Rows ``()``, ``(seq,)`` or ``([batch,] 1, seq)`` as ``(batch or 1, seq or 1)``, in place.

    None where heads have rows of their own.
    """
    if rows.ndim < 2:
        return rows.reshape(1, -1)
    full = rows[(None,) * (3 - rows.ndim)]
    return full[:, 0] if full.shape[1] == 1 else None


def steps_of(rows: torch.Tensor) -> tuple[int, ...]:
    """Strides of ``(batch, seq)``, 0 where one stands for all."""
    return tuple(
        0 if size == 1 else step for size, step in zip(rows.shape, rows.stride(), strict=True)
    )


def cache_steps(cache: torch.Tensor, batch: int) -> tuple[int, ...]:
    """Strides of a cache; all texts may share one pool of rows."""
    first, *others = cache.stride()
    return (first if cache.shape[0] == batch else 0, *others)


def power(size: int) -> int:
    """The smallest power of two that is not below ``size``, as Triton's blocks must be."""
    return 1 << max(0, size - 1).bit_length()


def grid(count: int) -> tuple[int]:
    if count > GRID:
        raise ValueError(f"q and k need {count} programs, and a launch has {GRID} at most")
    return (count,)


def on(device: torch.device):
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
