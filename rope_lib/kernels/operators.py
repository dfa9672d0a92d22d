"""Queries and keys in one call: by a kernel where there is one, in PyTorch where there is not."""

import torch

from ..arithmetic import is_plain
from ..checks import (
    PAIRINGS,
    refuse_foreign,
    require_a_position_each,
    require_choice,
    require_float_tensor,
    require_tensor,
    seen_any,
)
from ..eager.few import turn_few
from ..functional import (
    fits_at_a_glance,
    for_heads,
    heads_back,
    heads_first,
    require_fitting,
    turn_part,
    turn_part_,
)
from . import compiled, launch
from .launch import Turn

BACKENDS = (None, "torch", "compile", "triton")
WITH_CACHE = (None, "torch", "triton")  # for steps of which the rotation is a part
INDICES = (torch.int32, torch.int64)
Pair = tuple[torch.Tensor, torch.Tensor]


def rotate_qk(
    q: torch.Tensor | None, k: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor, *,
    pairing: str, rotated: str | None = None, inverse: bool = False, layout: str = "bhsd",
    positions: torch.Tensor | None = None, backend: str | None = None, **foreign,
) -> Pair:  # fmt: skip
    """Rotated copies of queries and keys, on a GPU in one launch.

    Args:
        q: ``(..., q_heads, seq, head_dim)``, 16, 32 or 64-bit floats, any strides; None to rotate
            keys alone.
        k: ``(..., kv_heads, seq, head_dim)``; fewer heads than ``q`` are fine, and so is None.
        cos, sin, pairing, rotated, inverse, layout: as in :func:`rope_lib.functional.rotate`.
        positions: integers, ``(seq,)`` or ``(batch, seq)``: the row of a table
            ``(length, pairs)`` for each token, as in a packed or a cached sequence. Without them,
            the tables have a row for each token. A row that does not exist raises on a CPU and
            gives NaN on a GPU, where looking at numbers would make the host wait.
        backend: ``"triton"`` for the kernel, ``"torch"``, ``"compile"`` for what PyTorch's compiler
            makes of the formula (of half-split pairs one pass, on a CPU, too; eager mode where it
            finds no compiler for C++), or None to choose by device: the kernel on a GPU. What a
            kernel cannot do (tables for each head, tables that learn, more than four dimensions) is
            done in PyTorch, with the same result.

    Returns:
        ``q, k``, new tensors, or None in the place of None. Their gradients rotate back; tables are
        saved for it, nothing else.

    Raises:
        TypeError, ValueError: as in :func:`rope_lib.functional.rotate`; an unknown backend.
        RuntimeError: ``"triton"`` is asked for and cannot run here; the message says why.

    Example:
        >>> rope = RotaryEmbedding(64, "half")
        >>> cos, sin = rope.tables(torch.arange(16))
        >>> q, k = torch.randn(1, 8, 16, 64), torch.randn(1, 2, 16, 64)
        >>> turned_q, turned_k = rotate_qk(q, k, cos, sin, pairing="half")
        >>> turned_q.shape, turned_k.shape
        (torch.Size([1, 8, 16, 64]), torch.Size([1, 2, 16, 64]))
    """
    if layout == "bhsd" and not (rotated or inverse or foreign) and backend is positions is None:
        pair = turn_few((q, k), cos, sin, pairing)
        if pair is not None:
            return pair
    refuse_foreign("rotate_qk", foreign)
    if q is None or k is None:
        settings = {"pairing": pairing, "rotated": rotated, "inverse": inverse, "layout": layout,
                    "positions": positions, "backend": backend}  # fmt: skip
        return _alone(q, k, cos, sin, settings)
    views = _views(q, k, cos, sin, layout)
    turn, positions = checked(*views, positions, pairing, rotated, inverse)
    way = way_of(backend, *views, positions)
    return tuple(heads_back(x, layout) for x in way(*views, positions, turn))


def _alone(q, k, cos, sin, settings: dict) -> Pair:
    """:func:`rotate_qk` of one tensor: the other has no heads."""
    name, x = ("k", k) if q is None else ("q", q)
    require_float_tensor(name, x, dims=2)
    heads = {"bhsd": -3, "thd": 1}.get(settings["layout"], -2)
    deep = x if x.ndim > 2 else x[None]
    turned, _ = rotate_qk(deep, deep.narrow(heads, 0, 0), cos, sin, **settings)
    turned = turned if x.ndim > 2 else turned[0]
    return (None, turned) if q is None else (turned, None)


def _views(q, k, cos, sin, layout: str) -> tuple[torch.Tensor, ...]:
    """All four with the heads before the sequence, and tables ``(batch, 1, seq, pairs)``."""
    (k,) = heads_first("k", k, layout)
    q, cos, sin = heads_first("q", q, layout, cos, sin)
    return q, k, for_heads(cos, q), for_heads(sin, q)


def rotate_qk_(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, pairing: str,
    rotated: str | None = None, inverse: bool = False, layout: str = "bhsd",
    positions: torch.Tensor | None = None, backend: str | None = None, **foreign,
) -> Pair:  # fmt: skip
    """:func:`rotate_qk` in place: the results are in the memory of ``q`` and ``k``.

    Autograd is told. A backward pass that needs the old numbers raises, as does rotating a leaf
    that requires a gradient.

    Returns:
        ``q, k`` themselves.

    Raises:
        TypeError, ValueError: as in :func:`rotate_qk`; ``q`` and ``k`` share memory.
        RuntimeError: also an expanded tensor, or a leaf. Both tensors are then untouched.

    Example:
        >>> q, k = torch.randn(1, 8, 16, 64), torch.randn(1, 2, 16, 64)
        >>> cos, sin = RotaryEmbedding(64, "half").tables(torch.arange(16))
        >>> rotate_qk_(q, k, cos, sin, pairing="half")[0] is q
        True
    """
    if layout == "bhsd" and not (rotated or inverse or foreign) and backend is positions is None:
        pair = turn_few((q, k), cos, sin, pairing)
        if pair is not None and q is not None and k is not None:
            _require_writable(q, k)
            return q.copy_(pair[0]), k.copy_(pair[1])
    refuse_foreign("rotate_qk_", foreign)
    views = _views(q, k, cos, sin, layout)
    turn, positions = checked(*views, positions, pairing, rotated, inverse)
    way = way_of(backend, *views, positions)
    if not torch.compiler.is_compiling():
        _require_writable(q, k)
    recorded = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    if way is _launched and not recorded:
        launch.turn_qk(*views[:2], *views, positions, turn)
        torch.autograd.graph.increment_version((q, k))
    elif way in (in_torch, in_compiler) and not recorded:
        write = _in_torch_ if way is in_torch else _in_compiler_
        write(*views, positions, turn)
    else:
        for view, new in zip(views[:2], way(*views, positions, turn), strict=True):
            view.copy_(new)
    return q, k


def checked(
    q, k, cos, sin, positions, pairing: str, rotated: str | None, inverse: bool = False
) -> tuple[Turn, torch.Tensor | None]:
    """What is to be done, and positions ``(batch, 1, seq)``, once everything is known to fit."""
    turn = Turn(pairing, rotated or "first", bool(inverse))
    if rotated is not None:
        require_choice("rotated", rotated, ("first", "last"))
    if positions is None and fits_at_a_glance(q, cos, sin) and _is_alike(q, k):
        require_choice("pairing", pairing, PAIRINGS)
        return turn, None
    for name, x in (("q", q), ("k", k)):
        require_float_tensor(name, x, dims=2)
        if positions is None:
            require_fitting(x, cos, sin, pairing, rotated, name)
        else:
            _require_rows(name, x, cos, sin, positions, pairing, rotated)
    if positions is not None and positions.ndim == 2 and q.ndim == 4:
        positions = positions.unsqueeze(1)
    return turn, positions


def _is_alike(q, k) -> bool:
    """Whether what fits ``q`` fits ``k``."""
    return (
        type(k) is torch.Tensor
        and k.shape[-2:] == q.shape[-2:]
        and k.dtype == q.dtype
        and k.device == q.device
        and k.layout is torch.strided
    )


def _require_rows(name, x, cos, sin, positions, pairing, rotated) -> None:
    """Raise unless each token of ``x`` has its row in tables ``(length, pairs)``."""
    require_tensor("positions", positions)
    if positions.dtype not in INDICES:
        raise TypeError(f"positions must hold int32 or int64 numbers, got {positions.dtype}")
    if require_float_tensor("cos", cos).ndim != 2:
        raise ValueError(
            f"with positions, cos and sin must be (length, pairs), got {tuple(cos.shape)}"
        )
    rows = x[..., :1, :].expand(*x.shape[:-2], len(cos), -1)
    require_fitting(rows, cos, sin, pairing, rotated, name)
    require_a_position_each(name, x, positions)
    if seen_any(positions, lambda rows: (rows < 0) | (rows >= len(cos))):
        low, high = positions.min().item(), positions.max().item()
        raise ValueError(f"positions must lie in the table, 0..{len(cos) - 1}, got {low} to {high}")


def way_of(backend, q, k, cos, sin, positions):
    """What does the work: a launch, the registered operator, or PyTorch."""
    require_choice("backend", backend, BACKENDS)
    if backend == "compile":
        is_traced = torch.compiler.is_compiling() or _is_traced(q)
        return in_torch if is_traced or compiled.fault(q.device) else in_compiler
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
    cos, sin = rows_of(cos, sin, positions)
    sin = -sin if turn.inverse else sin
    return tuple(turn_part(x, cos, sin, turn.pairing, turn.rotated) for x in (q, k))


def in_compiler(q, k, cos, sin, positions, turn: Turn) -> Pair:
    return compiled.run(in_torch, turn, q, k, cos, sin, positions)


def _in_torch_(q, k, cos, sin, positions, turn: Turn) -> None:
    cos, sin = rows_of(cos, sin, positions)
    for x in (q, k):
        turn_part_(x, cos, -sin if turn.inverse else sin, turn.pairing, turn.rotated)


def _in_compiler_(q, k, cos, sin, positions, turn: Turn) -> None:
    # The compiler puts results beside what they replace, and copies. That gains where the eager way
    # has five passes, and loses where it has three.
    if turn.pairing == "interleaved" or max(q.itemsize, k.itemsize) > 2:
        _in_torch_(q, k, cos, sin, positions, turn)
        return
    compiled.run(_in_torch_, turn, q, k, cos, sin, positions)


def rows_of(cos, sin, positions) -> Pair:
    return (cos, sin) if positions is None else (cos[positions], sin[positions])


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
                    f"{name} is a leaf that requires a gradient, or a view of one; rotate a copy"
                )
        if any(s == 0 and size > 1 for s, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(f"{name} is expanded: its rows are a single memory location")
    if is_plain(q, k) and q.numel() and k.numel() and _overlap(q, k):
        raise ValueError("q and k share memory, and would be rotated twice; rotate copies")


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
