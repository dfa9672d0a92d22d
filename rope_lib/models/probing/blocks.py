"""Which numbers of a head a function turns together, and what it does to them.

A function that turns pairs is a matrix for each position, with blocks of two by two: unit vectors
show the blocks, and two vectors measure them all.
"""

from dataclasses import dataclass, fields

import torch

from .probe import WINDOW, Calls, NoRotationError


@dataclass(frozen=True)
class Blocks:
    """Which numbers of a head go together: inputs and outputs of each turning pair, and the rest.

    Args:
        inputs, outputs: ``(pairs, 2)``, places in the head.
        still: ``(in, out)`` of each number that is not turned with another.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    still: tuple[tuple[int, int], ...]


def matrices(calls: Calls, result: int = 0) -> torch.Tensor:
    """What is done to each unit vector, ``(positions, out, in)``, at a few near and far ones."""
    units = torch.eye(calls.head_dim, dtype=torch.float64)
    found = calls.rows(units, torch.arange(WINDOW), result)
    if not calls.counts_rows:
        try:
            far = calls.rows(units, torch.arange(WINDOW) + 100, result)
            found = torch.cat((found, far), 1)
        except Exception:  # a table that is shorter
            pass
    return found.permute(1, 2, 0)


def find_blocks(matrix: torch.Tensor) -> Blocks:
    """The blocks of the matrices, or why there are none.

    Raises:
        NoRotationError: more than two numbers go together, or some get lost.
    """
    largest = matrix.nan_to_num().abs().amax(0)
    error = None
    for threshold in (1e-14, 1e-10, 1e-7, 1e-5, 1e-3):
        try:
            return _blocks(largest > threshold)
        except NoRotationError as caught:
            error = error or caught
    raise error


def _blocks(linked: torch.Tensor) -> Blocks:
    unseen, pairs, still = set(range(linked.shape[1])), [], []
    while unseen:
        columns, rows = {min(unseen)}, set()
        while True:
            reached = {int(r) for c in columns for r in linked[:, c].nonzero().flatten()}
            back = {int(c) for r in reached for c in linked[r].nonzero().flatten()} | columns
            if reached == rows and back == columns:
                break
            rows, columns = reached, back
        unseen -= columns
        if not rows:
            raise NoRotationError(f"numbers {_few(columns)} of a head get lost: they come out as 0")
        if len(rows) != len(columns):
            raise NoRotationError(
                f"numbers {_few(columns)} of a head become numbers {_few(rows)}: some get lost"
            )
        if len(columns) > 2:
            raise NoRotationError(f"it mixes more than two numbers of a head: {_few(columns)}")
        (pairs if len(columns) == 2 else still).append((sorted(columns), sorted(rows)))
    inputs = torch.tensor([p[0] for p in pairs], dtype=torch.long).reshape(-1, 2)
    outputs = torch.tensor([p[1] for p in pairs], dtype=torch.long).reshape(-1, 2)
    return Blocks(inputs, outputs, tuple((c[0], r[0]) for c, r in still))


def _few(places: set[int]) -> str:
    first = ", ".join(map(str, sorted(places)[:6]))
    return first + (f" and {len(places) - 6} more" if len(places) > 6 else "")


@dataclass(frozen=True)
class Turns:
    """The blocks ``[[a, b], [c, e]]`` of all pairs at some positions, ``(positions, pairs)``."""

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    e: torch.Tensor
    rest: torch.Tensor  # (positions, still): what the other numbers are multiplied by

    def at(self, places: torch.Tensor) -> "Turns":
        """The same at some of the positions, (places,) rows."""
        return Turns(*(getattr(self, each.name)[places] for each in fields(self)))

    @property
    def angles(self) -> torch.Tensor:
        """Radians, counter-clockwise, from -pi to pi."""
        return torch.atan2(self.c - self.b, self.a + self.e)

    @property
    def amplitudes(self) -> torch.Tensor:
        """What lengths are multiplied by."""
        return torch.sqrt((self.a**2 + self.b**2 + self.c**2 + self.e**2) / 2)


def turns(
    calls: Calls, blocks: Blocks, positions: torch.Tensor, result: int = 0, size: float = 1.0
) -> Turns:
    """Measure all blocks at ``positions``, (seq,): two vectors show them all at once.

    Args:
        calls, blocks, positions: the function, its blocks, and where to look.
        result: which, where the function returns several.
        size: the numbers that it is given.
    """
    vectors = torch.zeros(2, calls.head_dim, dtype=torch.float64)
    vectors[0, blocks.inputs[:, 0]] = size
    vectors[1, blocks.inputs[:, 1]] = size
    places = torch.tensor(blocks.still, dtype=torch.long).reshape(-1, 2)
    vectors[0, places[:, 0]] = size
    first, second = calls.rows(vectors, positions, result)
    r, s = blocks.outputs.T
    return Turns(first[:, r], second[:, r], first[:, s], second[:, s], first[:, places[:, 1]])
