"""All hands of a head, turned by the distance of two tokens."""

import cmath
import math
from collections.abc import Mapping

from ...checks import require_count
from ...frequencies import inverse_frequencies
from .figure import MovingFigure, fill, label, require_known, require_words, svg

WORDS = {
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
        distance: the first distance in tokens, one of ``elements.hands.DISTANCES``.
        base: the first base, one of ``elements.hands.BASES``.
        words: replaces some or all of ``elements.hands.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    if require_count("pairs", pairs) > 32:
        raise ValueError(f"pairs must be at most 32, got {pairs}")
    require_known("distance", distance, DISTANCES)
    require_known("base", base, BASES)
    words = require_words(words, WORDS)
    config = {"pairs": int(pairs), "distance": int(distance), "base": int(base), "still": STILL,
              "distances": DISTANCES, "bases": BASES, "words": words}  # fmt: skip
    angles = (distance * inverse_frequencies(2 * int(pairs), float(base))).tolist()
    kinds = ["gone" if a >= 2 * math.pi else "still" if a < STILL else "tells" for a in angles]
    numbers = {"distance": f"{distance:,}", "base": f"{base:,}"}
    numbers |= {kind: kinds.count(kind) for kind in ("gone", "tells", "still")}
    picture = _draw(angles, [words[kind] for kind in kinds])
    return MovingFigure("hands", config, picture, words["picture"], fill(words["readout"], numbers))


def _draw(angles: list[float], labels: list[str]) -> str:
    drawn = ""
    for i, (angle, text) in enumerate(zip(angles, labels, strict=True)):
        tip = cmath.rect(40, angle)
        drawn += (
            f"<g transform='translate({50 + 100 * (i % 4)} {46 + 112 * (i // 4)})'>"
            "<circle r='42' stroke='#6E6E6E'/><path d='M0 0H40' stroke='#6E6E6E'/>"
            f"<path d='M0 0L{tip.real:.1f} {-tip.imag:.1f}' stroke='#0072B2' stroke-width='4'/>"
            f"{label(0, 58, text)}</g>"
        )
    return svg(400, 112 * -(-len(angles) // 4), drawn, "text-anchor='middle'")
