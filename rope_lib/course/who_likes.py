"""The task *A likes B ?*: only the order of the tokens says who likes somebody.

Small models learn it, with positions or without, with a causal mask or without.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..checks import require_count
from .attention import EncodingLike, attention

NAMES = ("Ming", "Hong", "Gang", "Li", "Ann", "Ben", "Cleo", "Dan")
LIKES, ASK = 8, 9  # the numbers of the other two tokens; a name's number is its place in NAMES


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    """All sentences *A likes B ?* as rows of four tokens: 42 to learn from and 14 held out.

    Each of the 28 pairs of names comes in both orders. Seven pairs, drawn once, are held out.

    Example:
        >>> train_set, held_out = sentences()
        >>> train_set.shape, held_out.shape
        (torch.Size([42, 4]), torch.Size([14, 4]))
    """
    pairs = torch.combinations(torch.arange(len(NAMES)))
    drawn = pairs[torch.randperm(28, generator=torch.Generator().manual_seed(0))]
    return _in_both_orders(drawn[:21]), _in_both_orders(drawn[21:])


def _in_both_orders(pairs: torch.Tensor) -> torch.Tensor:
    first, second = torch.cat((pairs, pairs.flip(1))).T
    likes, ask = torch.full_like(first, LIKES), torch.full_like(first, ASK)
    return torch.stack((first, likes, second, ask), dim=1)


class Reader(nn.Module):
    """A vector for each token, attention layers, and an answer read from the output at ``?``.

    Args:
        layers: how many attention layers, each of one head, added to what enters it.
        encoding: gives positions to attention, as in :func:`~rope_lib.course.attention.attention`;
            None for no positions.
        causal: whether a token attends only to itself and to tokens before it.
        width: of the vectors.

    Raises:
        TypeError, ValueError: ``layers`` or ``width`` is not a whole number above 0.

    Example:
        >>> train_set, _ = sentences()
        >>> Reader()(train_set).shape  # a logit for each name
        torch.Size([42, 8])
    """

    def __init__(
        self,
        layers: int = 1,
        encoding: EncodingLike | None = None,
        *,
        causal: bool = False,
        width: int = 16,
    ) -> None:
        require_count("layers", layers)
        require_count("width", width)
        super().__init__()
        self.embed = nn.Embedding(len(NAMES) + 2, width)
        nn.init.normal_(self.embed.weight, std=0.3)  # attention starts even
        self.mixers = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(layers)])
        self.answer = nn.Linear(width, len(NAMES))
        self.encoding, self.causal = encoding, causal

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of the names, ``(sentences, 8)``, for tokens ``(sentences, 4)``."""
        x = self.embed(tokens)
        where = {"encoding": self.encoding, "positions": positions}
        for mixer in self.mixers:
            q, k, v = mixer(x).chunk(3, dim=-1)
            x = x + attention(q, k, v, causal=self.causal, **where)
        return self.answer(x[tokens == ASK])


def train(seed: int, steps: int = 200, **choices: Any) -> tuple[Reader, list[float]]:
    """Train a :class:`Reader` on the 42 sentences, in float64: the model, and its loss by step.

    Args:
        seed: what the first parameters are drawn from.
        steps: how many; each sees all 42 sentences.
        choices: what :class:`Reader` takes.

    Example:
        >>> model, losses = train(0, steps=2)
        >>> len(losses)
        2
    """
    require_count("steps", steps)
    train_set, _ = sentences()
    torch.manual_seed(seed)
    model, losses = Reader(**choices).double(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = cross_entropy(model(train_set), train_set[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def accuracy(model: Reader, data: torch.Tensor) -> float:
    """The fraction of sentences whose first name has the highest logit."""
    answers = model(data).argmax(dim=-1)
    return (answers == data[:, 0]).double().mean().item()
