"""How fast each pair turns, measured at growing positions, and how steadily it does."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .blocks import Blocks, Turns, turns
from .probe import RUN, WINDOW, Calls, grain_of

LONGEST_RUN = 4096 + WINDOW  # tokens, of a function that counts rows itself


def wrapped(angles: torch.Tensor) -> torch.Tensor:
    """The same angles from -pi to pi."""
    return angles - 2 * math.pi * torch.round(angles / (2 * math.pi))


def roughness(angles: torch.Tensor) -> torch.Tensor:
    """How unsteadily each pair turns from token to token, in radians: ``(pairs,)``."""
    if len(angles) < 3:
        return angles.new_zeros(angles.shape[1])
    second = wrapped(angles[2:] - 2 * angles[1:-1] + angles[:-2])
    return second.nan_to_num(math.inf).abs().amax(0)


@dataclass(frozen=True)
class Speeds:
    """How fast each pair turns, ``(pairs,)`` each, and how that was found.

    Args:
        frequencies: radians per token, counter-clockwise positive.
        errors: how far off they may be, relative; 1 where nothing is known.
        phases: the angle at position 0.
        rough: ``(first position, roughness of each pair)`` for each stretch looked at.
        measured: ``(positions, blocks)`` of every stretch.
        reach: the largest position that was asked for and answered.
        broken: the first stretch whose numbers are not finite; None for none.
    """

    frequencies: torch.Tensor
    errors: torch.Tensor
    phases: torch.Tensor
    rough: tuple[tuple[int, torch.Tensor], ...]
    measured: tuple[tuple[torch.Tensor, Turns], ...]
    reach: int
    broken: int | None = None


def longest_run(calls: Calls, blocks: Blocks, tokens: int, result: int = 0) -> Turns:
    """Positions from 0 on, ``tokens`` of them or as many as the function takes."""
    while True:
        try:
            return turns(calls, blocks, torch.arange(tokens), result)
        except Exception:
            if tokens <= WINDOW:
                raise
            tokens //= 2


def measure_speeds(calls: Calls, blocks: Blocks, longest: int, result: int = 0) -> Speeds:
    """Frequencies from angles at growing positions: each stretch refines what is known.

    Args:
        longest: no power of two beyond is asked for.
        result: which, where the function returns several.
    """
    tokens = min(longest, LONGEST_RUN) if calls.counts_rows else min(longest, RUN)
    run = longest_run(calls, blocks, tokens, result)
    count = len(run.angles)
    theta, steps = _within(run.angles[:RUN])
    rough = [
        (2**k, roughness(run.angles[2**k : 2 ** (k + 1) + 2]))
        for k in range(20)
        if 2**k + 2 < count
    ]
    measured, reach, steady = [(torch.arange(count), run)], count - 1, True
    coarse = 2 * grain_of(torch.stack((run.a, run.c)))  # radians, of tables or of results
    broken, noise = None, roughness(run.angles[:6]).clamp_min(max(coarse, 1e-15))
    for places, far in _stretches(calls, blocks, run, longest, result):
        if not torch.isfinite(far.a + far.b + far.c + far.e).all():
            broken = int(places[0])
            break
        unsteady = roughness(far.angles)
        if not calls.counts_rows:
            measured.append((places, far))
            rough.append((int(places[0]), unsteady))
            reach = int(places[-1])
        near_and_far = torch.cat((run.angles[:WINDOW], far.angles))
        left = _left(theta, near_and_far, WINDOW, int(places[0]))
        as_before = (left.abs() <= 0.05 + 8 * torch.maximum(noise, unsteady)).all()
        steady = steady and bool(as_before) and _is_steady(far.angles, theta, noise)
        if steady:
            noise = torch.maximum(noise, unsteady)
            steps = int(places[0])
            theta = theta + left / steps
    errors = (1e-9 + noise / (steps * theta.abs()).clamp_min(1e-30)).clamp_max(1)
    return Speeds(theta, errors, run.angles[0], tuple(rough), tuple(measured), reach, broken)


def _within(angles: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Frequencies from one unbroken run, and how many tokens they were measured over."""
    theta, step = wrapped(angles[1] - angles[0]), 2
    while step + 1 < len(angles):
        left = _left(theta, angles, step, step)
        theta = torch.where(left.abs() < 1, theta + left / step, theta)
        step *= 2
    return theta, step // 2


def _is_steady(angles: torch.Tensor, theta: torch.Tensor, noise: torch.Tensor) -> bool:
    """Whether pairs go on turning as they did: rounding, or the end of a table, may stop that."""
    allowed = 0.3 * theta.abs().max() + 4 * noise
    stepped = wrapped(angles[1:] - angles[:-1] - theta)
    return bool((roughness(angles) <= allowed).all() and (stepped.mean(0).abs() <= allowed).all())


def _stretches(
    calls: Calls, blocks: Blocks, run: Turns, longest: int, result: int
) -> Iterator[tuple[torch.Tensor, Turns]]:
    """A few neighbouring positions just below each power of two, as far as the function goes."""
    for power in range(7, 40):
        places = torch.arange(WINDOW) + 2**power - 2
        if calls.counts_rows:
            if places[-1] >= len(run.angles):
                return
            yield places, run.at(places)
            continue
        if places[2] > longest:
            return
        try:
            yield places, turns(calls, blocks, places, result)
        except Exception:  # beyond its table
            return


def _left(theta: torch.Tensor, angles: torch.Tensor, rows: int, tokens: int) -> torch.Tensor:
    """What frequencies leave unexplained of the turn over ``tokens``, between ``rows`` rows."""
    count = min(len(angles) - rows, WINDOW)
    turned = angles[rows : rows + count] - angles[:count]
    return wrapped(turned - tokens * theta).mean(0)
