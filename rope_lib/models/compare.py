"""Whether a function rotates as a rotary embedding does, and what differs if it does not."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .identify import Identified, direction, identified
from .probing.arrangement import arrange
from .probing.expectation import Expectation, expectation
from .probing.findings import (
    amplitude_difference,
    calls_difference,
    direction_difference,
    later_difference,
    length_difference,
    origin_difference,
    rounding_difference,
    steps_difference,
    unsteady,
)
from .probing.frequency_differences import SpeedDifference, frequency_difference
from .probing.measurement import LONGEST, Measurement, measure
from .probing.placing import Placing, placings
from .probing.precision import Rounding, judge
from .probing.probe import NoRotationError
from .probing.speeds import wrapped

TOLERANCE = 1e-3  # radians, or of the amplitude: far below what 16 bits can show


@dataclass(frozen=True)
class Comparison:
    """What differs between a function and the rotation that was expected; true if nothing does.

    Args:
        agrees: no difference but rounding in float32.
        differences: sentences, as ``"base: yours 500,000, expected 10,000"``.
        largest: ``(difference, position)``: the largest that was measured, in radians or, where
            that is more, of the amplitude, up to positions of about 131,000. Where other numbers
            or rows are rotated, the angle that those expected are not. NaN for no rotation.
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

    Example:
        >>> ours = RotaryEmbedding(64, "half")
        >>> theirs = RotaryEmbedding(64, "half", base=500_000.0)
        >>> compare(theirs, ours).differences
        ('base: yours 500,000, expected 10,000',)
        >>> bool(compare(ours, ours))
        True
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
    where, rounding = arrange(found.blocks, found.head_dim), judge(found)
    sign, quarter = direction(found)
    tries = []
    for places in placings(found, where, expected):
        speed = frequency_difference(found, places, expected, sign, rounding)
        tries.append((len(places.differences) + 2 * len(speed.words), len(tries), places, speed))
    _, _, places, speed = min(tries, key=lambda each: each[:2])
    if speed.frequencies is not None:
        rounding = judge(found, speed.frequencies[list(places.steps)])
    named = identified(found)
    elsewhere = [*calls_difference(found, expected), *places.differences]
    elsewhere += () if quarter else places.rest
    differences = elsewhere + list(_angles(found, expected, speed, quarter, rounding))
    if not places.covers_amplitude:
        differences += amplitude_difference(found, expected, speed.amplitude)
    saturated = bool(speed.words) and rounding.words.startswith("unsteady")
    if speed.explained and not saturated and not steps_difference(found):
        differences += rounding_difference(found, rounding, own_rounding, named)
    largest = _largest(found, places, expected)
    if differences and (elsewhere or largest[0] < TOLERANCE):
        later = max(found.second, found.changes, found.by_length)
        largest = max(largest, _unturned(found, expected), (later, 0))
    if not differences and largest[0] > _allowed(found, rounding, largest[1]):
        differences.append(
            f"results: yours differ by up to {largest[0]:.3g} radians, at position {largest[1]:,}, "
            "for no reason that is known"
        )
    remarks = [] if differences else list(_notes(rounding, own_rounding, largest))
    return Comparison(not differences, tuple(differences), largest, named, tuple(remarks))


def _angles(
    found: Measurement, expected: Expectation, speed: SpeedDifference, quarter: float, rounding
) -> Iterator[str]:
    """What differs in the angles; one thing where it makes all else look wrong."""
    if found.positions == "differences":
        return
    by_length = length_difference(found)
    if by_length:
        yield by_length
        return
    yield from direction_difference(found, expected, speed.sign, quarter)
    steps = steps_difference(found)
    if steps:
        yield steps
    elif not speed.explained and not rounding.harmless:
        yield unsteady(rounding)
    else:
        yield from speed.words
    yield from origin_difference(found, expected, speed.sign, quarter)
    yield from later_difference(found, rounding, bool(steps))


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
    """The largest angle that is expected: what differs where other elements or rows rotate."""
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
