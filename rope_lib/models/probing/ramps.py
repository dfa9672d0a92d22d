"""YaRN and Llama 3 in measured frequencies: fast pairs kept, slow ones divided, a ramp between."""

import math
from collections.abc import Iterator

import torch

from ...scaling import Llama3, YaRN
from .fitting import FEW, Ladder, Measured, rounded_to, roundings

LENGTHS = [2**k for k in range(12, 21)] + [2**k for k in (11, 10, 9, 8)]
BETAS = [(32.0, 1.0), (64.0, 1.0), (16.0, 1.0), (8.0, 1.0), (32.0, 2.0), (1.0, 1.0)]


def blended(measured: Measured) -> Ladder | None:
    """YaRN and Llama 3: fast pairs kept, slow ones divided, a ramp between."""
    for base, digits in _bases(measured):
        slowed = measured.ladder(base) / measured.frequencies
        factor = slowed[-1].item()
        if not math.isfinite(factor) or (slowed < 1 - 1e-3).any() or factor < 1.001:
            continue
        if (slowed > factor * (1 + 1e-2)).any():
            continue
        for factor_digits, rounder in roundings(factor, 6):
            kept = (1 / slowed - 1 / rounder) / (1 - 1 / rounder)
            for attempt in (_llama3, _yarn):
                found = attempt(measured, base, rounder, kept, digits + factor_digits)
                if found is not None:
                    return found
    return None


def _bases(measured: Measured) -> Iterator[tuple[float, int]]:
    """Bases that the fast pairs, or the slow ones, would have alone."""
    f, width = measured.frequencies, measured.width
    if not (f > 0).all() or len(f) < 4:
        return
    estimates = [f[k].item() ** (-width / (2 * k)) for k in (1, 2, 3, 4) if k < len(f)]
    estimates += [
        (f[k] / f[-1]).item() ** (width / (2 * (len(f) - 1 - k)))
        for k in (len(f) - 2, len(f) - 3, len(f) - 5) if k > 0
    ]  # fmt: skip
    seen = set()
    for digits in range(1, 7):
        for estimate in estimates:
            base = rounded_to(estimate, digits) if 1 < estimate < 1e30 else 0.0
            if base > 1 and base not in seen:
                seen.add(base)
                yield base, digits


def _llama3(
    measured: Measured, base: float, factor: float, kept: torch.Tensor, digits: int
) -> Ladder | None:
    """The kept share is straight in the frequency."""
    exact = measured.ladder(base)
    inside = ((kept > 1e-3) & (kept < 1 - 1e-3)).nonzero().flatten()
    if abs(measured.amplitude - 1) > 1e-3:
        return None
    if len(inside) < 2 or len(kept) < FEW:
        return None
    first, last = inside[0], inside[-1]
    slope = ((kept[first] - kept[last]) / (exact[first] - exact[last])).item()
    start = (slope * exact[first] - kept[first]).item()
    if slope <= 0 or start <= 0:
        return None
    high = 1 + 1 / start
    for high_digits, rounder in roundings(high, 6):
        length = slope * 2 * math.pi * (rounder - 1)
        for original in (
            *(n for n in LENGTHS if abs(n / length - 1) < 0.02),
            max(1, round(length)),
        ):
            remark = (
                f"Llama 3's numbers are known as ratios only: low_freq_factor 1, high_freq_factor "
                f"{rounder:g} and length {original:,}, or all times one number"
            )
            found = measured.explained(
                base, Llama3(factor, original, 1.0, rounder), (remark,), digits + high_digits
            )
            if found is not None:
                return found
    return None


def _yarn(
    measured: Measured, base: float, factor: float, kept: torch.Tensor, digits: int
) -> Ladder | None:
    """The kept share is straight in the number of the pair."""
    inside = ((kept > 1e-3) & (kept < 1 - 1e-3)).nonzero().flatten()
    if len(inside) >= 2:
        first, last = int(inside[0]), int(inside[-1])
        slope = ((kept[last] - kept[first]) / (last - first)).item()
        low = first - (1 - kept[first].item()) / -slope if slope < 0 else None
        ends = [] if low is None else [(low, low - 1 / slope)]
    else:
        below = int((kept >= 1 - 1e-3).sum()) - 1
        ends = [(below, below + 1)] if not len(inside) else [
            (below, below + 1 / (1 - kept[int(inside[0])].item()))]  # fmt: skip
    for low, high in ends:
        for scaling, remark in _yarns(measured, base, factor, low, high):
            found = measured.explained(base, scaling, remark, digits)
            if found is not None:
                return found
    return None


def _yarns(
    measured: Measured, base: float, factor: float, low: float, high: float
) -> Iterator[tuple[YaRN, tuple[str, ...]]]:
    """YaRN values whose ramp may have these ends, the usual ones first."""
    usual = YaRN(factor, 1).amplitude
    attention = None if abs(measured.amplitude / usual - 1) < 2e-4 else measured.amplitude
    if attention is not None:
        attention = next(a for _, a in roundings(attention, 7) if abs(a / attention - 1) < 1e-5)
    per_pair = math.log(base) * 2 / measured.width
    remark = (
        "of YaRN only the ends of the ramp are known, here at pairs "
        f"{low:.4g} and {high:.4g}: other lengths and betas give the same",
    )
    for truncate in (True, False):
        for betas in BETAS:
            for length in LENGTHS:
                for_low = (math.log(length / (2 * math.pi * beta)) / per_pair for beta in betas)
                ends = [max(0.0, end) for end in for_low]
                if all(abs(x - y) < 1.02 for x, y in zip(ends, (low, high), strict=True)):
                    yield YaRN(factor, length, *betas, attention, truncate=truncate), remark
    for length in LENGTHS if measured.width >= 2 * FEW else ():
        slow, fast = (length / (2 * math.pi * math.exp(end * per_pair)) for end in (high, low))
        if 0.01 < slow <= fast:
            yield YaRN(factor, length, fast, slow, attention, truncate=False), remark
