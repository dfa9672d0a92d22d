"""Frequencies that a mistake leads to: one thing of the expected rotation changed at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch

from ..frequencies import inverse_frequencies
from ..scaling import NTK, Linear, Llama3, Proportional, YaRN
from .expectation import Expectation
from .fitting import roundings
from .naming import describe_scaling

LENGTHS = [2**k for k in range(8, 22)]
BETAS = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 24.0, 25.0, 30.0, 32.0, 40.0, 48.0, 64.0, 128.0]
FACTORS = [1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 64.0]
BASES = [1e4, 5e5, 1e6, 1e5, 1e7, 5e6, 1.5e5, 2.5e5, 8e6, 1e3, 2e6, 3e6, 1e8, 1e2]


@dataclass(frozen=True)
class Variant:
    """One change and what it leads to.

    Args:
        words: the change, as ``"base: yours 500,000, expected 10,000"``.
        frequencies: radians per token, ``(pairs,)``.
        amplitude: the amplitude that comes with the change, None where it stays.
        cost: of two changes that lead to the same, the cheaper one is named.
    """

    words: str
    frequencies: torch.Tensor
    amplitude: float | None = None
    cost: float = 0.0


def variants(expected: Expectation, measured: torch.Tensor) -> Iterator[Variant]:
    """Changes to try; some values are estimated from the measured frequencies, (pairs,)."""
    yield from _order(expected)
    yield from _rounded(expected)
    if not math.isfinite(expected.base) or expected.base <= 0:
        return
    yield from _scalings(expected)
    yield from _bases(expected, measured)
    yield from _exponents(expected)
    yield from _formulas(expected)
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


def _ladder(expected: Expectation, base: float | None = None) -> torch.Tensor:
    return inverse_frequencies(expected.rotary_dim, base or expected.base)


def _scaled(expected: Expectation, base: float, scaling) -> torch.Tensor | None:
    try:
        if scaling is None:
            return _ladder(expected, base)
        return scaling.inverse_frequencies(expected.rotary_dim, base)
    except (ValueError, OverflowError):
        return None


def _scalings(expected: Expectation) -> Iterator[Variant]:
    """The scaling left out, or applied twice or the other way round."""
    scaling, exact = expected.scaling, expected.frequencies
    ladder = _ladder(expected)
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
    scaled = expected.frequencies / _ladder(expected)
    widths = [head, width - 2, head - 2, width + 2, 2 * width, width // 2, width - 1, 2 * head]
    for other in dict.fromkeys(w for w in widths if w > 0 and w != width):
        name = " (head_dim)" if other == head else ""
        words = f"exponents: yours 2i / {other}{name}, expected 2i / {width}"
        cost = 0.12 if other < width - 2 else 0.05
        yield Variant(words, scaled * _ladder(expected, base ** (width / other)), None, cost)
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
        ladder = _ladder(expected)
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


def _formulas(expected: Expectation) -> Iterator[Variant]:
    """Formulas of the scalings as they are often mistaken."""
    scaling = expected.scaling
    if isinstance(scaling, NTK):
        yield from _ntk(expected, scaling)
    elif isinstance(scaling, YaRN):
        yield from _yarn(expected, scaling)
    elif isinstance(scaling, Llama3):
        yield from _llama3(expected, scaling)
    elif isinstance(scaling, Proportional):
        turning = expected.frequencies != 0
        width = 2 * int(turning.sum())
        if width:
            narrow = _ladder(expected, expected.base ** (expected.rotary_dim / width))
            yield Variant(
                f"exponents: yours 2i / {width}, over the turning pairs alone, expected 2i / "
                f"{expected.rotary_dim}",
                torch.where(turning, narrow / scaling.factor, 0.0),
            )


def _ntk(expected: Expectation, scaling: NTK) -> Iterator[Variant]:
    d, h = expected.rotary_dim, expected.head_dim
    usual = f"d / (d - 2) = {d / (d - 2):.4g}"
    for power, words in ((1.0, "1"), ((d - 2) / d, "(d - 2) / d"), (2.0, "2"), (0.5, "1 / 2"),
                         (h / (h - 2), "d / (d - 2) of head_dim")):  # fmt: skip
        larger = expected.base * scaling.factor**power
        yield Variant(f"NTK exponent: yours {words}, expected {usual}", _ladder(expected, larger))


def _ramp(expected: Expectation, scaling: YaRN, low: float, high: float) -> torch.Tensor:
    """The kept share where the ramp goes from ``low`` to ``high``, also the wrong way round."""
    pairs = torch.arange(expected.rotary_dim // 2, dtype=torch.float64)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, expected.rotary_dim - 1)
    high = high + 0.001 if low == high else high
    return 1 - ((pairs - low) / (high - low)).clamp(0, 1)


def _yarn(expected: Expectation, scaling: YaRN) -> Iterator[Variant]:
    ladder, width, base = _ladder(expected), expected.rotary_dim, expected.base
    length, fast, slow = scaling.original_length, scaling.beta_fast, scaling.beta_slow

    def end(turns: float, around: float = 2 * math.pi, over: int = width) -> float:
        return over * math.log(length / (turns * around)) / (2 * math.log(base))

    def blend(kept: torch.Tensor, slowed: float = scaling.factor) -> torch.Tensor:
        return ladder / slowed * (1 - kept) + ladder * kept

    usual = _ramp(expected, scaling, end(fast), end(slow))
    yield Variant(
        f"beta_fast and beta_slow: yours swapped, expected {fast:g} and {slow:g}",
        blend(_ramp(expected, scaling, end(slow), end(fast))),
    )
    yield Variant(
        "ramp: yours divides the fast pairs and keeps the slow ones, expected the other way",
        blend(1 - usual),
    )
    turns = ladder * length / (2 * math.pi)
    in_turns = ((turns - slow) / max(fast - slow, 1e-9)).clamp(0, 1)
    yield Variant("ramp: yours straight in the turns (the paper), expected in the pairs (the code)",
                  blend(in_turns))  # fmt: skip
    yield Variant("ramp: yours without the 2 pi in the number of turns",
                  blend(_ramp(expected, scaling, end(fast, 1.0), end(slow, 1.0))))  # fmt: skip
    head = expected.head_dim
    over_head = _ramp(expected, scaling, end(fast, over=head), end(slow, over=head))
    yield Variant("ramp: yours counts pairs of head_dim, expected of rotary_dim", blend(over_head))
    for names, kept in _other_ramps(expected, scaling, end(fast), end(slow)):
        yield Variant(f"ramp: yours {names}, expected its ends rounded outwards", blend(kept))
    of_wavelengths = 1 / (usual / ladder + (1 - usual) * scaling.factor / ladder)
    yield Variant("blend: yours of wavelengths, expected of frequencies", of_wavelengths)
    yield Variant("ramp: yours a step at beta_fast", blend((usual >= 1 - 1e-9).double()))
    yield Variant("ramp: yours a step at beta_slow", blend((usual > 1e-9).double()))
    yield Variant(
        "scaling: yours divides every pair (Linear), expected YaRN", ladder / scaling.factor, 1.0
    )


def _other_ramps(
    expected: Expectation, scaling: YaRN, low: float, high: float
) -> Iterator[tuple[str, torch.Tensor]]:
    """The kept share with ends rounded otherwise, or running on beyond them."""
    exact = replace(scaling, truncate=False)
    for names, one, other in (
        ("has its ends rounded inwards", math.ceil(low), math.floor(high)),
        ("has its ends rounded down", math.floor(low), math.floor(high)),
        ("has its ends rounded up", math.ceil(low), math.ceil(high)),
        ("has its ends rounded to the nearest", round(low), round(high)),
    ):
        if scaling.truncate:
            yield names, _ramp(expected, exact, one, other)
    pairs = torch.arange(expected.rotary_dim // 2, dtype=torch.float64)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    yield "is not clamped: it runs on beyond its ends", 1 - (pairs - low) / max(high - low, 1e-3)


def _llama3(expected: Expectation, scaling: Llama3) -> Iterator[Variant]:
    ladder, length = _ladder(expected), scaling.original_length
    low, high = scaling.high_freq_factor, scaling.low_freq_factor  # swapped
    turns = ladder * length / (2 * math.pi)
    words = f"low_freq_factor and high_freq_factor: yours swapped, expected {high:g} and {low:g}"
    slowed = ladder / scaling.factor
    kept = (turns - low) / (high - low) if high != low else torch.zeros_like(turns)
    blend = slowed * (1 - kept) + ladder * kept
    long_first = torch.where(turns < low, slowed, torch.where(turns > high, ladder, blend))
    yield Variant(words, long_first)
    yield Variant(words, torch.where(turns > high, ladder, torch.where(turns < low, slowed, blend)))
    yield Variant(words, slowed * (1 - kept.clamp(0, 1)) + ladder * kept.clamp(0, 1))
    low, high = high, low
    kept = ((turns - low) / (high - low)).clamp(0, 1) if high != low else (turns > low).double()
    yield Variant("blend: yours keeps slow pairs and divides fast ones, expected the other way",
                  slowed * kept + ladder * (1 - kept))  # fmt: skip
    yield Variant(
        "blend: yours none, a step at low_freq_factor", torch.where(turns < low, slowed, ladder)
    )
    yield Variant(
        "blend: yours none, a step at high_freq_factor", torch.where(turns <= high, slowed, ladder)
    )
    whole = (ladder * length - low) / (high - low) if high != low else turns
    yield Variant("blend: yours without the 2 pi in the number of turns",
                  slowed * (1 - whole.clamp(0, 1)) + ladder * whole.clamp(0, 1))  # fmt: skip
    inverse = 1 / (1 / ladder * kept + 1 / slowed * (1 - kept))
    yield Variant("blend: yours of wavelengths, expected of frequencies", inverse)
    yield Variant("scaling: yours divides every pair (Linear), expected Llama3", slowed)
