"""The search for learning rates that ``fair.py`` and ``linear_rates.py`` share.

It walks on a grid of factors of 2 until no neighbour of the best point is better, so the rate that
it finds lies between two others that were tried. It can be replayed: given the losses that are
known, it says which runs it looked at and which it needs before it can go on.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

FIRST_RATE, FIRST_OWN = 0.004, 8.0
Plan = tuple[list[dict], list[dict]]  # runs that were looked at, and those of them to be done


@dataclass(frozen=True)
class Point:
    """A place on the grid: how often the first rate, and the first ``own``, is doubled."""

    rate: int = 0
    own: int = 0


def neighbours(point: Point, has_own: bool) -> list[Point]:
    """The points a factor of 2 away along the rate, and along ``own`` if that is searched."""
    along_rate = [Point(point.rate + step, point.own) for step in (-1, 1)]
    along_own = [Point(point.rate, point.own + step) for step in (-1, 1)]
    return along_rate + along_own if has_own else along_rate


def search(loss: Callable[[Point], float | None], has_own: bool) -> tuple[list[Point], list[Point]]:
    """Walk to the lowest loss, neighbour by neighbour, as far as losses are known.

    Args:
        loss: of a point; None if it has not been measured.
        has_own: whether ``own`` is searched, too.

    Returns:
        The points that were looked at, in that order, and those of them that are to be measured
        before the walk can go on: none when all neighbours of the best point are known and no
        better.
    """
    here, seen = Point(), [Point()]
    while True:
        seen += [point for point in neighbours(here, has_own) if point not in seen]
        missing = [point for point in seen if loss(point) is None]
        if missing:
            return seen, missing
        lowest = min(seen, key=loss)
        if loss(lowest) >= loss(here):
            return seen, []
        here = lowest


def plan_search(
    settings: Callable[[float, float], dict], find: Callable[[dict], dict | None], has_own: bool
) -> Plan:
    """The runs of one search, as far as losses are known, and those of them still to be done.

    Args:
        settings: of the run with a learning rate and a factor ``own``.
        find: looks a finished run up, as :func:`common.finder` returns it.
        has_own: whether ``own`` is searched; otherwise it is 1.
    """

    def run(point: Point) -> dict:
        own = FIRST_OWN * 2.0**point.own if has_own else 1.0
        return settings(FIRST_RATE * 2.0**point.rate, own)

    @cache
    def loss(point: Point) -> float | None:
        done = find(run(point))
        if done is None:
            return None
        return math.inf if done["loss"] is None else done["loss"]

    seen, missing = search(loss, has_own)
    return [run(point) for point in seen], [run(point) for point in missing]


def joined(plans: list[Plan]) -> Plan:
    """Several searches as one, so that their runs can be done side by side."""
    return [run for seen, _ in plans for run in seen], [run for _, left in plans for run in left]


def rounds(plan: Callable[[], Plan]) -> Iterator[list[dict]]:
    """What is to be done, round by round, until no search needs another run.

    Args:
        plan: what it returns changes when the runs of a round have been done.

    Raises:
        RuntimeError: a run was done and is not stored.
    """
    before = []
    while missing := plan()[1]:
        if any(run in before for run in missing):
            raise RuntimeError("a run of this round was not stored")
        yield missing
        before = missing
