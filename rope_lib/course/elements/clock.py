"""Two hands on one clock: the score of a turned query and a turned key by their distance."""

import cmath
import math
from collections.abc import Mapping, Sequence
from numbers import Real

import torch

from ...checks import require_count, require_positive
from ...functional import rotate, rotation_tables
from .figure import (
    BLUE,
    COMMON,
    GREEN,
    GREY,
    MINUS,
    RED,
    MovingFigure,
    axes,
    fill,
    fixed,
    label,
    line,
    require_place,
    require_words,
    short,
    svg,
)

WORDS = COMMON | {
    "title": "Which of the three sliders does not change the score?",
    "m": "m, position of the query q",
    "n": "n, position of the key k",
    "shift": "shift of both (tokens)",
    "q": "q",
    "k": "k",
    "distance": f"distance m {MINUS} n (tokens)",
    "score": "score",
    "picture": "A clock with two hands, q turned m times and k turned n times, counter-clockwise "
    "from where they start; and a curve of the score over the distance, with its sign, and a dot "
    "at the present one.",
    "readout": f"m = {{m}}, n = {{n}}, distance m {MINUS} n = {{distance}}; "
    "angle between the hands {angle}°, score {score}",
    "means": "hand: two elements of a vector, drawn as an arrow. The faint hands are q and k "
    "before they are turned, as at position 0. Angles are counter-clockwise from 3 o'clock.\n"
    "position: the token's number in the sequence, from 0. Each position turns a hand by the same "
    "angle.\n"
    f"distance: m {MINUS} n, from the query back to the key; negative if the key comes after the "
    "query.\n"
    "shift: the same number added to both positions.\n"
    "score: the dot product of q and k after the turns.",
}


def clock(
    query: Sequence[float] = (1.0, 0.0),
    key: Sequence[float] = (1.0, 0.0),
    theta: float = math.pi / 12,
    m: int = 5,
    n: int = 3,
    *,
    positions: int = 30,
    shifts: int = 100,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """A query at ``m`` and a key at ``n`` on one clock, their score, and a slider to shift both.

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
    picture, readout = _draw(config, hands.tolist()), _read(words["readout"], m, n, hands)
    return MovingFigure("clock", config, picture, words["picture"], readout)


def _read(template: str, m: int, n: int, hands: torch.Tensor) -> str:
    (q_x, q_y), (k_x, k_y) = hands.tolist()
    score = q_x * k_x + q_y * k_y
    angle = math.degrees(math.atan2(abs(k_x * q_y - k_y * q_x), score))
    return fill(template, {"m": m, "n": n, "distance": fixed(m - n, 0),
                           "angle": fixed(angle, 1), "score": fixed(score, 3)})  # fmt: skip


def _draw(config: dict, turned: list[list[float]]) -> str:
    dial = _dial(config, *turned)
    return svg(446, f"<g transform='translate(200 120)'>{dial}</g>{_curve(config)}")


def _dial(config: dict, q: list[float], k: list[float]) -> str:
    words = config["words"]
    longest = max(math.hypot(*q), math.hypot(*k))
    aside = math.copysign(0.09, k[0] * q[1] - k[1] * q[0])  # letters make room for each other
    dashed, italic = f"stroke='{RED}' stroke-dasharray='7 4'", "font-size='15' font-style='italic'"
    drawn = f"<circle r='96' stroke='{GREY}'/><path d='M-96 0H96M0-96V96' stroke='#E3E3E3'/>"
    for name, first, hand, lean, style in (
        ("q", complex(*config["query"]), complex(*q), aside, f"stroke='{BLUE}'"),
        ("k", complex(*config["key"]), complex(*k), -aside, dashed),
    ):
        # The longer hand reaches the dial. Screens count y downwards, so y changes its sign.
        for arrow, thick in ((first, "3' opacity='.35"), (hand, "4")):
            tip = arrow.conjugate() * 84 / longest
            drawn += (
                f"<path d='M0 0L{tip.real:.1f} {tip.imag:.1f}' stroke-width='{thick}' {style}/>"
            )
        letter = cmath.rect(109, cmath.phase(hand) + lean)
        drawn += label(letter.real, 4 - letter.imag, words[name], italic)
    return drawn


def _curve(config: dict) -> str:
    """The score at every distance, with its sign, and where it is."""
    query, key = complex(*config["query"]), complex(*config["key"])
    positions, words, most = config["positions"], config["words"], abs(query) * abs(key)

    def across(distance: float) -> float:
        return 46 + 340 * (distance / positions + 1) / 2

    def up(score: float) -> float:
        return 344 - 120 / 2.2 * score / most

    def point(distance: float) -> tuple[float, float]:
        score = (query * cmath.exp(1j * distance * config["theta"]) * key.conjugate()).real
        return across(distance), up(score)

    x, y = point(config["m"] - config["n"])
    points = [point(positions * (i / 60 - 1)) for i in range(121)]
    # Not by round, which takes halves to the even number.
    marks = [math.floor(positions * i / 2 + 0.5) for i in range(-2, 3)]
    return (
        axes((46, 284, 386, 404), [(across(d), str(d).replace("-", MINUS)) for d in marks],
             [(up(s), short(s).replace("-", MINUS)) for s in (-most, 0, most)],
             words["distance"], words["score"])
        + f"<path d='M{across(0):.1f} 284V404' stroke='{GREY}'/>"
        + f"<path d='{line(points)}' stroke='{GREEN}' stroke-width='2'/>"
        + f"<circle r='6' cx='{x:.1f}' cy='{y:.1f}' fill='{GREEN}'/>"
    )  # fmt: skip


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
