"""Whether a function turns as a rotary embedding does, and what differs if it does not."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .arrangement import arrange
from .expectation import Expectation, expectation
from .frequency_differences import frequency_difference
from .identify import Identified, departure, direction, identified, origin_of
from .measurement import LONGEST, Measurement, measure
from .placing import Placing, placed
from .precision import Rounding, judge
from .probe import NoRotationError
from .speeds import wrapped

TOLERANCE = 1e-3  # radians, or of the amplitude: far below what 16 bits can show


@dataclass(frozen=True)
class Comparison:
    """What differs between a function and the rotation that was expected; true if nothing does.

    Args:
        agrees: no difference but rounding in float32.
        differences: sentences, as ``"base: yours 500,000, expected 10,000"``.
        largest: ``(difference, position)``: the largest that was measured, in radians or, where
            that is more, of the amplitude, up to positions of about 65,000. Where other numbers
            or rows are turned, the angle that those expected are not. NaN for no rotation.
        found: the function as :func:`rope_lib.models.identify.identify` names it, None where it is
            no rotation of pairs.
        remarks: what may be worth knowing, in sentences.
    """

    agrees: bool
    differences: tuple[str, ...]
    largest: tuple[float, int]
    found: Identified | None = None
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.agrees

    def __str__(self) -> str:
        size, position = self.largest
        measured = f"largest difference {size:.2g}, at position {position:,}"
        notes = "".join(f"\nnote: {remark}" for remark in self.remarks)
        if self.agrees:
            return f"agrees; {measured}{notes}"
        if self.found is None:
            return self.differences[0]
        if len(self.differences) == 1:
            return f"{self.differences[0]}; all else agrees\n{measured}{notes}"
        listed = "\n".join(f"- {each}" for each in self.differences)
        return f"{len(self.differences)} differences:\n{listed}\n{measured}{notes}"


def compare(
    function: Callable,
    rope: Any,
    *,
    positions: bool | None = None,
    dtype: torch.dtype | None = None,
    longest: int = LONGEST,
) -> Comparison:
    """Compare a function with a rotation, by calling it, and name what differs.

    Args:
        function, positions, dtype, longest: as in :func:`rope_lib.models.identify.identify`.
        rope: a :class:`rope_lib.module.RotaryEmbedding` with positions of one axis, or an
            :class:`rope_lib.models.identify.Identified`. Where its scaling depends on the length
            of the text, one that ``for_length`` returned.

    Raises:
        TypeError, ValueError: no function, or one that cannot be called; a rope with axes, or of
            unknown length.
    """
    expected = expectation(rope)
    if expected.length is not None:
        longest = min(longest, expected.length)
    dims = (3, 4, 2) if expected.layout == "thd" else (4, 3, 2)
    try:
        found = measure(function, expected.head_dim, positions, dtype, longest, dims)
    except NoRotationError as error:
        return Comparison(False, (f"no rotation of pairs: {error}",), (math.nan, 0))
    return _compared(found, expected, _own_rounding(rope, expected, found, longest))


def _own_rounding(rope: Any, expected: Expectation, found: Measurement, longest: int) -> str:
    """How the expected rotation rounds, in the words for measured ones."""
    if expected.precision is not None:
        return expected.precision
    if getattr(getattr(rope, "precision", None), "angles", None) is None:
        return "exact"
    dims = (3,) if expected.layout == "thd" else (4,)
    own = measure(lambda x, p: rope(x, None, p)[0], expected.head_dim, True, found.dtype, longest,
                  dims)  # fmt: skip
    return judge(own).words


def _compared(found: Measurement, expected: Expectation, own_rounding: str) -> Comparison:
    where = arrange(found.blocks, found.head_dim)
    rounding = judge(found)
    places = placed(found, where, expected)
    named = identified(found)
    sign, quarter = direction(found)
    speed = frequency_difference(found, places, expected, sign, rounding)
    if speed.frequencies is not None:
        rounding = judge(found, speed.frequencies[list(places.steps)])
    rest = () if quarter else places.rest
    differences = [*_calls(found, expected), *places.differences, *rest]
    differences += _direction(found, expected, speed.sign, quarter)
    shared = _shared_positions(found) or _ended_positions(found)
    unsteady = shared is not None or not (speed.explained or rounding.harmless)
    differences += ((shared or _unsteady(rounding)),) if unsteady else speed.words
    differences += _origin(found, expected, speed.sign, quarter)
    differences += _amplitude(found, expected, speed.amplitude)
    if not unsteady:
        differences += _rounding(rounding, own_rounding, named)
    differences += () if shared else _later(found, rounding)
    elsewhere = bool(places.differences or rest) or found.ignores or found.positions == "first"
    largest = _largest(found, places, expected)
    if differences and (elsewhere or largest[0] < TOLERANCE):
        largest = max(largest, _unturned(found, expected), (found.second, 0), (found.changes, 0))
    if not differences and largest[0] > _allowed(found, rounding, largest[1]):
        differences.append(
            f"results: yours differ by up to {largest[0]:.3g} radians, at position {largest[1]:,}, "
            "for no reason that is known"
        )
    remarks = [] if differences else list(_notes(rounding, own_rounding, largest))
    return Comparison(not differences, tuple(differences), largest, named, tuple(remarks))


def _calls(found: Measurement, expected: Expectation) -> Iterator[str]:
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
        yield "positions: yours turns rows otherwise when positions are out of order"


def _direction(
    found: Measurement, expected: Expectation, sign: int, quarter: float
) -> Iterator[str]:
    wanted = -1 if expected.clockwise else 1
    if quarter:
        if sign != wanted:
            yield "cosine and sine: yours swapped"
            return
        yield f"at position 0: yours turned by {math.degrees(quarter):.0f} degrees, expected by 0"
    if sign != wanted:
        names = {1: "counter-clockwise", -1: "clockwise"}
        yield f"direction: yours {names[sign]}, expected {names[wanted]} (the sign of the sine)"


def _origin(found: Measurement, expected: Expectation, sign: int, quarter: float) -> Iterator[str]:
    origin = origin_of(found, sign, quarter)
    if math.isnan(origin) and math.isnan(expected.origin):
        return
    if math.isnan(origin):
        most = wrapped(found.speeds.phases - quarter).abs().max().item()
        yield f"at position 0: yours turned by up to {most:.3g} radians, expected by 0"
    elif abs(origin - expected.origin) > 1e-3:
        yield (
            f"origin: yours turns nothing at position {origin:.6g}, expected at "
            f"{expected.origin:g} (positions off by {expected.origin - origin:g})"
        )


def _amplitude(
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


def _rounding(rounding: Rounding, own: str, named: Identified) -> Iterator[str]:
    if rounding.harmless or rounding.words == own or named.precision == own:
        return
    yield (
        f"rounding: yours {rounding.words}, expected {own}; neighbouring tokens near position "
        f"{rounding.position:,} are turned unsteadily, by up to {rounding.error:.2g} radians"
    )


def _shared_positions(found: Measurement) -> str | None:
    """Neighbouring tokens that are turned alike, as integer division of positions does."""
    angles = found.speeds.measured[0][1].angles[:64]
    for shared in (2, 3, 4, 8, 16):
        groups = angles[: len(angles) // shared * shared].unflatten(0, (-1, shared))
        if len(groups) > 1 and (groups - groups[:, :1]).abs().max() < 1e-6:
            return (
                f"positions: yours gives {shared} neighbouring tokens one position (p // {shared})"
            )
    return None


def _ended_positions(found: Measurement) -> str | None:
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


def _unsteady(rounding: Rounding) -> str:
    return (
        "angles: yours do not grow in proportion to positions; neighbouring tokens near position "
        f"{rounding.position:,} are turned unsteadily, by up to {rounding.error:.2g} radians"
    )


def _later(found: Measurement, rounding: Rounding) -> Iterator[str]:
    """What shows only later: other frequencies in longer texts, a second result."""
    departed = departure(found)
    if departed is not None and rounding.harmless:
        yield (
            f"far positions: from {departed[0]:,} on yours turns otherwise than before, by up to "
            f"{departed[1]:.3g} radians"
        )
    allowed = max(1e-4, 16 * found.grain)
    if found.second > allowed:
        yield f"second result: yours differs from its first by up to {found.second:.3g}"
    if found.changes > allowed:
        yield (
            "state: yours turns the first tokens otherwise after longer texts, by up to "
            f"{found.changes:.3g}"
        )


def _largest(found: Measurement, places: Placing, expected: Expectation) -> tuple[float, int]:
    """The largest difference of an angle, or of the amplitude, and the position."""
    sign = -1 if expected.clockwise else 1
    frequencies = expected.frequencies
    rows = [k for k, step in enumerate(places.steps) if step < len(frequencies)]
    if not rows:
        return math.pi, 1
    steps = torch.tensor([places.steps[k] for k in rows])
    origin = 0.0 if math.isnan(expected.origin) else expected.origin
    size, position = abs(found.amplitude - expected.amplitude), 0
    for positions, part in found.speeds.measured:
        angles = sign * (positions[:, None] - origin) * frequencies[steps]
        off = wrapped(part.angles[:, rows] - angles).abs().amax(1)
        if off.max() > size:
            size, position = off.max().item(), int(positions[int(off.argmax())])
    return size, position


def _unturned(found: Measurement, expected: Expectation) -> tuple[float, int]:
    """The largest angle that is expected: what differs where other numbers, or rows, are turned."""
    positions = torch.cat([places for places, _ in found.speeds.measured])
    angles = wrapped(positions[:, None] * expected.frequencies).abs().amax(1)
    return angles.max().item(), int(positions[int(angles.argmax())])


def _allowed(found: Measurement, rounding: Rounding, position: int) -> float:
    """What rounding of results, of float32 frequencies and of float32 angles leads to."""
    fastest = found.speeds.frequencies.abs().max().item()
    return TOLERANCE + 32 * found.grain + position * fastest * (2.0**-21 + rounding.slack)


def _notes(rounding: Rounding, own: str, largest: tuple[float, int]) -> Iterator[str]:
    if rounding.words.startswith("float32") and own != rounding.words:
        yield (
            f"yours forms angles in float32: off by up to {largest[0]:.2g} radians at position "
            f"{largest[1]:,}"
        )
    elif largest[0] > TOLERANCE:
        yield (
            f"angles differ by up to {largest[0]:.2g} radians at position {largest[1]:,}, as "
            "rounding leads to"
        )
