"""Real text for small experiments: ten plays of Shakespeare, as bytes, without a download.

Plays are held out whole, so that no sentence of the validation text was ever trained on.
"""

import lzma
from importlib.resources import files

import torch

from ..checks import require_choice

# Which plays each part holds, in order, two empty lines apart. Public domain, in the modern
# spelling of Project Gutenberg, as the package "shakespeare" 0.6 of the Open Knowledge Foundation
# has them.
PLAYS = {
    "train": (
        "Hamlet",
        "Macbeth",
        "Othello",
        "King Lear",
        "Romeo and Juliet",
        "Julius Caesar",
        "A Midsummer Night's Dream",
        "The Tempest",
    ),
    "validation": ("Twelfth Night", "As You Like It"),
}


def shakespeare(part: str) -> torch.Tensor:
    """The bytes of the plays: ``(1_036_489,)`` for "train", ``(240_108,)`` for "validation".

    Returns:
        Tensor of int64 in ``0 .. 126``; all of it is ASCII.

    Raises:
        ValueError: another part.

    Example:
        >>> len(shakespeare("validation"))
        240108
    """
    require_choice("part", part, tuple(PLAYS))
    packed = files("rope_lib.course").joinpath("data", f"shakespeare_{part}.txt.xz").read_bytes()
    return torch.frombuffer(bytearray(lzma.decompress(packed)), dtype=torch.uint8).long()


def windows(text: torch.Tensor, length: int, count: int, seed: int) -> torch.Tensor:
    """``count`` pieces of ``length + 1`` bytes from random places: inputs and targets, one apart.

    The same text, sizes and seed give the same pieces, on every machine.

    Returns:
        Tensor of int64, ``(count, length + 1)``.

    Raises:
        ValueError: the text is shorter than one piece.
    """
    last = len(text) - (length + 1)
    if last < 0:
        raise ValueError(f"text must hold at least {length + 1} bytes, got {len(text)}")
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(last + 1, (count, 1), generator=generator)
    return text[starts + torch.arange(length + 1)].long()
