"""A measured rotation in plain sentences."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

_COUNTED = {"each": "each row by its own position",
            "first": "rows are counted from the first position on",
            "rows": "rows are counted from 0",
            "differences": "positions in order"}  # fmt: skip


def lines(found: Any) -> Iterator[str]:
    """The lines of an :class:`rope_lib.models.identify.Identified`."""
    yield _pairs(found)
    yield _frequencies(found)
    if found.scaling is not None:
        yield f"scaling {describe_scaling(found.scaling)}"
    if found.amplitude != 1:
        yield (
            f"lengths are multiplied by {found.amplitude:.6g}, scores by {found.amplitude**2:.6g}"
        )
    direction = "clockwise" if found.clockwise else "counter-clockwise"
    yield f"rotates {direction}, {_COUNTED[found.positions]}, layout {found.layout}"
    if found.origin != 0:
        yield (
            "rotates at every position, 0 included"
            if math.isnan(found.origin)
            else f"no rotation at position {found.origin:g}, where usually that is position 0"
        )
    yield f"rounding: {found.precision}; tried up to position {found.reach:,}"
    yield from (f"note: {remark}" for remark in found.remarks)


def _pairs(found: Any) -> str:
    width = found.rotary_dim
    pairs = {"interleaved": "(2i, 2i + 1)", "half": f"(i, i + {width // 2})"}
    words = f"pairing {found.pairing}"
    if found.pairing in pairs:
        words += f": elements {pairs[found.pairing]} form a pair"
    if found.output_pairing != found.pairing:
        words += f", and come out in {found.output_pairing} order"
    if width == found.head_dim:
        return f"{words}; all {width} elements of a head"
    return f"{words}; the {found.rotated} {width} of a head's {found.head_dim} elements"


def _frequencies(found: Any) -> str:
    rotating = [abs(f) for f in found.frequencies if f]
    still = len(found.frequencies) - len(rotating)
    words = "no base gives its frequencies"
    if math.isfinite(found.base):
        words = f"base {found.base:,.10g}, frequencies within {found.residual:.1e} of it"
    words += f"; a full turn takes {math.tau / max(rotating):,.4g} to "
    words += f"{math.tau / min(rotating):,.6g} tokens"
    return words + (f"; {still} pairs are not rotated" if still else "")


def describe_scaling(scaling: Any) -> str:
    """A scaling with its parameters, long lists shortened."""
    words = []
    for each in fields(scaling):
        value = getattr(scaling, each.name)
        if isinstance(value, tuple):
            words.append(f"{each.name} from {min(value):.6g} to {max(value):.6g}")
        elif isinstance(value, bool):
            words.append(f"{each.name} {value}")
        elif value is not None:
            words.append(f"{each.name} {value:,.10g}")
    return f"{type(scaling).__name__}: " + ", ".join(words)
