"""Softmax attention, spelled out so that every step can be looked at.

A model would call ``torch.nn.functional.scaled_dot_product_attention``; tests hold this file to it.
"""

import math
from collections.abc import Callable

import torch

from ..checks import (
    require_float_tensor,
    require_same_device,
    require_tensor,
)

Pair = tuple[torch.Tensor, torch.Tensor]
EncodingLike = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Pair]


def attention_weights(
    q: torch.Tensor,
    k: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """How much each position looks at each other one: ``softmax(q . k / sqrt(head_dim) + bias)``.

    Args:
        q: queries ``(..., heads, seq_q, head_dim)``.
        k: keys ``(..., heads, seq_k, head_dim)``.
        bias: added to the scores, ``(heads, seq_q, seq_k)`` or any shape that broadcasts to theirs.
        mask: bool, True where a query may look; any shape that broadcasts to the scores'.
        causal: forbid looking ahead. With ``seq_q < seq_k`` the queries are the last positions, as
            in decoding with a cache.

    Returns:
        Tensor ``(..., heads, seq_q, seq_k)`` in the dtype of ``q``. Every row is non-negative and
        sums to 1; a row that may look nowhere is 0.

    Raises:
        TypeError, ValueError: not floating point, widths that differ, heads that do not broadcast,
            two dtypes or devices, a bias or mask that does not fit, more queries than keys under a
            causal mask.

    Example:
        >>> q = k = torch.zeros(1, 2, 4)  # one head, two tokens, all logits equal
        >>> attention_weights(q, k, causal=True)
        tensor([[[1.0000, 0.0000],
                 [0.5000, 0.5000]]])
    """
    _require_queries_and_keys(q, k)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if bias is not None:
        require_float_tensor("bias", bias)
        _require_fitting_scores("bias", bias, scores)
        scores = scores + bias  # a float32 bias widens 16-bit scores
    allowed = _allowed_pairs(scores, mask, causal)
    if allowed is None:
        return scores.softmax(dim=-1).to(q.dtype)
    # The lowest number, not -inf: of a row that may look nowhere, softmax would make NaN.
    scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).masked_fill(~allowed, 0.0).to(q.dtype)


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    encoding: EncodingLike | None = None,
    positions: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """Weighted mean of the values, with or without a sense of position.

    Args:
        q, k, v: ``(..., heads, seq, head_dim)``.
        encoding: called as ``encoding(q, k, positions) -> q, k`` before the scores; what its
            ``bias(positions_q, positions_k)`` returns, if it has one, is added to them. Everything
            in :mod:`rope_lib.course.encodings` will do, and a
            :class:`rope_lib.module.RotaryEmbedding`. Values are never touched.
        positions: tokens, one for each key: ``(seq_k,)``, or what the encoding takes. Needed with
            an encoding; None alone means 0, 1, 2, ... With ``seq_q < seq_k`` the queries are the
            last of them, and the keys are those of a cache from before the encoding.
        mask, causal: as in :func:`attention_weights`.

    Returns:
        Tensor ``(..., heads, seq_q, head_dim)``.

    Raises:
        TypeError, ValueError: as in :func:`attention_weights`; ``positions`` without an encoding;
            a value for each key is missing.

    Example:
        >>> x = torch.randn(1, 5, 64)
        >>> rope = RotaryEmbedding(64, "half")
        >>> attention(x, x, x, encoding=rope, causal=True).shape
        torch.Size([1, 5, 64])
    """
    _require_values(q, k, v)
    q, k, bias = encode(q, k, encoding, positions)
    return attention_weights(q, k, bias=bias, mask=mask, causal=causal) @ v


def encode(
    q: torch.Tensor, k: torch.Tensor, encoding: EncodingLike | None, positions: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """What ``encoding`` makes of queries and keys, and the bias it adds or None.

    Arguments and errors are those of :func:`attention`.
    """
    if encoding is None:
        if positions is not None:
            raise ValueError("positions were given, but encoding is None and would ignore them")
        return q, k, None
    seq_q, seq_k = q.shape[-2], k.shape[-2]
    if seq_q > seq_k:
        raise ValueError(f"an encoding needs a key for each query, got {seq_q} and {seq_k}")
    if positions is None:
        positions = torch.arange(seq_k, device=q.device)
    last = _last_positions(positions, seq_q, seq_k)
    make_bias = getattr(encoding, "bias", None)  # a function or a RotaryEmbedding has none
    bias = make_bias(last, positions) if callable(make_bias) else None
    if seq_q == seq_k:
        return *encoding(q, k, positions), bias
    return encoding(q, q, last)[0], encoding(k, k, positions)[1], bias


def _last_positions(positions: torch.Tensor, seq_q: int, seq_k: int) -> torch.Tensor:
    """Those of the queries, given those of the keys."""
    if seq_q == seq_k or require_tensor("positions", positions).ndim == 0:
        return positions
    if positions.shape[-1] != seq_k:
        raise ValueError(
            f"positions must hold {seq_k} numbers, one a key; got shape {tuple(positions.shape)}"
        )
    return positions[..., seq_k - seq_q :]


def _allowed_pairs(
    scores: torch.Tensor, mask: torch.Tensor | None, causal: bool
) -> torch.Tensor | None:
    """True where a query may look at a key, or None for everywhere."""
    if mask is not None:
        require_tensor("mask", mask)
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be bool, True where a query may look; got {mask.dtype}")
        _require_fitting_scores("mask", mask, scores)
    if not causal:
        return mask
    seq_q, seq_k = scores.shape[-2:]
    if seq_q > seq_k:
        raise ValueError(f"causal attention needs a key for each query, got {seq_q} and {seq_k}")
    past = torch.ones(seq_q, seq_k, dtype=torch.bool, device=scores.device).tril(seq_k - seq_q)
    return past if mask is None else past & mask


def _require_queries_and_keys(q: torch.Tensor, k: torch.Tensor) -> None:
    require_float_tensor("q", q, dims=2)
    require_float_tensor("k", k, dims=2)
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q and k must share head_dim, got shapes {tuple(q.shape)} and {tuple(k.shape)}"
        )
    _require_together("q", q, "k", k)


def _require_values(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        require_float_tensor(name, x, dims=2)
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(f"v must hold {k.shape[-2]} rows, one a key; got shape {tuple(v.shape)}")
    _require_together("q", q, "v", v)
    _require_together("k", k, "v", v)


def _require_together(name: str, x: torch.Tensor, other_name: str, other: torch.Tensor) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} and {other_name} must have one dtype, got {x.dtype} and {other.dtype}"
        )
    require_same_device(name, x, other_name, other)
    require_broadcast(name, x, other_name, other, last=2)


def require_broadcast(
    name: str, value: torch.Tensor, other_name: str, other: torch.Tensor, *, last: int
) -> None:
    """Raise a ``ValueError`` where the dimensions before the ``last`` ones do not broadcast."""
    sizes = zip(value.shape[:-last][::-1], other.shape[:-last][::-1], strict=False)
    if not all(one == two or 1 in (one, two) for one, two in sizes):
        raise ValueError(
            f"{name} and {other_name} must broadcast before their last {last} dimension(s), got "
            f"shapes {tuple(value.shape)} and {tuple(other.shape)}"
        )


def _require_fitting_scores(name: str, x: torch.Tensor, scores: torch.Tensor) -> None:
    require_same_device(name, x, "the scores", scores)
    sizes = zip(x.shape[::-1], scores.shape[::-1], strict=False)
    if x.ndim > scores.ndim or not all(size in (1, score) for size, score in sizes):
        raise ValueError(
            f"{name} must broadcast to the scores, (..., heads, seq_q, seq_k) = "
            f"{tuple(scores.shape)}; got shape {tuple(x.shape)}"
        )
