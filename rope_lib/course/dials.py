"""A pair of a query and a pair of a key on one dial, and the vectors that such pairs are cut from.

Angles are in radians and counter-clockwise from the x axis, as everywhere in the book. Queries are
blue and solid, keys vermillion and dashed; each also has its letter.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, Wedge

from .plotting import COLORS, draw_clock

QUERY = {"color": COLORS["blue"], "linestyle": "-"}
KEY = {"color": COLORS["vermillion"], "linestyle": (0, (3.5, 1.2))}
FAINT = 0.5  # opacity of a hand before its turn
EDGE = 1.25  # half the width of a dial's axes; the dial's radius is 1
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
LETTER = 0.17  # from the tip of a hand to its letter
OUTSIDE = 1.17  # from the centre to a letter beyond the rim
ANGLE = 0.74  # from the centre to the number of degrees in a wedge
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}  # behind a letter or a number
APART = 0.3  # radians that letters keep from the middle between two hands that nearly coincide


def draw_dial(
    ax: Axes,
    query: Sequence[float],
    key: Sequence[float],
    turns: tuple[float, float] = (0.0, 0.0),
    *,
    longest: float | None = None,
    wedge: bool | float = False,
) -> float:
    """Draw one pair of a query and of a key as two hands, each before (thin) and after its turn.

    Args:
        ax: one that nothing was drawn on yet; it gets equal scales and loses its frame.
        query, key: two numbers each, the hands before they are turned.
        turns: by how much the query and the key are turned, in radians: ``m * theta_i`` and
            ``n * theta_i``.
        longest: length of a hand that reaches the rim. By default the longer of the two; give the
            same for several dials that are to be compared.
        wedge: also shade the angle between the turned hands and write it down, in degrees. A
            number says how far from the centre; outside the dial it crosses no hand.

    Returns:
        What this pair adds to the score, the dot product of the two turned hands.

    Raises:
        ValueError: a pair is not two numbers, or has no length; ``longest`` is shorter than one.
    """
    q, k = _as_complex("query", query), _as_complex("key", key)
    longest = max(abs(q), abs(k)) if longest is None else longest
    if longest < max(abs(q), abs(k)):
        raise ValueError(f"longest must be at least {max(abs(q), abs(k)):.4g}, got {longest}")
    draw_clock(ax)
    ax.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE))
    turned = [hand * np.exp(1j * turn) for hand, turn in zip((q, k), turns, strict=True)]
    if wedge:
        _draw_wedge(ax, *turned, ANGLE if wedge is True else wedge)
    angle = signed_angle(*turned)
    aside = math.copysign(max(0.0, APART - abs(angle) / 2), angle)
    for name, start, end, style, lean in (
        ("$q$", q, turned[0], QUERY, aside),
        ("$k$", k, turned[1], KEY, -aside),
    ):
        _draw_hand(ax, name, start / longest, end / longest, style, lean)
    return float((turned[0] * turned[1].conjugate()).real)


def signed_angle(query: complex, key: complex) -> float:
    """From the key counter-clockwise to the query, in radians, above -pi and at most pi."""
    return math.atan2((query * key.conjugate()).imag, (query * key.conjugate()).real)


def draw_vectors(ax: Axes, vectors: Mapping[str, Sequence[float]]) -> None:
    """Write vectors as rows of boxes, with a frame around each pair of neighbours.

    A pair is one unit wide, so that pair ``i`` lies between ``i`` and ``i + 1``. A query, named
    ``"q"``, has its colour, and so has a key, ``"k"``.

    Args:
        ax: one that nothing was drawn on yet; it loses its frame.
        vectors: their names, from above down, and their numbers, as many in each, and evenly many.

    Raises:
        ValueError: there are no vectors; their lengths differ, or are odd.
    """
    lengths = {len(numbers) for numbers in vectors.values()}
    if len(lengths) != 1 or min(lengths) % 2 or not min(lengths):
        raise ValueError(f"vectors must be of one even length, got lengths {sorted(lengths)}")
    colors = {"q": QUERY["color"], "k": KEY["color"]}
    for row, (name, numbers) in enumerate(vectors.items()):
        color = colors.get(name, "black")
        ax.text(-0.08, -row - 0.5, f"${name}$", color=color, ha="right", va="center")
        for place, number in enumerate(numbers):
            written = f"{number:.1f}".replace("-", "−")
            ax.text(place / 2 + 0.25, -row - 0.5, written, color=color, ha="center", va="center")
        for i in range(len(numbers) // 2):
            frame = Rectangle((i + 0.03, -row - 0.9), 0.94, 0.8, fill=False, edgecolor=color)
            ax.add_patch(frame)
            ax.plot([i + 0.5] * 2, [-row - 0.9, -row - 0.1], color=color, linewidth=0.4)
    ax.set(xlim=(-0.02, min(lengths) // 2 + 0.02), ylim=(-len(vectors), 0))
    ax.axis("off")


def draw_head(
    fig: Figure,
    query: Sequence[float],
    key: Sequence[float],
    frequencies: Sequence[float],
    m: int,
    n: int,
) -> list[float]:
    """Draw a query and a key cut into pairs, a dial for each pair, and what the pairs add up to.

    Args:
        fig: usually of the size ``"tall"``; whatever it holds is removed.
        query, key: their numbers; neighbours form a pair.
        frequencies: one for each pair, in radians per token.
        m, n: positions of the query and of the key.

    Returns:
        The contribution of each pair to the score.

    Raises:
        ValueError: there are not twice as many numbers as frequencies; as in :func:`draw_dial`.
    """
    if not len(query) == len(key) == 2 * len(frequencies):
        raise ValueError(
            f"query and key must have two numbers for each of {len(frequencies)} frequencies, "
            f"got {len(query)} and {len(key)}"
        )
    fig.clear()
    rows = [["vectors"] * len(frequencies), ["between"] * len(frequencies),
            [*range(len(frequencies))], ["sum"] * len(frequencies)]  # fmt: skip
    axes = fig.subplot_mosaic(rows, height_ratios=(1.0, 0.05, 2.2, 1.0))
    draw_vectors(axes["vectors"], {"q": query, "k": key})
    axes["vectors"].set_title(f"Query at position {m}, key at {n}, cut into pairs")
    axes["between"].set_title("Each on its own clock, turned by position × θᵢ")
    axes["between"].axis("off")
    pairs = np.reshape([query, key], (2, -1, 2))
    longest = np.hypot(pairs[..., 0], pairs[..., 1]).max()
    parts = []
    for i, theta in enumerate(frequencies):
        turns, ax = (m * theta, n * theta), axes[i]
        parts.append(draw_dial(ax, pairs[0, i], pairs[1, i], turns, longest=longest))
        ax.set_title(f"pair {i}\nθ{str(i).translate(LOWERED)} = {theta:g}", loc="center", pad=9)
        by = f"q by {_degrees(m * theta)}\nk by {_degrees(n * theta)}"
        ax.text(0.0, -EDGE, by, ha="center", va="top")
    _draw_sum(axes["sum"], parts)
    return parts


def _draw_sum(ax: Axes, parts: list[float]) -> None:
    written = [f"{part:.2f}".replace("-", "−") for part in (*parts, sum(parts))]
    ax.set_title(f"Contributions; their sum is the score, {written[-1]}")
    bars = ax.bar(np.arange(len(parts)) + 0.5, parts, width=0.5, color=COLORS["grey"])
    ax.bar_label(bars, written[:-1], padding=2)
    ax.axhline(0.0, color="black", linewidth=0.8)
    low, high = min(0.0, *parts), max(0.0, *parts)
    room = 0.4 * (high - low)  # for the numbers above and below the bars
    ax.set(xlim=(-0.02, len(parts) + 0.02), ylim=(low - room, high + room))
    ax.set(frame_on=False, xticks=[], yticks=[])


def _degrees(angle: float) -> str:
    return f"{math.degrees(angle):.{0 if abs(angle) > 1.75 else 1}f}°".replace("-", "−")


def _draw_hand(ax: Axes, name: str, start: complex, end: complex, style: dict, lean: float) -> None:
    ax.plot([0, start.real], [0, start.imag], linewidth=1.2, alpha=FAINT, **style)
    arrow = {"arrowstyle": "-|>", "linewidth": 2.0, "shrinkA": 0.0, "shrinkB": 0.0, **style}
    arrow["capstyle"] = "butt"  # round ends would close the gaps between the dashes
    ax.annotate("", xy=(end.real, end.imag), xytext=(0.0, 0.0), arrowprops=arrow)
    away = abs(end) + LETTER
    away = OUTSIDE if abs(away - 1.0) < LETTER else away  # a letter does not lie across the rim
    letter = end / abs(end) * away * np.exp(1j * lean)
    ax.text(letter.real, letter.imag, name, color=style["color"], ha="center", va="center",
            bbox=PAPER)  # fmt: skip


def _draw_wedge(ax: Axes, query: complex, key: complex, away: float) -> None:
    angle = math.degrees(signed_angle(query, key))
    first = math.degrees(math.atan2(key.imag, key.real))
    ends = (first, first + angle) if angle >= 0 else (first + angle, first)
    amber = {"facecolor": COLORS["orange"], "alpha": 0.4, "edgecolor": "none"}
    ax.add_patch(Wedge((0.0, 0.0), 0.5, *ends, zorder=0, **amber))
    middle = away * np.exp(1j * math.radians(first + angle / 2))
    ax.text(middle.real, middle.imag, f"{abs(angle):.0f}°", ha="center", va="center",
            bbox=PAPER)  # fmt: skip


def _as_complex(name: str, pair: Sequence[float]) -> complex:
    if np.shape(pair) != (2,):
        raise ValueError(f"{name} must be two numbers, got {pair!r}")
    if not 0.0 < math.hypot(*pair) < math.inf:
        raise ValueError(f"{name} must have a length above 0, got {pair!r}")
    return complex(*pair)
