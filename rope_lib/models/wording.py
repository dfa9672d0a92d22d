"""An explanation of a configuration in plain sentences."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any


def sentences(explanation: Any) -> Iterator[str]:
    """The lines of an :class:`rope_lib.models.explain.Explanation`."""
    if explanation.model_type:
        yield f"model type {explanation.model_type}"
    for kind in explanation.kinds:
        yield ""
        yield f"{kind.name}{_which(kind.layers)}"
        yield from (f"  {line}" for line in _kind(kind))
    for title, lines in (
        ("problems", explanation.problems),
        ("to beware of", explanation.notes),
        ("not in the file", explanation.assumed),
    ):
        if lines:
            yield ""
            yield title
            yield from (f"  {line}" for line in lines)


def _which(layers: tuple[int, ...]) -> str:
    """The numbers of layers, from 0, with runs as ranges."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    if len(words) > 12:
        words = [*words[:10], "...", words[-1]]
    return f" (layers {', '.join(words)})" if words else ""


def _kind(kind: Any) -> Iterator[str]:
    if not kind.turns:
        yield "no rotation: these layers have no rotary embedding"
        yield from _scores(kind)
        return
    yield _width(kind)
    yield _pairing(kind)
    yield f"base {kind.base:,.10g}: {_range(kind.trained_wavelengths)}"
    if kind.trained_length:
        count, left = len(kind.wavelengths), kind.unfinished
        yield (
            f"{left} of {count} pairs never complete a full turn within the trained length of "
            f"{kind.trained_length:,} tokens"
        )
    yield from _scaling(kind)
    yield from _scores(kind)


def _width(kind: Any) -> str:
    if kind.beside:
        words = (
            f"{kind.rotary_dim} elements of a head are rotated, {kind.beside} beside them are not"
        )
    elif kind.rotary_dim == kind.head_dim:
        words = f"all {kind.head_dim} elements of a head are rotated"
    else:
        words = (
            f"the {kind.rotated} {kind.rotary_dim} of a head's {kind.head_dim} elements are rotated"
        )
    shares = ", ".join(str(count) for count in kind.axis_pairs)
    axes = (
        f"; positions have {kind.axes} axes, which rotate {shares} pairs" if kind.axes > 1 else ""
    )
    return f"{words}, {kind.rotary_dim // 2} pairs{axes}"


def _pairing(kind: Any) -> str:
    width = kind.rotary_dim
    pairs = "(2i, 2i + 1)" if kind.pairing == "interleaved" else f"(i, i + {width // 2})"
    words = f"pairing {kind.pairing}: elements {pairs} form a pair"
    if kind.clockwise:
        words += ", clockwise"
    if kind.output_pairing not in (None, kind.pairing):
        words += f"; what comes out is in {kind.output_pairing}-split order"
    return words


def _range(wavelengths: tuple[float, ...]) -> str:
    still = sum(math.isinf(each) for each in wavelengths)
    rotating = [each for each in wavelengths if not math.isinf(each)]
    if not rotating:
        return "no pair is rotated"
    words = f"a full turn takes {min(rotating):,.3g} to {max(rotating):,.0f} tokens"
    return f"{words}; {still} pairs are not rotated" if still else words


def _scaling(kind: Any) -> Iterator[str]:
    if kind.scaling is None:
        return
    yield f"scaling {kind.rope_type}: {_parameters(kind.scaling)}"
    product = getattr(kind.scaling, "factor", 0) * (kind.trained_length or 0)
    if kind.served_length and product and round(product) != kind.served_length:
        yield (
            f"the file serves {kind.served_length:,} tokens; factor times trained length is "
            f"{product:,.0f}"
        )
    slowed = [each for each in kind.slowed if each > 1 + 1e-9]
    if slowed:
        where = f" at {kind.served_length:,} tokens" if kind.served_length else ""
        yield (
            f"{len(slowed)} of {len(kind.slowed)} pairs rotate more slowly{where}, up to "
            f"{max(slowed):.4g} times; {len(kind.slowed) - len(slowed)} keep their frequency; "
            + _range(kind.wavelengths)
        )
    yield _cost(kind, slowed)
    if kind.amplitude != 1:
        yield (
            f"cosines and sines are multiplied by {kind.amplitude:.6g}, scores by its square, "
            f"{kind.amplitude**2:.6g}{_doubt(kind)}"
        )


def _cost(kind: Any, slowed: list[float]) -> str:
    """What a scaling costs texts that would have done without it."""
    if kind.unchanged_length:
        return f"texts of up to {kind.unchanged_length:,} tokens are served unchanged"
    if hasattr(kind.scaling, "at_length"):
        return "texts of up to the trained length are changed too, by the short factors"
    share = len(slowed) / len(kind.slowed) if kind.slowed else 0
    return (
        f"the scaling changes short texts, too: in {share:.0%} of the pairs, every distance gives "
        "a smaller angle than without it"
    )


def _doubt(kind: Any) -> str:
    """Where a factor looks as if it had been counted twice."""
    given = getattr(kind.scaling, "attention_factor", None)
    factor = getattr(kind.scaling, "factor", 1)
    if given is None or factor <= 1 or kind.rope_type != "yarn":
        return ""
    usual = 0.1 * math.log(factor) + 1
    if abs(given - usual**2) < 1e-4:
        return f" (given; YaRN's own would be {usual:.6g}: counted twice?)"
    return f" (given; YaRN's own would be {usual:.6g})" if abs(given - usual) > 1e-6 else ""


def _parameters(scaling: Any) -> str:
    words = []
    for name in (each.name for each in fields(scaling)):
        value = getattr(scaling, name)
        if value is None or value is True:
            continue
        if isinstance(value, tuple):
            words.append(f"{name} from {min(value):g} to {max(value):g}")
        else:
            words.append(f"{name} {value:,.10g}" if not isinstance(value, bool) else f"no {name}")
    return ", ".join(words)


def _scores(kind: Any) -> Iterator[str]:
    scores = kind.scores
    if scores.constant != 1:
        yield f"scores are multiplied by {scores.constant:.6g} beside the rotation"
    if scores.beta:
        yield (
            f"scores of the query at m are multiplied by 1 + {scores.beta:g} ln(1 + "
            f"floor({f'(m + {scores.first})' if scores.first else 'm'} / {scores.length:,}))"
        )
