"""Calling a rotation function of unknown make, and measuring what it does to each number.

A function that turns pairs is a matrix for each position, with blocks of two by two. Here it is
called with unit vectors, its blocks are found and their angles measured.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

WINDOW = 8  # neighbouring tokens that are looked at together
RUN = 128  # tokens of the first, unbroken run: the 16-bit floats can still count them
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
LAYOUT_OF_AXIS = {(4, 2): "bhsd", (4, 1): "bshd", (4, 0): "sbhd",
                  (3, 1): "bhsd", (3, 0): "thd", (2, 0): "bhsd"}  # fmt: skip


class NoRotationError(Exception):
    """What a function does that no rotation of pairs does, in words."""


def takes_positions(function: Callable) -> bool:
    """Whether a function is called with ``(x, positions)``; otherwise with ``(x)`` alone.

    It is where its second argument has no default, or has ``pos`` in its name.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built in: nothing is known
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [each for each in parameters if each.kind in kinds]
    if len(places) < 2:
        return any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters)
    return places[1].default is inspect.Parameter.empty or "pos" in places[1].name.lower()


class Calls:
    """A function, called with whatever kind of array and number of dimensions it accepts.

    Args:
        function: ``function(x, positions)`` or ``function(x)``.
        head_dim: width of a head.
        positions: whether it is given positions; None looks at its signature.
        dtype: what ``x`` is given in; None tries the widest first.
    """

    def __init__(
        self,
        function: Callable,
        head_dim: int,
        positions: bool | None = None,
        dtype: torch.dtype | None = None,
    ):
        self.function, self.head_dim = function, head_dim
        self.with_positions = takes_positions(function) if positions is None else positions
        self.as_numpy = False
        self.dtype, self.dims, self.axis = dtype, 4, 2
        self.grain = 2.0**-53  # of the results: the rounding of the narrowest dtype that holds them
        self._find_a_way(DTYPES if dtype is None else (dtype,))

    def _find_a_way(self, dtypes: tuple) -> None:
        first_error = None
        for dims in (4, 3, 2):
            x = _whole_numbers((3,) * (dims - 1) + (self.head_dim,), seed=0)
            ways = [(dtype, False) for dtype in dtypes]
            ways += [(dtype, True) for dtype in dtypes if dtype in DTYPES[:2]]
            for self.dtype, self.as_numpy in ways:
                self.dims = dims
                try:
                    result = self(x, torch.arange(3))
                except Exception as error:  # whatever a stranger's function raises
                    first_error = first_error or error
                    continue
                self.grain = _grain(result)
                return
        said = " ".join(str(first_error).split())[:110]
        raise ValueError(
            f"function must turn x of shape (batch, heads, seq, {self.head_dim}); called "
            f"with heads = seq = 3 it raised {type(first_error).__name__}: {said}"
        )

    def __call__(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Float64 results, ``(results, *x.shape)``: a function may return q and k."""
        given = x.to(self.dtype).clone()
        positions = positions.clone()
        if self.as_numpy:
            given, positions = given.numpy(), positions.numpy()
        with torch.no_grad():
            returned = self.function(*((given, positions) if self.with_positions else (given,)))
        several = isinstance(returned, tuple | list)
        results = [_as_float64(each) for each in (returned if several else [returned])]
        results = [each for each in results if each is not None and each.shape == x.shape]
        if not results:
            shape = tuple(getattr(returned, "shape", ())) or type(returned).__name__
            raise ValueError(f"a result of the shape of x, {tuple(x.shape)}, is missing: {shape}")
        return torch.stack(results)

    def rows(self, vectors: torch.Tensor, positions: torch.Tensor, result: int = 0) -> torch.Tensor:
        """Each of ``vectors`` (count, head_dim) at each position: ``(count, seq, head_dim)``."""
        seq = len(positions)
        if self.dims == 2:
            each = [self(v.expand(seq, -1), positions)[result] for v in vectors]
            return torch.stack(each)
        shape = [1] * (self.dims - 1)
        free = 1 if self.axis == 0 else 0
        x = vectors.reshape([len(vectors) if a == free else 1 for a in range(len(shape))] + [-1])
        x = x.expand([seq if a == self.axis else x.shape[a] for a in range(len(shape))] + [-1])
        y = self(x, positions)[result].movedim(self.axis, -2)
        return y.reshape(len(vectors), seq, self.head_dim)


def _as_float64(value: Any) -> torch.Tensor | None:
    try:
        value = torch.as_tensor(value)
    except Exception:  # no array at all
        return None
    return value.detach().cpu().double() if value.is_floating_point() else None


def _grain(values: torch.Tensor) -> float:
    """Half the step of the narrowest dtype that holds all the numbers."""
    for dtype in DTYPES[:0:-1]:
        if torch.equal(values.to(dtype).double(), values):
            return torch.finfo(dtype).eps / 2
    return 2.0**-53


def _whole_numbers(shape: tuple, seed: int) -> torch.Tensor:
    """Whole numbers from -8 to 8, which every dtype holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8, 9, shape, generator=generator).double()


def check_calls(calls: Calls) -> int:
    """Find which dimension is the sequence; return how many results a call has.

    Raises:
        NoRotationError: not a function, not linear, or rows that depend on one another.
    """
    shape = (3,) * (calls.dims - 1) + (calls.head_dim,)
    x, other, tokens = _whole_numbers(shape, 1), _whole_numbers(shape, 2), torch.arange(3) + 1
    y = calls(x, tokens)
    if not torch.isfinite(y).all():
        raise NoRotationError("it returns numbers that are not finite")
    allowed = max(1e-5, 30 * calls.grain) * max(1.0, y.abs().max().item()) * 5
    if (calls(x, tokens) - y).abs().max() > allowed:
        raise NoRotationError("two calls with the same arguments give different results")
    mixed = calls(2 * x - 3 * other, tokens) - (2 * y - 3 * calls(other, tokens))
    if mixed.abs().max() > allowed:
        raise NoRotationError(
            "it is not linear in x: f(2a - 3b) and 2 f(a) - 3 f(b) differ by up to "
            f"{mixed.abs().max():.3g}"
        )
    _check_rows(calls, x, y, other, tokens, allowed)
    calls.axis = _axis(calls, x, tokens, allowed)
    return len(y)


def _check_rows(calls, x, y, other, tokens, allowed) -> None:
    """One row is changed: no other may follow."""
    changed = x.clone()
    middle = (1,) * (calls.dims - 1)
    changed[middle] = other[middle]
    moved = (calls(changed, tokens) - y).abs().amax(-1) > allowed
    moved[(slice(None), *middle)] = False
    if moved.any():
        raise NoRotationError(
            "a row depends on others: changing one token in one head changed other rows, too"
        )


def _axis(calls: Calls, x: torch.Tensor, tokens: torch.Tensor, allowed: float) -> int:
    """The dimension along which equal rows are turned differently."""
    row = x.flatten(0, -2)[0]
    row = torch.where(row == 0, 3.0, row)
    same = row.expand(x.shape)
    for first in (0, 1, 60):
        y = calls(same, tokens + first)[0]
        spread = [(y - y.select(a, 0).unsqueeze(a)).abs().max().item() for a in range(y.ndim - 1)]
        axes = [a for a, s in enumerate(spread) if s > max(1e-9, calls.grain) * 4]
        if len(axes) == 1:
            return axes[0]
        if len(axes) > 1:
            raise NoRotationError(
                "equal rows are turned differently along more than one dimension of x: "
                + " and ".join(map(str, axes))
            )
    if (y - same).abs().max() <= allowed:
        raise NoRotationError("it turns nothing: the result is x, whatever the position")
    if (calls(same, tokens + 7)[0] - calls(same, tokens)[0]).abs().max() > allowed:
        raise NoRotationError("it turns every row of a call alike, though their positions differ")
    raise NoRotationError("it does the same to every row, whatever its position")


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
    if calls.with_positions:
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
        if len(rows) != len(columns):
            raise NoRotationError(
                f"numbers {_few(columns)} of a head become numbers {_few(rows)}: some get lost"
            )
        if len(columns) > 2:
            raise NoRotationError(f"it mixes more than two numbers of a head: {_few(columns)}")
        (pairs if len(columns) == 2 else still).append((sorted(columns), sorted(rows)))
    inputs = torch.tensor([p[0] for p in pairs]).reshape(-1, 2)
    outputs = torch.tensor([p[1] for p in pairs]).reshape(-1, 2)
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

    @property
    def angles(self) -> torch.Tensor:
        """Radians, counter-clockwise, from -pi to pi."""
        return torch.atan2(self.c - self.b, self.a + self.e)

    @property
    def amplitudes(self) -> torch.Tensor:
        """What lengths are multiplied by."""
        return torch.sqrt((self.a**2 + self.b**2 + self.c**2 + self.e**2) / 2)


def turns(calls: Calls, blocks: Blocks, positions: torch.Tensor, result: int = 0) -> Turns:
    """Measure all blocks at ``positions``, (seq,): two vectors show them all at once."""
    vectors = torch.zeros(2, calls.head_dim, dtype=torch.float64)
    vectors[0, blocks.inputs[:, 0]] = 1
    vectors[1, blocks.inputs[:, 1]] = 1
    places = torch.tensor(blocks.still, dtype=torch.long).reshape(-1, 2)
    vectors[0, places[:, 0]] = 1
    first, second = calls.rows(vectors, positions, result)
    r, s = blocks.outputs.T
    return Turns(first[:, r], second[:, r], first[:, s], second[:, s], first[:, places[:, 1]])


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
        errors: how far off they may be, relative.
        phases: the angle at position 0.
        rough: ``(first position, roughness of each pair)`` for each stretch looked at.
        measured: ``(positions, angles)`` of every stretch.
        reach: the largest position that could be asked for.
        result: of several results, which.
    """

    frequencies: torch.Tensor
    errors: torch.Tensor
    phases: torch.Tensor
    rough: tuple[tuple[int, torch.Tensor], ...]
    measured: tuple[tuple[torch.Tensor, Turns], ...]
    reach: int


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
    """Frequencies from angles at growing positions: each stretch refines what is known."""
    rows_only = not calls.with_positions
    run = longest_run(calls, blocks, min(longest, 4096 + WINDOW) if rows_only else RUN, result)
    angles = run.angles
    count = len(angles)
    measured, rough = [(torch.arange(count), run)], []
    theta = wrapped(angles[1] - angles[0])
    step = 2
    while step + 1 < min(count, RUN):
        theta = _refined(theta, angles, step, 0)
        step *= 2
    start = 1
    while start + 2 < count:
        rough.append((start, roughness(angles[start : min(2 * start + 2, count)])))
        start *= 2
    reach = count - 1
    noise = roughness(angles[:6]).max().item()
    steps, steady = step / 2, True
    for power in range(7, 40):
        first = 2**power - 2
        if first + WINDOW > longest:
            break
        if rows_only:
            if first + WINDOW > count:
                break
            near = angles[first : first + WINDOW]
        else:
            places = torch.arange(WINDOW) + first
            try:
                far = turns(calls, blocks, places, result)
            except Exception:  # beyond its table
                break
            near, reach = far.angles, first + WINDOW - 1
            measured.append((places, far))
            rough.append((first, roughness(near)))
        steady = steady and roughness(near).max().item() < 0.3
        if steady:
            head = angles[:WINDOW]
            theta = _refined(theta, torch.cat((head, near)), WINDOW, 0, first)
            steps = first
    errors = 3e-6 + max(noise, 1e-15) * (1 / (steps * theta.abs()).clamp_min(1e-30)).clamp_max(1)
    phases = angles[0]
    return Speeds(theta, errors, phases, tuple(rough), tuple(measured), reach)


def _refined(
    theta: torch.Tensor, angles: torch.Tensor, step: int, start: int, tokens: int | None = None
) -> torch.Tensor:
    """Frequencies that agree with the turn over ``tokens``, found from rows ``step`` apart."""
    tokens = step if tokens is None else tokens
    count = min(len(angles) - step, WINDOW)
    turned = angles[start + step : start + step + count] - angles[start : start + count]
    left = wrapped(turned - tokens * theta).mean(0)
    better = theta + left / tokens
    return torch.where(left.abs() < 1, better, theta)
