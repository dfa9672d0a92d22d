"""All pairs of a head, rotated by a distance, and what their angles say about it together."""

import math
from collections.abc import Mapping

import numpy as np

from ...checks import require_count
from ...frequencies import inverse_frequencies
from .figure import (
    BLUE,
    COMMON,
    GREEN,
    GREY,
    MovingFigure,
    fill,
    label,
    require_known,
    require_words,
    short,
    svg,
)

WORDS = COMMON | {
    "title": "What does one pair leave open about a distance, and what do all pairs determine?",
    "distance": "distance between query and key",
    "base": "base",
    "precision": "angles count as equal within",
    "pair": "pair",
    "together": "all",
    "fits": "distances that fit, tokens",
    "dense": "too dense",
    "picture": "A clock for each pair, its hand rotated by the distance. Below, a row per pair "
    "shows which distances would look the same on its clock, and the last row those that all pairs "
    "leave possible.",
    "readout": "distance {distance}, base {base}, angles equal within {precision}. Pairs that have "
    "completed a full turn (dashed): {gone}, in their first turn (solid): {first}, hardly rotated "
    "(grey): {still}. The best pair alone leaves {alone} of {all} distances possible; all together "
    "leave {left}:\u00a0{which}",
    "means": "i, θ, λ: the index of the pair, its frequency in radians per token, and its "
    "wavelength 2π/θ, the number of tokens that it needs for a full turn.\n"
    "hand: the angle of the pair. It is rotated by distance × θ, counter-clockwise from 3 "
    "o'clock. Angles in the shaded wedge count as equal to its own.\n"
    "completed a full turn: rotated by 360° or more. Alone it fits several distances.\n"
    "in its first turn: rotated by less than 360°, and by more than the wedge to either side.\n"
    "hardly rotated: by less than the wedge, and so not to be distinguished from distance 0.\n"
    "row: dark where a distance would rotate the hand into the same wedge; evenly pale (too dense) "
    "where such distances are too close together to be drawn apart. The dashed line is the true "
    "distance; the scale is logarithmic.\n"
    "all: the distances that fit every row. They could be read off; a head need not do so.",
}
DISTANCES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1234, 2000, 5000, 10_000, 20_000, 50_000,
             100_000)  # fmt: skip
BASES = (100, 1000, 10_000, 100_000, 500_000, 1_000_000, 10_000_000)
PRECISIONS = (1, 2, 5, 10, 15, 20, 30, 45, 60)  # degrees to either side


def hands(
    pairs: int = 8,
    distance: int = 50,
    base: int = 10_000,
    precision: int = 15,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """All pairs of a head, rotated by a distance, and the distances that fit their angles.

    Args:
        pairs: 1 to 32, half the head dimension.
        distance: the first distance in tokens, one of ``elements.hands.DISTANCES``.
        base: the first base, one of ``elements.hands.BASES``.
        precision: degrees by which equal angles may differ, one of ``elements.hands.PRECISIONS``.
        words: replaces some or all of ``elements.hands.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    if require_count("pairs", pairs) > 32:
        raise ValueError(f"pairs must be at most 32, got {pairs}")
    for name, value, known in (("distance", distance, DISTANCES), ("base", base, BASES),
                               ("precision", precision, PRECISIONS)):  # fmt: skip
        require_known(name, value, known)
    words = require_words(words, WORDS)
    config = {"pairs": int(pairs), "distance": int(distance), "base": int(base),
              "precision": int(precision), "distances": DISTANCES, "bases": BASES,
              "precisions": PRECISIONS, "words": words}  # fmt: skip
    thetas = inverse_frequencies(2 * int(pairs), float(base)).numpy()
    near = math.radians(precision)
    alone, left = fitting(thetas, distance, near)
    kinds = [_kind(distance * theta, near) for theta in thetas]
    numbers = {kind: kinds.count(kind) for kind in ("gone", "first", "still")}
    which = [f"{each:,}" for each in left[:4]] + ["…"] * (len(left) > 4)
    numbers |= {"distance": f"{distance:,}", "base": f"{base:,}", "precision": f"±{precision}°",
                "alone": f"{min(alone):,}", "left": f"{len(left):,}", "all": f"{DISTANCES[-1]:,}",
                "which": ", ".join(which)}  # fmt: skip
    picture = _draw(thetas.tolist(), distance, near, kinds, left, words)
    return MovingFigure("hands", config, picture, words["picture"], fill(words["readout"], numbers))


def fitting(thetas: np.ndarray, distance: int, near: float) -> tuple[list[int], list[int]]:
    """Of the distances 1 to 100,000: how many fit each pair, and which fit all of them.

    A distance fits a pair if its angle is within ``near`` radians of that of ``distance``.
    """
    every = np.arange(1, DISTANCES[-1] + 1)
    fits = [np.cos((every - distance) * theta) >= math.cos(near) for theta in thetas]
    return [int(each.sum()) for each in fits], every[np.logical_and.reduce(fits)].tolist()


def _kind(angle: float, near: float) -> str:
    return "gone" if angle >= 2 * math.pi else "still" if angle < near else "first"


def _draw(
    thetas: list[float],
    distance: int,
    near: float,
    kinds: list[str],
    left: list[int],
    words: Mapping[str, str],
) -> str:
    drawn = ""
    for i, (theta, kind) in enumerate(zip(thetas, kinds, strict=True)):
        x, y = 50 + 100 * (i % 4), 40 + 134 * (i // 4)
        angle, dash = distance * theta, " stroke-dasharray='5 3'" if kind == "gone" else ""
        color = GREY if kind == "still" else BLUE
        drawn += (
            f"<circle cx='{x}' cy='{y}' r='36' stroke='{GREY}'/>"
            f"<path d='M{x} {y}h36' stroke='{GREY}'/>"
            f"<path d='M{x} {y}l{34 * math.cos(angle):.1f} {-34 * math.sin(angle):.1f}' "
            f"stroke='{color}' stroke-width='4'{dash}/>"
            + label(x, y + 52, f"i = {i}")
            + label(x, y + 67, f"θ {short(theta)}")
            + label(x, y + 82, f"λ {short(2 * math.pi / theta)}")
        )
    rows, height = _rows(34 + 134 * -(-len(thetas) // 4), thetas, distance, near, left, words)
    return svg(height, drawn + rows)


def _across(tokens: float) -> float:
    return 46 + 328 * math.log(max(tokens, 1)) / math.log(DISTANCES[-1])


def _bar(start: float, end: float, y: float, wide: float = 2) -> str:
    """A stroke, as thick as its row."""
    left, right = _across(start), min(_across(end), 374)
    width = max(right - left, wide)
    return f"M{(left + right - width) / 2:.1f} {y:g}h{width:.1f}"


def _rows(
    top: int,
    thetas: list[float],
    distance: int,
    near: float,
    found: list[int],
    words: Mapping[str, str],
) -> tuple[str, float]:
    """A row of distances for each pair, and the row of those that are left; and where they end."""
    pitch = max(7, min(18, int(150 / len(thetas) + 0.5)))
    drawn = label(2, top - 12, words["pair"], "text-anchor='start'")
    beds = fits = pale = ""
    for i, theta in enumerate(thetas):
        y, wave, half = top + pitch * (i + 0.5), 2 * math.pi / theta, near / theta
        middle = distance + math.ceil((1 - distance - half) / wave) * wave
        beds += _bar(1, DISTANCES[-1], y)
        # Where teeth would touch each other, their share of the circle is shown.
        while middle - half <= DISTANCES[-1] and _across(middle + wave) - _across(middle) >= 5:
            fits += _bar(middle - half, middle + half, y)
            middle += wave
        if middle - half <= DISTANCES[-1]:
            pale += _bar(middle - wave / 2, DISTANCES[-1], y)
            if i == 0 and pitch >= 15:
                drawn += label(369, y + 4, words["dense"], "text-anchor='end'")
        if i % math.ceil(15 / pitch) == 0:
            drawn += label(40, y + 4, str(i), "text-anchor='end'")
    y = top + pitch * len(thetas) + 15
    together, before = "", -1.0
    for each in found:  # those within a pixel share a bar
        if _across(each) >= before:
            together += _bar(each - 0.5, each + 0.5, y, 4)
            before = _across(each) + 1
    x = _across(distance)
    marks = (each for each in DISTANCES if math.log10(each) % 3 == 0 or each == DISTANCES[-1])
    return (
        f"<g stroke-width='{pitch - 2}'><path d='{beds}' stroke='#EEE'/>"
        f"<path d='{pale}' stroke='{BLUE}' stroke-opacity='{near / math.pi:.3f}'/>"
        f"<path d='{fits}' stroke='{BLUE}'/></g>"
        f"<g stroke-width='18'><path d='{_bar(1, DISTANCES[-1], y)}' stroke='#EEE'/>"
        f"<path d='{together}' stroke='{GREEN}'/></g>"
        f"<path d='M{x:.1f} {top - 6}V{y - 13}' stroke='#000' stroke-dasharray='3 3'/>"
        + drawn
        + label(40, y + 4, words["together"], "text-anchor='end' font-weight='700'")
        + "".join(label(_across(each), y + 29, f"{each:,}") for each in marks)
        + label(210, y + 47, words["fits"]),
        y + 55,
    )
