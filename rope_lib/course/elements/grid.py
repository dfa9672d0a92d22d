"""Scores of one query with keys all over an image, for three ways to say where a patch is."""

import math
from collections.abc import Mapping

import torch

from ...frequencies import inverse_frequencies
from .figure import MovingFigure, fill, fixed, require_known, require_place, require_words, svg

WORDS = {
    "kind": "positions",
    "line": "one number, in reading order",
    "axial": "row and column, each for half of the pairs",
    "mixed": "row and column, mixed in every pair",
    "row": "row of the query",
    "column": "column of the query",
    "picture": "An image of 15 by 15 patches, each as dark as its key's score is high. A ring "
    "marks the query.",
    "readout": "{kind}, query at row {row}, column {column}: highest score {top} at row {top_row}, "
    "column {top_column}; {high} patches score at least 0.6",
}
KINDS = ("line", "axial", "mixed")
SIDE, PAIRS, HIGH = 15, 16, 0.6
DOWN, LEFT = 3, 2  # the head looks for what stands there, seen from the query


def grid(
    kind: str = "line",
    row: int = 5,
    column: int = 7,
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """An image of patches; a head that looks three rows down and two columns to the left.

    All pairs weigh the same, so a score is the mean cosine of the angles to the place that the head
    looks for. Axial and mixed pairs have base 10, reading order has base 10,000, as in chapter 9.

    Args:
        kind: how positions are told at first: ``"line"``, ``"axial"`` or ``"mixed"``.
        row, column: where the query stands at first, 0 to 14.
        words: replaces some or all of ``elements.grid.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    require_known("kind", kind, KINDS)
    row = require_place("row", row, SIDE - 1, "the last")
    column = require_place("column", column, SIDE - 1, "the last")
    words = require_words(words, WORDS)
    config = {"kind": kind, "kinds": KINDS, "row": row, "column": column, "side": SIDE,
              "pairs": PAIRS, "down": DOWN, "left": LEFT, "high": HIGH, "words": words}  # fmt: skip
    scores = _scores(kind, row, column)
    top_row, top_column = divmod(int(scores.argmax()), SIDE)
    numbers = {"kind": words[kind], "row": row, "column": column, "top_row": top_row,
               "top_column": top_column, "top": fixed(float(scores.max()), 2),
               "high": int((scores >= HIGH).sum())}  # fmt: skip
    picture = _draw(scores, row, column)
    return MovingFigure("grid", config, picture, words["picture"], fill(words["readout"], numbers))


def _scores(kind: str, row: int, column: int) -> torch.Tensor:
    """The mean cosine at each patch, ``(SIDE, SIDE)``."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    down, right = rows - row - DOWN, columns - column + LEFT
    if kind == "line":
        angles = (SIDE * down + right)[..., None] * inverse_frequencies(2 * PAIRS)
        return angles.cos().mean(-1)
    ladder = inverse_frequencies(PAIRS, 10.0)
    if kind == "axial":
        angles = torch.cat((down[..., None] * ladder, right[..., None] * ladder), dim=-1)
        return angles.cos().mean(-1)
    direction = torch.arange(PAIRS).double() * math.pi * (3 - math.sqrt(5))  # the golden angle
    angles = down[..., None] * direction.sin() + right[..., None] * direction.cos()
    return (angles * ladder.repeat_interleave(2)).cos().mean(-1)


def _draw(scores: torch.Tensor, row: int, column: int) -> str:
    drawn = ""
    tenths = scores.mul(10).round().int().flatten().tolist()
    for tenth in range(1, 11):  # patches of one shade share one path
        places = (divmod(place, SIDE) for place, score in enumerate(tenths) if score == tenth)
        squares = "".join(f"M{20 * x} {20 * y}h20v20h-20z" for y, x in places)
        drawn += f"<path d='{squares}' fill-opacity='{tenth / 10}'/>" if squares else ""
    ring = f"<circle cx='{20 * column + 10}' cy='{20 * row + 10}' r='7' stroke='#D55E00'/>"
    return svg(300, 300, f"<g fill='#0072B2'>{drawn}</g>{ring}", "stroke-width='3'")
