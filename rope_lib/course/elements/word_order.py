"""Attention over a few words whose order can be changed: who notices?"""

from collections.abc import Mapping, Sequence
from numbers import Real

import torch

from ..attention import attention, attention_weights
from ..encodings import Sinusoidal
from .figure import MovingFigure, fill, fixed, label, require_known, require_words, svg

WORDS = {
    "mode": "what attention gets",
    "none": "the words alone",
    "positions": "words with positions added",
    "mask": "the words and a causal mask",
    "move": "{word}, place {place}: drag it, or move it with the arrow keys",
    "picture": "A table of attention weights: a row for each word that looks, a column for each "
    "word that is looked at, and beside it what the row's word becomes.",
    "readout": "{sentence}, {mode}: {outputs}. {changed} of {count} words differ from the first "
    "order",
}
VECTORS = {"小明": (1, 0), "喜欢": (1, 1), "小红": (0, 2)}
MODES = ("none", "positions", "mask")


def word_order(
    vectors: Mapping[str, Sequence[float]] | None = None,
    mode: str = "none",
    *,
    words: Mapping[str, str] | None = None,
) -> MovingFigure:
    """Words to drag into another order, and what attention makes of each.

    A word's vector is query, key and value at once, and scores are not divided by anything.
    Positions are the sinusoidal ones of width 2: ``(sin m, cos m)`` is added at place ``m``.

    Args:
        vectors: two numbers for each of 2 to 5 words, in their first order; ``VECTORS`` if None.
        mode: what attention gets at first: ``"none"``, ``"positions"`` or ``"mask"``.
        words: replaces some or all of ``elements.word_order.WORDS``.

    Returns:
        A figure for the last line of a notebook cell.

    Raises:
        TypeError, ValueError: an argument is not of this kind; nothing is drawn.
    """
    vectors = _require_vectors(VECTORS if vectors is None else vectors)
    require_known("mode", mode, MODES)
    words = require_words(words, WORDS)
    config = {"vectors": vectors, "mode": mode, "modes": MODES, "words": words}
    x = torch.tensor([vector for _, vector in vectors]).double()
    if mode == "positions":
        x, _ = Sinusoidal(2)(x, x, torch.arange(len(x)))
    wide = x * 2**0.5  # attention divides scores by the root of the width
    weights = attention_weights(wide, x, causal=mode == "mask").tolist()
    outputs = attention(wide, x, x, causal=mode == "mask").tolist()
    names = [name for name, _ in vectors]
    texts = ["(" + ", ".join(fixed(number, 3) for number in each) + ")" for each in outputs]
    readout = fill(words["readout"], {
        "sentence": "".join(names), "mode": words[mode], "changed": 0, "count": len(names),
        "outputs": ", ".join(map(" ".join, zip(names, texts, strict=True)))})  # fmt: skip
    picture = _draw(names, weights, texts)
    return MovingFigure("word-order", config, picture, words["picture"], readout)


def _draw(names: list[str], weights: list[list[float]], texts: list[str]) -> str:
    drawn = "".join(label(92 + 56 * n, 18, name) for n, name in enumerate(names))
    for m, (name, row, text) in enumerate(zip(names, weights, texts, strict=True)):
        drawn += label(32, 50 + 44 * m, name)
        for n, weight in enumerate(row):
            drawn += (
                f"<path d='M{66 + 56 * n} {26 + 44 * m}h52v40h-52z' fill='#0072B2' "
                f"fill-opacity='{0.6 * weight:.3f}' stroke='#6E6E6E'/>"
            ) + label(92 + 56 * n, 50 + 44 * m, f"{fixed(100 * weight, 0)}%")
        drawn += label(129 + 56 * len(names), 50 + 44 * m, text)
    width, height = 200 + 56 * len(names), 32 + 44 * len(names)
    return svg(width, height, drawn, "text-anchor='middle'")


def _require_vectors(vectors: Mapping[str, Sequence[float]]) -> list[tuple[str, list[float]]]:
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
