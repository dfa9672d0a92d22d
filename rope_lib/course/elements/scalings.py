"""What the repairs for longer texts do to each pair, and which angles remain unseen."""

import math
from collections.abc import Mapping

import torch

from ...checks import require_count, require_even
from ...frequencies import inverse_frequencies
from ...scaling import NTK, Linear, Llama3, YaRN
from .figure import (
    BLUE,
    COMMON,
    RED,
    MovingFigure,
    axes,
    fill,
    label,
    require_known,
    require_words,
    svg,
)
from .hands import BASES

WORDS = COMMON | {
    "title": "Which pairs does a repair slow down, and which still reach unseen angles?",
    "method": "repair",
    "none": "none",
    "linear": "position interpolation",
    "ntk": "NTK-aware",
    "yarn": "YaRN",
    "llama3": "the rule of Llama 3.1",
    "factor": "factor",
    "wavelength": "wavelength λ (tokens)",
    "slower": "times slower",
    "seen": "only trained angles",
    "new": "also unseen angles",
    "picture": "A mark for each pair: how many times slower it becomes, over its wavelength. A "
    "line marks the trained length. Dots are pairs that reach only trained angles, crosses "
    "are pairs that reach unseen angles as well.",
    "readout": "{method}, factor {factor}: {kept} of {count} pairs unchanged, {part} slowed in "
    "part, {whole} by the whole factor. In a text of {text} tokens, {unseen} pairs reach angles "
    "that did not occur in training; up to {reach} tokens, none does",
    "means": "repair: a way to use a trained model on longer texts, here by slowing pairs down.\n"
    "factor: how many times longer the texts are than those of training.\n"
    "wavelength λ: the number of tokens in which an unchanged pair completes a full turn. Both "
    "axes are logarithmic.\n"
    "T: the trained length, in tokens. Pairs in the shaded part complete no full turn within it.\n"
    "unseen angle: one that this pair has at no distance below the trained length. For a pair that "
    "completes a full turn within it, no angle is unseen.",
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
    """How many times slower each pair of a head rotates, with a menu of repairs and their factor.

    Args:
        head_dim: width of the head, even, 4 to 256.
        base: one of ``elements.hands.BASES``.
        length: the trained length in tokens, 256 to 1,000,000.
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
    picture = _draw(2 * math.pi / plain, slower, new, length, words)
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
    """Which pairs complete no full turn in training, and go farther in the longer text."""
    return (length * plain < 2 * math.pi) & (slower * CLOSE < factor)


def _reach(plain: torch.Tensor, slower: torch.Tensor, length: int) -> str:
    """The longest text in which no pair reaches an unseen angle; all, if each completes a turn."""
    unfinished = slower[length * plain < 2 * math.pi]
    return f"{int(length * unfinished.min() + 0.001):,}" if len(unfinished) else "∞"


def _kinds(slower: torch.Tensor, factor: int) -> dict[str, int]:
    kept, whole = int((slower < CLOSE).sum()), int((slower * CLOSE > factor).sum())
    if factor == 1:  # both at once
        return {"kept": len(slower), "part": 0, "whole": 0}
    return {"kept": kept, "part": len(slower) - kept - whole, "whole": whole}


def _draw(
    waves: torch.Tensor,
    slower: torch.Tensor,
    new: torch.Tensor,
    length: int,
    words: Mapping[str, str],
) -> str:
    farthest = float(waves.max()) * 1.2

    def across(tokens: float) -> float:
        return 38 + 346 * math.log(tokens / 6) / math.log(farthest / 6)

    powers = [10**i for i in range(1, 9) if 10**i < farthest]
    end = min(max(across(length), 34), 384)
    late = end > 274
    drawn = f"<path d='M{end:.1f} 36H384V226H{end:.1f}z' fill='#F2F2F2'/>"
    drawn += axes(
        (34, 36, 384, 226),
        [(across(each), f"{each:,}") for each in powers[:: math.ceil(len(powers) * 76 / 350)]],
        [(216 - 30 * math.log2(times), str(times)) for times in (1, 2, 4, 8, 16, 32)],
        words["wavelength"],
        words["slower"],
    )
    drawn += f"<path d='M{end:.1f} 36V226' stroke='#000' stroke-dasharray='4 4'/>"
    anchor = f"text-anchor='{'end' if late else 'start'}'"
    drawn += label(end + (-6 if late else 6), 48, f"T = {length:,}", anchor)
    for tokens, times, is_new in zip(waves.tolist(), slower.tolist(), new.tolist(), strict=True):
        drawn += _mark(is_new, across(tokens), 216 - 30 * math.log2(times))
    for y, is_new, name in ((280, False, "seen"), (298, True, "new")):
        drawn += _mark(is_new, 38, y) + label(48, y + 4, words[name], "text-anchor='start'")
    return svg(308, drawn)


def _mark(is_new: bool, x: float, y: float) -> str:
    if is_new:
        return f"<path d='M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8' stroke='{RED}' stroke-width='2'/>"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{BLUE}'/>"
