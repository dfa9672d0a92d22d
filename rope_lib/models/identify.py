"""What rotation a function is: its pairing, frequencies, direction and rounding, by calling it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

from ..frequencies import inverse_frequencies
from ..scaling import Rescaled, Scaling
from .probing.arrangement import Arrangement, arrange
from .probing.fitting import Ladder, Measured
from .probing.ladders import fit_ladder
from .probing.measurement import LONGEST, Measurement, measure
from .probing.naming import lines
from .probing.precision import judge
from .probing.probe import WINDOW, NoRotationError
from .probing.speeds import roughness, wrapped

__all__ = ["Identified", "NoRotationError", "identify"]


@dataclass(frozen=True)
class Identified:
    """A rotation as it was measured; ``print`` it, or take its parts.

    Args:
        pairing, head_dim, rotary_dim, rotated, clockwise, output_pairing, layout: as in
            :class:`rope_lib.module.RotaryEmbedding`; ``"other"`` for a pairing that is neither.
        base: of the frequencies; NaN where no base gives them.
        scaling: a value of :mod:`rope_lib.scaling`, or None.
        frequencies: radians per token of each pair of ``rotary_dim``, as measured, in the
            direction of ``clockwise``; 0 for pairs that do not rotate.
        amplitude: what lengths of rotated pairs are multiplied by.
        origin: the position at which nothing is rotated, usually 0; NaN where angles begin
            otherwise.
        precision: where it rounds: ``"exact"``, ``"float32 angles"``, ``"positions in bfloat16"``.
        positions: ``"each"`` row has its own; ``"first"``: rows are counted from the first one on;
            ``"rows"``: rows are counted from 0.
        residual: the largest relative deviation of a frequency from base and scaling.
        reach: the largest position that was tried and answered.
        remarks: what cannot be told apart, and what is odd, in sentences.
    """

    pairing: str
    head_dim: int
    rotary_dim: int
    rotated: str
    clockwise: bool
    output_pairing: str
    base: float
    scaling: Scaling | None
    frequencies: tuple[float, ...]
    amplitude: float
    origin: float
    precision: str
    layout: str
    positions: str
    residual: float
    reach: int
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(lines(self))

    def as_dict(self) -> dict[str, Any]:
        """All parts by name; the scaling as a value of :mod:`rope_lib.scaling`."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for a :class:`rope_lib.module.RotaryEmbedding` that rotates alike.

        Rounding is not among them: that one is exact.

        Raises:
            ValueError: no such rotation: other pairs, another origin, frequencies without a base,
                an amplitude beside pairs that do not rotate.
        """
        why = self._why_not_ours()
        if why:
            raise ValueError(f"RotaryEmbedding has no such rotation: {why}")
        names = ("head_dim", "pairing", "base", "rotary_dim", "rotated", "clockwise",
                 "output_pairing", "layout")  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"scaling": self._own_scaling()}

    def _own_scaling(self) -> Scaling | None:
        """The scaling; one factor for each pair where its amplitude is not the measured one."""
        own = 1.0 if self.scaling is None else self.scaling.amplitude
        if abs(own / self.amplitude - 1) <= 1e-4:
            return self.scaling
        ladder = inverse_frequencies(self.rotary_dim, self.base)
        slowed = ladder / torch.tensor(self.frequencies, dtype=torch.float64)
        return Rescaled(tuple(slowed.tolist()), self.amplitude)

    def _why_not_ours(self) -> str | None:
        if "other" in (self.pairing, self.output_pairing):
            return "it pairs other numbers than (2i, 2i + 1) and (i, i + rotary_dim / 2)"
        if not math.isfinite(self.base):
            return "no base and scaling give its frequencies"
        if math.isnan(self.origin):
            return "it rotates something at position 0, where ours rotates nothing"
        if self.origin != 0:
            return f"it rotates nothing at position {self.origin:g} where ours rotates nothing at 0"
        own = 1.0 if self.scaling is None else self.scaling.amplitude
        if 0 in self.frequencies and abs(own / self.amplitude - 1) > 1e-4:
            return f"some pairs do not rotate, and lengths are multiplied by {self.amplitude:.6g}"
        return None


def identify(
    function: Callable,
    head_dim: int,
    *,
    positions: bool | None = None,
    dtype: torch.dtype | None = None,
    longest: int = LONGEST,
) -> Identified:
    """Find out which rotation ``function`` is, by calling it.

    Args:
        function: ``function(x, positions)``, or ``function(x)`` that counts rows itself. It gets
            ``x`` with 4 dimensions, or 3 or 2 if it does not take those, the last of them
            ``head_dim`` wide, and integer ``positions`` (seq,), as torch tensors or numpy arrays;
            it returns an array of the shape of ``x``, or several. A
            :class:`rope_lib.module.RotaryEmbedding` is fine, too.
        head_dim: width of a head.
        positions: whether it takes positions; None looks at its signature.
        dtype: what ``x`` is given in; None tries float64, then narrower ones.
        longest: positions up to here, or a few more, are tried as far as the function goes.

    Raises:
        NoRotationError: it is no rotation of pairs by positions; says what it does instead.
        TypeError, ValueError: it is no function, or cannot be called so.

    Example:
        >>> def theirs(x, positions):  # half-split, base 500,000
        ...     angles = positions[:, None] / 500_000 ** (torch.arange(0, 64, 2) / 64)
        ...     cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        ...     first, second = x.chunk(2, dim=-1)
        ...     return x * cos + torch.cat((-second, first), dim=-1) * sin
        >>> found = identify(theirs, head_dim=64)
        >>> found.pairing, found.base, found.scaling
        ('half', 500000.0, None)
        >>> RotaryEmbedding(**found.arguments())  # one that rotates alike
        RotaryEmbedding(64, pairing='half', base=500000, rotary_dim=64)
    """
    return identified(measure(function, head_dim, positions, dtype, longest))


def identified(found: Measurement) -> Identified:
    """Name what was measured."""
    place = arrange(found.blocks, found.head_dim)
    sign, phase = direction(found)
    rounding = judge(found)
    width, ladder = _explained(found, place, sign, rounding.slack)
    frequencies = spread(sign * found.speeds.frequencies, place.steps, width // 2)
    origin = math.nan if phase else origin_of(found, sign)
    precision = rounding.words
    if ladder.rounding is not None:
        name = str(ladder.rounding).removeprefix("torch.")
        rest = "" if rounding.harmless else f", {precision}"
        precision = f"frequencies in {name}{rest}"
    return Identified(
        pairing=place.pairing, head_dim=found.head_dim, rotary_dim=width, rotated=place.rotated,
        clockwise=sign < 0, output_pairing=place.output_pairing, base=ladder.base,
        scaling=ladder.scaling, frequencies=tuple(frequencies.tolist()),
        amplitude=_tidy(found.amplitude, found.grain), origin=origin, precision=precision,
        layout=found.layout, positions=found.positions, residual=ladder.residual,
        reach=found.speeds.reach, remarks=tuple(_remarks(found, place, phase, ladder, rounding)),
    )  # fmt: skip


def direction(found: Measurement) -> tuple[int, float]:
    """``(sign, phase)``: +1 for counter-clockwise, and a quarter turn that all pairs begin with.

    Fast pairs may rotate by more than half a turn per token and seem to go back: slow ones decide.
    """
    frequencies = found.speeds.frequencies
    slow = frequencies.abs().argsort()[: (len(frequencies) + 1) // 2]
    sign = 1 if (frequencies[slow].sign() * 1.0).sum() >= 0 else -1
    phases = found.speeds.phases
    quarter = math.copysign(math.pi / 2, phases[slow].mean().item())
    allowed = max(1e-3, 16 * found.grain)
    if (wrapped(phases - quarter).abs() <= allowed).all():
        return sign, quarter
    return sign, 0.0


def origin_of(found: Measurement, sign: int, phase: float = 0.0) -> float:
    """The position at which nothing is rotated; NaN where pairs do not agree on one."""
    phases = wrapped(found.speeds.phases - phase)
    rates = found.speeds.frequencies
    allowed = max(1e-4, 16 * found.grain)
    if (phases.abs() <= allowed).all():
        return 0.0
    origin = 0.0
    for k in rates.abs().argsort().tolist():  # slow pairs say it roughly, fast ones finely
        left = wrapped(phases[k] + origin * rates[k])
        if rates[k].abs() > 0 and left.abs() > allowed and left.abs() < 2:
            origin -= (left / rates[k]).item()
    nearest = round(origin)
    for candidate in (float(nearest), origin):
        if (wrapped(phases + candidate * rates).abs() <= allowed + 1e-3).all():
            return candidate
    return math.nan


def departure(found: Measurement) -> tuple[int, float] | None:
    """The first stretch, and by how much, whose angles are not what the frequencies lead to."""
    speeds = found.speeds
    for positions, part in speeds.measured:
        expected = speeds.phases + positions[:, None] * speeds.frequencies
        off = wrapped(part.angles - expected).abs()
        allowed = max(0.05, 64 * found.grain, 8 * roughness(part.angles[-WINDOW:]).max().item())
        if off.max() > allowed:
            rows = (off.amax(1) > allowed).nonzero()
            return int(positions[int(rows[0])]), off.max().item()
    return None


def spread(values: torch.Tensor, steps: tuple[int, ...], pairs: int) -> torch.Tensor:
    """Values of rotating pairs among all pairs, 0 for the others."""
    whole = torch.zeros(pairs, dtype=torch.float64)
    whole[list(steps)] = values
    return whole


def _explained(
    found: Measurement, place: Arrangement, sign: int, slack: float
) -> tuple[int, Ladder]:
    """The width, where that is open, whose explanation is the shortest."""
    widths = [place.rotary_dim]
    if place.widest > place.rotary_dim:
        widths += [w for w in (place.widest, 2 ** math.ceil(math.log2(place.rotary_dim)),
                               found.head_dim // 2, found.head_dim // 4 * 3)
                   if place.rotary_dim < w <= place.widest and w % 2 == 0]  # fmt: skip
    tries = []
    for order, width in enumerate(dict.fromkeys(widths)):
        frequencies = spread(sign * found.speeds.frequencies, place.steps, width // 2)
        errors = slack + 4 * spread(found.speeds.errors, place.steps, width // 2)
        ladder = _shortest(frequencies, errors, found.amplitude)
        small = 4 if ladder.base < 5000 else 0  # nobody chooses such a base
        tries.append(((ladder.digits or 99) + small, order, width, ladder))
    _, _, width, ladder = min(tries, key=lambda each: each[:2])
    return width, ladder


def _shortest(frequencies: torch.Tensor, errors: torch.Tensor, amplitude: float) -> Ladder:
    """The explanation with round numbers, which float32 may have blurred, or else the exact one."""
    loose = fit_ladder(Measured(frequencies, 1e-5 + errors, amplitude))
    if loose.digits and loose.digits <= 4:
        return loose
    tight = fit_ladder(Measured(frequencies, 1e-8 + errors, amplitude))
    return tight if tight.digits else loose


def _tidy(amplitude: float, grain: float) -> float:
    return 1.0 if abs(amplitude - 1) < max(1e-6, 2 * grain) else amplitude


def _remarks(found, place, phase, ladder, rounding):
    """What is odd, and what cannot be told apart."""
    yield from ladder.remarks
    if place.either:
        yield "one pair rotates: both pairings are the same"
    if place.widest > place.rotary_dim and place.pairing == "interleaved":
        yield (
            f"elements from {place.rotary_dim} on do not rotate; a wider rotary_dim whose slow "
            "pairs do not rotate would be the same, with another base"
        )
    if phase:
        yield "at position 0 every pair is rotated by a quarter: cosine and sine are swapped"
    if found.ignores:
        yield "the positions that it is given do not count: rows are counted from 0"
    if found.positions == "first":
        yield "only the first position counts: the others are counted on from it"
    if found.positions == "differences":
        yield "positions out of order are not rotated as they are in order"
    moved = [factor for factor in found.still if abs(factor - 1) > max(1e-4, 4 * found.grain)]
    if moved:
        yield f"{len(moved)} elements that do not rotate are multiplied by {moved[0]:.6g}"
    if found.second > max(1e-4, 16 * found.grain):
        yield f"its second result differs from the first by up to {found.second:.3g}"
    if found.by_length > max(1e-4, 16 * found.grain):
        yield (
            "what it does to a token depends on how many tokens a call has, by up to "
            f"{found.by_length:.3g}"
        )
    if found.rounds_input:
        yield "x is rounded to 16 bits before it is rotated"
    if found.changes > max(1e-4, 16 * found.grain):
        yield (
            "after longer texts it rotates the first tokens otherwise than before, by up to "
            f"{found.changes:.3g}"
        )
    departed = departure(found)
    if departed is not None and not rounding.words.startswith(("angles", "positions")):
        yield (
            f"from position {departed[0]:,} on it rotates otherwise than before, by up to "
            f"{departed[1]:.3g} radians"
        )
    if found.speeds.broken is not None:
        yield f"from position {found.speeds.broken:,} or a few later its numbers are not finite"
    if not rounding.harmless or rounding.error > 1e-3:
        yield (
            f"{rounding.words}: neighbouring tokens near position {rounding.position:,} are "
            f"rotated unsteadily, by up to {rounding.error:.2g} radians"
        )
