"""Two hands on one dial: what a turned query and a turned key make of their distance."""

import cmath
import math
from collections.abc import Mapping, Sequence
from numbers import Real

import torch

from ...checks import require_count, require_positive
from ...functional import rotate, rotation_tables
from .figure import MINUS, MovingFigure, fill, fixed, require_place, require_words

WORDS = {
    "m": "m, position of the query q",
    "n": "n, position of the key k",
    "shift": "shift of both",
    "picture": "A dial with two hands: q, turned m times, and k, turned n times.",
    "readout": f"m = {{m}}, n = {{n}}, m {MINUS} n = {{distance}}; "
    "angle between the hands {angle}°, score q·k = {score}",
}


def clock(
    query: Sequence[float] = (1.0, 0.0),
    key: Sequence[float] = (1.0, 0.0),
    theta: float = math.pi / 12,
    m: int = 3,
    n: int = 5,
    *,
    positions: int = 30,
    shifts: int = 100,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """Two hands on one dial, a query at ``m`` and a key at ``n``, with a slider to shift both.

    Args:
        query, key: two numbers each, the hands at position 0, longer than 0.
        theta: radians per position, counter-clockwise; greater than 0.
        m, n: the first positions, 0 to ``positions``.
        positions, shifts: the largest value of the sliders, in tokens.
        words: replaces some or all of ``elements.clock.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    query, key = _require_arrow("query", query), _require_arrow("key", key)
    theta = require_positive("theta", theta)
    positions, shifts = require_count("positions", positions), require_count("shifts", shifts)
    m = require_place("m", m, positions, "positions")
    n = require_place("n", n, positions, "positions")
    words = require_words(words, WORDS)
    config = {"query": query, "key": key, "theta": theta, "m": m, "n": n,
              "positions": positions, "shifts": shifts, "words": words}  # fmt: skip
    cos, sin = rotation_tables(torch.tensor([m, n]), torch.tensor([theta]).double(), torch.float64)
    hands = rotate(torch.tensor([query, key]).double(), cos, sin, pairing="interleaved")
    picture, readout = _draw(*hands.tolist()), _read(words["readout"], m, n, hands)
    return MovingFigure("clock", config, picture, words["picture"], readout)


def _read(template: str, m: int, n: int, hands: torch.Tensor) -> str:
    (q_x, q_y), (k_x, k_y) = hands.tolist()
    score = q_x * k_x + q_y * k_y
    angle = math.degrees(math.atan2(abs(k_x * q_y - k_y * q_x), score))
    return fill(template, {"m": m, "n": n, "distance": fixed(m - n, 0),
                           "angle": fixed(angle, 1), "score": fixed(score, 3)})  # fmt: skip


def _draw(q: list[float], k: list[float]) -> str:
    longest = max(math.hypot(*q), math.hypot(*k))
    aside = math.copysign(0.09, k[0] * q[1] - k[1] * q[0])  # letters make room for each other
    drawn = ""
    for name, hand, lean, style in (
        ("q", complex(*q), aside, "stroke='#0072B2'"),
        ("k", complex(*k), -aside, "stroke='#D55E00' stroke-dasharray='7 4'"),
    ):
        # The longer hand reaches the dial. Screens count y downwards, so y changes its sign.
        tip, letter = hand * 88 / longest, cmath.rect(109, cmath.phase(hand) + lean)
        drawn += f"<path d='M0 0L{tip.real:.1f} {-tip.imag:.1f}' stroke-width='4' {style}/>"
        drawn += f"<text x='{letter.real:.1f}' y='{5 - letter.imag:.1f}'>{name}</text>"
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' width='320' height='320' "
        "viewBox='-120 -120 240 240' fill='none' font-family='sans-serif' text-anchor='middle'>"
        "<path fill='#fff' d='M-120-120h240v240h-240z'/><circle r='100' stroke='#6E6E6E'/>"
        + drawn.replace("<text", "<text fill='#000' font-style='italic'")
        + "</svg>"
    )


def _require_arrow(name: str, value: Sequence[float]) -> list[float]:
    try:
        numbers = list(value)
    except TypeError:
        raise TypeError(f"{name} must be two numbers, got {value!r}") from None
    if not all(isinstance(number, Real) for number in numbers):
        raise TypeError(f"{name} must be two real numbers, got {value!r}")
    if len(numbers) != 2 or not 1e-6 <= math.hypot(*numbers) <= 1e6:  # NaN fails, too
        raise ValueError(
            f"{name} must be two numbers, an arrow of length 0.000001 to 1000000; got {value!r}"
        )
    return [float(number) for number in numbers]
