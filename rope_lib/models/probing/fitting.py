"""Measured frequencies beside those that a base and a scaling lead to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ...frequencies import inverse_frequencies
from ...scaling import Scaling
from .speeds import wrapped

FEW = 8  # pairs: with fewer, a ramp of any kind goes through all of them


@dataclass(frozen=True)
class Ladder:
    """An explanation of measured frequencies.

    Args:
        base, scaling: as in :class:`rope_lib.module.RotaryEmbedding`.
        residual: the largest relative deviation of a measured frequency from them.
        rounding: the dtype that frequencies were rounded to, or None.
        remarks: what cannot be told apart, in sentences.
        digits: how many digits the numbers of the explanation have, together.
    """

    base: float
    scaling: Scaling | None
    residual: float
    rounding: torch.dtype | None = None
    remarks: tuple[str, ...] = ()
    digits: int = 0


class Measured:
    """Frequencies of all pairs of a width, (width / 2,), and how well they are known."""

    def __init__(self, frequencies: torch.Tensor, allowed: torch.Tensor, amplitude: float):
        self.frequencies, self.allowed, self.amplitude = frequencies, allowed, amplitude
        self.width = 2 * len(frequencies)
        self.turning = frequencies != 0

    def deviations(self, expected: torch.Tensor) -> torch.Tensor:
        """Relative to what is expected, modulo a whole turn per token."""
        off = wrapped(self.frequencies - expected).abs()
        return torch.where(expected == 0, off * 1e6, off / expected.abs().clamp_min(1e-300))

    def fits(self, expected: torch.Tensor) -> bool:
        return bool((self.deviations(expected) <= self.allowed).all())

    def ladder(self, base: float, scaling: Scaling | None = None) -> torch.Tensor | None:
        """Frequencies that are expected, None where the scaling does not allow them."""
        try:
            frequencies = inverse_frequencies if scaling is None else scaling.inverse_frequencies
            return frequencies(self.width, base)
        except (ValueError, OverflowError):
            return None

    def explained(
        self, base: float, scaling: Scaling | None, remarks: tuple = (), digits: int = 0
    ) -> Ladder | None:
        expected = self.ladder(base, scaling)
        if expected is None or not self.fits(expected):
            return None
        residual = self.deviations(expected).max().item()
        return Ladder(base, scaling, residual, None, remarks, digits)


def rounded_to(number: float, digits: int) -> float:
    """The nearest number with so many digits."""
    return float(f"{number:.{digits - 1}e}")


def roundings(number: float, most: int = 8) -> Iterator[tuple[int, float]]:
    """The same number with more and more digits, and with all of them."""
    for digits in range(1, most):
        yield digits, rounded_to(number, digits)
    yield most + 8, number


def log_line(measured: Measured, free: bool, fastest: float = 2.5) -> tuple[float, float]:
    """``(offset, slope)`` of the logarithms of the turning pairs by number; the offset 0 unless
    ``free``. Pairs faster than ``fastest`` may pass half a turn a token and are left out."""
    f, known = measured.frequencies, measured.turning & (measured.frequencies > 0)
    known = known & (measured.allowed < 0.1) & (f < fastest)
    steps = torch.arange(len(f), dtype=torch.float64)[known]
    logs, weights = f[known].log(), 1 / measured.allowed[known] ** 2
    if not free:
        total = (weights * steps**2).sum().item()
        return 0.0, (weights * steps * logs).sum().item() / total if total else 0.0
    if len(steps) < 2:
        return (logs[0].item() if len(logs) else 0.0), 0.0
    middle = (weights * steps).sum() / weights.sum()
    height = (weights * logs).sum() / weights.sum()
    slope = (weights * (steps - middle) * logs).sum() / (weights * (steps - middle) ** 2).sum()
    return (height - slope * middle).item(), slope.item()


def base_of(slope: float, width: int) -> float:
    try:
        return math.exp(-slope * width / 2)
    except OverflowError:
        return math.inf
