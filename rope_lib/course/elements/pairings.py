"""Which numbers of a head a program turns together, and what permuted weights do about it."""

from collections.abc import Mapping

import torch

from ...frequencies import inverse_frequencies
from ...functional import rotate, rotation_tables
from ...layout import to_half
from .figure import (
    MovingFigure,
    fill,
    fixed,
    label,
    require_known,
    require_place,
    require_words,
    svg,
)

WORDS = {
    "pairing": "the program turns",
    "interleaved": "neighbours (interleaved)",
    "half": "first half with second half (half-split)",
    "rows": "rows of both projections",
    "stored": "as stored",
    "permuted": "permuted to half-split",
    "distance": "distance from the query back to the key",
    "picture": "Eight numbers of a head in a row, each with the row of the weights that made it. "
    "Arcs join the numbers that are turned together, the fastest pair with the thickest arc.",
    "readout": "turned together: {pairs}. Score at distance {distance}: {score}; "
    "in the model as trained: {wanted}. {verdict}",
    "equal": "The same model",
    "other": "Another model",
}
PAIRINGS, ROWS = ("interleaved", "half"), ("stored", "permuted")
QUERY = (0.9, 0.2, -0.4, 0.8, 0.5, -0.7, 0.3, 0.6)
KEY = (0.7, -0.5, 0.6, 0.4, -0.2, 0.9, 0.8, 0.1)
FARTHEST, CLOSE = 30, 0.0005


def pairings(
    pairing: str = "interleaved",
    rows: str = "stored",
    distance: int = 3,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """A head of eight numbers, trained with interleaved pairs, in a program to choose.

    Args:
        pairing: what the program turns together at first, ``"interleaved"`` or ``"half"``.
        rows: the rows of both projections at first, ``"stored"`` or ``"permuted"``.
        distance: the first distance, 0 to 30 tokens.
        words: replaces some or all of ``elements.pairings.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    require_known("pairing", pairing, PAIRINGS)
    require_known("rows", rows, ROWS)
    distance = require_place("distance", distance, FARTHEST, "the farthest")
    words = require_words(words, WORDS)
    config = {"pairing": pairing, "pairings": PAIRINGS, "rows": rows, "kinds": ROWS, "query": QUERY,
              "key": KEY, "distance": distance, "farthest": FARTHEST, "close": CLOSE,
              "words": words}  # fmt: skip
    order = torch.arange(8)
    order = (to_half(order) if rows == "permuted" else order).tolist()
    score, wanted = _score(pairing, order, distance), _score("interleaved", range(8), distance)
    together = [(i, i + 4) if pairing == "half" else (2 * i, 2 * i + 1) for i in range(4)]
    numbers = {
        "pairs": ", ".join(f"{order[a]}+{order[b]}" for a, b in together),
        "distance": distance, "score": fixed(score, 3), "wanted": fixed(wanted, 3),
        "verdict": words["equal" if abs(score - wanted) < CLOSE else "other"],
    }  # fmt: skip
    picture, readout = _draw(order, together), fill(words["readout"], numbers)
    return MovingFigure("pairings", config, picture, words["picture"], readout)


def _score(pairing: str, order: list[int], distance: int) -> float:
    """The query at the distance, the key at 0; numbers stand in the order of their rows."""
    tables = rotation_tables(torch.tensor([distance]), inverse_frequencies(8), torch.float64)
    q, k = torch.tensor([QUERY, KEY], dtype=torch.float64)[:, list(order)]
    return float(rotate(q[None], *tables, pairing=pairing) @ k)


def _draw(order: list[int], together: list[tuple[int, int]]) -> str:
    drawn = ""
    for place, row in enumerate(order):
        x = 24 + 47 * place
        drawn += f"<path d='M{x - 19} 64h38v38h-38z' stroke='#6E6E6E'/>{label(x, 88, str(row))}"
    for i, (a, b) in enumerate(together):
        left, right, up = 24 + 47 * a, 24 + 47 * b, 64 - 13 * (b - a) - 14
        drawn += (
            f"<path d='M{left} 62C{left} {up} {right} {up} {right} 62' stroke='#0072B2' "
            f"stroke-width='{5 - 1.2 * i:g}'/>"
        )
    return svg(380, 108, drawn, "text-anchor='middle'")
