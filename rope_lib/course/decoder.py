"""A small language model that takes any encoding: what the book's experiments train.

Bytes go in, scores for the next byte come out. Each block adds what attention found, then what a
small network made of it. Positions enter in one of two places: an encoding that makes ``vectors``
is added to the embeddings, once; any other acts inside every attention.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from ..checks import require_count, require_positive
from .attention import EncodingLike, encode

BYTES = 256
Mixer = Callable[..., torch.Tensor]


def causal_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    encoding: EncodingLike | None = None,
    positions: torch.Tensor | None = None,
    window: int | None = None,
) -> torch.Tensor:
    """Causal :func:`rope_lib.course.attention.attention`, by PyTorch's own fast kernel.

    Args:
        q, k, v, encoding, positions: as in :func:`rope_lib.course.attention.attention`.
        window: how many tokens each one looks at, itself included; None means all before it.

    Returns:
        Tensor ``(..., heads, seq_q, head_dim)``.

    Raises:
        TypeError, ValueError: as in :func:`rope_lib.course.attention.attention`; a window that is
            not a positive integer.
    """
    q, k, bias = encode(q, k, encoding, positions)
    past = k.shape[-2] - q.shape[-2]
    if past < 0:
        raise ValueError(
            f"causal attention needs a key for each query, got {q.shape[-2]} and {k.shape[-2]}"
        )
    if bias is None and window is None and past == 0:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril(past)
    if window is not None:
        mask = mask.triu(past + 1 - require_count("window", window))
    if bias is not None:
        mask = bias.to(q.dtype).masked_fill(~mask, -torch.inf)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Block(nn.Module):
    """One layer: ``x + attention(norm(x))``, and to that ``y + network(norm(y))``."""

    def __init__(self, width: int, heads: int, mixer: Mixer):
        super().__init__()
        self.heads, self.mixer = heads, mixer
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.before_network = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def queries_keys_values(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Three tensors ``(batch, heads, seq, head_dim)``, before any encoding."""
        three = self.qkv(self.before_attention(x)).chunk(3, dim=-1)
        return tuple(y.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for y in three)

    def forward(
        self,
        x: torch.Tensor,
        encoding: EncodingLike | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``(batch, seq, width)`` to the same; see :class:`Decoder` for the encoding."""
        q, k, v = self.queries_keys_values(x)
        found = self.mixer(q, k, v, encoding=encoding, positions=positions)
        x = x + self.out(found.transpose(-2, -3).flatten(-2))
        return x + self.network(self.before_network(x))


class Decoder(nn.Module):
    """A stack of causal blocks between an embedding and the scores of the next token.

    Models that differ only in their encoding start from the same weights under the same
    ``torch.manual_seed``: the encoding is made before and its weights are left as they are.

    Args:
        encoding: one of :mod:`rope_lib.course.encodings`, a
            :class:`rope_lib.module.RotaryEmbedding`, or None. Shared by all layers. It may be
            replaced in a trained model: ``model.encoding = ...``.
        width: of the vectors between blocks.
        layers, heads: of attention; ``width / heads`` is the head dimension.
        vocabulary: how many tokens there are; bytes by default.
        start: standard deviation of the embedding at first.
        label_scale: what the encoding's ``vectors`` are multiplied by before they are added.
        mixer: what lets tokens look at each other, called as
            ``mixer(q, k, v, encoding=, positions=)``. It must not look ahead.

    Raises:
        TypeError, ValueError: sizes that are not positive integers; heads that do not divide width.
    """

    def __init__(
        self,
        encoding: nn.Module | None,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        vocabulary: int = BYTES,
        start: float = 0.02,
        label_scale: float = 1.0,
        mixer: Mixer = causal_attention,
    ):
        super().__init__()
        if require_count("width", width) % require_count("heads", heads):
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        require_count("vocabulary", vocabulary)
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, mixer) for _ in range(require_count("layers", layers))
        )
        self.norm = nn.LayerNorm(width)
        self.unembedding = nn.Linear(width, vocabulary, bias=False)
        self.apply(_start)
        nn.init.normal_(self.embedding.weight, std=require_positive("start", start))
        self.encoding, self.label_scale = encoding, label_scale

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of each next token, ``(batch, seq, vocabulary)``.

        Args:
            tokens: integers ``(batch, seq)``.
            positions: tokens, ``(seq,)``; None means 0, 1, 2, ...
        """
        if positions is None:
            positions = torch.arange(tokens.shape[-1], device=tokens.device)
        x, encoding = self.embedding(tokens), self.encoding
        if hasattr(encoding, "vectors"):
            x, encoding = x + self.label_scale * encoding.vectors(positions, x.dtype), None
        if encoding is None:
            positions = None  # nobody is left to read them
        for block in self.blocks:
            x = block(x, encoding, positions)
        return self.unembedding(self.norm(x))


def next_token_loss(
    model: nn.Module, pieces: torch.Tensor, last: int | None = None
) -> torch.Tensor:
    """Mean surprise at the next token, in nats: 5.55 for one of 256 bytes guessed blindly.

    Args:
        model: maps tokens to scores, as a :class:`Decoder` does.
        pieces: ``(batch, seq + 1)`` tokens; each is scored from those before it.
        last: score only that many tokens at the end of each piece.

    Returns:
        Scalar tensor.
    """
    scores = model(pieces[:, :-1])
    if last is not None:
        scores, pieces = scores[:, -last:], pieces[:, -last:]
    else:
        pieces = pieces[:, 1:]
    return cross_entropy(scores.flatten(0, 1), pieces.flatten())


def _start(module: nn.Module) -> None:
    """Small random weights, no offsets."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
