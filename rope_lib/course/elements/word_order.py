"""Attention over a few words whose order can be changed: which outputs change with it?"""

from collections.abc import Mapping, Sequence
from numbers import Real

import torch

from ..attention import attention, attention_weights
from ..encodings import Sinusoidal
from .figure import (
    BLUE,
    COMMON,
    GREY,
    WIDTH,
    MovingFigure,
    fill,
    fixed,
    label,
    require_known,
    require_words,
    svg,
)

WORDS = COMMON | {
    "title": "Do the outputs depend on the order of the words?",
    "hint": "Drag a word to another position, or choose it and press the arrow keys.",
    "mode": "Attention with",
    "none": "no positions and no mask",
    "positions": "positions added to the words",
    "mask": "a causal mask",
    "move": "{word}, position {place}: drag it, or move it with the arrow keys",
    "space": " ",
    "query": "query",
    "key": "weight of each key",
    "output": "output",
    "same": "unchanged",
    "changed": "was {output}",
    "picture": "A table of attention weights: a row for each query, the word that attends, a "
    "column for each key, a word that it attends to, and beside each row its output.",
    "readout": "{changed} of {count} outputs differ from those in the original order. "
    "{sentence}, with {mode}: {outputs}",
    "means": "query, key: the word that attends, and a word that it attends to. Here one vector of "
    "two numbers serves as a word's query, key and value.\n"
    "weight: how much of a key's value is mixed in: softmax of the dot products of the row.\n"
    "output: the values mixed by the weights of the row. Below it: unchanged, or the output of "
    "the same word in the original order.\n"
    "positions added: (sin m, cos m) is added to the word at position m, counted from 0.\n"
    "causal mask: a word attends to itself and to the words before it; × marks the others.",
}
VECTORS = {"Ming": (1, 0), "likes": (1, 1), "Hong": (0, 2)}
MODES = ("none", "positions", "mask")


def word_order(
    vectors: Mapping[str, Sequence[float]] | None = None,
    mode: str = "none",
    *,
    modes: Sequence[str] = MODES,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """Words to drag into another order, and what attention makes of each.

    A word's vector is query, key and value at once, and scores are not divided by anything.
    Positions are the sinusoidal ones of width 2: ``(sin m, cos m)`` is added at position ``m``.

    Args:
        vectors: two numbers for each of 2 to 5 words, in their original order; ``VECTORS`` if None.
        mode: what attention gets at first: ``"none"``, ``"positions"`` or ``"mask"``.
        modes: what can be chosen; with a single one there is no menu.
        words: replaces some or all of ``elements.word_order.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    vectors = require_vectors(VECTORS if vectors is None else vectors)
    for each in modes:
        require_known("modes", each, MODES)
    require_known("mode", mode, modes)
    words = require_words(words, WORDS)
    config = {"vectors": vectors, "mode": mode, "modes": tuple(modes), "words": words}
    x = torch.tensor([vector for _, vector in vectors]).double()
    if mode == "positions":
        x, _ = Sinusoidal(2)(x, x, torch.arange(len(x)))
    wide = x * 2**0.5  # attention divides scores by the root of the width
    weights = attention_weights(wide, x, causal=mode == "mask").tolist()
    outputs = attention(wide, x, x, causal=mode == "mask").tolist()
    names = [name for name, _ in vectors]
    texts = ["(" + ", ".join(fixed(number, 3) for number in each) + ")" for each in outputs]
    readout = fill(words["readout"], {
        "sentence": words["space"].join(names), "mode": words[mode], "changed": 0,
        "count": len(names),
        "outputs": ", ".join(map(" ".join, zip(names, texts, strict=True)))})  # fmt: skip
    picture = _draw(names, weights, texts, words, causal=mode == "mask")
    return MovingFigure("word-order", config, picture, words["picture"], readout)


def _draw(
    names: list[str],
    weights: list[list[float]],
    texts: list[str],
    words: Mapping[str, str],
    *,
    causal: bool,
) -> str:
    left = max(size(words["query"]), *map(size, names)) + 14
    wide = max(34, *(size(name) + 6 for name in names), min(64, (274 - left) / len(names)))
    right, bold = left + wide * len(names), "font-weight='700'"
    was = [fill(words["changed"], {"output": text}) for text in texts]
    after = max(map(size, [*texts, *was])) + 8
    drawn = label((left + right) / 2, 13, words["key"])
    drawn += label(left - 8, 33, words["query"], "text-anchor='end'")
    drawn += label(right + 10, 33, words["output"], "text-anchor='start'")
    for m, (name, row, text) in enumerate(zip(names, weights, texts, strict=True)):
        y = 44 + 46 * m
        drawn += label(left + wide * (m + 0.5), 33, name, bold)
        drawn += label(left - 8, y + 25, name, f"text-anchor='end' {bold}")
        for n, weight in enumerate(row):
            x, forbidden = left + wide * n, causal and n > m
            drawn += (
                f"<path d='M{x + 1.5:.1f} {y}h{wide - 3:.1f}v42h-{wide - 3:.1f}z' fill='{BLUE}' "
                f"fill-opacity='{0.6 * weight:.3f}' stroke='{GREY}'/>"
            ) + label(x + wide / 2, y + 25, "×" if forbidden else f"{fixed(100 * weight, 0)}%")
        drawn += label(right + 10, y + 18, text, "text-anchor='start'")
        drawn += label(right + 10, y + 35, words["same"], "text-anchor='start'")
    return svg(48 + 46 * len(names), drawn, width=max(WIDTH, right + after))


def size(word: str) -> float:
    """Room for a word in pixels, whatever the font."""
    return sum(13 if letter > "⺀" else 7.4 for letter in word)


def require_vectors(vectors: Mapping[str, Sequence[float]]) -> list[tuple[str, list[float]]]:
    if not isinstance(vectors, Mapping):
        raise TypeError(f"vectors must map words to two numbers each, got {vectors!r}")
    if not 2 <= len(vectors) <= 5:
        raise ValueError(f"vectors must hold 2 to 5 words, got {len(vectors)}")
    for word, vector in vectors.items():
        if not isinstance(word, str) or not isinstance(vector, Sequence) or len(vector) != 2:
            raise ValueError(
                f"vectors must map words to two numbers each, got {word!r}: {vector!r}"
            )
        if not all(isinstance(number, Real) and abs(number) <= 10 for number in vector):  # no NaN
            raise ValueError(
                f"vectors[{word!r}] must be two numbers from -10 to 10, got {vector!r}"
            )
    return [(word, [float(number) for number in vector]) for word, vector in vectors.items()]
