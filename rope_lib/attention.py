"""Softmax attention, spelled out so that every step can be looked at.

A model would call ``torch.nn.functional.scaled_dot_product_attention``; tests hold this file to it.
"""

import math
from collections.abc import Callable

import torch

from .checks import require_broadcast, require_float_tensor, require_same_device

Encoding = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def attention_weights(q: torch.Tensor, k: torch.Tensor, *, causal: bool = False) -> torch.Tensor:
    """How much each position looks at each other one: ``softmax(q . k / sqrt(head_dim))``.

    Args:
        q: queries ``(..., heads, seq_q, head_dim)``.
        k: keys ``(..., heads, seq_k, head_dim)``.
        causal: forbid looking ahead. With ``seq_q < seq_k`` the queries are the last positions, as
            in decoding with a cache.

    Returns:
        Tensor ``(..., heads, seq_q, seq_k)``; every row is non-negative and sums to 1.

    Raises:
        TypeError, ValueError: not floating point, widths that differ, heads that do not broadcast,
            two dtypes or devices, more queries than keys under a causal mask.
    """
    require_float_tensor("q", q, dims=2)
    require_float_tensor("k", k, dims=2)
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q and k must share head_dim, got shapes {tuple(q.shape)} and {tuple(k.shape)}"
        )
    _require_together("q", q, "k", k)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(_future(*scores.shape[-2:], scores.device), -math.inf)
    return scores.softmax(dim=-1)


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    encoding: Encoding | None = None,
    positions: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """Weighted mean of the values, with or without a sense of position.

    Args:
        q, k, v: ``(..., heads, seq, head_dim)``.
        encoding: called as ``encoding(q, k, positions) -> q, k`` before the scores; a
            :class:`rope_lib.rotary.RotaryEmbedding` is one. Values are never touched.
        positions: tokens, ``(seq,)``; needed with an encoding. None alone means 0, 1, 2, ...
        causal: as in :func:`attention_weights`.

    Returns:
        Tensor ``(..., heads, seq, head_dim)``.

    Raises:
        TypeError, ValueError: as in :func:`attention_weights`; ``positions`` without an encoding;
            a value for each key is missing.
    """
    for name, x in (("q", q), ("k", k), ("v", v)):
        require_float_tensor(name, x, dims=2)
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(f"v must hold {k.shape[-2]} rows, one a key; got shape {tuple(v.shape)}")
    _require_together("q", q, "v", v)
    _require_together("k", k, "v", v)
    if encoding is None and positions is not None:
        raise ValueError("positions were given, but encoding is None and would ignore them")
    if encoding is not None:
        if positions is None:
            positions = torch.arange(q.shape[-2], device=q.device)
        q, k = encoding(q, k, positions)
    return attention_weights(q, k, causal=causal) @ v


def _require_together(name: str, x: torch.Tensor, other_name: str, other: torch.Tensor) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} and {other_name} must have one dtype, got {x.dtype} and {other.dtype}"
        )
    require_same_device(name, x, other_name, other)
    require_broadcast(name, x, other_name, other, last=2)


def _future(seq_q: int, seq_k: int, device: torch.device) -> torch.Tensor:
    """True where a key lies ahead of the query, ``(seq_q, seq_k)``."""
    if seq_q > seq_k:
        raise ValueError(f"causal attention needs a key for each query, got {seq_q} and {seq_k}")
    allowed = torch.ones(seq_q, seq_k, dtype=torch.bool, device=device).tril(seq_k - seq_q)
    return ~allowed
