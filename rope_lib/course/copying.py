"""A small model that learns to copy from 11 tokens back, for what fails beyond a trained length.

It has one layer of two heads and reads random texts of 32 tokens. Of the 16 pairs of a head three
complete a full turn within that length.
"""

import math
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from ..frequencies import inverse_frequencies
from ..module import RotaryEmbedding
from .decay import score_by_distance
from .decoder import Decoder

LAG, LENGTH, KINDS, WIDTH = 11, 32, 16, 32  # tokens back, trained length, vocabulary, head
INV_FREQ = inverse_frequencies(WIDTH)
SLOW = math.tau / INV_FREQ > LENGTH


def texts(count: int, length: int, seed: int) -> torch.Tensor:
    """Random tokens of 16 kinds, ``(count, length)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(KINDS, (count, length), generator=generator)


def trained(seed: int, steps: int = 150, rate: float = 3e-3) -> Decoder:
    """A model with RoPE that was trained to name the token 11 positions back."""
    torch.manual_seed(seed)
    encoding = RotaryEmbedding(WIDTH, pairing="half")
    model = Decoder(encoding, width=64, heads=2, layers=1, vocabulary=KINDS, start=0.5)
    adam = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, rate, steps)
    for step in range(steps):
        tokens = texts(32, LENGTH, seed=10_000 * seed + step)
        guesses = model(tokens)[:, LAG:].flatten(0, 1)
        loss = cross_entropy(guesses, tokens[:, :-LAG].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return model


@torch.no_grad()
def accuracy(
    model: Decoder,
    length: int,
    *,
    lag: int = LAG,
    clamped: torch.Tensor | None = None,
    counts_as: int = LENGTH - 1,
    last: int = 10,
) -> float:
    """How many of the last guesses of 64 new texts name the token ``lag`` positions back.

    Args:
        model: as :func:`trained` returns it, perhaps with another encoding.
        length: of the texts.
        lag: which token counts as right.
        clamped: for each pair whether distances above 31 count as another one; by default for none.
        counts_as: that distance, by default 31.
        last: guesses of each text.
    """
    tokens = texts(64, length, seed=99)
    block = model.blocks[0]
    mixer = block.mixer
    if clamped is not None:
        block.mixer = partial(_clamped_attention, clamped, counts_as, last)
    try:
        guesses = model(tokens)[:, -last:].argmax(dim=-1)
    finally:
        block.mixer = mixer
    wanted = tokens[:, -last - lag : -lag]
    return (guesses == wanted).double().mean().item()


def _clamped_attention(clamped, counts_as, last, q, k, v, *, encoding, positions):
    """Attention in which distances above 31 count as another one for some pairs.

    Only the last outputs are computed, the others are zero: in one layer they change no guess.
    """
    longest = LENGTH - 1
    q, at = q[..., -last:, :], positions[-last:, None]

    def logits(query_at, key_at):
        left, right = (torch.complex(*x.double().chunk(2, dim=-1)) for x in (q, k))
        left = left * torch.exp(1j * query_at * INV_FREQ)
        right = right * torch.exp(1j * key_at * INV_FREQ)
        return (left @ right.conj().mT).real / q.shape[-1] ** 0.5

    keys_at = positions[:, None]
    far = logits(torch.where(clamped, counts_as, at), torch.where(clamped, 0, keys_at))
    distance = at - positions
    mixed = torch.where(distance > longest, far, logits(at, keys_at))
    weights = mixed.masked_fill(distance < 0, -torch.inf).softmax(dim=-1)
    output = torch.zeros_like(v)
    output[..., -last:, :] = weights.to(v.dtype) @ v
    return output


@torch.no_grad()
def mean_logits(model: Decoder, head: int, distances: int = 512) -> torch.Tensor:
    """The logit of a head's mean query and mean key at distances 0, 1, 2 and so on."""
    embeddings = model.embedding.weight[:, None]
    q, k, _ = model.blocks[0].queries_keys_values(embeddings)
    q, k = (x[:, head, 0].double().mean(dim=0) for x in (q, k))
    scores = score_by_distance(q, k, INV_FREQ, torch.arange(distances), pairing="half")
    return scores / WIDTH**0.5
