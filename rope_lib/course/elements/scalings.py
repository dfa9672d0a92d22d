"""What the repairs for longer texts do to each hand, and which angles remain unseen."""

import math
from collections.abc import Mapping

import torch

from ...checks import require_count, require_even
from ...frequencies import inverse_frequencies
from ...scaling import NTK, Linear, Llama3, YaRN
from .figure import MovingFigure, fill, label, require_known, require_words, svg
from .hands import BASES

WORDS = {
    "method": "repair",
    "none": "none",
    "linear": "position interpolation",
    "ntk": "NTK-aware",
    "yarn": "YaRN",
    "llama3": "the rule of Llama 3.1",
    "factor": "factor",
    "wavelength": "tokens for one turn",
    "slower": "times slower",
    "picture": "A dot for each hand: how many times slower it becomes, against the tokens it needs "
    "for one turn. A line marks the length of training. Crosses are hands that meet unseen angles.",
    "readout": "{method}, factor {factor}: {kept} of {count} hands as they were, {part} slowed in "
    "part, {whole} by the whole factor. In a text of {text} tokens, {unseen} hands meet angles "
    "they never showed in training; up to {reach} tokens, none does",
}
METHODS = ("none", "linear", "ntk", "yarn", "llama3")
FACTORS = (1, 2, 4, 8, 16, 32)
CLOSE = 1.001  # factors closer than this are called equal


def scalings(
    head_dim: int = 128,
    base: int = 10_000,
    length: int = 4096,
    method: str = "none",
    factor: int = 8,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """How many times slower each hand of a head becomes, with a menu of repairs and their factor.

    Args:
        head_dim: width of the head, even, 4 to 256.
        base: one of ``elements.hands.BASES``.
        length: tokens of a text in training, 256 to 1,000,000.
        method: the first repair: ``"none"``, ``"linear"``, ``"ntk"``, ``"yarn"`` or ``"llama3"``.
        factor: the first factor, one of ``elements.scalings.FACTORS``.
        words: replaces some or all of ``elements.scalings.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    if not 4 <= require_even("head_dim", head_dim) <= 256:
        raise ValueError(f"head_dim must lie between 4 and 256, got {head_dim}")
    if not 256 <= require_count("length", length) <= 1_000_000:
        raise ValueError(f"length must lie between 256 and 1000000 tokens, got {length}")
    for name, value, known in (("base", base, BASES), ("method", method, METHODS),
                               ("factor", factor, FACTORS)):  # fmt: skip
        require_known(name, value, known)
    words = require_words(words, WORDS)
    config = {"width": int(head_dim), "base": int(base), "length": int(length), "close": CLOSE,
              "method": method, "methods": METHODS, "factor": int(factor), "factors": FACTORS,
              "words": words}  # fmt: skip
    plain = inverse_frequencies(head_dim, float(base))
    slower = plain / _SCALINGS[method](float(factor), length).inverse_frequencies(
        head_dim, float(base)
    )
    new = _unseen(plain, slower, length, factor)
    numbers = {"method": words[method], "factor": factor, "count": len(plain),
               "text": f"{length * factor:,}", "unseen": int(new.sum()),
               "reach": _reach(plain, slower, length)} | _kinds(slower, factor)  # fmt: skip
    picture = _draw(2 * math.pi / plain, slower, new, length)
    readout = fill(words["readout"], numbers)
    return MovingFigure("scalings", config, picture, words["picture"], readout)


_SCALINGS = {
    "none": lambda factor, length: Linear(1.0),
    "linear": lambda factor, length: Linear(factor),
    "ntk": lambda factor, length: NTK(factor),
    "yarn": YaRN,
    "llama3": Llama3,
}


def _unseen(plain: torch.Tensor, slower: torch.Tensor, length: int, factor: int) -> torch.Tensor:
    """Which hands never came round in training, and go farther in the longer text."""
    return (length * plain < 2 * math.pi) & (slower * CLOSE < factor)


def _reach(plain: torch.Tensor, slower: torch.Tensor, length: int) -> str:
    """The longest text in which no hand meets an unseen angle; all of them, if all come round."""
    unfinished = slower[length * plain < 2 * math.pi]
    return f"{int(length * unfinished.min() + 0.001):,}" if len(unfinished) else "∞"


def _kinds(slower: torch.Tensor, factor: int) -> dict[str, int]:
    kept, whole = int((slower < CLOSE).sum()), int((slower * CLOSE > factor).sum())
    if factor == 1:  # both at once
        return {"kept": len(slower), "part": 0, "whole": 0}
    return {"kept": kept, "part": len(slower) - kept - whole, "whole": whole}


def _draw(turns: torch.Tensor, slower: torch.Tensor, new: torch.Tensor, length: int) -> str:
    def across(tokens: float) -> float:
        return 40 + 340 * math.log(tokens / 6) / math.log(float(turns.max()) * 1.2 / 6)

    drawn = "<path d='M36 10V200H388' stroke='#6E6E6E'/>"
    drawn += f"<path d='M{across(length):.1f} 10V200' stroke='#6E6E6E' stroke-dasharray='4 4'/>"
    for times in (1, 2, 4, 8, 16, 32):
        drawn += label(30, 190 - 34 * math.log2(times) + 4, str(times), "text-anchor='end'")
    for tokens, times, is_new in zip(turns.tolist(), slower.tolist(), new.tolist(), strict=True):
        x, y = across(tokens), 190 - 34 * math.log2(times)
        if is_new:
            drawn += f"<path d='M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8' stroke='#D55E00'/>"
        else:
            drawn += f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='#0072B2'/>"
    return svg(400, 206, drawn)
