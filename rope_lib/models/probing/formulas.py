"""The formulas of NTK, YaRN and Llama 3 as they are often mistaken."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ...frequencies import inverse_frequencies
from ...scaling import NTK, Llama3, Proportional, YaRN
from .expectation import Expectation


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


def plain_ladder(expected: Expectation, base: float | None = None) -> torch.Tensor:
    return inverse_frequencies(expected.rotary_dim, base or expected.base)


def formulas(expected: Expectation) -> Iterator[Variant]:
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
            narrow = plain_ladder(expected, expected.base ** (expected.rotary_dim / width))
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
        yield Variant(
            f"NTK exponent: yours {words}, expected {usual}", plain_ladder(expected, larger)
        )


def _ramp(expected: Expectation, scaling: YaRN, low: float, high: float) -> torch.Tensor:
    """The kept share where the ramp goes from ``low`` to ``high``, also the wrong way round."""
    pairs = torch.arange(expected.rotary_dim // 2, dtype=torch.float64)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, expected.rotary_dim - 1)
    high = high + 0.001 if low == high else high
    return 1 - ((pairs - low) / (high - low)).clamp(0, 1)


def _yarn(expected: Expectation, scaling: YaRN) -> Iterator[Variant]:
    ladder, width, base = plain_ladder(expected), expected.rotary_dim, expected.base
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
        yield Variant(
            f"ramp: yours {names}, expected its ends rounded outwards", blend(kept), None, 0.15
        )
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
    ladder, length = plain_ladder(expected), scaling.original_length
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
