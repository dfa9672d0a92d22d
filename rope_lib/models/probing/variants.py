"""Frequencies that a mistake leads to: one thing of the expected rotation changed at a time."""

import math
from collections.abc import Iterator
from dataclasses import fields, replace

import torch

from ...scaling import NTK, Linear
from .expectation import Expectation
from .fitting import roundings
from .formulas import Variant, formulas, plain_ladder
from .naming import describe_scaling

LENGTHS = [2**k for k in range(8, 22)]
BETAS = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 24.0, 25.0, 30.0, 32.0, 40.0, 48.0, 64.0, 128.0]
FACTORS = [1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 64.0]
BASES = [1e4, 5e5, 1e6, 1e5, 1e7, 5e6, 1.5e5, 2.5e5, 8e6, 1e3, 2e6, 3e6, 1e8, 1e2]


def variants(expected: Expectation, measured: torch.Tensor) -> Iterator[Variant]:
    """Changes to try; some values are estimated from the measured frequencies, (pairs,)."""
    yield from _order(expected)
    yield from _rounded(expected)
    if not math.isfinite(expected.base) or expected.base <= 0:
        return
    yield from _scalings(expected)
    yield from _bases(expected, measured)
    yield from _exponents(expected)
    yield from formulas(expected)
    yield from _parameters(expected, measured)


def _order(expected: Expectation) -> Iterator[Variant]:
    f = expected.frequencies
    pairs = torch.arange(len(f))
    yield Variant("frequencies: yours in reversed order, the slowest pair first", f.flip(0))
    yield Variant("frequencies: yours has the next pair's in each pair", f.roll(-1))
    yield Variant("frequencies: yours has the previous pair's in each pair", f.roll(1))
    yield Variant("frequencies: yours has the next pair's in each pair", torch.cat((f[1:], f[-1:])))
    yield Variant(
        "frequencies: yours has the previous pair's in each pair", torch.cat((f[:1], f[:-1]))
    )
    yield Variant("frequencies: yours has each of the first half in two pairs", f[pairs // 2])
    both = torch.cat((f[0::2], f[0::2]))[: len(f)]
    yield Variant("frequencies: yours has every other one, twice over", both)
    yield Variant("frequencies: yours stand in interleaved order, every other one first",
                  torch.cat((f[0::2], f[1::2])))  # fmt: skip
    inverted = torch.where(f == 0, f, 1 / f.clamp_min(1e-300))
    yield Variant(
        "frequencies: yours are the reciprocals (wavelengths) of those expected", inverted
    )


def _rounded(expected: Expectation) -> Iterator[Variant]:
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        yield Variant(
            f"frequencies: yours rounded to {name}, expected exact",
            expected.frequencies.to(dtype).double(),
        )
        pairs = torch.arange(0, expected.rotary_dim, 2)
        if expected.scaling is None and math.isfinite(expected.base):
            computed = 1.0 / expected.base ** (pairs.to(dtype) / expected.rotary_dim)
            yield Variant(
                f"frequencies: yours computed in {name}, expected exact", computed.double()
            )


def _scaled(expected: Expectation, base: float, scaling) -> torch.Tensor | None:
    try:
        if scaling is None:
            return plain_ladder(expected, base)
        return scaling.inverse_frequencies(expected.rotary_dim, base)
    except (ValueError, OverflowError):
        return None


def _scalings(expected: Expectation) -> Iterator[Variant]:
    """The scaling left out, or applied twice or the other way round."""
    scaling, exact = expected.scaling, expected.frequencies
    ladder = plain_ladder(expected)
    if scaling is None:
        for other in (kind(factor) for kind in (Linear, NTK) for factor in FACTORS):
            frequencies = _scaled(expected, expected.base, other)
            if frequencies is not None and expected.rotary_dim > 4:
                words = f"scaling: yours {describe_scaling(other)}, expected none"
                yield Variant(words, frequencies, None, 0.2)
        return
    words = describe_scaling(scaling)
    yield Variant(f"scaling: yours none, expected {words}", ladder, 1.0)
    if hasattr(expected.given, "short_factor"):
        for name in ("short_factor", "long_factor"):
            factors = torch.tensor(getattr(expected.given, name), dtype=torch.float64)
            yield Variant(f"scaling: yours has the factors of {name}", ladder / factors)
    yield Variant(f"scaling: yours applied twice, expected once: {words}", exact**2 / ladder)
    ones = torch.where(exact == 0, exact, ladder**2 / exact.clamp_min(1e-300))
    name = "factor" if isinstance(scaling, Linear) else "scaling"
    yield Variant(
        f"{name}: yours inverted, it multiplies frequencies where {words} divides them", ones
    )


def _bases(expected: Expectation, measured: torch.Tensor) -> Iterator[Variant]:
    factor = getattr(expected.scaling, "factor", 1.0)
    candidates = [(base, 0.1) for base in BASES]
    for pair in (1, 2, len(measured) // 2, len(measured) - 1):
        if not 0 < pair < len(measured) or measured[pair] <= 0:
            continue
        for divided in (1.0, factor):
            try:
                estimate = (measured[pair].item() * divided) ** (-expected.rotary_dim / (2 * pair))
            except OverflowError:
                continue
            if 1e-6 < estimate < 1e30:
                candidates += [(base, 0.1 * digits) for digits, base in roundings(estimate)]
    for base, cost in dict.fromkeys(candidates):
        frequencies = _scaled(expected, base, expected.scaling)
        if frequencies is not None and base != expected.base:
            words = f"base: yours {base:,.7g}, expected {expected.base:,.10g}"
            yield Variant(words, frequencies, None, cost)


def _exponents(expected: Expectation) -> Iterator[Variant]:
    """Other exponents than ``2 i / width``."""
    width, head, base = expected.rotary_dim, expected.head_dim, expected.base
    scaled = expected.frequencies / plain_ladder(expected)
    widths = [head, width - 2, head - 2, width + 2, 2 * width, width // 2, width - 1, 2 * head]
    for other in dict.fromkeys(w for w in widths if w > 0 and w != width):
        name = " (head_dim)" if other == head else ""
        words = f"exponents: yours 2i / {other}{name}, expected 2i / {width}"
        cost = 0.12 if other < width - 2 else 0.05
        yield Variant(words, scaled * plain_ladder(expected, base ** (width / other)), None, cost)
        again = _scaled(expected, base ** (width / other), expected.scaling)
        if again is not None:
            yield Variant(words, again, None, cost)
    for shift, words in ((1, "(2i + 1)"), (2, "(2i + 2)"), (-1, "(2i - 1)"), (-2, "(2i - 2)")):
        yield Variant(
            f"exponents: yours {words} / {width}, expected 2i / {width}",
            expected.frequencies * base ** (-shift / width),
        )


def _values(expected: Expectation, name: str, measured: torch.Tensor) -> list:
    """Values to try for a parameter of the scaling."""
    now = getattr(expected.scaling, name)
    if isinstance(now, bool):
        return [not now]
    factor = getattr(expected.scaling, "factor", 1.0)
    if name == "factor":
        ladder = plain_ladder(expected)
        slowest = [(ladder[k] / measured[k]).item() for k in (-1, 0) if measured[k] > 0]
        estimated = [v for x in slowest if 1 <= x < 1e6 for _, v in roundings(x, 6)]
        return [*FACTORS, now**2, math.sqrt(now), now / 2, now * 2, *estimated]
    if name == "original_length":
        lengths = [now * factor, now / factor, now * 2, now / 2, now + 1, now - 1]
        return [*(round(x) for x in lengths), *LENGTHS]
    if name == "fraction":
        pairs = expected.rotary_dim // 2
        return [int((measured != 0).sum()) / pairs]
    return BETAS if isinstance(now, float | int) else []


def _parameters(expected: Expectation, measured: torch.Tensor) -> Iterator[Variant]:
    """Each parameter of the scaling in turn with another value."""
    scaling = expected.scaling
    if scaling is None:
        return
    shown = {"attention_factor", "mscale", "mscale_all_dim", "factors", "amplitude"}
    for name in (each.name for each in fields(scaling) if each.name not in shown):
        now = getattr(scaling, name)
        for value in _values(expected, name, measured):
            try:
                other = replace(scaling, **{name: value})
                frequencies = _scaled(expected, expected.base, other)
            except (ValueError, TypeError):
                continue
            if frequencies is None or value == now:
                continue
            words = f"{name}: yours {_number(value)}, expected {_number(now)}"
            yield Variant(words, frequencies, other.amplitude, 0.02 * len(f"{value:.7g}"))


def _number(value) -> str:
    return str(value) if isinstance(value, bool) else f"{value:,.7g}"
