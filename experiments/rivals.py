"""Rivals of RoPE beyond the six of training.py: variants of RoPE and of T5's bias, and PoPE.

Two of them give each layer an encoding of its own. There the layer's ``mixer`` holds the encoding,
and the decoder's is :class:`rope_lib.course.encodings.NoPosition`.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import softplus
from training import ENCODINGS, Model, make_model

from rope_lib import Proportional, RotaryEmbedding, inverse_frequencies, rotation_tables
from rope_lib.course.decoder import Decoder, causal_attention
from rope_lib.course.encodings import Encoding, NoPosition
from rope_lib.frequencies import float64_device

RIVALS = (
    *ENCODINGS,
    "t5_paper",
    "rope_partial",
    "rope_proportional",
    "rope_some_layers",
    "pope",
)
LEARNING = ("learned", "t5", "t5_paper", "pope")  # encodings with parameters of their own
TURNING_SHARE = 0.75  # of the pairs of p-RoPE


class Unscaled(Encoding):
    """Another encoding, with scores that are not divided by ``sqrt(head_dim)``, as T5 has them.

    Attention divides all the same; so queries are multiplied by that number before.

    Source: Raffel et al. (arXiv 1910.10683); the scaling is that of their code.
    """

    def __init__(self, encoding: Encoding):
        super().__init__()
        self.encoding = encoding

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the other encoding makes of ``q`` and ``k``, and ``q`` larger."""
        q, k = self.encoding(q, k, positions)
        return math.sqrt(q.shape[-1]) * q, k

    def bias(self, positions_q: torch.Tensor, positions_k: torch.Tensor) -> torch.Tensor | None:
        """The bias of the other encoding."""
        return self.encoding.bias(positions_q, positions_k)


class PoPE(Encoding):
    """Polar coordinates: the content sets how long each number's arrow is, the position its angle.

    Each of the ``head_dim`` numbers of a query or key has the length ``mu = softplus(x)`` and the
    angle ``position * theta_c``, with ``theta_c = base ** (-c / head_dim)``; for keys a learned
    phase ``delta_c`` is added, one for each head and number. With the query at ``m`` and the key
    at ``n`` the score is ``sum_c mu_q mu_k cos((n - m) theta_c + delta_c) / sqrt(head_dim)``.
    The numbers of an arrow are its cosine and sine parts, so queries and keys get twice as wide.

    The paper keeps ``delta_c`` between -2 pi and 0, and starts it at 0 or spread evenly between
    the two; it finds 0 better for texts longer than those of training, and the spread slightly
    better otherwise. Here it is spread. Both bounds are the same angle, so they exclude no score.
    They are left out here, since a bound also stops the gradient of what has reached it.

    Args:
        heads: of keys.
        head_dim: of queries and keys before they are encoded.
        base: as in :func:`rope_lib.frequencies.inverse_frequencies`.

    Source: Gopalakrishnan et al. (arXiv 2509.10534), section 3.
    """

    def __init__(self, heads: int, head_dim: int, base: float = 10_000.0):
        super().__init__()
        self.head_dim, self.base = head_dim, base
        self.delta = nn.Parameter(torch.empty(heads, 1, head_dim).uniform_(-2 * math.pi, 0.0))

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys ``(..., heads, seq, 2 head_dim)``."""
        device = float64_device(positions.device)
        # As many frequencies as numbers: those of a head that is twice as wide.
        frequencies = inverse_frequencies(2 * self.head_dim, self.base, device=device)
        cos, sin = rotation_tables(positions, frequencies, q.dtype)
        cos_delta, sin_delta = self.delta.cos(), self.delta.sin()
        cos_k = cos * cos_delta - sin * sin_delta
        sin_k = sin * cos_delta + cos * sin_delta
        # Attention divides by the root of the width that it sees, which is 2 head_dim.
        long_q, long_k = math.sqrt(2) * softplus(q), softplus(k)
        return (
            torch.cat((long_q * cos, long_q * sin), dim=-1),
            torch.cat((long_k * cos_k, long_k * sin_k), dim=-1),
        )


class OwnEncoding(nn.Module):
    """Causal attention of one layer that has an encoding of its own, not the decoder's."""

    def __init__(self, encoding: nn.Module):
        super().__init__()
        self.encoding = encoding

    def forward(self, q, k, v, *, encoding=None, positions=None) -> torch.Tensor:
        """As :func:`rope_lib.course.decoder.causal_attention`; ``encoding`` is passed over."""
        return causal_attention(q, k, v, encoding=self.encoding, positions=positions)


def make_rival(model: Model, length: int, seed: int) -> Decoder:
    """The decoder at its start, as :func:`training.make_model` makes it, for all ``RIVALS``.

    Raises:
        ValueError: an unknown encoding.
    """
    name, head_dim = model.encoding, model.width // model.heads
    if name not in RIVALS or name in ENCODINGS:
        return make_model(model, length, seed)
    if name == "t5_paper":
        made = make_model(replace(model, encoding="t5"), length, seed)
        made.encoding = Unscaled(made.encoding)
        return made
    made = make_model(replace(model, encoding="none"), length, seed)
    if name == "rope_partial":
        made.encoding = _rope(head_dim, rotary_dim=head_dim // 2)
    elif name == "rope_proportional":
        made.encoding = _rope(head_dim, scaling=Proportional(TURNING_SHARE))
    elif name == "rope_some_layers":
        turns = [layer % 2 == 0 for layer in range(model.layers)]
        _give_layers(made, (_rope(head_dim) if turn else NoPosition() for turn in turns))
    else:
        torch.manual_seed(seed)
        _give_layers(made, (PoPE(model.heads, head_dim) for _ in made.blocks))
    return made


def _rope(head_dim: int, **how) -> RotaryEmbedding:
    return RotaryEmbedding(head_dim, pairing="half", **how)


def _give_layers(model: Decoder, encodings: Iterable[nn.Module]) -> None:
    """An encoding of its own for each layer."""
    for block, encoding in zip(model.blocks, encodings, strict=True):
        block.mixer = OwnEncoding(encoding)
