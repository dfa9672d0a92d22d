"""Queries and keys in one call: by a kernel where there is one, in PyTorch where there is not."""

import torch

from ..arithmetic import is_plain, turn_, turn_few_pairs, wide
from ..arithmetic import turn as turned
from ..checks import (
    PAIRINGS,
    require_a_position_each,
    require_choice,
    require_float_tensor,
    require_tensor,
    seen_any,
)
from ..functional import fits_at_a_glance, require_fitting
from . import launch
from .launch import Turn

BACKENDS = (None, "torch", "triton")
INDICES = (torch.int32, torch.int64)
Pair = tuple[torch.Tensor, torch.Tensor]


def rotate_qk(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, pairing: str,
    rotated: str = "first", inverse: bool = False, positions: torch.Tensor | None = None,
    backend: str | None = None,
) -> Pair:  # fmt: skip
    """Rotated copies of queries and keys, on a GPU in one launch.

    Args:
        q: ``(..., q_heads, seq, head_dim)``, 16, 32 or 64-bit floats, any strides.
        k: ``(..., kv_heads, seq, head_dim)``; fewer heads than ``q`` are fine.
        cos, sin: as in :func:`rope_lib.functional.rotate`. Where they hold fewer than
            ``head_dim / 2`` pairs, only that part of a head is turned and the rest is copied.
        pairing: ``"interleaved"`` or ``"half"``.
        rotated: whether the turned part is the ``"first"`` or the ``"last"`` of a head.
        inverse: turn clockwise.
        positions: integers, ``(seq,)`` or ``(batch, 1, seq)``: the row of a table
            ``(length, pairs)`` for each token, as in a packed or a cached sequence. Without them,
            the tables have a row for each token. A row that does not exist raises on a CPU and
            gives NaN on a GPU, where looking at numbers would make the host wait.
        backend: ``"triton"`` for the kernel, ``"torch"``, or None to choose by device: the kernel
            on a GPU. What a kernel cannot do (tables for each head, tables that learn, more than
            four dimensions) is done in PyTorch, with the same result.

    Returns:
        ``q, k``, new tensors. Their gradients turn back; tables are saved for it, nothing else.

    Raises:
        TypeError, ValueError: as in :func:`rope_lib.functional.rotate`; an unknown backend.
        RuntimeError: ``"triton"`` is asked for and cannot run here; the message says why.
    """
    usual = backend is None and positions is None and rotated == "first" and not inverse
    if usual and pairing == "interleaved":
        pair = turn_few_pairs(q, k, cos, sin)
        if pair is not None:
            return pair
    turn = checked(q, k, cos, sin, positions, Turn(pairing, rotated, bool(inverse)))
    way = way_of(backend, q, k, cos, sin, positions)
    return way(q, k, cos, sin, positions, turn)


def rotate_qk_(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, pairing: str,
    rotated: str = "first", inverse: bool = False, positions: torch.Tensor | None = None,
    backend: str | None = None,
) -> Pair:  # fmt: skip
    """:func:`rotate_qk` in place: the results are in the memory of ``q`` and ``k``.

    Autograd is told. A backward pass that needs the old numbers raises, as does turning a leaf
    that requires a gradient.

    Returns:
        ``q, k`` themselves.

    Raises:
        TypeError, ValueError: as in :func:`rotate_qk`; ``q`` and ``k`` share memory.
        RuntimeError: also an expanded tensor, or a leaf. Both tensors are then untouched.
    """
    turn = checked(q, k, cos, sin, positions, Turn(pairing, rotated, bool(inverse)))
    way = way_of(backend, q, k, cos, sin, positions)
    if not torch.compiler.is_compiling():
        _require_writable(q, k)
    recorded = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    if way is _launched and not recorded:
        launch.turn_qk(q, k, q, k, cos, sin, positions, turn)
        torch.autograd.graph.increment_version((q, k))
    elif way is in_torch and not recorded:
        _in_torch_(q, k, cos, sin, positions, turn)
    else:
        new_q, new_k = way(q, k, cos, sin, positions, turn)
        q.copy_(new_q)
        k.copy_(new_k)
    return q, k


def checked(q, k, cos, sin, positions, turn: Turn) -> Turn:
    require_choice("rotated", turn.rotated, ("first", "last"))
    if positions is None and fits_at_a_glance(q, cos, sin) and _is_alike(q, k):
        require_choice("pairing", turn.pairing, PAIRINGS)
        return turn
    for name, x in (("q", q), ("k", k)):
        require_float_tensor(name, x, dims=2)
        require_float_tensor("cos", cos)
        width = 2 * cos.shape[-1]
        if width > x.shape[-1]:
            raise ValueError(
                f"cos and sin must hold at most {x.shape[-1]} / 2 pairs for {name} of shape "
                f"{tuple(x.shape)}, got {tuple(cos.shape)}"
            )
        part = x if width == x.shape[-1] else x[..., :width]
        if positions is None:
            require_fitting(part, cos, sin, turn.pairing, name)
        else:
            _require_rows(name, part, cos, sin, positions, turn.pairing)
    return turn


def _is_alike(q, k) -> bool:
    """Whether what fits ``q`` fits ``k``."""
    return (
        type(k) is torch.Tensor
        and k.shape[-2:] == q.shape[-2:]
        and k.dtype == q.dtype
        and k.device == q.device
        and k.layout is torch.strided
    )


def _require_rows(name, x, cos, sin, positions, pairing) -> None:
    """Raise unless each token of ``x`` has its row in tables ``(length, pairs)``."""
    require_tensor("positions", positions)
    if positions.dtype not in INDICES:
        raise TypeError(f"positions must hold int32 or int64 numbers, got {positions.dtype}")
    if cos.ndim != 2:
        raise ValueError(
            f"with positions, cos and sin must be (length, pairs), got {tuple(cos.shape)}"
        )
    require_fitting(x[..., :1, :].expand(*x.shape[:-2], len(cos), -1), cos, sin, pairing, name)
    require_a_position_each(name, x, positions)
    if seen_any(positions, lambda rows: (rows < 0) | (rows >= len(cos))):
        low, high = positions.min().item(), positions.max().item()
        raise ValueError(f"positions must lie in the table, 0..{len(cos) - 1}, got {low} to {high}")


def way_of(backend, q, k, cos, sin, positions):
    """What does the work: a launch, the registered operator, or PyTorch."""
    require_choice("backend", backend, BACKENDS)
    if backend == "torch" or (backend is None and not q.is_cuda):
        return in_torch
    if (why := launch.fault(q.device)) is not None:
        if backend == "triton":
            raise RuntimeError(f"backend 'triton' cannot be used: {why}")
        return in_torch
    if cos.requires_grad or sin.requires_grad or not launch.fits(q, k, cos, positions):
        return in_torch
    if torch.compiler.is_compiling() or _is_traced(q):
        return registered
    watched = (q, k, cos, sin) if positions is None else (q, k, cos, sin, positions)
    return _launched if is_plain(*watched) else in_torch


def _is_traced(x: torch.Tensor) -> bool:
    """Whether somebody watches the operators that run, or lets them run on nothing."""
    fake = isinstance(x, torch._subclasses.FakeTensor)
    return fake or torch.utils._python_dispatch.is_in_torch_dispatch_mode()


def in_torch(q, k, cos, sin, positions, turn: Turn) -> Pair:
    cos, sin = _rows_of(cos, sin, positions)
    sin = -sin if turn.inverse else sin
    return _in_torch(q, cos, sin, turn), _in_torch(k, cos, sin, turn)


def _in_torch(x, cos, sin, turn: Turn) -> torch.Tensor:
    start, width = _start(x, cos, turn), 2 * cos.shape[-1]
    if width == x.shape[-1]:
        return turned(x, cos, sin, turn.pairing, wide(x, cos))
    new = turned(x[..., start : start + width], cos, sin, turn.pairing, wide(x, cos))
    return torch.cat((x[..., :start], new, x[..., start + width :]), dim=-1)


def _in_torch_(q, k, cos, sin, positions, turn: Turn) -> None:
    cos, sin = _rows_of(cos, sin, positions)
    for x in (q, k):
        start, width = _start(x, cos, turn), 2 * cos.shape[-1]
        part = x if width == x.shape[-1] else x[..., start : start + width]
        turn_(part, cos, -sin if turn.inverse else sin, turn.pairing, wide(x, cos))


def _rows_of(cos, sin, positions) -> Pair:
    return (cos, sin) if positions is None else (cos[positions], sin[positions])


def _start(x: torch.Tensor, cos: torch.Tensor, turn: Turn) -> int:
    return 0 if turn.rotated == "first" else x.shape[-1] - 2 * cos.shape[-1]


def _launched(q, k, cos, sin, positions, turn: Turn) -> Pair:
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad):
        return _RotateQK.apply(q, k, cos, sin, positions, turn)
    pair = torch.empty_like(q), torch.empty_like(k)
    launch.turn_qk(q, k, *pair, cos, sin, positions, turn)
    return pair


class _RotateQK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, cos, sin, positions, turn):
        ctx.save_for_backward(cos, sin, positions)
        ctx.turn = turn
        return _launched(q, k, cos, sin, positions, turn)

    @staticmethod
    def backward(ctx, q_gradient, k_gradient):
        cos, sin, positions = ctx.saved_tensors
        back = Turn(ctx.turn.pairing, ctx.turn.rotated, not ctx.turn.inverse)
        way = way_of("triton", q_gradient, k_gradient, cos, sin, positions)
        return *way(q_gradient, k_gradient, cos, sin, positions, back), None, None, None, None


def registered(q, k, cos, sin, positions, turn: Turn) -> Pair:
    return _rotate_qk(q, k, cos, sin, positions, turn.pairing, turn.rotated, turn.inverse)


@torch.library.custom_op("rope_lib::rotate_qk", mutates_args=())
def _rotate_qk(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
    positions: torch.Tensor | None, pairing: str, rotated: str, inverse: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """What compilers and tracers see of :func:`rotate_qk`: one operator."""
    pair = torch.empty_like(q), torch.empty_like(k)
    launch.turn_qk(q, k, *pair, cos, sin, positions, Turn(pairing, rotated, inverse))
    return pair


@_rotate_qk.register_fake
def _(q, k, cos, sin, positions, pairing, rotated, inverse):
    return torch.empty_like(q), torch.empty_like(k)


def _keep(ctx, inputs, output) -> None:
    _, _, cos, sin, positions, *ctx.turn = inputs
    ctx.save_for_backward(cos, sin, positions)


def _turn_back(ctx, q_gradient, k_gradient):
    pairing, rotated, inverse = ctx.turn
    tables = ctx.saved_tensors
    back = _rotate_qk(q_gradient, k_gradient, *tables, pairing, rotated, not inverse)
    return *back, None, None, None, None, None, None


_rotate_qk.register_autograd(_turn_back, setup_context=_keep)


def _require_writable(*tensors: torch.Tensor) -> None:
    """Raise before anything is written where PyTorch would refuse, or should."""
    q, k = tensors
    for name, x in (("q", q), ("k", k)):
        if torch.is_grad_enabled() and x.requires_grad:
            base = x._base if x._is_view() else x
            if base.is_leaf:
                raise RuntimeError(
                    f"{name} is a leaf that requires a gradient, or a view of one; turn a copy"
                )
        if any(s == 0 and size > 1 for s, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(f"{name} is expanded: its rows are a single memory location")
    if is_plain(q, k) and q.numel() and k.numel() and _overlap(q, k):
        raise ValueError("q and k share memory, and would be turned twice; turn copies")


def _overlap(q: torch.Tensor, k: torch.Tensor) -> bool:
    """Whether two tensors begin alike, or lie across each other without gaps."""
    if q.data_ptr() == k.data_ptr():
        return True
    first, second = sorted((q, k), key=torch.Tensor.data_ptr)
    ends = first.data_ptr() + first.numel() * first.element_size()
    return _is_dense(first) and _is_dense(second) and second.data_ptr() < ends


def _is_dense(x: torch.Tensor) -> bool:
    span = 1 + sum((size - 1) * step for size, step in zip(x.shape, x.stride(), strict=True))
    return span == x.numel()
