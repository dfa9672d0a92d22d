"""Linear attention: weights that are products of features, so that sums can be kept, not pairs.

Softmax attention weighs a key by ``exp(q . k)``; here the weight is ``f(q) . f(k)`` with features
``f(x)`` that are all above 0. The sum over keys of ``(f(q) . f(k)) v`` is then ``f(q)`` times one
small matrix, the sum of all ``f(k) v^T``, however many keys there are.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import elu

from ..checks import require_choice, require_count, require_float_tensor
from .attention import (
    EncodingLike,
    _allowed_pairs,
    _require_fitting_scores,
    _require_queries_and_keys,
    _require_values,
    encode,
)

PLACES = ("numerator", "both", "inputs")


def elu_plus_one(x: torch.Tensor) -> torch.Tensor:
    """``elu(x) + 1``, above 0 everywhere; as many features as ``x`` has numbers.

    Source: Katharopoulos et al. (arXiv 2006.16236), equation 7.
    """
    return elu(x) + 1


class FavorFeatures:
    """Random features whose products estimate ``exp(q . k / sqrt(head_dim))``, as in Performer.

    ``f(x) = exp(w . y - |y|^2 / 2) / sqrt(features)`` with ``y = x / head_dim ** 0.25``, one number
    for each row ``w``. The rows are normal and, ``head_dim`` at a time, at right angles, which
    makes the estimate less noisy. They are drawn once, from ``seed``, and stay.

    Args:
        head_dim: of queries and keys.
        features: how many numbers ``f(x)`` has; even, if it is to be turned.
        seed: of the rows.

    Raises:
        TypeError, ValueError: sizes that are not positive integers; when called, another head_dim.

    Source: Choromanski et al. (arXiv 2009.14794), FAVOR+.
    """

    def __init__(self, head_dim: int, features: int, *, seed: int = 0):
        self.head_dim = require_count("head_dim", head_dim)
        self.features = require_count("features", features)
        generator = torch.Generator().manual_seed(seed)
        blocks = []
        for _ in range(-(-features // head_dim)):
            square = torch.randn(head_dim, head_dim, generator=generator, dtype=torch.float64)
            lengths = torch.randn(head_dim, head_dim, generator=generator, dtype=torch.float64)
            turn, signs = torch.linalg.qr(square)  # with these signs all directions are alike
            turn = turn * signs.diagonal().sign()
            blocks.append(turn * lengths.norm(dim=-1, keepdim=True))
        self.rows = torch.cat(blocks)[:features]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., seq, head_dim)`` to ``(..., seq, features)``, above 0."""
        require_float_tensor("x", x, dims=2)
        if x.shape[-1] != self.head_dim:
            raise ValueError(
                f"x must have head_dim = {self.head_dim} as its last dimension, "
                f"got shape {tuple(x.shape)}"
            )
        y = x * self.head_dim**-0.25
        powers = y @ self.rows.to(y).T - y.square().sum(dim=-1, keepdim=True) / 2
        # A little more than 0, so that a query far from every row still looks somewhere.
        return (powers.exp() + 1e-6) * self.features**-0.5


def linear_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    encoding: EncodingLike | None = None,
    positions: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    features: Callable[[torch.Tensor], torch.Tensor] = elu_plus_one,
    place: str | None = None,
) -> torch.Tensor:
    """Weighted mean of the values, in time that grows with the length and not with its square.

    An encoding with a ``bias`` multiplies each weight by ``exp(bias)``. One small matrix cannot
    hold such factors in general (ALiBi's under a causal mask it could, as a state that fades), nor
    any ``mask``: with either of them all pairs are weighed, in quadratic time.

    Args:
        q, k, v, encoding, positions, mask, causal: as in
            :func:`rope_lib.course.attention.attention`.
        features: maps ``(..., seq, head_dim)`` to ``(..., seq, any number)``, all of it above 0;
            :func:`elu_plus_one`, or :class:`FavorFeatures`. An encoding that turns features must
            fit their number.
        place: where the encoding acts. ``"numerator"`` turns the features, but only where they
            weigh values: the weights may then be negative and need not sum to 1. ``"both"`` turns
            them in the sum that is divided by as well, which may then come close to 0.
            ``"inputs"`` acts before the features are taken. None means ``"inputs"`` for an
            encoding that adds ``vectors``, ``"numerator"`` for all others.

    Returns:
        Tensor ``(..., heads, seq_q, head_dim)``; a query that may look nowhere gets 0.

    Raises:
        TypeError, ValueError: an unknown ``place``, or as in
            :func:`rope_lib.course.attention.attention`.

    Source: Katharopoulos et al. (arXiv 2006.16236), section 3; the rotated numerator is equation
    19 of RoFormer (arXiv 2104.09864).

    Example:
        >>> q = k = torch.zeros(1, 2, 4)  # equal weights
        >>> v = torch.tensor([[[1.0], [3.0]]])
        >>> linear_attention(q, k, v, causal=True)  # means of the values so far
        tensor([[[1.],
                 [2.]]])
    """
    _require_values(q, k, v)
    _require_queries_and_keys(q, k)
    if place is None:
        place = "inputs" if hasattr(encoding, "vectors") else "numerator"
    require_choice("place", place, PLACES)
    if place == "inputs":
        q, k, bias = encode(q, k, encoding, positions)
    wide = torch.promote_types(q.dtype, torch.float32)  # 16-bit sums are rounded once
    q, k, values = features(q.to(wide)), features(k.to(wide)), v.to(wide)
    turned_q, turned_k = q, k
    if place != "inputs":
        turned_q, turned_k, bias = encode(q, k, encoding, positions)
    if place == "both":
        q, k = turned_q, turned_k
    above = _weighted_sum(turned_q, turned_k, values, bias, mask, causal)
    below = _weighted_sum(q, k, torch.ones_like(values[..., :1]), bias, mask, causal)
    return (above / below.masked_fill(below == 0, 1.0)).to(v.dtype)


class ConstantMemory:
    """Causal :func:`linear_attention` token by token, for a bias that far keys share.

    Such is T5's: all distances beyond the edge of its last bucket share one number. The nearest
    keys and values are kept one by one, each to be weighed with its own ``exp(bias)``. Those that
    are farther go into one running sum, since one factor serves them all. So the memory does not
    grow with the text, and the result is exact.

    Args:
        bias: added to log weights, for the distances ``0, 1, ..., near`` in turn; the last number
            also holds for all distances beyond. ``near`` keys are kept one by one.
        features: as in :func:`linear_attention`; of one head.
    """

    def __init__(
        self,
        bias: torch.Tensor,
        features: Callable[[torch.Tensor], torch.Tensor] = elu_plus_one,
    ):
        self.features = features
        self.factors = (bias - bias.max()).exp()  # a factor for all of them cancels
        self.keys: list[torch.Tensor] = []  # nearest first
        self.values: list[torch.Tensor] = []
        self.state, self.total = None, None  # sums of f(k) v^T and of f(k) over all far keys

    def step(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Read one token and return what it finds; ``(head_dim,)`` each."""
        q, k = self.features(q), self.features(k)
        self.keys.insert(0, k)
        self.values.insert(0, v)
        if self.state is None:
            self.state, self.total = torch.zeros_like(torch.outer(k, v)), torch.zeros_like(k)
        if len(self.keys) == len(self.factors):
            far = self.keys.pop()
            self.state += torch.outer(far, self.values.pop())
            self.total += far
        weights = torch.stack(self.keys) @ q * self.factors[: len(self.keys)]
        above = weights @ torch.stack(self.values) + self.factors[-1] * (q @ self.state)
        return above / (weights.sum() + self.factors[-1] * (q @ self.total))

    def numbers(self) -> int:
        """How many numbers are kept now; the factors, which do not change, are not counted."""
        kept = [*self.keys, *self.values, *(() if self.state is None else (self.state, self.total))]
        return sum(x.numel() for x in kept)


def _weighted_sum(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    mask: torch.Tensor | None,
    causal: bool,
) -> torch.Tensor:
    """For each query the sum of ``weight * v`` over the keys it may look at."""
    if bias is not None or mask is not None:
        return _pair_weights(q @ k.transpose(-1, -2), bias, mask, causal) @ v
    if causal:
        return _running_sum(q, k, v)
    return q @ (k.transpose(-1, -2) @ v)


def _running_sum(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int = 64) -> torch.Tensor:
    """The same under a causal mask: ``rows`` queries at a time see one small matrix of the past."""
    past = k.shape[-2] - q.shape[-2]
    if past < 0:
        raise ValueError(
            f"causal attention needs a key for each query, got {q.shape[-2]} and {k.shape[-2]}"
        )
    state = k[..., :past, :].transpose(-1, -2) @ v[..., :past, :]
    done = []
    for start in range(0, q.shape[-2], rows):
        now = q[..., start : start + rows, :]
        new = slice(past + start, past + start + rows)
        keys, values = k[..., new, :], v[..., new, :]
        done.append(now @ state + (now @ keys.transpose(-1, -2)).tril() @ values)
        state = state + keys.transpose(-1, -2) @ values
    return torch.cat(done, dim=-2)


def _pair_weights(
    weights: torch.Tensor, bias: torch.Tensor | None, mask: torch.Tensor | None, causal: bool
) -> torch.Tensor:
    """``weights * exp(bias)``, 0 where looking is forbidden."""
    allowed = _allowed_pairs(weights, mask, causal)
    if allowed is None:
        allowed = torch.ones((), dtype=torch.bool, device=weights.device)
    if bias is not None:
        _require_fitting_scores("bias", bias, weights)
        bias = torch.where(allowed, bias, torch.finfo(bias.dtype).min)
        # exp never overflows this way, and a factor for a whole row cancels in the division.
        weights = weights * (bias - bias.amax(dim=-1, keepdim=True)).exp()
    return weights.masked_fill(~allowed, 0.0)
