"""Which one change of the expected frequencies leads to the measured ones."""

import math
from dataclasses import dataclass

import torch

from ..identify import spread
from .expectation import Expectation
from .fitting import Ladder, Measured
from .formulas import Variant
from .ladders import fit_ladder
from .measurement import Measurement
from .naming import describe_scaling
from .placing import Placing
from .precision import Rounding
from .variants import variants


@dataclass(frozen=True)
class SpeedDifference:
    """What differs in the frequencies.

    Args:
        words: sentences, none where they agree.
        sign: the direction that fits, +1 for counter-clockwise.
        amplitude: the amplitude that comes with the difference, None for that expected.
        frequencies: of the expected pairs, with the difference; None where it is not known.
        explained: whether the sentences say more than numbers.
    """

    words: tuple[str, ...]
    sign: int
    amplitude: float | None = None
    frequencies: torch.Tensor | None = None
    explained: bool = True


def frequency_difference(
    found: Measurement, places: Placing, expected: Expectation, sign: int, rounding: Rounding
) -> SpeedDifference:
    """Compare frequencies pair by pair, modulo whole turns per token."""
    wanted = _for_pairs(expected, places.pairs)
    allowed = 1e-5 + rounding.slack + 4 * spread(found.speeds.errors, places.steps, places.pairs)
    for direction in (sign, -sign):
        yours = direction * spread(found.speeds.frequencies, places.steps, places.pairs)
        measured = Measured(yours, allowed, found.amplitude)
        if measured.fits(wanted.frequencies):
            return SpeedDifference((), direction)
        if direction == sign:
            first = measured
    found = [(*_best(first, wanted), sign), (*_best(measured, wanted), -sign)]
    _, best, direction = min(found, key=lambda each: each[0] + (each[2] != sign) / 2)
    if best is not None:
        return SpeedDifference((best.words,), direction, best.amplitude, best.frequencies)
    return _otherwise(first, wanted, sign)


def _for_pairs(expected: Expectation, pairs: int) -> Expectation:
    """The same rotation of another width, where the function turns more or fewer numbers."""
    if 2 * pairs == expected.rotary_dim:
        return expected
    names = {each: getattr(expected, each) for each in expected.__dataclass_fields__}
    try:
        scaling = expected.scaling
        ladder = Measured(torch.zeros(pairs, dtype=torch.float64), torch.zeros(pairs), 1.0)
        frequencies = ladder.ladder(expected.base, scaling)
    except (ValueError, OverflowError):
        frequencies = None
    if frequencies is None:
        frequencies = torch.zeros(pairs, dtype=torch.float64)
        count = min(pairs, len(expected.frequencies))
        frequencies[:count] = expected.frequencies[:count]
    return Expectation(**(names | {"rotary_dim": 2 * pairs, "frequencies": frequencies}))


def _best(measured: Measured, expected: Expectation) -> tuple[float, Variant | None]:
    """How badly the best variant fits, and that; of equally good ones the first."""
    best, least = None, math.inf
    for order, variant in enumerate((*_multiples(measured, expected),
                                     *variants(expected, measured.frequencies))):  # fmt: skip
        if len(variant.frequencies) != len(measured.frequencies):
            continue
        deviations = measured.deviations(variant.frequencies) / measured.allowed
        if not bool((deviations <= 1).all()):
            continue
        amplitude = variant.amplitude
        apart = amplitude is not None and abs(measured.amplitude / amplitude - 1) > 1e-4
        badness = deviations.max().item() / 2 + variant.cost + 1e-5 * order
        badness += 0.1 if apart else 0
        if badness < least:
            best, least = variant, badness
    return least, best


def _multiples(measured: Measured, expected: Expectation) -> list[Variant]:
    """All pairs faster or slower by one factor."""
    slow = (expected.frequencies > 0) & (expected.frequencies < 0.05)
    if not slow.any():
        slow = expected.frequencies > 0
    ratios = measured.frequencies[slow] / expected.frequencies[slow]
    if not len(ratios):
        return []
    ratio = ratios.median().item()
    made = []
    for factor, words in (
        (180 / math.pi, "yours in degrees taken for radians"),
        (math.pi / 180, "yours in radians taken for degrees"),
        (2.0, "yours turned twice as far, as if applied twice"),
        (0.5, "yours turned half as far"),
        (2 * math.pi, "yours times 2 pi"),
        (1 / (2 * math.pi), "yours divided by 2 pi"),
        (math.pi, "yours times pi"),
    ):
        if abs(ratio / factor - 1) < 1e-3:
            made.append(Variant(f"angles: {words}", expected.frequencies * factor))
    if 1e-12 < abs(ratio) < 1e12 and not made:
        words = f"angles: yours {ratio:.6g} times those expected, in every pair"
        if abs(ratio * getattr(expected.scaling, "factor", 0.0) - 1) < 1e-3:
            words = f"angles: yours divided by the factor {1 / ratio:.6g} once more, in every pair"
        made.append(Variant(words, expected.frequencies * ratio, None, 2.0))
    return made


def _otherwise(measured: Measured, expected: Expectation, sign: int) -> SpeedDifference:
    """No single change leads there: some pairs only, another scaling, or just numbers."""
    off = measured.deviations(expected.frequencies) > measured.allowed
    yours = measured.frequencies
    pairs = off.nonzero().flatten().tolist()
    numbers = _by_numbers(measured, expected, pairs)
    if (yours[off] == 0).all():
        which = ", ".join(map(str, pairs[:4])) + (" ..." if len(pairs) > 4 else "")
        last = " (the last)" if pairs == [len(yours) - 1] else ""
        words = (
            f"pairs: yours leaves {len(pairs)} of {len(yours)} still, pair {which}{last}, expected "
            "to turn"
        )
        return SpeedDifference((words,), sign)
    if len(pairs) <= max(1, len(yours) // 4):
        return SpeedDifference((numbers,), sign, explained=False)
    if torch.allclose(yours.sort().values, expected.frequencies.sort().values, rtol=1e-4, atol=0):
        words = "frequencies: yours are those expected, in another order"
        return SpeedDifference((words,), sign)
    ladder = fit_ladder(measured)
    if math.isfinite(ladder.base) and type(ladder.scaling).__name__ != "Rescaled":
        words, amplitude = _named(ladder, expected)
        if words:
            return SpeedDifference(words, sign, amplitude)
    return SpeedDifference((numbers,), sign, explained=False)


def _named(ladder: Ladder, expected: Expectation) -> tuple[tuple[str, ...], float | None]:
    words, amplitude = [], None
    if abs(ladder.base / expected.base - 1) > 1e-6:
        words.append(f"base: yours {ladder.base:,.7g}, expected {expected.base:,.10g}")
    if ladder.scaling != expected.scaling:
        one, other = (
            "none" if each is None else describe_scaling(each)
            for each in (ladder.scaling, expected.scaling)
        )
        words.append(f"scaling: yours {one}, expected {other}")
        amplitude = 1.0 if ladder.scaling is None else ladder.scaling.amplitude
    return tuple(words), amplitude


def _by_numbers(measured: Measured, expected: Expectation, pairs: list[int]) -> str:
    ratios = measured.deviations(expected.frequencies)
    worst = int(ratios.argmax())
    return (
        f"frequencies: yours differ in {len(pairs)} of {len(ratios)} pairs, most in pair {worst}: "
        f"yours {measured.frequencies[worst]:.6g}, expected {expected.frequencies[worst]:.6g}"
    )
