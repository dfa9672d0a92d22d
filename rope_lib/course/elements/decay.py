"""One query and several keys over a distance: their score, the bound, and what random pairs do."""

import math
from collections.abc import Mapping

import torch

from ...checks import require_float_tensor
from ...frequencies import inverse_frequencies
from ..decay import bound_factor, key_peaking_at, score_by_distance
from .figure import (
    MovingFigure,
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

WORDS = {
    "key": "key",
    "same": "the query itself",
    "ahead": "the query, turned ahead by 300 tokens",
    "random": "a random key",
    "even": "products that glide evenly to zero",
    "distance": "distance from the query back to the key",
    "base": "base",
    "bound": "bound",
    "simple": "|q| |k|",
    "spread": "random pairs",
    "score": "score",
    "picture": "The size of a score over distances 0 to 1,000, on a logarithmic axis, with the "
    "bound of the paper, the bound |q| |k| and the spread of random pairs.",
    "readout": "distance {distance}, base {base}: score {score}, bound {bound}, |q| |k| {simple}, "
    "random pairs spread by {spread}",
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

    The choices: ``"same"`` is the query itself, ``"ahead"`` the query turned ahead by 300 tokens,
    ``"random"`` the given key. ``"even"`` is a pair of its own, whose products glide evenly to
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
    picture = _draw(lines, math.sqrt(len(query)), words)
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


def _draw(lines: list[list[float]], spread: float, words: Mapping[str, str]) -> str:
    drawn = "".join(label(49, _height(y) + 4, f"{y:,}", "text-anchor='end'") for y in _TICKS)
    drawn += "".join(label(54 + 0.24 * x, 254, f"{x:,}") for x in (0, 500, 1000))
    drawn += "<path d='M54 10V236H294' stroke='#6E6E6E'/>"
    score, bound, simple = ([_height(abs(each)) for each in values] for values in lines)
    for heights, color in ((score, "#0072B2"), (bound, "#D55E00")):
        points = [(54 + 0.24 * i * 2 * STEP, y) for i, y in enumerate(heights)]
        drawn += f"<path d='{line(points)}' stroke='{color}' stroke-width='1.5'/>"
    for y, dashes in ((simple[0], "7 4"), (_height(spread), "2 4")):
        drawn += f"<path d='M54 {y:.1f}H294' stroke='#6E6E6E' stroke-dasharray='{dashes}'/>"
    ends = {"score": _height(3), "bound": bound[-1], "simple": simple[0], "spread": _height(spread)}
    above = 0.0
    for name, y in sorted(ends.items(), key=lambda end: end[1]):
        above = max(y, above + 16)  # no name lies on the one above
        drawn += label(299, round(above) + 4, words[name], "text-anchor='start'")
    return svg(400, 262, drawn, "text-anchor='middle'")


_TICKS = (1, 10, 100, 1000, 10_000)


def _height(size: float) -> float:
    """Logarithmic: 0.5 at the bottom, 30,000 at the top."""
    return 236 - 226 * (math.log(max(size, 0.5) / 0.5) / math.log(60_000))


def _require_vector(name: str, value: torch.Tensor) -> torch.Tensor:
    require_float_tensor(name, value, dims=1)
    if value.dim() != 1 or len(value) % 2 or not 4 <= len(value) <= 256:
        raise ValueError(
            f"{name} must be 4 to 256 numbers, an even count; got {tuple(value.shape)}"
        )
    if not (value.abs() <= 100).all():  # NaN fails, too
        raise ValueError(f"{name} must hold numbers from -100 to 100, got {value.tolist()}")
    return value.detach().double().cpu().mul(10**DIGITS).round().div(10**DIGITS)
