"""Rotating and caching in one call: what a model does with each new token."""

import torch

from ..checks import (
    require_choice,
    require_float_tensor,
    require_same_device,
    require_tensor,
    seen_any,
)
from ..functional import for_heads
from . import launch
from .launch import Turn
from .operators import INDICES, WITH_CACHE, checked, in_torch, registered, way_of


def rotate_into_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
    k_cache: torch.Tensor, v_cache: torch.Tensor, slots: torch.Tensor, *, pairing: str,
    rotated: str | None = None, positions: torch.Tensor | None = None, backend: str | None = None,
) -> torch.Tensor:  # fmt: skip
    """Rotate queries and keys, and put the keys and their values into a cache, in one launch.

    Args:
        q: ``(batch, q_heads, seq, head_dim)``.
        k: ``(batch, kv_heads, seq, head_dim)``.
        v: ``(batch, kv_heads, seq, value_dim)``, not rotated.
        cos, sin, pairing, rotated, positions: as in :func:`rotate_qk`.
        backend: ``"triton"``, ``"torch"``, or None to choose by device.
        k_cache, v_cache: ``(batch or 1, kv_heads, rows, head_dim or value_dim)``, any strides. With
            1, all texts share one pool of rows: a paged cache is one, seen through a view.
        slots: int32 or int64, ``(seq,)`` or ``(batch, seq)``: the cache row of each token, a
            different one for each. A token with a negative slot is padding and is not stored.

    Returns:
        The rotated queries, a new tensor. ``k_cache`` and ``v_cache`` are written to.

    Raises:
        TypeError, ValueError: as in :func:`rotate_qk`; shapes, dtypes or devices of the cache that
            do not fit; on a CPU, a slot beyond it. Nothing has then been written.
        RuntimeError: a gradient would be recorded: a cache is for inference.

    Example:
        >>> q, k = torch.ones(1, 4, 2, 8), torch.ones(1, 1, 2, 8)  # tokens 5 and 6
        >>> cos, sin = RotaryEmbedding(8, "half").tables(torch.arange(5, 7))
        >>> cache = torch.zeros(1, 1, 9, 8), torch.zeros(1, 1, 9, 8)
        >>> rows = torch.tensor([5, 6])
        >>> q = rotate_into_cache(q, k, k, cos, sin, *cache, rows, pairing="half")
        >>> cache[1][0, 0, :, 0]  # of the values, which are not rotated
        tensor([0., 0., 0., 0., 0., 1., 1., 0., 0.])
    """
    cos, sin = for_heads(cos, q), for_heads(sin, q)
    turn, positions = checked(q, k, cos, sin, positions, pairing, rotated)
    require_cache(q, k, v, k_cache, v_cache, slots)
    require_choice("backend", backend, WITH_CACHE)
    way = way_of(backend, q, k, cos, sin, positions)
    if way is in_torch:
        result, k = in_torch(q, k, cos, sin, positions, turn)
        keep_in_torch(k, v, k_cache, v_cache, slots)
        return result
    arguments = (q, k, v, cos, sin, k_cache, v_cache, slots, positions)
    if way is registered:
        return _rotate_into_cache(*arguments, turn.pairing, turn.rotated)
    result = torch.empty_like(q)
    launch.turn_into_cache(q, k, v, result, k_cache, v_cache, cos, sin, positions, slots, turn)
    torch.autograd.graph.increment_version((k_cache, v_cache))
    return result


@torch.library.custom_op("rope_lib::rotate_into_cache", mutates_args=("k_cache", "v_cache"))
def _rotate_into_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
    k_cache: torch.Tensor, v_cache: torch.Tensor, slots: torch.Tensor,
    positions: torch.Tensor | None, pairing: str, rotated: str,
) -> torch.Tensor:  # fmt: skip
    """What compilers and tracers see of :func:`rotate_into_cache`."""
    result = torch.empty_like(q)
    turn = Turn(pairing, rotated)
    launch.turn_into_cache(q, k, v, result, k_cache, v_cache, cos, sin, positions, slots, turn)
    return result


@_rotate_into_cache.register_fake
def _(q, k, v, cos, sin, k_cache, v_cache, slots, positions, pairing, rotated):
    return torch.empty_like(q)


def keep_in_torch(k, v, k_cache, v_cache, slots) -> None:
    """Write rotated keys and values to their slots of a cache that fits them."""
    rows = slots.expand(k.shape[0], k.shape[2])
    text, token = (rows >= 0).nonzero(as_tuple=True)
    row = rows[text, token].long()
    for cache, new in ((k_cache, k), (v_cache, v)):
        pool = text if cache.shape[0] == k.shape[0] else torch.zeros_like(text)
        cache.transpose(1, 2)[pool, row] = new.transpose(1, 2)[text, token].to(cache.dtype)


def require_cache(q, k, v, k_cache, v_cache, slots, also: tuple = ()) -> None:
    """Raise unless a cache has room for keys and values, and slots say where.

    ``also`` has dtypes that a cache may have and queries may not.
    """
    require_tensor("slots", slots)
    if slots.dtype not in INDICES:
        raise TypeError(f"slots must hold int32 or int64 numbers, got {slots.dtype}")
    for name, x in (("q", q), ("k", k), ("v", v), ("k_cache", k_cache), ("v_cache", v_cache)):
        if not (isinstance(x, torch.Tensor) and x.dtype in also and x.layout is torch.strided
                and name.endswith("_cache")):  # fmt: skip
            require_float_tensor(name, x)
        require_same_device(name, x, "slots", slots)
        if x.ndim != 4:
            raise ValueError(f"{name} must have four dimensions, got shape {tuple(x.shape)}")
        if torch.is_grad_enabled() and x.requires_grad:
            raise RuntimeError(f"{name} requires a gradient, and a cache is for inference only")
    batch, heads, seq, _ = k.shape
    if v.shape[:3] != k.shape[:3] or q.shape[0] != batch:
        raise ValueError(
            "q, k and v must have the same batch and tokens, and v the heads of k, got "
            f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        )
    rows = k_cache.shape[2]
    for name, cache, x in (("k_cache", k_cache, k), ("v_cache", v_cache, v)):
        wanted = (heads, rows, x.shape[-1])
        if cache.shape[0] not in (1, batch) or tuple(cache.shape[1:]) != wanted:
            raise ValueError(f"{name} must be (1 or {batch}, {heads}, rows, {x.shape[-1]}), with "
                             f"as many rows as k_cache, got {tuple(cache.shape)}")  # fmt: skip
    if tuple(slots.shape) not in ((seq,), (batch, seq)):
        raise ValueError(f"slots must be ({seq},) or ({batch}, {seq}), got {tuple(slots.shape)}")
    if seen_any(slots, lambda numbers: numbers >= rows):
        raise ValueError(f"slots must be below {rows}, the cache's rows, got {slots.max().item()}")
