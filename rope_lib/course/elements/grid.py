"""Scores of one query with keys all over an image, for three ways to say where a patch is."""

import math
from collections.abc import Mapping

import torch

from ...frequencies import inverse_frequencies
from .figure import (
    BLUE,
    COMMON,
    GREY,
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
    "title": "Which patches of an image does this head find?",
    "kind": "positions",
    "line": "reading order (one number)",
    "axial": "row and column (axial)",
    "mixed": "row and column (mixed)",
    "row": "row of the query",
    "column": "column of the query",
    "rows": "row",
    "columns": "column",
    "score": "score of the patch's key",
    "marks": "ring: query, square: top score",
    "picture": "An image of 15 by 15 patches, each blue where its key's score is positive and red "
    "where it is negative, the deeper the larger. A ring marks the query, a square the highest "
    "score.",
    "readout": "{kind}, query at row {row}, column {column}: highest score {top} at row {top_row}, "
    "column {top_column}; {high} patches score at least 0.6",
    "means": "patch: a small square of the image, one token. Rows and columns are counted from "
    "0. Tap a patch to put the query there.\n"
    "head: this one looks three rows down and two columns to the left of the query.\n"
    "score: here the mean cosine over all pairs, 1 where every pair points to what the head looks "
    "for.\n"
    "reading order: the patch's one position counts along the rows, as words do; base 10,000.\n"
    "axial: half of the pairs turn by the row, half by the column; base 10.\n"
    "mixed: each pair turns by a sum of row and column, each times a frequency of its own; "
    "base 10.",
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
    picture = _draw(scores, row, column, words)
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


def _draw(scores: torch.Tensor, row: int, column: int, words: Mapping[str, str]) -> str:
    drawn = ""
    tenths = scores.mul(10).round().int().flatten().tolist()
    for tenth in (*range(-10, 0), *range(1, 11)):  # patches of one shade share one path
        places = (divmod(place, SIDE) for place, score in enumerate(tenths) if score == tenth)
        squares = "".join(f"M{38 + 20 * x} {38 + 20 * y}h20v20h-20z" for y, x in places)
        # The last one belongs to the scale of the colours.
        squares += f"M{188 + 14.3 * tenth - 7.15:.1f} 374h14.3v20h-14.3z"
        color = BLUE if tenth > 0 else RED
        drawn += f"<path d='{squares}' fill='{color}' fill-opacity='{abs(tenth) / 10}'/>"
    y, x = divmod(int(scores.argmax()), SIDE)
    drawn += (
        f"<path d='M38 38h300v300h-300zM38 374h300v20h-300z' stroke='{GREY}'/>"
        f"<path d='M{39 + 20 * x} {39 + 20 * y}h18v18h-18z' stroke='#000' stroke-width='2'/>"
        f"<circle cx='{48 + 20 * column}' cy='{48 + 20 * row}' r='6.5' stroke='#000' "
        "stroke-width='3'/>"
    )
    for each in (0, 7, 14):
        drawn += label(48 + 20 * each, 32, str(each))
        drawn += label(30, 52 + 20 * each, str(each), "text-anchor='end'")
    drawn += label(188, 13, words["columns"]) + label(2, 32, words["rows"], "text-anchor='start'")
    drawn += "".join(label(188 + 143 * score, 409, fixed(score, 0)) for score in (-1, 0, 1))
    drawn += label(188, 424, words["score"]) + label(188, 358, words["marks"])
    return svg(428, drawn, width=352)
