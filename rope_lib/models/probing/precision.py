"""Where a rotation rounds, judged by how unsteadily its pairs turn from token to token."""

import math
from dataclasses import dataclass

import torch

from .measurement import Measurement

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
BITS = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24}


@dataclass(frozen=True)
class Rounding:
    """What is rounded, and how far angles are off for it.

    Args:
        words: ``"exact"``, ``"float32 angles"``, ``"positions in bfloat16"`` and the like.
        harmless: the best that the numbers handed in or returned allow, or float32 angles.
        error: the largest unsteadiness seen, in radians.
        position: where it was seen.
    """

    words: str
    harmless: bool
    error: float
    position: int

    @property
    def slack(self) -> float:
        """How far a frequency may be off for it, relative."""
        dtype = next((d for d in BITS if self.words == f"angles in {NAMES[d]}"), None)
        return 0.0 if dtype is None else 2.0 ** (1 - BITS[dtype])


def judge(measurement: Measurement, frequencies: torch.Tensor | None = None) -> Rounding:
    """Name the rounding of a measured rotation.

    Args:
        measurement: what was measured.
        frequencies: what pairs turn by in truth, (pairs,), where that may be more than half a turn
            a token; measured ones are known but for whole turns.
    """
    speeds, grain = measurement.speeds, measurement.grain
    rates = (speeds.frequencies if frequencies is None else frequencies).abs()
    fast = rates >= rates.max() * 0.5
    rough = [(first, each[fast].max().item()) for first, each in speeds.rough]
    error, position = max((max(each.tolist()), first) for first, each in speeds.rough)
    rate = rates[fast].max().item()
    loud = [(first, r) for first, r in rough if r > 16 * grain and _bits([(first, r)], rate) < 40]
    if not loud:
        return _of_tables(measurement, error, position)
    jump = _sudden(rough, loud, rate)
    if jump is not None:
        return Rounding(jump, False, error, position)
    bits = _bits(loud, rate)
    kind = min(BITS, key=lambda d: abs(BITS[d] - bits))
    if abs(BITS[kind] - bits) > 2.6 or max(r for _, r in loud) > 4:
        return Rounding("unsteady angles", False, error, position)
    if kind == torch.float32:
        return Rounding("float32 angles", True, error, position)
    return Rounding(f"angles in {NAMES[kind]}", False, error, position)


def _of_tables(measurement: Measurement, error: float, position: int) -> Rounding:
    """Angles are exact: what is left is the rounding of cosines and sines, or of results."""
    dtype = next((d for d in BITS if torch.finfo(d).eps / 2 == measurement.grain), None)
    if dtype is None:
        return Rounding("exact", True, error, position)
    if measurement.dtype == dtype or dtype == torch.float32:
        return Rounding(f"exact, results in {NAMES[dtype]}", True, error, position)
    return Rounding(f"tables or results in {NAMES[dtype]}", False, error, position)


def _sudden(rough: list, loud: list, rate: float) -> str | None:
    """Positions count exactly up to a power of two, and then suddenly in steps."""
    first, r = loud[0]
    if first < 100 or r < 0.3 * rate:
        return None
    for dtype in (torch.bfloat16, torch.float16):
        if first + 2 == 2 ** BITS[dtype] or first == 2 ** BITS[dtype]:
            return f"positions in {NAMES[dtype]}"
    return f"unsteady angles from position {first:,} on"


def _bits(loud: list[tuple[int, float]], rate: float) -> float:
    """Significant bits of the angles: at ``2**k`` neighbours differ by ``2**(k + 1 - bits)``."""
    found = [
        math.log2(first + 2) + 2 - math.log2(r / rate)
        for first, r in loud
        if r < 2  # not yet as large as a turn
    ]
    return sorted(found)[len(found) // 2] if found else 0.0
