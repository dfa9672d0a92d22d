"""Which base and which scaling measured frequencies belong to.

A ladder is what the frequencies of a head are without scaling: ``base ** (-2 i / width)``. Each
explanation is tried in turn, the simplest first, and verified on all pairs.
"""

import math
from collections.abc import Iterator

import torch

from ...scaling import NTK, Linear, Proportional, Rescaled, Scaling
from .fitting import FEW, Ladder, Measured, base_of, log_line, rounded_to, roundings
from .ramps import blended
from .speeds import wrapped


def fit_ladder(measured: Measured) -> Ladder:
    """The simplest explanation that fits all pairs; one factor for each pair where none does."""
    for attempt in (_plain, _reversed, _divided, _trailing, _rounded, blended):
        try:
            found = attempt(measured)
        except (ArithmeticError, ValueError):  # numbers that no scaling allows
            continue
        if found is not None:
            return found
    return _each_its_own(measured)


def _plain(measured: Measured) -> Ladder | None:
    """A base alone, or one that NTK scaling makes of a round one."""
    _, slope = log_line(measured, free=False)
    if measured.width == 2:
        return measured.explained(10_000.0, None, ("one pair turns: any base gives the same",), 1)
    base = base_of(slope, measured.width)
    if not 1e-12 < base < 1e30 or not measured.fits(measured.ladder(base)):
        return None
    for digits, rounder in roundings(base):
        if digits > 3 and (found := _enlarged(measured, base)) is not None:
            return found
        found = measured.explained(rounder, None, (), digits)
        if found is not None:
            return found
    return None


def _reversed(measured: Measured) -> Ladder | None:
    """The ladder from its slow end."""
    turned = Measured(measured.frequencies.flip(0), measured.allowed.flip(0), measured.amplitude)
    found = None if measured.width == 2 else _plain(turned)
    if found is None or found.base <= 1 or found.scaling is not None:
        return None
    exact = measured.ladder(found.base)
    scaling = Rescaled(tuple((exact / exact.flip(0)).tolist()))
    remarks = ("frequencies stand in reversed order, the slowest first",)
    return Ladder(found.base, scaling, found.residual, None, remarks, found.digits)


def _enlarged(measured: Measured, base: float) -> Ladder | None:
    """NTK: a round base times a power of a round factor."""
    if measured.width < 4:
        return None
    power = (measured.width - 2) / measured.width
    root = rounded_to(base**power, 2)
    remark = f"base {root:,.10g} with exponents of 2i / (width - 2) gives the same frequencies"
    if abs(root / base**power - 1) < 1e-5 and (
        found := measured.explained(base, None, (remark,), 9)
    ):
        return found
    for smaller in (1e4, 5e5, 1e6, 1e5):
        factor = (base / smaller) ** power
        for digits in (1, 2, 3):
            rounder = rounded_to(factor, digits)
            remark = (
                f"NTK scaling of base {smaller:,.10g} by {rounder:g} is the same as a base of "
                f"{base:,.7g}"
            )
            if rounder > 1 and (
                found := measured.explained(smaller, NTK(rounder), (remark,), digits + 1)
            ):
                return found
    return None


def _divided(measured: Measured) -> Ladder | None:
    """All pairs slower by one factor, or faster."""
    offset, slope = _unwound(measured)
    base, factor = base_of(slope, measured.width), math.exp(-offset)
    if not 1e-12 < base < 1e30 or not measured.fits(measured.ladder(base) / factor):
        return None
    for base_digits, rounder in roundings(base):
        for digits, round_factor in roundings(factor):
            scaling = _by_factor(round_factor, len(measured.frequencies))
            remarks = tuple(_about_factor(rounder, round_factor, measured.width))
            found = measured.explained(rounder, scaling, remarks, digits + base_digits)
            if found is not None:
                return found
    return None


def _unwound(measured: Measured) -> tuple[float, float]:
    """The line through the slow pairs, then through all: fast ones may pass half a turn a token."""
    slow, pairs = measured.allowed.clone(), len(measured.frequencies)
    slow[: pairs - max(2, pairs // 3)] = 1.0
    part = Measured(measured.frequencies, slow, measured.amplitude)
    offset, slope = log_line(part, free=True)
    expected = torch.exp(offset + slope * torch.arange(pairs, dtype=torch.float64))
    f = measured.frequencies
    whole = f + 2 * math.pi * torch.round((expected - f) / (2 * math.pi))
    if not (whole > 0).all() or not torch.isfinite(whole).all():
        return offset, slope
    return log_line(Measured(whole, measured.allowed, measured.amplitude), True, math.inf)


def _about_factor(base: float, factor: float, width: int) -> Iterator[str]:
    if factor < 1:
        yield f"every pair turns {1 / factor:.6g} times as fast as the ladder of its base"
    for degrees, what in ((math.pi / 180, "degrees taken for radians"),
                          (180 / math.pi, "radians taken for degrees")):  # fmt: skip
        if abs(factor / degrees - 1) < 1e-4:
            yield f"that factor is the one of {what}"
    if abs(factor / base ** (1 / width) - 1) < 1e-4:
        yield f"that factor is base^(1 / {width}): exponents of (2i + 1) / {width} give it"


def _by_factor(factor: float, pairs: int) -> Scaling:
    return Linear(factor) if factor >= 1 else Rescaled((factor,) * pairs)


def _trailing(measured: Measured) -> Ladder | None:
    """Proportional: the slow pairs do not rotate."""
    pairs, turning = len(measured.frequencies), int(measured.turning.sum())
    if turning in (0, pairs) or not measured.turning[:turning].all():
        return None
    fast = Measured(measured.frequencies[:turning], measured.allowed[:turning], measured.amplitude)
    offset, slope = log_line(fast, free=True)
    if abs(offset) < 1e-5 + fast.allowed.min() or turning == 1:
        slope = log_line(fast, free=False)[1]
    base = base_of(slope, measured.width) if turning > 1 else 10_000.0
    fraction = next(
        f for d in range(1, 18)
        if (int((f := rounded_to(turning / pairs, d)) * pairs) == turning and f <= 1) or d == 17
    )  # fmt: skip
    for base_digits, rounder in roundings(base):
        for digits, factor in roundings(math.exp(-offset)):
            if factor >= 1:
                scaling = Proportional(fraction, factor)
                found = measured.explained(rounder, scaling, (), base_digits + digits)
                if found is not None:
                    return found
    return None


def _rounded(measured: Measured) -> Ladder | None:
    """A round base whose frequencies were rounded to 16 bits."""
    _, slope = log_line(measured, free=False)
    estimate = base_of(slope, measured.width)
    for dtype in (torch.bfloat16, torch.float16):
        for digits in (1, 2, 3):
            base = rounded_to(estimate, digits)
            for near in (base, 10_000.0):
                exact = measured.ladder(near) if near > 0 and math.isfinite(near) else None
                if exact is None:
                    continue
                rounded = exact.to(dtype).double()
                if measured.fits(rounded) and not measured.fits(exact):
                    residual = measured.deviations(exact).max().item()
                    return Ladder(near, None, residual, dtype, (), digits)
    return None


def _each_its_own(measured: Measured) -> Ladder:
    """A factor for each pair, of the roundest base that is near."""
    f = measured.frequencies
    _, slope = log_line(measured, free=False)
    base = base_of(slope, measured.width)
    base = rounded_to(base, 1) if 1 < base < 1e12 else 10_000.0
    if not (f > 0).all():
        return Ladder(math.nan, None, math.nan, None, (_what_is_odd(f),))
    factors = tuple((measured.ladder(base) / f).tolist())
    scaling = Rescaled(factors, measured.amplitude)
    few = f"; {len(f)} pairs are few to know one by" if len(f) < FEW else ""
    remark = (
        f"no formula that is known gives these frequencies: one factor for each pair, of a base of "
        f"{base:,.10g} that may as well be another{few}"
    )
    return Ladder(base, scaling, 0.0, None, (remark,))


def _what_is_odd(frequencies: torch.Tensor) -> str:
    steps = wrapped(frequencies[1:] - frequencies[:-1])
    if len(steps) > 2 and (wrapped(steps - steps[0]).abs() < 1e-5).all():
        return (
            f"frequencies go up in equal steps of {steps[0]:.6g} radians per token, as for pixels: "
            "no base gives them"
        )
    return "some pairs do not rotate or rotate the other way: no base and scaling give that"
