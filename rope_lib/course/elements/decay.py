"""One query and several keys over a distance: their score, the bound, and what random pairs do."""

import math
from collections.abc import Mapping

import torch

from ...checks import require_float_tensor
from ...frequencies import inverse_frequencies
from ..decay import bound_factor, key_peaking_at, score_by_distance
from .figure import (
    BLUE,
    COMMON,
    MINUS,
    RED,
    MovingFigure,
    axes,
    fill,
    fixed,
    label,
    line,
    require_known,
    require_place,
    require_words,
    svg,
)
from .hands import BASES

WORDS = COMMON | {
    "title": "Does the score fall with distance, and does a bound show it?",
    "key": "key",
    "same": "the query itself",
    "ahead": "the query, rotated ahead by 300 tokens",
    "random": "a random key",
    "even": "products that fall evenly to zero",
    "distance": f"distance m {MINUS} n",
    "base": "base",
    "bound": "bound",
    "simple": "|q| |k|",
    "spread": "random keys",
    "score": "score",
    "tokens": f"distance m {MINUS} n (tokens)",
    "size": "size of the score",
    "picture": "The size of a score over distances 0 to 1,000, on a logarithmic axis, with the "
    "bound of the paper, the bound |q| |k| and the standard deviation for random keys.",
    "readout": "distance {distance}, base {base}: score {score}, bound {bound}, |q| |k| {simple}, "
    "standard deviation for random keys {spread}",
    "means": f"distance: m {MINUS} n, from the query at position m back to the key at n.\n"
    "score: the dot product of the rotated query and the rotated key. The axis shows its "
    "size on a logarithmic scale; the dot is filled where the score is positive, hollow "
    "where it is negative.\n"
    "bound: RoFormer's, the largest step between neighbouring products h times the sum of the "
    "sizes of the partial sums S. The size of the score is never larger.\n"
    "products h: each pair of the query times the same pair of the key, as complex numbers; "
    "the score is the real part of their sum after the rotation.\n"
    "|q| |k|: the product of the two lengths, another bound.\n"
    "random keys: √d, the standard deviation of the score of random vectors with d independent "
    "standard normal elements.",
}
KEYS = ("same", "ahead", "random", "even")
AHEAD, FARTHEST, STEP, DIGITS = 300, 1000, 4, 4


def decay(
    query: torch.Tensor,
    key: torch.Tensor,
    choice: str = "same",
    distance: int = 50,
    base: int = 10_000,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """The score of a query with a key to choose, over the distance, beside what bounds it.

    The choices: ``"same"`` is the query itself, ``"ahead"`` the query rotated ahead by 300 tokens,
    ``"random"`` the given key. ``"even"`` is a pair of its own, whose products fall evenly to
    zero, ``h_i = 1 - i / (d/2)``: for it, RoFormer's bound is as close as it gets.

    Args:
        query, key: ``(head_dim,)``, pairs interleaved, 4 to 256 numbers, at most 100 in size.
        choice: the first key.
        distance: the first distance, 0 to 1,000 tokens.
        base: the first base, one of ``elements.hands.BASES``.
        words: replaces some or all of ``elements.decay.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    query, key = _require_vector("query", query), _require_vector("key", key)
    if query.shape != key.shape:
        raise ValueError(f"key must be as wide as query, {len(query)} numbers, got {len(key)}")
    require_known("choice", choice, KEYS)
    distance = require_place("distance", distance, FARTHEST, "the farthest")
    require_known("base", base, BASES)
    words = require_words(words, WORDS)
    config = {"query": query.tolist(), "key": key.tolist(), "choice": choice, "keys": KEYS,
              "distance": distance, "base": int(base), "bases": BASES, "ahead": AHEAD,
              "farthest": FARTHEST, "step": STEP, "words": words}  # fmt: skip
    inv_freq = inverse_frequencies(len(query), float(base))
    pair = _pair(choice, query, key, inv_freq)
    here = _lines(*pair, inv_freq, torch.tensor([distance]))
    numbers = {"distance": f"{distance:,}", "base": f"{base:,}", "score": fixed(here[0][0], 1)}
    bound, simple = here[1][0], here[2][0]
    numbers["bound"] = fixed(bound, 1) if bound < 1000 else f"{round(bound):,}"
    readout = fill(
        words["readout"],
        numbers | {"simple": fixed(simple, 1), "spread": fixed(math.sqrt(len(query)), 1)},
    )
    lines = _lines(*pair, inv_freq, torch.arange(0, FARTHEST + 1, 2 * STEP))
    picture = _draw(lines, math.sqrt(len(query)), (distance, here[0][0]), words)
    return MovingFigure("decay", config, picture, words["picture"], readout)


def _pair(
    choice: str, query: torch.Tensor, key: torch.Tensor, inv_freq: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    if choice == "even":
        even = (1 - torch.arange(len(inv_freq)).double() / len(inv_freq)).sqrt()
        pair = torch.stack((even, torch.zeros_like(even)), dim=-1).flatten()
        return pair, pair
    if choice == "ahead":
        key = key_peaking_at(query, AHEAD, inv_freq, pairing="interleaved")
    return query, query if choice == "same" else key


def _lines(
    q: torch.Tensor, k: torch.Tensor, inv_freq: torch.Tensor, distances: torch.Tensor
) -> list[list[float]]:
    """Score, RoFormer's bound and |q| |k| at each distance."""
    score = score_by_distance(q, k, inv_freq, distances, pairing="interleaved")
    h_q, h_k = (torch.view_as_complex(x.unflatten(-1, (-1, 2))) for x in (q, k))
    steps = torch.cat((h_q * h_k.conj(), torch.zeros(1))).diff().abs()
    bound = steps.max() * len(inv_freq) * bound_factor(inv_freq, distances)
    simple = (q.norm() * k.norm()).expand_as(score)
    return [score.tolist(), bound.tolist(), simple.tolist()]


def _draw(
    lines: list[list[float]], spread: float, now: tuple[int, float], words: Mapping[str, str]
) -> str:
    xs = [(52 + 0.25 * x, f"{x:,}") for x in (0, 500, 1000)]
    ys = [(_height(y), f"{y:,}") for y in _TICKS]
    drawn = axes((52, 36, 302, 262), xs, ys, words["tokens"], words["size"])
    score, bound, simple = ([_height(abs(each)) for each in values] for values in lines)
    for y, dashes in ((simple[0], "7 4"), (_height(spread), "2 4")):
        drawn += f"<path d='M52 {y:.1f}H302' stroke='#000' stroke-dasharray='{dashes}'/>"
    for heights, color, width in ((bound, RED, 1.5), (score, BLUE, 2.5)):
        points = [(52 + 0.25 * i * 2 * STEP, y) for i, y in enumerate(heights)]
        drawn += f"<path d='{line(points)}' stroke='{color}' stroke-width='{width}'/>"
    ends = {"score": score[-1], "bound": bound[-1], "simple": simple[0], "spread": _height(spread)}
    above = 0.0
    for name, y in sorted(ends.items(), key=lambda end: end[1]):
        above = max(y, above + 16)  # no name lies on the one above
        drawn += label(308, above + 4, words[name], "text-anchor='start' font-weight='700'")
    distance, size = now
    drawn += (
        f"<circle r='6' cx='{52 + 0.25 * distance:.1f}' cy='{_height(abs(size)):.1f}' "
        f"stroke='{BLUE}' stroke-width='2.5' fill='{BLUE if size >= 0 else '#fff'}'/>"
    )
    return svg(302, drawn)


_TICKS = (1, 10, 100, 1000, 10_000)


def _height(size: float) -> float:
    """Logarithmic: 0.5 at the bottom, 30,000 at the top."""
    return 262 - 226 * (math.log(max(size, 0.5) / 0.5) / math.log(60_000))


def _require_vector(name: str, value: torch.Tensor) -> torch.Tensor:
    require_float_tensor(name, value, dims=1)
    if value.dim() != 1 or len(value) % 2 or not 4 <= len(value) <= 256:
        raise ValueError(
            f"{name} must be 4 to 256 numbers, an even count; got {tuple(value.shape)}"
        )
    if not (value.abs() <= 100).all():  # NaN fails, too
        raise ValueError(f"{name} must hold numbers from -100 to 100, got {value.tolist()}")
    return value.detach().double().cpu().mul(10**DIGITS).round().div(10**DIGITS)
