"""What a function does to the numbers of a head, measured, where it is a rotation of pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .blocks import Blocks, Turns, find_blocks, matrices, turns
from .probe import (
    DTYPES,
    LAYOUT_OF_AXIS,
    WINDOW,
    Calls,
    NoRotationError,
    check_calls,
    grain_of,
    use_of_positions,
)
from .speeds import Speeds, measure_speeds, wrapped

LONGEST = 2**17  # tokens: positions are asked for up to here


@dataclass(frozen=True)
class Measurement:
    """What was found by calling a function.

    Args:
        head_dim: width of a head.
        layout: the order of dimensions, as :class:`rope_lib.module.RotaryEmbedding` names it.
        positions: which count, as :func:`rope_lib.models.probing.probe.use_of_positions` says.
        ignores: whether positions that it was given do not count.
        blocks: which elements form a pair.
        speeds: how fast.
        amplitude: what lengths of turned pairs are multiplied by.
        still: what the other numbers are multiplied by, one for each.
        grain: half the relative step of the numbers it returns.
        dtype: what it was called with.
        second: how far a second result is from the first, relative to amplitude; 0 for none.
        changes: how far results had changed after all calls, as ``second``.
        by_length: how far results differ with how many tokens a call has, as ``second``.
        rounds_input: ``x`` is rounded to 16 bits although it came in more.
        flat: it takes two dimensions alone, so that there is no order of them.
    """

    head_dim: int
    layout: str
    positions: str
    ignores: bool
    blocks: Blocks
    speeds: Speeds
    amplitude: float
    still: tuple[float, ...]
    grain: float
    dtype: torch.dtype
    second: float
    changes: float
    by_length: float
    rounds_input: bool
    flat: bool


def measure(
    function: Callable,
    head_dim: int,
    positions: bool | None = None,
    dtype: torch.dtype | None = None,
    longest: int = LONGEST,
    dims: tuple[int, ...] = (4, 3, 2),
) -> Measurement:
    """Call ``function`` a few dozen times and measure what it does.

    Raises:
        NoRotationError: it does not turn pairs of numbers by positions.
        TypeError, ValueError: no function, or one that cannot be called with rows of ``head_dim``.
    """
    calls = Calls(function, head_dim, positions, dtype, dims)
    results = check_calls(calls)
    use = use_of_positions(calls)
    calls.counts_rows = use == "rows"
    blocks = find_blocks(matrices(calls))
    if not len(blocks.inputs):
        _refuse_without_pairs(turns(calls, blocks, torch.arange(WINDOW)))
    speeds = measure_speeds(calls, blocks, longest)
    parts = [part for _, part in speeds.measured]
    grain = max(calls.grain, _grain_of(parts[0]))
    require_rotation(parts, blocks, grain)
    again = turns(calls, blocks, torch.arange(WINDOW))
    whole = turns(calls, blocks, speeds.measured[0][0])
    second = turns(calls, blocks, torch.arange(WINDOW), 1) if results > 1 else again
    first = parts[0].at(torch.arange(WINDOW))
    return Measurement(
        calls.head_dim, LAYOUT_OF_AXIS[calls.dims, calls.axis], use,
        calls.with_positions and use == "rows", blocks, speeds,
        parts[0].amplitudes.mean().item(), tuple(parts[0].rest.mean(0).tolist()), grain,
        calls.dtype, _distance(again, second), _distance(parts[0], whole),
        _distance(first, again), _rounds_input(calls, blocks, first), calls.dims == 2,
    )  # fmt: skip


def _rounds_input(calls: Calls, blocks: Blocks, first: Turns) -> bool:
    """Whether a number just above 1 counts as 1."""
    if calls.dtype not in DTYPES[:2]:
        return False
    scale = 1 + 2.0**-12
    larger = turns(calls, blocks, torch.arange(WINDOW), size=scale)
    grown = larger.a.abs().sum() + larger.c.abs().sum()
    ratio = grown / (first.a.abs().sum() + first.c.abs().sum())
    return bool(abs(ratio - 1) < 2.0**-14)


def _distance(one: Turns, other: Turns) -> float:
    return max((x - y).abs().max().item() for x, y in ((one.a, other.a), (one.c, other.c)))


def _grain_of(part: Turns) -> float:
    """The rounding of tables: unit vectors show their numbers as they are."""
    return grain_of(torch.stack((part.a, part.c)))


def _refuse_without_pairs(part: Turns) -> None:
    rest = part.rest
    if (rest - rest[0]).abs().max() < 1e-6:
        raise NoRotationError("it rotates nothing: every row is changed alike")
    raise NoRotationError(
        "it turns no pairs: each number of a head is multiplied by a number of its own, from "
        f"{rest.min():.3g} to {rest.max():.3g}"
    )


def require_rotation(parts: list[Turns], blocks: Blocks, grain: float) -> None:
    """Raise unless the blocks are rotations, all of one amplitude.

    Raises:
        NoRotationError: mirrored, two angles in a pair, lengths that change, another sign.
    """
    scale = parts[0].amplitudes.median().item()
    allowed = max(1e-4, 8 * grain) * scale
    _require_finite(parts)
    if not _all_below(allowed, [x for p in parts for x in (p.a - p.e, p.b + p.c)]):
        raise NoRotationError(_what_else(parts, blocks, scale, allowed))
    lengths = torch.cat([part.amplitudes for part in parts])
    if lengths.max() - lengths.min() > 2 * allowed:
        over_positions = (lengths.amax(0) - lengths.amin(0)).max() > 2 * allowed
        what, why = "it does not treat pairs alike", ""
        if over_positions:
            what = "it does not keep lengths"
            why = ", by position (as in xPos, or where cosine and sine have factors of their own)"
        raise NoRotationError(
            f"{what}: they are multiplied by numbers from {lengths.min():.4g} to "
            f"{lengths.max():.4g}{why}"
        )
    rest = torch.cat([part.rest for part in parts])
    moving = (rest.amax(0) - rest.amin(0) > allowed).nonzero().flatten()
    if len(moving):
        place = blocks.still[int(moving[0])][0]
        raise NoRotationError(
            f"it multiplies number {place} of a head by something that depends on the position"
        )


def _require_finite(parts: list[Turns]) -> None:
    for part in parts:
        if not all(torch.isfinite(x).all() for x in (part.a, part.b, part.c, part.e, part.rest)):
            raise NoRotationError("it returns numbers that are not finite at some positions")


def _all_below(allowed: float, numbers: list[torch.Tensor]) -> bool:
    return all(bool((x.abs() <= allowed).all()) for x in numbers)


def _what_else(parts: list[Turns], blocks: Blocks, scale: float, allowed: float) -> str:
    """What blocks are that are no rotations."""
    i, j = blocks.inputs[0].tolist()
    pair = f"numbers {i} and {j} of a head"
    if _all_below(allowed, [x for p in parts for x in (p.a + p.e, p.b - p.c)]):
        return f"it mirrors pairs where a rotation would turn them: {pair} and the others"
    if _all_below(allowed, [x for p in parts for x in (p.a - p.e, p.b - p.c)]):
        return (
            f"it does not keep lengths: in {pair} and the other pairs the sine has the same sign "
            "twice, where a rotation has it once with a minus"
        )
    squares = [x for p in parts for x in (p.a**2 + p.b**2 - scale**2, p.c**2 + p.e**2 - scale**2)]
    if _all_below(4 * allowed * max(scale, 1), squares):
        return _two_angles(parts[0], blocks)
    longest = torch.sqrt(parts[0].a ** 2 + parts[0].c ** 2)[:, 0].max()
    return (
        f"it does not keep lengths: the unit vector of number {i} gets lengths up to "
        f"{longest:.4g}, where a rotation keeps one"
    )


def _two_angles(part: Turns, blocks: Blocks) -> str:
    """Tables laid out for the other pairing give the two numbers of a pair their own angles."""
    upper = torch.atan2(-part.b[1], part.a[1])
    lower = torch.atan2(part.c[1], part.e[1])
    pair = int(wrapped(upper - lower).abs().argmax())
    i, j = blocks.inputs[pair].tolist()
    words = (
        f"it does not turn pairs: numbers {i} and {j} of a head belong together, but at position 1 "
        f"one is turned by {upper[pair]:.4g} and the other by {lower[pair]:.4g} radians"
    )
    if _is_other_layout(blocks, upper, lower):
        words += ": the tables of cosines and sines are laid out for the other pairing"
    return words


def _is_other_layout(blocks: Blocks, upper: torch.Tensor, lower: torch.Tensor) -> bool:
    """Whether elements that the other pairing would rotate together rotate by equal angles."""
    angle = dict(zip(blocks.inputs[:, 0].tolist(), upper.tolist(), strict=True))
    angle |= dict(zip(blocks.inputs[:, 1].tolist(), lower.tolist(), strict=True))
    step = int(blocks.inputs[0, 1] - blocks.inputs[0, 0])
    apart = 1 if step > 1 else (max(angle) - min(angle) + 1) // 2
    first = min(angle)
    firsts = range(first, max(angle), 2) if apart == 1 else range(first, first + apart)
    partners = [(angle[n], angle[n + apart]) for n in firsts if n in angle and n + apart in angle]
    return bool(partners) and all(abs(x - y) < 1e-3 for x, y in partners)
