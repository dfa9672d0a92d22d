"""Attention weights of a sentence that is shifted: with positions added, and with rotation."""

import math
from collections.abc import Mapping, Sequence

import torch

from ...checks import require_positive
from ...functional import rotate
from .figure import (
    BLUE,
    COMMON,
    GREY,
    RED,
    WIDTH,
    MovingFigure,
    fill,
    fixed,
    label,
    require_place,
    require_words,
    svg,
)
from .word_order import VECTORS, require_vectors, size

WORDS = COMMON | {
    "title": "Do the attention weights change when the whole sentence is shifted?",
    "shift": "shift of all positions",
    "added": "position vectors added",
    "rotated": "queries and keys rotated",
    "query": "query",
    "key": "weight of each key",
    "at": "at {position}",
    "was": "was {weight}",
    "picture": "Two tables of attention weights, a row for each query and a column for each key. "
    "In one, a position vector is added to each word; in the other, each word is rotated.",
    "still": "Move the slider to shift the sentence.",
    "moved": "Largest change of a weight since shift 0, in percentage points: {change} (added), "
    "{none} (rotated).",
    "readout": "{moved} Score of {query} at {m} for {key} at {n}: {added} (added), {rotated} "
    "(rotated).",
    "means": "shift: a number that is added to the position of every word.\n"
    "weight: softmax of the scores of a row, in per cent; the scores are not divided by √d here. "
    "A coloured frame and “was” mark a weight that differs from the weight at shift 0.\n"
    "position vectors added: the word at position m gets (sin 30°m, cos 30°m) added; the "
    "sum is its query and its key.\n"
    "queries and keys rotated: the word at position m is rotated by 30°m instead.\n"
    "12 tokens: after so many, this one pair has completed a full turn, and the tables are as at "
    "shift 0. A real position vector has dozens of pairs, and they do not all return together.",
}
SHIFTS = 50
ROW, HEAD, GAP = 42, 60, 26  # heights in pixels: a row, what is above the rows, between tables


def shift(
    vectors: Mapping[str, Sequence[float]] | None = None,
    shift: int = 0,
    *,
    theta: float = math.radians(30),
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """Shift a sentence, and see what attention makes of it in two ways.

    A word's vector is query and key at once. In one table ``(sin m theta, cos m theta)`` is added
    to the word at position ``m``; in the other the word is rotated by ``m theta``.

    Args:
        vectors: two numbers for each of 2 to 5 words; those of ``word_order`` if None.
        shift: position of the first word at first, 0 to 50.
        theta: frequency in radians per position; the default words speak of 30°.
        words: replaces some or all of ``elements.shift.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    vectors = require_vectors(VECTORS if vectors is None else vectors)
    shift = require_place("shift", shift, SHIFTS, "the last")
    require_positive("theta", theta)
    words = require_words(words, WORDS)
    config = {"vectors": vectors, "shift": shift, "theta": float(theta), "words": words}
    x = torch.tensor([vector for _, vector in vectors]).double()
    now, first = _attend(x, shift, theta), _attend(x, 0, theta)
    changes = [(now[i][1] - first[i][1]).abs().max().item() for i in (0, 1)]
    names = [name for name, _ in vectors]
    numbers = {"moved": words["moved" if shift else "still"]}  # first: it holds some of the others
    numbers |= {"query": names[1], "m": shift + 1, "key": names[0], "n": shift}
    numbers |= {name: fixed(scores[1, 0].item(), 3)
                for name, (scores, _) in zip(("added", "rotated"), now, strict=True)}  # fmt: skip
    numbers |= {"change": fixed(100 * changes[0], 1), "none": fixed(100 * changes[1], 1)}
    tables = [(words[name], now[i][1].tolist(), first[i][1].tolist())
              for i, name in enumerate(("added", "rotated"))]  # fmt: skip
    picture = _draw(names, tables, shift, words)
    return MovingFigure("shift", config, picture, words["picture"], fill(words["readout"], numbers))


def _attend(x: torch.Tensor, shift: int, theta: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Scores and weights, with positions added and with rotation."""
    angles = theta * (shift + torch.arange(len(x)).double()[:, None])
    cos, sin = angles.cos(), angles.sin()
    added = x + torch.cat((sin, cos), dim=1)
    rotated = rotate(x, cos, sin, pairing="interleaved")
    return [(y @ y.T, (y @ y.T).softmax(dim=-1)) for y in (added, rotated)]


def _draw(
    names: list[str],
    tables: Sequence[tuple[str, list[list[float]], list[list[float]]]],
    shift: int,
    words: Mapping[str, str],
) -> str:
    bold = "font-weight='700'"
    before = [words["query"], *names, fill(words["at"], {"position": SHIFTS + len(names)})]
    left = max(map(size, before)) + 14
    wide = (WIDTH - left) / len(names)
    high = HEAD + ROW * len(names)
    drawn = ""
    for i, (title, weights, first) in enumerate(tables):
        top = i * (high + GAP)
        drawn += label(2, top + 14, title, f"text-anchor='start' {bold}")
        drawn += label((left + WIDTH) / 2, top + 34, words["key"])
        drawn += label(left - 8, top + 52, words["query"], "text-anchor='end'")
        for m, name in enumerate(names):
            y = top + HEAD + ROW * m
            at = fill(words["at"], {"position": shift + m})
            drawn += label(left + wide * (m + 0.5), top + 52, name, bold)
            drawn += label(left - 8, y + 17, name, f"text-anchor='end' {bold}")
            drawn += label(left - 8, y + 33, at, "text-anchor='end'")
            for n, weight in enumerate(weights[m]):
                x = left + wide * n
                now, was = (f"{fixed(100 * each, 0)}%" for each in (weight, first[m][n]))
                frame = f"'{GREY}'" if now == was else f"'{RED}' stroke-width='2'"
                drawn += (
                    f"<path d='M{x + 1.5:.1f} {y}h{wide - 4:.1f}v{ROW - 4}h-{wide - 4:.1f}z' "
                    f"fill='{BLUE}' fill-opacity='{0.6 * weight:.3f}' stroke={frame}/>"
                ) + label(x + wide / 2, y + (24 if now == was else 17), now)
                if now != was:
                    drawn += label(x + wide / 2, y + 33, fill(words["was"], {"weight": was}))
    return svg(2 * high + GAP, drawn)
