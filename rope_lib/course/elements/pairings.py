"""Which elements of a head a program rotates together, and what permuted weights do about it."""

from collections.abc import Mapping

import torch

from ...frequencies import inverse_frequencies
from ...functional import rotate, rotation_tables
from ...layout import to_half
from .figure import (
    BLUE,
    COMMON,
    GREY,
    MINUS,
    RED,
    MovingFigure,
    fill,
    fixed,
    label,
    require_known,
    require_place,
    require_words,
    svg,
)

WORDS = COMMON | {
    "title": "Which elements does the program rotate together, and is it still the same model?",
    "pairing": "pairing of the program",
    "interleaved": "interleaved: neighbours",
    "half": "half-split: i and i + 4",
    "rows": "rows of both projections",
    "stored": "as stored",
    "permuted": "permuted to half-split",
    "distance": f"distance m {MINUS} n",
    "places": "index in the head (box: its row)",
    "score": "score",
    "trained": "as trained",
    "here": "here",
    "picture": "Eight elements of a head, each with the row of the weights that made it. "
    "Arcs join the elements that are rotated together, the fastest pair with the thickest arc. "
    "Below, the score beside that of the model as it was trained.",
    "readout": "rows rotated together: {pairs}. Score at distance {distance}: {score}; "
    "in the model as trained: {wanted}. {verdict}",
    "equal": "The same model",
    "other": "Not the score it was trained with",
    "means": f"distance: m {MINUS} n, from the query at position m back to the key at n.\n"
    "pair i: two elements that are rotated together; i = 0 is the fastest, "
    "with the thickest arc. This head was trained with interleaved pairs.\n"
    "interleaved: neighbours, elements 2i and 2i + 1, are a pair. half-split: elements i and i + 4 "
    "are a pair.\n"
    "row: the row of the query projection and of the key projection that makes an element.\n"
    "permuted to half-split: the even rows first, then the odd ones, in both projections.\n"
    "score: the dot product of the rotated query and the rotated key. It is as trained where the "
    "same rows are rotated together by the same angle.",
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
    """A head of eight elements, trained with interleaved pairs, in a program to choose.

    Args:
        pairing: what the program rotates together at first, ``"interleaved"`` or ``"half"``.
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
    picture = _draw(order, together, score, wanted, words)
    readout = fill(words["readout"], numbers)
    return MovingFigure("pairings", config, picture, words["picture"], readout)


def _score(pairing: str, order: list[int], distance: int) -> float:
    """The query at the distance, the key at 0; elements are in the order of their rows."""
    tables = rotation_tables(torch.tensor([distance]), inverse_frequencies(8), torch.float64)
    q, k = torch.tensor([QUERY, KEY], dtype=torch.float64)[:, list(order)]
    return float(rotate(q[None], *tables, pairing=pairing) @ k)


def _draw(
    order: list[int],
    together: list[tuple[int, int]],
    score: float,
    wanted: float,
    words: Mapping[str, str],
) -> str:
    bold = "font-weight='700'"
    drawn = label(200, 184, words["places"])
    for place, row in enumerate(order):
        x = 200 + 49 * (place - 3.5)
        drawn += f"<path d='M{x - 20.5:g} 112h41v36h-41z' stroke='{GREY}'/>"
        drawn += label(x, 134, str(row), bold) + label(x, 166, str(place))
    for i, (a, b) in enumerate(together):
        left, right, up = 28.5 + 49 * a, 28.5 + 49 * b, 12 if b - a > 1 else 62
        drawn += (
            f"<path d='M{left} 110C{left} {up} {right} {up} {right} 110' stroke='{BLUE}' "
            f"stroke-width='{5 - 1.2 * i:g}'/>"
        ) + label((left + right) / 2, 110 - 0.75 * (110 - up) - 7, f"i = {i}")
    drawn += f"<path d='M16 246H384' stroke='{GREY}'/>" + label(200, 283, words["score"])
    for x in range(-3, 4):
        drawn += label(200 + 184 / 3 * x, 265, fixed(x, 0))
        drawn += f"<path d='M{200 + 184 / 3 * x:.1f} 246v5' stroke='{GREY}'/>"
    drawn += label(28, 216, words["trained"], "text-anchor='start'")
    drawn += label(228, 216, words["here"], "text-anchor='start'")
    color = BLUE if abs(score - wanted) < CLOSE else RED
    for x, y, r in ((200 + 184 / 3 * wanted, 246, 9), (14, 212, 7)):
        drawn += f"<circle cx='{x:.1f}' cy='{y}' r='{r}' stroke='#000' stroke-width='2.5'/>"
    for x, y in ((200 + 184 / 3 * score, 246), (214, 212)):
        drawn += f"<circle cx='{x:.1f}' cy='{y}' r='5' fill='{color}'/>"
    return svg(306, drawn)
