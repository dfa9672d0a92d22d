"""Attention of other kinds than the library's, for experiments: what the layers of a decoder call.

:class:`ReadRope` is softmax attention with RoPE on explicit scores, for controlled readings of a
trained model: distances may be clamped, keys left out, scores scaled. :class:`NormedSum` is linear
attention without a denominator.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import rms_norm

from rope_lib.course.attention import EncodingLike, encode
from rope_lib.course.linear_attention import elu_plus_one
from rope_lib.functional import rotate

ROWS = 256  # queries at a time, so that scores of long texts need little memory


@dataclass(frozen=True, eq=False)
class ReadRope:
    """Causal softmax attention with RoPE, pairs ``(i, i + head_dim / 2)``, in float32.

    Args:
        inv_freq: radians a token of each pair, ``(head_dim / 2,)``.
        largest: a distance above it counts as it (ReRoPE); None clamps nothing.
        pairs: bool ``(head_dim / 2,)``, True for pairs whose distances are clamped; None means all.
        near, far: the query sees the nearest ``near`` keys, its own included, and ``far`` others,
            spaced evenly from the first key of the text on; all, while there are no more than that.
            With ``near`` None it sees all keys.
        trained: from this length on a query is multiplied by ``log(keys) / log(trained)``, where
            ``keys`` counts the query's own and all before it. None scales nothing.
    """

    inv_freq: torch.Tensor
    largest: int | None = None
    pairs: torch.Tensor | None = None
    near: int | None = None
    far: int = 0
    trained: int | None = None

    def __call__(self, q, k, v, *, encoding=None, positions=None) -> torch.Tensor:
        """As :func:`rope_lib.course.decoder.causal_attention`; ``encoding`` is passed over.

        Positions are 0, 1, 2, ..., whatever is given.
        """
        found = []
        for rows in torch.arange(q.shape[-2], device=q.device).split(ROWS):
            seen = slice(0, int(rows[-1]) + 1)  # no query of these looks farther
            found.append(self._attend(q[..., rows, :], k[..., seen, :], v[..., seen, :], rows))
        return torch.cat(found, dim=-2)

    def _attend(self, q, k, v, rows: torch.Tensor) -> torch.Tensor:
        keys = torch.arange(k.shape[-2], device=k.device)
        scores = self.scores(q, k, rows, keys) / math.sqrt(q.shape[-1])
        seen = rows[:, None] >= keys
        if self.near is not None:
            seen = seen & spread_keys(rows, keys, self.near, self.far)
        return scores.masked_fill(~seen, -torch.inf).softmax(dim=-1) @ v

    def scores(self, q, k, rows: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """``(..., queries, keys)`` for queries at positions ``rows`` and keys at ``keys``."""
        if self.trained is not None:
            q = q * log_n_factor(rows, self.trained).to(q)[:, None]
        scores = self._rotated_scores(q, k, rows, keys)
        distance = rows[:, None] - keys
        if self.largest is None or distance.max() <= self.largest:
            return scores
        # A clamped pair of numbers is rotated to the same two places, whatever the distance is.
        pairs = (
            torch.ones_like(self.inv_freq, dtype=torch.bool) if self.pairs is None else self.pairs
        )
        far_rows = torch.where(pairs, self.largest, rows[:, None])
        far_keys = torch.where(pairs, 0, keys[:, None])
        far = self._rotated_scores(q, k, far_rows, far_keys)
        return torch.where(distance > self.largest, far, scores)

    def _rotated_scores(self, q, k, rows: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return self._rotated(q, rows) @ self._rotated(k, keys).transpose(-1, -2)

    def _rotated(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """``positions``: tokens ``(seq,)``, or ``(seq, pairs)`` where each pair has its own."""
        positions = positions if positions.ndim == 2 else positions[:, None]
        angles = positions.double() * self.inv_freq
        return rotate(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype), pairing="half")


def log_n_factor(rows: torch.Tensor, trained: int) -> torch.Tensor:
    """``log(keys) / log(trained)`` for the queries at positions ``rows``, and at least 1."""
    return ((rows.double() + 1).log() / math.log(trained)).clamp(min=1)


def spread_keys(rows: torch.Tensor, keys: torch.Tensor, near: int, far: int) -> torch.Tensor:
    """Which keys are the nearest ``near`` or among ``far`` spaced evenly over all before those.

    Args:
        rows, keys: positions of queries, and of keys ``0, 1, 2, ...``.
        near, far: at least 1 and 2. A query with no more keys than both together sees all.

    Returns:
        Bool ``(rows, keys)``; keys ahead of the query may be True.
    """
    distance = rows[:, None] - keys
    last = (rows - near).clamp(min=0)  # the nearest of the far keys
    spaced = torch.arange(far, device=rows.device) * last[:, None] // (far - 1)
    chosen = torch.zeros_like(distance, dtype=torch.bool).scatter(1, spaced, True)
    return chosen | (distance < near) | (rows < near + far)[:, None]


@dataclass(frozen=True)
class NormedSum:
    """Causal linear attention without a denominator: each head's sum is normed instead.

    ``sum over n <= m of gamma ** (m - n) * (f(q_m) . f(k_n)) * v_n``, divided by the root of the
    mean square of its numbers, with ``f = elu + 1``, and with RoPE on the features if ``encoding``
    turns them. One small matrix a head, which ``gamma`` fades at every step, could hold the sum of
    the past; here it is taken over all pairs, in quadratic time, which gives the same numbers.

    Args:
        fading: whether head ``h`` fades with ``gamma = 1 - 2 ** (-5 - h)``, else ``gamma`` is 1.

    Source: the norm is that of TransNormer (Qin et al., arXiv 2210.10340), the fading state that of
    RetNet (Sun et al., arXiv 2307.08621), which takes no features of queries and keys.
    """

    fading: bool = False

    def __call__(
        self, q, k, v, *, encoding: EncodingLike | None = None, positions=None
    ) -> torch.Tensor:
        """As :func:`rope_lib.course.decoder.causal_attention`."""
        weights = self.weights(q, k, encoding=encoding, positions=positions)
        return rms_norm(weights @ v, v.shape[-1:])

    def weights(
        self, q, k, *, encoding: EncodingLike | None = None, positions=None
    ) -> torch.Tensor:
        """What each value is multiplied by before the norm, ``(..., heads, seq, seq)``."""
        q, k, _ = encode(elu_plus_one(q), elu_plus_one(k), encoding, positions)
        weights = (q @ k.transpose(-1, -2)).tril()
        return weights * fade(*weights.shape[-3:-1]).to(weights) if self.fading else weights


def fade(heads: int, seq: int) -> torch.Tensor:
    """``gamma ** distance``, ``(heads, seq, seq)``, float64; 1 for keys ahead."""
    gamma = 1 - 2.0 ** (-5 - torch.arange(heads, dtype=torch.float64))
    places = torch.arange(seq)
    return gamma[:, None, None] ** (places[:, None] - places).clamp(min=0)
