"""What differs between a measured rotation and the expected one, in sentences."""

import math
from collections.abc import Iterator

from ..identify import Identified, departure, origin_of
from .expectation import Expectation
from .measurement import Measurement
from .precision import Rounding
from .speeds import wrapped


def calls_difference(found: Measurement, expected: Expectation) -> Iterator[str]:
    """The order of dimensions, and which positions count."""
    alike = {found.layout, expected.layout} <= {"thd", "bshd", "sbhd"} and "thd" in (
        found.layout, expected.layout)  # fmt: skip
    if found.layout != expected.layout and not alike and not found.flat:
        yield f"layout: yours {found.layout}, expected {expected.layout}"
    if found.ignores:
        yield "positions: yours counts rows from 0, expected each row's own position"
    elif found.positions == "first":
        yield ("positions: yours counts rows from the first position on, expected each row's own")
    elif found.positions == "differences":
        yield "positions: yours turns a row otherwise when the positions of others change"


def direction_difference(
    found: Measurement, expected: Expectation, sign: int, quarter: float
) -> Iterator[str]:
    wanted = -1 if expected.clockwise else 1
    if quarter and not math.isnan(expected.origin):
        if sign != wanted:
            yield "cosine and sine: yours swapped"
            return
        yield f"at position 0: yours turned by {math.degrees(quarter):.0f} degrees, expected by 0"
    if sign != wanted:
        names = {1: "counter-clockwise", -1: "clockwise"}
        yield f"direction: yours {names[sign]}, expected {names[wanted]} (the sign of the sine)"


def origin_difference(
    found: Measurement, expected: Expectation, sign: int, quarter: float
) -> Iterator[str]:
    origin = origin_of(found, sign, quarter)
    if math.isnan(origin) and math.isnan(expected.origin):
        return
    if math.isnan(origin):
        most = wrapped(found.speeds.phases - quarter).abs().max().item()
        yield f"at position 0: yours turned by up to {most:.3g} radians, expected by 0"
    elif abs(origin - expected.origin) > 1e-3:
        yield (
            f"origin: yours rotates nothing at position {origin:.6g}, expected at "
            f"{expected.origin:g} (positions off by {expected.origin - origin:g})"
        )


def amplitude_difference(
    found: Measurement, expected: Expectation, comes_along: float | None
) -> Iterator[str]:
    yours, wanted = found.amplitude, expected.amplitude
    allowed = max(1e-4, 2 * found.grain)
    near = [x for x in (wanted, comes_along) if x is not None and abs(yours / x - 1) <= allowed]
    if near:
        return
    reason = ""
    for value, words in ((1.0, "it is missing"), (wanted**2, "the square: applied twice"),
                         (math.sqrt(wanted), "the square root"),
                         (1 / wanted, "divided by instead of multiplied")):  # fmt: skip
        if wanted != 1 and abs(yours / value - 1) <= allowed:
            reason = f" ({words})"
            break
    yield f"attention factor (amplitude): yours {yours:.6g}, expected {wanted:.6g}{reason}"


def rounding_difference(
    found: Measurement, rounding: Rounding, own: str, named: Identified
) -> Iterator[str]:
    if found.rounds_input:
        yield "rounding: yours rounds x to 16 bits before it is turned"
    if rounding.harmless or rounding.words == own or named.precision == own:
        return
    yield (
        f"rounding: yours {rounding.words}, expected {own}; neighbouring tokens near position "
        f"{rounding.position:,} are turned unsteadily, by up to {rounding.error:.2g} radians"
    )


def steps_difference(found: Measurement) -> str | None:
    """Positions that do not go on in steps of one token."""
    return shared_positions(found) or ended_positions(found)


def length_difference(found: Measurement) -> str | None:
    """Angles that depend on how many tokens there are, or on what was called before."""
    allowed = max(1e-4, 16 * found.grain)
    if found.changes > allowed:
        return (
            "state: yours turns the same tokens otherwise after longer texts, by up to "
            f"{found.changes:.3g}"
        )
    if found.by_length > allowed:
        return (
            "length: yours turns a token otherwise when a call has more tokens, by up to "
            f"{found.by_length:.3g}"
        )
    return None


def shared_positions(found: Measurement) -> str | None:
    """Neighbouring tokens that are turned alike, as integer division of positions does."""
    angles = found.speeds.measured[0][1].angles[:64]
    for shared in (2, 3, 4, 8, 16):
        groups = angles[: len(angles) // shared * shared].unflatten(0, (-1, shared))
        if len(groups) > 1 and (groups - groups[:, :1]).abs().max() < 1e-6:
            return (
                f"positions: yours gives {shared} neighbouring tokens one position (p // {shared})"
            )
    return None


def ended_positions(found: Measurement) -> str | None:
    """Where far positions all count as one, or as those from 0 on."""
    run = found.speeds.measured[0][1].angles
    farthest = found.speeds.measured[-1][1].angles
    for positions, part in found.speeds.measured[1:-1]:
        first = int(positions[2])  # a power of two
        far = part.angles[2:]
        if max((far - farthest[:1]).abs().max(), (farthest - farthest[:1]).abs().max()) < 1e-9:
            return f"positions: yours go no further than about {first:,}: all beyond count as one"
        if (far - run[: len(far)]).abs().max() < 1e-6:
            return f"positions: yours begin again from 0 at {first:,}"
    return None


def unsteady(rounding: Rounding) -> str:
    return (
        "angles: yours do not grow in proportion to positions; neighbouring tokens near position "
        f"{rounding.position:,} are turned unsteadily, by up to {rounding.error:.2g} radians"
    )


def later_difference(found: Measurement, rounding: Rounding, ended: bool) -> Iterator[str]:
    """What shows only later: other frequencies in longer texts, a second result."""
    departed = departure(found)
    if departed is not None and rounding.harmless and not ended:
        yield (
            f"far positions: from {departed[0]:,} on yours turns otherwise than before, by up to "
            f"{departed[1]:.3g} radians"
        )
    allowed = max(1e-4, 16 * found.grain)
    if found.second > allowed:
        yield f"second result: yours differs from its first by up to {found.second:.3g}"
