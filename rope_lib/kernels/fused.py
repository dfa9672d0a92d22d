"""Normalisation and rotation of queries and keys in one call, as models with a QK norm need both.

Which model does what, in transformers 5.23:

- before the rotation, each head by itself: Qwen3, Gemma 3 (multiplied by ``1 + weight``),
  GLM-4-MoE, EXAONE 4;
- before the rotation, all heads together (``over="all"``): OLMo 2 and 3, OLMoE, MiniMax-M2;
- after the rotation, each head by itself (``normalized="after"``): Hunyuan; Llama 4 and nanochat,
  without weights.

Cohere's and Chameleon's norm also subtracts the mean, which nothing here does.
"""

import torch

from ..arithmetic import is_plain
from ..checks import (
    require_choice,
    require_float_tensor,
    require_positive,
    require_real,
    require_same_device,
)
from ..functional import for_heads, turn_part
from . import norm_launch
from .cache import keep_in_torch, require_cache
from .launch import Turn
from .norm_launch import EIGHT_BITS, Norm, limit_of, wide_of
from .operators import WITH_CACHE, Pair, checked, in_torch, registered, rows_of, way_of

Weight = torch.Tensor | None


def norm_rotate_qk(
    q: torch.Tensor | None, k: torch.Tensor | None, q_weight: Weight, k_weight: Weight,
    cos: torch.Tensor, sin: torch.Tensor, *, eps: float, pairing: str, rotated: str | None = None,
    inverse: bool = False, positions: torch.Tensor | None = None, normalized: str = "before",
    over: str = "head", backend: str | None = None,
) -> Pair:  # fmt: skip
    """Queries and keys, normalised and rotated, on a GPU in one launch, and so are the gradients.

    The norm is ``x / sqrt(mean(x**2) + eps) * weight``, the mean over the whole head, also where
    only a part of it is rotated. Everything is computed in float32 (float64 where an argument is)
    and rounded once, at the end. Models round more often: Qwen3's norm rounds before it multiplies
    by the weight, and again after it; OLMo 2's and Gemma 3's round after it.

    Args:
        q: ``(..., q_heads, seq, head_dim)``, 16, 32 or 64-bit floats, any strides; None for keys
            alone.
        k: ``(..., kv_heads, seq, head_dim)``; fewer heads than ``q`` are fine, and so is None.
        q_weight, k_weight: ``(head_dim,)`` for all heads, or ``(heads, head_dim)``; None for no
            weight. Any float dtype, not only that of ``q``. With ``over="all"``,
            ``(heads * head_dim,)`` or ``(heads, head_dim)``. For a model that multiplies by
            ``1 + weight`` (Gemma), give that.
        cos, sin, pairing, rotated, inverse, positions: as in
            :func:`rope_lib.kernels.rotate_qk`.
        eps: what is added to the mean of the squares, 0 or more.
        normalized: ``"before"`` the rotation, as in Qwen3, or ``"after"`` it, as in Hunyuan. They
            differ by the weights, which do not rotate, and where tables have an amplitude.
        over: ``"head"`` for a mean of each head, ``"all"`` for one of all heads, as in OLMo 2.
        backend: ``"triton"`` for the kernel, ``"torch"``, or None to choose by device: the kernel
            on a GPU. What a kernel cannot do (as in :func:`rope_lib.kernels.rotate_qk`; heads of
            ``q`` and ``k`` of two widths; more heads than fit into registers) is done in PyTorch,
            with the same result up to rounding.

    Returns:
        ``q, k``, new tensors, or None in the place of None. Gradients flow to ``q``, ``k`` and the
        weights, in one launch more, which sums up in the same order each time; gradients of
        gradients are computed in PyTorch. A compiler sees one operator each way.

    Raises:
        TypeError, ValueError: as in :func:`rope_lib.kernels.rotate_qk`; fewer than three
            dimensions; a weight or ``eps`` that does not fit.
        RuntimeError: ``"triton"`` is asked for and cannot run here; the message says why.

    Source: RMS norm, arXiv 1910.07467, equation 4; normalised queries and keys, arXiv 2302.05442.

    Example:
        >>> q, k = torch.randn(1, 8, 16, 64), torch.randn(1, 2, 16, 64)
        >>> cos, sin = RotaryEmbedding(64, "half").tables(torch.arange(16))
        >>> ones, settings = torch.ones(64), {"eps": 1e-6, "pairing": "half"}
        >>> q, k = norm_rotate_qk(q, k, ones, ones, cos, sin, **settings)
        >>> q[0, 0, :3].norm(dim=-1)  # 64 elements with a mean square of 1
        tensor([8.0000, 8.0000, 8.0000])
    """
    if q is None or k is None:
        settings = {"eps": eps, "pairing": pairing, "rotated": rotated, "inverse": inverse,
                    "positions": positions, "normalized": normalized, "over": over,
                    "backend": backend}  # fmt: skip
        return _alone(q, k, q_weight, k_weight, cos, sin, settings)
    norm = _checked_norm(eps, normalized, over)
    cos, sin = for_heads(cos, q), for_heads(sin, q)
    turn, positions = checked(q, k, cos, sin, positions, pairing, rotated, inverse)
    weights = (
        _checked_weight("q_weight", q_weight, "q", q, norm),
        _checked_weight("k_weight", k_weight, "k", k, norm),
    )
    way = _way_of(backend, q, k, weights, cos, sin, positions, norm)
    return way(q, k, *weights, cos, sin, positions, turn, norm)


def norm_rotate_into_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, q_weight: Weight, k_weight: Weight,
    cos: torch.Tensor, sin: torch.Tensor, k_cache: torch.Tensor, v_cache: torch.Tensor,
    slots: torch.Tensor, *, eps: float, pairing: str, rotated: str | None = None,
    positions: torch.Tensor | None = None, normalized: str = "before", over: str = "head",
    k_scale: float = 1.0, v_scale: float = 1.0, backend: str | None = None,
) -> torch.Tensor:  # fmt: skip
    """Normalise and rotate queries and keys, and put keys and values into a cache, in one launch.

    Args:
        q, k: as in :func:`norm_rotate_qk`, with four dimensions.
        q_weight, k_weight, eps, normalized, over: as there.
        cos, sin, pairing, rotated, positions, backend: as there.
        v, k_cache, v_cache, slots: as in :func:`rope_lib.kernels.rotate_into_cache`. Both caches
            may also be float8_e4m3fn.
        k_scale, v_scale: what is stored in 8 bits is divided by them, and cut at the largest
            number there is, 448; wider caches take no scales.

    Returns:
        The queries, a new tensor. ``k_cache`` and ``v_cache`` are written to.

    Raises:
        TypeError, ValueError: as in the two functions above. Nothing has then been written.
        RuntimeError: a gradient would be recorded: a cache is for inference.
    """
    norm = _checked_norm(eps, normalized, over)
    cos, sin = for_heads(cos, q), for_heads(sin, q)
    turn, positions = checked(q, k, cos, sin, positions, pairing, rotated)
    require_cache(q, k, v, k_cache, v_cache, slots, (EIGHT_BITS,))
    scales = _checked_scales(k_scale, v_scale, k_cache, v_cache)
    weights = (
        _checked_weight("q_weight", q_weight, "q", q, norm),
        _checked_weight("k_weight", k_weight, "k", k, norm),
    )
    _require_no_gradient(*weights)
    way = _way_of(backend, q, k, weights, cos, sin, positions, norm)
    if way is _in_torch or not _is_known_to(q.device, k_cache):
        result, k = _in_torch(q, k, *weights, cos, sin, positions, turn, norm)
        if (limit := limit_of(k_cache)) is not None:
            pairs = zip((k, v), scales, strict=True)
            k, v = ((x.float() / scale).clamp(-limit, limit) for x, scale in pairs)
        keep_in_torch(k, v, k_cache, v_cache, slots)
        return result
    given = (q, k, v, *weights)
    kept = (k_cache, v_cache, cos, sin, positions, slots)
    if way is _registered:
        return _norm_rotate_into_cache(*given, *kept, *scales, *_words(turn, norm))
    result = torch.empty_like(q)
    norm_launch.norm_turn_into_cache(*given, result, *kept, *scales, turn, norm)
    torch.autograd.graph.increment_version((k_cache, v_cache))
    return result


def _alone(q, k, q_weight, k_weight, cos, sin, settings: dict) -> Pair:
    """:func:`norm_rotate_qk` of one tensor: the other has no heads."""
    if q is None:
        require_float_tensor("k", k, dims=3)
        _, turned = norm_rotate_qk(k[..., :0, :, :], k, None, k_weight, cos, sin, **settings)
        return None, turned
    require_float_tensor("q", q, dims=3)
    turned, _ = norm_rotate_qk(q, q[..., :0, :, :], q_weight, None, cos, sin, **settings)
    return turned, None


# ---------------------------------------------------------------- what does the work


def _way_of(backend, q, k, weights, cos, sin, positions, norm: Norm):
    require_choice("backend", backend, WITH_CACHE)
    way = way_of(backend, q, k, cos, sin, positions)
    given = [weight for weight in weights if weight is not None]
    each = any(weight.ndim == 2 for weight in given)
    if way is in_torch or not norm_launch.fits(q, k, norm, each):
        return _in_torch
    if way is registered:
        return _registered
    if not is_plain(*given):
        return _in_torch
    learns = any(x.requires_grad for x in (q, k, *given))
    return _registered if learns and torch.is_grad_enabled() else _launched


def _in_torch(q, k, q_weight, k_weight, cos, sin, positions, turn: Turn, norm: Norm) -> Pair:
    work = wide_of(q, k, cos, q_weight, k_weight)
    cos, sin = rows_of(cos, sin, positions)
    sin = -sin if turn.inverse else sin
    pairs = ((q, q_weight), (k, k_weight))
    return tuple(_norm_turn(x, weight, cos, sin, turn, norm, work) for x, weight in pairs)


def _norm_turn(x, weight, cos, sin, turn: Turn, norm: Norm, work: torch.dtype) -> torch.Tensor:
    result = x.to(work)
    if norm.after:
        result = turn_part(result, cos, sin, turn.pairing, turn.rotated)
    mean = result.square().mean((-3, -1) if norm.whole else -1, keepdim=True)
    result = result * torch.rsqrt(mean + norm.eps)
    if weight is not None:
        result = result * (weight if weight.ndim == 1 else weight.unsqueeze(-2)).to(work)
    if not norm.after:
        result = turn_part(result, cos, sin, turn.pairing, turn.rotated)
    return result.to(x.dtype)


def _launched(q, k, q_weight, k_weight, cos, sin, positions, turn: Turn, norm: Norm) -> Pair:
    pair = torch.empty_like(q), torch.empty_like(k)
    norm_launch.norm_turn_qk(q, k, q_weight, k_weight, *pair, cos, sin, positions, turn, norm)
    return pair


def _registered(q, k, q_weight, k_weight, cos, sin, positions, turn: Turn, norm: Norm) -> Pair:
    return _norm_rotate_qk(q, k, q_weight, k_weight, cos, sin, positions, *_words(turn, norm))


# ---------------------------------------------------------------- what compilers and tracers see


def _words(turn: Turn, norm: Norm) -> tuple:
    """What operators take: text, truths and numbers. :func:`_meant` undoes it."""
    return turn.pairing, turn.rotated, turn.inverse, norm.eps, norm.after, norm.whole


def _meant(words: tuple) -> tuple[Turn, Norm]:
    return Turn(*words[:3]), Norm(*words[3:])


@torch.library.custom_op("rope_lib::norm_rotate_qk", mutates_args=())
def _norm_rotate_qk(
    q: torch.Tensor, k: torch.Tensor, q_weight: torch.Tensor | None,
    k_weight: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor,
    positions: torch.Tensor | None, pairing: str, rotated: str, inverse: bool, eps: float,
    after: bool, whole: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """:func:`norm_rotate_qk` as one operator."""
    words = pairing, rotated, inverse, eps, after, whole
    return _launched(q, k, q_weight, k_weight, cos, sin, positions, *_meant(words))


@_norm_rotate_qk.register_fake
def _(q, k, *_):
    return torch.empty_like(q), torch.empty_like(k)


@torch.library.custom_op("rope_lib::norm_rotate_qk_back", mutates_args=())
def _norm_rotate_qk_back(
    q_up: torch.Tensor, k_up: torch.Tensor, q: torch.Tensor, k: torch.Tensor,
    q_weight: torch.Tensor | None, k_weight: torch.Tensor | None, cos: torch.Tensor,
    sin: torch.Tensor, positions: torch.Tensor | None, pairing: str, rotated: str, inverse: bool,
    eps: float, after: bool, whole: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Gradients of ``q``, ``k`` and the weights, empty for no weight."""
    downs = torch.empty_like(q), torch.empty_like(k)
    words = pairing, rotated, inverse, eps, after, whole
    of_weights = norm_launch.norm_turn_back(
        q, k, q_weight, k_weight, q_up, k_up, *downs, cos, sin, positions, *_meant(words)
    )
    return *downs, *(q.new_empty(0) if each is None else each for each in of_weights)


@_norm_rotate_qk_back.register_fake
def _(q_up, k_up, q, k, q_weight, k_weight, *_):
    like = [q.new_empty(0) if w is None else w.new_empty(w.shape) for w in (q_weight, k_weight)]
    return torch.empty_like(q), torch.empty_like(k), *like


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:7])
    ctx.words = inputs[7:]


def _back(ctx, q_up, k_up):
    """The kernel, or, for gradients of gradients, what PyTorch can differentiate again."""
    saved = ctx.saved_tensors
    if torch.is_grad_enabled():
        gradients = _back_in_torch(saved, (q_up, k_up), *_meant(ctx.words))
    else:
        gradients = _norm_rotate_qk_back(q_up, k_up, *saved, *ctx.words)
    return *(None if x is None else g for x, g in zip(saved, gradients, strict=False)), *[None] * 9


def _back_in_torch(saved, ups, turn: Turn, norm: Norm) -> list[torch.Tensor | None]:
    results = _in_torch(*saved, turn, norm)
    learning = [x for x in saved[:4] if x is not None and x.requires_grad]
    found = iter(torch.autograd.grad(results, learning, ups, create_graph=True, allow_unused=True))
    return [next(found) if x is not None and x.requires_grad else None for x in saved[:4]]


_norm_rotate_qk.register_autograd(_back, setup_context=_keep)


@torch.library.custom_op("rope_lib::norm_rotate_into_cache", mutates_args=("k_cache", "v_cache"))
def _norm_rotate_into_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, q_weight: torch.Tensor | None,
    k_weight: torch.Tensor | None, k_cache: torch.Tensor, v_cache: torch.Tensor,
    cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor | None, slots: torch.Tensor,
    k_scale: float, v_scale: float, pairing: str, rotated: str, inverse: bool, eps: float,
    after: bool, whole: bool,
) -> torch.Tensor:  # fmt: skip
    """:func:`norm_rotate_into_cache` as one operator."""
    result = torch.empty_like(q)
    norm_launch.norm_turn_into_cache(
        q, k, v, q_weight, k_weight, result, k_cache, v_cache, cos, sin, positions, slots,
        k_scale, v_scale, *_meant((pairing, rotated, inverse, eps, after, whole)),
    )  # fmt: skip
    return result


@_norm_rotate_into_cache.register_fake
def _(q, *_):
    return torch.empty_like(q)


# ---------------------------------------------------------------- what a wrong argument is told


def _checked_norm(eps: float, normalized: str, over: str) -> Norm:
    if not 0 <= require_real("eps", eps) < float("inf"):
        raise ValueError(f"eps must be finite and at least 0, got {eps}")
    require_choice("normalized", normalized, ("before", "after"))
    require_choice("over", over, ("head", "all"))
    return Norm(float(eps), normalized == "after", over == "all")


def _checked_weight(name: str, weight: Weight, x_name: str, x: torch.Tensor, norm: Norm) -> Weight:
    """A weight for all heads, ``(head_dim,)``, or one for each, ``(heads, head_dim)``, or None."""
    require_float_tensor(x_name, x, dims=3)
    if weight is None:
        return None
    require_float_tensor(name, weight)
    require_same_device(name, weight, x_name, x)
    heads, _, width = x.shape[-3:]
    alike = (heads * width,) if norm.whole else (width,)
    if tuple(weight.shape) not in (alike, (heads, width)):
        raise ValueError(
            f"{name} must be {alike} or {(heads, width)} for {x_name} of shape {tuple(x.shape)} "
            f"and over={'all' if norm.whole else 'head'!r}, got {tuple(weight.shape)}"
        )
    return weight.reshape(heads, width) if norm.whole else weight


def _checked_scales(k_scale: float, v_scale: float, k_cache, v_cache) -> tuple[float, float]:
    if k_cache.dtype != v_cache.dtype and EIGHT_BITS in (k_cache.dtype, v_cache.dtype):
        raise ValueError(
            "k_cache and v_cache must both be float8_e4m3fn, or neither, got "
            f"{k_cache.dtype} and {v_cache.dtype}"
        )
    for name, scale in (("k_scale", k_scale), ("v_scale", v_scale)):
        if require_positive(name, scale) != 1 and k_cache.dtype != EIGHT_BITS:
            raise ValueError(f"{name} must be 1 for a cache of {k_cache.dtype}, got {scale}")
    return float(k_scale), float(v_scale)


def _is_known_to(device: torch.device, cache: torch.Tensor) -> bool:
    """Whether a kernel can round to the dtype of a cache: GPUs before Ada have no such 8 bits."""
    if limit_of(cache) is None or device.type != "cuda":
        return True
    return torch.cuda.get_device_capability(device) >= (8, 9)


def _require_no_gradient(*weights: Weight) -> None:
    for name, weight in zip(("q_weight", "k_weight"), weights, strict=True):
        if weight is not None and weight.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"{name} requires a gradient, and a cache is for inference only; call this under "
                "torch.no_grad()"
            )
