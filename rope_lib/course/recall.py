"""Two small tasks that ask where something stood, and one layer of attention to learn them.

They show the difference between an encoding that runs on longer sequences and one that works there.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..checks import require_count
from .attention import attention

NOTHING = -100  # the answer where nothing is asked; ``cross_entropy`` passes it over
Task = Callable[[int, int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def back(texts: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Name the token three positions earlier: tokens ``(texts, length, 1)`` of 16 kinds, answers.

    By chance one answer of 16 is right.
    """
    tokens = torch.randint(16, (texts, length), generator=generator)
    answers = torch.full_like(tokens, NOTHING)
    answers[:, 3:] = tokens[:, :-3]
    return tokens[..., None], answers


def latest(
    texts: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Name the value stored last under a key: tokens ``(texts, length, 2)``, answers.

    A token is one of 4 keys and what happens to it: a value 0 to 7 is stored (4 to 11), or it is
    asked for (12). Before a value was stored, nothing is to be answered. By chance one of 8 is
    right.
    """
    keys = torch.randint(4, (texts, length), generator=generator)
    values = torch.randint(8, (texts, length), generator=generator)
    asks = torch.rand(texts, length, generator=generator) < 0.5
    answers, rows = torch.full_like(keys, NOTHING), torch.arange(texts)
    stored = torch.full((texts, 4), NOTHING)
    for t in range(length):
        now = rows, keys[:, t]
        answers[:, t] = torch.where(asks[:, t], stored[now], NOTHING)
        stored[now] = torch.where(asks[:, t], stored[now], values[:, t])
    return torch.stack((keys, 4 + torch.where(asks, 8, values)), dim=-1), answers


KINDS = {back: (16, 16), latest: (13, 8)}  # kinds of tokens, kinds of answers


class OneLayer(nn.Module):
    """Vectors for tokens, one causal layer of four heads, a readout.

    An encoding that makes ``vectors`` is added to the tokens; any other acts inside attention.

    Args:
        task: ``back`` or ``latest``.
        encoding: of this package, or a ``RotaryEmbedding``.
        width: of the vectors; a multiple of 4.

    Raises:
        TypeError, ValueError: a width that is not a positive multiple of 4.
    """

    def __init__(self, task: Task, encoding: nn.Module, width: int = 32):
        super().__init__()
        if require_count("width", width) % 4:
            raise ValueError(f"width must be a multiple of 4, got {width}")
        kinds, answers = KINDS[task]
        self.embed, self.encoding = nn.Embedding(kinds, width), encoding
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.read = nn.Linear(width, answers)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits ``(texts, length, answers)`` for tokens ``(texts, length, parts)``."""
        x, inside = self.embed(tokens).sum(dim=-2), self.encoding
        if hasattr(inside, "vectors"):
            x, inside = x + inside.vectors(torch.arange(x.shape[1])), None
        q, k, v = self.to_qkv(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        mixed = attention(q, k, v, encoding=inside, causal=True)
        return self.read(mixed.transpose(1, 2).flatten(2))


def train(
    task: Task, encoding: nn.Module, *, width: int = 32, steps: int = 200, seed: int = 0
) -> OneLayer:
    """A :class:`OneLayer` after ``steps`` batches of 32 texts of 32 tokens, by Adam at 0.01."""
    torch.manual_seed(seed)
    model = OneLayer(task, encoding, width)
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 0.01, require_count("steps", steps))
    for _ in range(steps):
        tokens, answers = task(32, 32, generator)
        loss = cross_entropy(model(tokens).flatten(0, 1), answers.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return model


@torch.no_grad()
def share_right(model: OneLayer, task: Task, length: int) -> float | None:
    """Share of right answers in the second half of 64 new texts; None if it cannot run so far."""
    tokens, answers = task(64, length, torch.Generator().manual_seed(1))
    try:
        right = model(tokens).argmax(dim=-1) == answers
    except ValueError:  # a table of positions has ended
        return None
    asked = answers != NOTHING
    asked[:, : length // 2] = False
    return right[asked].double().mean().item()
