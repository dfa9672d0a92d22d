"""All heads of a real language model: how far back each attends, with its rotation and without."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from .. import results
from .figure import (
    BLUE,
    COMMON,
    GREY,
    MINUS,
    MovingFigure,
    axes,
    fill,
    label,
    require_place,
    require_words,
    svg,
)

WORDS = COMMON | {
    "title": "How far back does a head of SmolLM2-135M attend?",
    "layer": "layer",
    "head": "head",
    "layers": "layer",
    "heads": "head",
    "marks": "■ nearest 8 ○ first 4 ▲ far · other",
    "weight": "weight (%)",
    "tokens": f"distance m {MINUS} n (tokens)",
    "first": "first 4",
    "turned": "bars: rotated, lines: not",
    "picture": "A map of the 270 heads, each marked by where more than half of its weight goes, "
    "and for one of them the weight by distance, as bars with its rotation and as a line without.",
    "readout": "layer {layer}, head {head}: {near}% of its weight on the nearest 8 tokens "
    "({near_without}% without the rotation), {far}% between 256 and 1,023 "
    "({far_without}% without the rotation), {first}% on the first 4 of the text",
    "means": "head: SmolLM2-135M has 30 layers with 9 attention heads each. Tap one on the map.\n"
    "weight: what softmax gives; the weights of a query on all tokens add up to 100%. Shown are "
    "means over 1,024 queries in each of 16 passages, rounded to whole per cent.\n"
    "distance: there is a bar for distance 0, the token itself, then for 1, 2 to 3, 4 to 7 and so "
    "on up to 512 to 1,023, and one for the first 4 tokens of the text.\n"
    "not rotated: queries and keys of this layer are compared without their rotation, so only "
    "their content counts. The model was not trained this way; the weight on the first 4 tokens "
    "was not measured.\n"
    "marks: where more than half of the weight goes: to the nearest 8 tokens, to the first 4, or "
    "to tokens 256 to 1,023 back (far). Other: none of these.",
}
LAYERS, HEADS = 30, 9
NEAR, FAR = slice(0, 4), slice(9, 11)  # bins: distances 0 to 7, and 256 to 1,023
BEGINS = (0, *(2**i for i in range(10)))  # of the bins


def heads(
    layer: int = 16, head: int = 0, *, words: Mapping[str, str] | None = None
) -> MovingFigure:
    """Choose one of the 270 heads of SmolLM2-135M and see where its weight goes.

    The numbers are those of ``experiments/real_heads.py``, in whole per cent.

    Args:
        layer: the first layer shown, 0 to 29.
        head: the first head shown, 0 to 8.
        words: replaces some or all of ``elements.heads.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    layer = require_place("layer", layer, LAYERS - 1, "the last")
    head = require_place("head", head, HEADS - 1, "the last")
    words = require_words(words, WORDS)
    rotated, plain = _stored()
    one, other = rotated[layer * HEADS + head], plain[layer * HEADS + head]
    config = {"layer": layer, "head": head, "rotated": _digits(rotated), "plain": _digits(plain),
              "words": words}  # fmt: skip
    numbers = {"layer": layer, "head": head, "first": one[-1],
               "near": sum(one[NEAR]), "near_without": sum(other[NEAR]),
               "far": sum(one[FAR]), "far_without": sum(other[FAR])}  # fmt: skip
    picture = _draw(rotated, (layer, head), one, other, words)
    return MovingFigure("heads", config, picture, words["picture"], fill(words["readout"], numbers))


@lru_cache
def _stored() -> tuple[list[list[int]], list[list[int]]]:
    """Per cent of the weight in each bin of distance; with the rotation, on the first 4 as well."""
    means = results.load("real_heads")["runs"][0]["mean"]
    flat = {key: [head for layer in means[key] for head in layer] for key in
            ("weight", "weight_unrotated", "first")}  # fmt: skip
    rotated = zip(flat["weight"], flat["first"], strict=True)
    return (
        [_per_cent([*weights, first]) for weights, first in rotated],
        [_per_cent(weights) for weights in flat["weight_unrotated"]],
    )


def _per_cent(weights: Sequence[float]) -> list[int]:
    return [min(99, round(100 * weight)) for weight in weights]


def _digits(rows: Sequence[Sequence[int]]) -> str:
    """Two digits for each number: small, and nothing to decode."""
    return "".join(f"{number:02d}" for row in rows for number in row)


def _kind(rotated: Sequence[int]) -> str:
    """Where more than half of a head's weight goes."""
    parts = {"near": sum(rotated[NEAR]), "first": rotated[-1], "far": sum(rotated[FAR])}
    return next((name for name, part in parts.items() if part > 50), "none")


_WIDE, _HIGH, _LEFT, _TOP = 11.2, 13, 52, 38  # of a cell of the map, and where the map begins


def _draw(
    rotated: Sequence[Sequence[int]],
    chosen: tuple[int, int],
    one: Sequence[int],
    other: Sequence[int],
    words: Mapping[str, str],
) -> str:
    drawn = _map(rotated)
    layer, head = chosen
    drawn += (
        f"<path d='M{_LEFT + _WIDE * layer:.1f} {_TOP + _HIGH * head}h{_WIDE}v{_HIGH}h-{_WIDE}z' "
        "stroke='#000' stroke-width='2'/>"
    )
    for each in (0, 10, 20, 29):
        drawn += label(_LEFT + _WIDE * (each + 0.5), 172, str(each))
    for each in (0, 4, 8):
        drawn += label(_LEFT - 6, _TOP + _HIGH * (each + 0.5) + 4, str(each), "text-anchor='end'")
    drawn += label(_LEFT + _WIDE * 15, 190, words["layers"]) + label(200, 214, words["marks"])
    drawn += label(2, 26, words["heads"], "text-anchor='start'")
    return svg(450, drawn + _bars(one, other, words))


def _bars(one: Sequence[int], other: Sequence[int], words: Mapping[str, str]) -> str:
    left, top, right, bottom = 52, 264, 390, 398
    step = (right - left) / 13
    middle = [left + step * (i + 0.5 + (i == 11)) for i in range(12)]
    marks = [(x, f"{begin}") for x, begin in zip(middle, BEGINS, strict=False)]
    ys = [(bottom - 1.34 * y, str(y)) for y in (0, 50, 100)]
    drawn = axes((left, top, right, bottom), [], ys, words["tokens"], words["weight"])
    for x, text in marks[:2] + marks[3::2]:
        drawn += label(x, bottom + 17, text)
    drawn += label(right + 8, bottom + 17, words["first"], "text-anchor='end'")
    drawn += label(right, top - 12, words["turned"], "text-anchor='end'")
    for x, weight in zip(middle, one, strict=True):
        high = 1.34 * weight
        drawn += f"<path d='M{x - 9:.1f} {bottom}v-{high:.1f}h18v{high:.1f}z' fill='{BLUE}'/>"
    for x, weight in zip(middle, other, strict=False):
        at = f"M{x - 12:.1f} {bottom - 1.34 * weight:.1f}"
        drawn += f"<path d='{at}h24' stroke='#000' stroke-width='2'/>"
    return drawn


# For each kind of head a mark, as a path around its middle, and how it is painted.
_MARKS = {
    "near": ("m-4-4h8v8h-8z", f"fill='{BLUE}'"),
    "first": ("m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", "stroke='#C24E00' stroke-width='1.8'"),
    "far": ("m-4 4h9l-4.5-8z", "fill='#007A59'"),
}


def _map(rotated: Sequence[Sequence[int]]) -> str:
    """All marks on a pattern of dots; those of a kind share a path."""
    drawn = (
        f"<pattern id='dots' x='{_LEFT}' y='{_TOP}' width='{_WIDE}' height='{_HIGH}' "
        f"patternUnits='userSpaceOnUse'><circle cx='5.6' cy='6.5' r='1.2' fill='{GREY}'/></pattern>"
        f"<rect x='{_LEFT}' y='{_TOP}' width='{_WIDE * LAYERS:g}' height='{_HIGH * HEADS}' "
        "fill='url(#dots)'/>"
    )
    for kind, (mark, paint) in _MARKS.items():
        places = [divmod(n, HEADS) for n, row in enumerate(rotated) if _kind(row) == kind]
        middles = ((_LEFT + _WIDE * (x + 0.5), _TOP + _HIGH * (y + 0.5)) for x, y in places)
        drawn += f"<path d='{''.join(f'M{x:.0f} {y:.0f}{mark}' for x, y in middles)}' {paint}/>"
    return drawn
