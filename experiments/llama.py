"""A small decoder of LLaMA's architecture that leaves its attention to whoever runs it.

The model projects to queries, keys and values and hands them over *before any rotation*. Positions,
masks and caches are then a matter of the function that receives them, so one set of trained weights
can be read in any way. ``memory.py`` holds the ways that the experiments try.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import silu

# (queries, keys, values, number of the layer) to (batch, heads, seq, head_dim). Queries come as
# (batch, heads, seq, head_dim), keys and values as (batch, key_heads, seq, head_dim).
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """What a LLaMA model has to know about itself, apart from its weights."""

    layers: int
    width: int
    heads: int
    key_heads: int
    feed_forward: int
    vocabulary: int
    trained_length: int
    base: float
    epsilon: float

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


class Layer(nn.Module):
    """``x + attention(norm(x))``, and to that ``y + network(norm(y))``, with a gated network."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width, key_width = sizes.width, sizes.key_heads * sizes.head_dim
        self.heads, self.key_heads = sizes.heads, sizes.key_heads
        self.attention_norm = nn.RMSNorm(width, eps=sizes.epsilon)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, key_width, bias=False)
        self.value = nn.Linear(width, key_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.network_norm = nn.RMSNorm(width, eps=sizes.epsilon)
        self.gate = nn.Linear(width, sizes.feed_forward, bias=False)
        self.up = nn.Linear(width, sizes.feed_forward, bias=False)
        self.down = nn.Linear(sizes.feed_forward, width, bias=False)

    def queries_keys_values(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Three tensors ``(batch, heads or key_heads, seq, head_dim)``, not rotated."""
        x = self.attention_norm(x)
        parts = ((self.query, self.heads), (self.key, self.key_heads), (self.value, self.key_heads))
        return tuple(made(x).unflatten(-1, (n, -1)).transpose(1, 2) for made, n in parts)

    def forward(self, x: torch.Tensor, attend: Attend, number: int) -> torch.Tensor:
        found = attend(*self.queries_keys_values(x), number)
        x = x + self.out(found.transpose(1, 2).flatten(2))
        y = self.network_norm(x)
        return x + self.down(silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """Token ids ``(batch, seq)`` to scores of the next token; the embedding is also the output."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = nn.RMSNorm(sizes.width, eps=sizes.epsilon)

    def forward(self, tokens: torch.Tensor, attend: Attend) -> torch.Tensor:
        """What stands before the output, ``(batch, seq, width)``; :meth:`scores` reads it.

        The scores of 49,152 words for each of 8,192 tokens would fill 1.6 GB, and mostly a few are
        wanted, so they are asked for by themselves.
        """
        x = self.embedding(tokens)
        for number, layer in enumerate(self.layers):
            x = layer(x, attend, number)
        return x

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(batch, seq, vocabulary)`` of what :meth:`forward` returned, or a part of it."""
        return self.norm(x) @ self.embedding.weight.T
