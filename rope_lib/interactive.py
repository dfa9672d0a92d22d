"""Figures that move: small custom elements, with no kernel, no framework and no network.

Each figure is one function here and one file in ``elements/``, on top of what ``figure.js`` gives
all of them. The function checks its arguments, computes the first reading with rope_lib, and draws
a still picture of it; the script computes every later reading in the browser. The still picture and
its line of text stay where no script runs, as in a notebook that is opened untrusted. All words are
data, so that a translation can replace them.
"""

import cmath
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from numbers import Integral, Real
from urllib.parse import quote

import torch

from .checks import require_count, require_positive
from .frequencies import inverse_frequencies
from .rotation import rotate, rotation_tables

_MINUS = "\u2212"

CLOCK_WORDS = {
    "m": "m, position of the query q",
    "n": "n, position of the key k",
    "shift": "shift of both",
    "picture": "A dial with two hands: q, turned m times, and k, turned n times.",
    "readout": f"m = {{m}}, n = {{n}}, m {_MINUS} n = {{distance}}; "
    "angle between the hands {angle}°, score q·k = {score}",
}

HANDS_WORDS = {
    "distance": "distance between two tokens",
    "base": "base",
    "picture": "A dial for each pair: a thin hand for one token, a thick one for the other.",
    "gone": "gone round",
    "tells": "tells",
    "still": "hardly moved",
    "readout": "distance {distance}, base {base}: {gone} hands have gone round at least once, "
    "{tells} tell it, {still} have hardly moved",
}
DISTANCES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
BASES = (100, 1000, 10_000, 100_000, 500_000, 1_000_000, 10_000_000)
STILL = math.radians(5)  # a hand that has turned by less is called still


@dataclass(frozen=True)
class MovingFigure:
    """What a notebook shows: one custom element that carries its own script.

    Args:
        name: ``"clock"`` means the element ``<rope-clock>`` and the script ``elements/clock.js``.
        config: what the script needs, numbers and words, as JSON can hold them.
        picture: an SVG that stands in where scripts do not run; an opaque background keeps it
            readable on dark pages.
        description: the picture's text alternative.
        readout: the line of numbers below it.
    """

    name: str
    config: dict
    picture: str
    description: str
    readout: str

    def _repr_html_(self) -> str:
        config = json.dumps(self.config, ensure_ascii=False, separators=(",", ":"))
        # An <img>, since JupyterLab strips <svg> from untrusted outputs.
        source = "data:image/svg+xml," + quote(self.picture, safe="/:=,'()")
        return (
            f'<rope-{self.name} data-config="{html.escape(config)}">'
            f'<img alt="{html.escape(self.description)}" src="{source}">'
            f"<p>{html.escape(self.readout)}</p></rope-{self.name}>\n"
            f"<script>\n{self.script()}</script>"
        )

    def __repr__(self) -> str:
        return f"<{self.name}: {self.readout}>"

    def script(self) -> str:
        """What all share, then the element. Each output carries both: in Colab each is a page."""
        folder = files("rope_lib").joinpath("elements")
        return "".join(folder.joinpath(f"{n}.js").read_text("utf-8") for n in ("figure", self.name))


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
        words: replaces some or all of ``CLOCK_WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    query, key = _require_arrow("query", query), _require_arrow("key", key)
    theta = require_positive("theta", theta)
    positions, shifts = require_count("positions", positions), require_count("shifts", shifts)
    m, n = _require_position("m", m, positions), _require_position("n", n, positions)
    words = _require_words(words, CLOCK_WORDS)
    config = {"query": query, "key": key, "theta": theta, "m": m, "n": n,
              "positions": positions, "shifts": shifts, "words": words}  # fmt: skip
    cos, sin = rotation_tables(torch.tensor([m, n]), torch.tensor([theta]).double(), torch.float64)
    hands = rotate(torch.tensor([query, key]).double(), cos, sin, pairing="interleaved")
    picture, readout = _draw_clock(*hands.tolist()), _read_clock(words["readout"], m, n, hands)
    return MovingFigure("clock", config, picture, words["picture"], readout)


def hands(
    pairs: int = 8,
    distance: int = 1,
    base: int = 10_000,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """All hands of a head, turned by the distance of two tokens, with sliders for it and the base.

    Args:
        pairs: hands, 1 to 32: half the width of the head.
        distance: the first distance in tokens, one of ``DISTANCES``.
        base: the first base, one of ``BASES``.
        words: replaces some or all of ``HANDS_WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    if require_count("pairs", pairs) > 32:
        raise ValueError(f"pairs must be at most 32, got {pairs}")
    for name, value, known in (("distance", distance, DISTANCES), ("base", base, BASES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(str, known))}; got {value!r}")
    words = _require_words(words, HANDS_WORDS)
    config = {"pairs": int(pairs), "distance": int(distance), "base": int(base), "still": STILL,
              "distances": DISTANCES, "bases": BASES, "words": words}  # fmt: skip
    angles = (distance * inverse_frequencies(2 * int(pairs), float(base))).tolist()
    kinds = ["gone" if a >= 2 * math.pi else "still" if a < STILL else "tells" for a in angles]
    numbers = {"distance": f"{distance:,}", "base": f"{base:,}"}
    numbers |= {kind: str(kinds.count(kind)) for kind in ("gone", "tells", "still")}
    picture = _draw_hands(angles, [words[kind] for kind in kinds])
    return MovingFigure(
        "hands", config, picture, words["picture"], _fill(words["readout"], numbers)
    )


def _draw_hands(angles: list[float], labels: list[str]) -> str:
    height = 112 * -(-len(angles) // 4)
    drawn = ""
    for i, (angle, label) in enumerate(zip(angles, labels, strict=True)):
        tip = cmath.rect(40, angle)
        drawn += (
            f"<g transform='translate({50 + 100 * (i % 4)} {46 + 112 * (i // 4)})'>"
            "<circle r='42' stroke='#6E6E6E'/><path d='M0 0H40' stroke='#6E6E6E'/>"
            f"<path d='M0 0L{tip.real:.1f} {-tip.imag:.1f}' stroke='#0072B2' stroke-width='4'/>"
            f"<text y='58' fill='#000'>{html.escape(label)}</text></g>"
        )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='400' height='{height}' "
        f"viewBox='0 0 400 {height}' fill='none' text-anchor='middle' font-size='13'>"
        f"<path fill='#fff' d='M0 0h400v{height}H0z'/>{drawn}</svg>"
    )


def _read_clock(template: str, m: int, n: int, hands: torch.Tensor) -> str:
    (q_x, q_y), (k_x, k_y) = hands.tolist()
    score = q_x * k_x + q_y * k_y
    angle = math.degrees(math.atan2(abs(k_x * q_y - k_y * q_x), score))
    numbers = {"m": str(m), "n": str(n), "distance": _fixed(m - n, 0),
               "angle": _fixed(angle, 1), "score": _fixed(score, 3)}  # fmt: skip
    return _fill(template, numbers)


def _fill(template: str, numbers: Mapping[str, str]) -> str:
    for name, number in numbers.items():
        template = template.replace(f"{{{name}}}", number)
    return template


def _draw_clock(q: list[float], k: list[float]) -> str:
    longest = max(math.hypot(*q), math.hypot(*k))
    aside = math.copysign(0.09, k[0] * q[1] - k[1] * q[0])  # letters make room for each other
    drawn = ""
    for name, hand, lean, style in (
        ("q", complex(*q), aside, "stroke='#0072B2'"),
        ("k", complex(*k), -aside, "stroke='#D55E00' stroke-dasharray='7 4'"),
    ):
        # The longer hand reaches the dial. Screens count y downwards, so y changes its sign.
        tip, letter = hand * 88 / longest, cmath.rect(110, cmath.phase(hand) + lean)
        drawn += f"<path d='M0 0L{tip.real:.1f} {-tip.imag:.1f}' stroke-width='4' {style}/>"
        drawn += f"<text x='{letter.real:.1f}' y='{5 - letter.imag:.1f}'>{name}</text>"
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' width='320' height='320' "
        "viewBox='-120 -120 240 240' fill='none' text-anchor='middle'>"
        "<path fill='#fff' d='M-120-120h240v240h-240z'/><circle r='100' stroke='#6E6E6E'/>"
        + drawn.replace("<text", "<text fill='#000' font-style='italic'")
        + "</svg>"
    )


def _fixed(number: float, digits: int) -> str:
    """As the scripts write it: halves away from zero, a real minus sign, none before a zero."""
    rounded = Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded + 0:f}".replace("-", _MINUS)


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


def _require_position(name: str, value: int, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} must lie between 0 and positions = {largest}, got {value}")
    return int(value)


def _require_words(given: Mapping[str, str] | None, default: dict[str, str]) -> dict[str, str]:
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise TypeError(f"words must map names to texts, got {given!r}")
    for name, text in given.items():
        if name not in default:
            raise ValueError(f"words may hold {', '.join(default)}; got {name!r}")
        if not isinstance(text, str):
            raise TypeError(f"words[{name!r}] must be a text, got {text!r}")
    return {**default, **given}
