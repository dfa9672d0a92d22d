"""Calling a rotation function of unknown make, and making sure that it treats rows alike.

A stranger's function may want other dtypes, fewer dimensions or numpy arrays, may take positions or
count rows itself, and may return more than one array.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch

from ...checks import require_count

WINDOW = 8  # neighbouring tokens that are looked at together
RUN = 128  # tokens of the first, unbroken run: the 16-bit floats can still count them
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
COARSE_FIRST = (torch.bfloat16, torch.float16, torch.float32)
LAYOUT_OF_AXIS = {(4, 2): "bhsd", (4, 1): "bshd", (4, 0): "sbhd",
                  (3, 1): "bhsd", (3, 0): "thd", (2, 0): "bhsd"}  # fmt: skip


class NoRotationError(ValueError):
    """What a function does that no rotation of pairs does, in words."""


def parameter_for_positions(function: Callable) -> str | None:
    """How a function is given positions beside ``x``.

    Returns:
        ``""`` for ``(x, positions)``, where the second argument has no default or has ``pos`` in
        its name; the name of an argument with ``pos`` in it that goes by name only; else None.
    """
    try:
        # torch's modules hide their arguments behind __call__
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):  # built in: nothing is known
        return ""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [each for each in parameters if each.kind in kinds]
    if len(places) > 1:
        second = places[1]
        if second.default is inspect.Parameter.empty or "pos" in second.name.lower():
            return ""
    elif any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return ""
    named = [each.name for each in parameters if "pos" in each.name.lower()]
    return named[0] if named else None


class Calls:
    """A function, called with whatever kind of array and number of dimensions it accepts.

    Args:
        function: ``function(x, positions)`` or ``function(x)``.
        head_dim: width of a head.
        positions: whether it is given positions; None looks at its signature.
        dtype: what ``x`` is given in; None tries the widest first.
        dims: how many dimensions ``x`` may have, in the order in which they are tried.
    """

    def __init__(
        self,
        function: Callable,
        head_dim: int,
        positions: bool | None = None,
        dtype: torch.dtype | None = None,
        dims: tuple[int, ...] = (4, 3, 2),
    ):
        if not callable(function):
            kind = type(function).__name__
            raise TypeError(f"function must be callable as function(x, positions), got {kind}")
        if hasattr(function, "rotary_dim") and hasattr(function, "rotate"):  # a RotaryEmbedding
            rope = function
            function = lambda x, positions: rope(x, None, positions)[0]  # noqa: E731
        self.function, self.head_dim = function, require_count("head_dim", head_dim)
        self.parameter = parameter_for_positions(function) if positions is None else ""
        self.with_positions = self.parameter is not None if positions is None else positions
        self.as_numpy, self.counts_rows = False, not self.with_positions
        self.dtype, self.dims, self.axis = dtype, 4, 2
        self.grain = 2.0**-53  # of the results: the rounding of the narrowest dtype that holds them
        self._find_a_way(DTYPES if dtype is None else (dtype,), dims)

    def _find_a_way(self, dtypes: tuple, numbers_of_dims: tuple[int, ...]) -> None:
        first_error = None
        for dims in numbers_of_dims:
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
                self.grain = grain_of(result)
                return
        said = " ".join(str(first_error).split())[:110]
        raise ValueError(
            f"function must turn x of shape (batch, heads, seq, {self.head_dim}); called "
            f"with heads = seq = 3 it raised {type(first_error).__name__}: {said}. Of a function "
            "of q and k, give lambda x, positions: f(x, x, positions)"
        )

    def __call__(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Float64 results, ``(results, *x.shape)``: a function may return q and k."""
        given = x.to(self.dtype).clone()
        positions = positions.clone()
        if self.as_numpy:
            given, positions = given.numpy(), positions.numpy()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's, a hundred times over
            if self.with_positions and self.parameter:
                returned = self.function(given, **{self.parameter: positions})
            else:
                arguments = (given, positions) if self.with_positions else (given,)
                returned = self.function(*arguments)
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


def grain_of(values: torch.Tensor) -> float:
    """Half the step of the narrowest dtype that holds all the numbers; whole ones say nothing."""
    if torch.equal(values, values.round()):
        return 2.0**-53
    for dtype in COARSE_FIRST:
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
    others = calls(other, tokens)
    if torch.equal(y, others):
        raise NoRotationError(
            "its results do not depend on x, like tables of cosines and sines; give a function "
            "that rotates x with them"
        )
    mixed = calls(2 * x - 3 * other, tokens) - (2 * y - 3 * others)
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
    same = _equal_rows(x)
    for first in (0, 1, 60):
        try:
            y = calls(same, tokens + first)[0]
        except Exception:  # a table that is shorter
            break
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
        raise NoRotationError("it rotates nothing: the result is x, whatever the position")
    if (calls(same, tokens + 7)[0] - calls(same, tokens)[0]).abs().max() > allowed:
        raise NoRotationError("it turns every row of a call alike, though their positions differ")
    raise NoRotationError("it does the same to every row, whatever its position")


def _equal_rows(x: torch.Tensor) -> torch.Tensor:
    row = x.flatten(0, -2)[0]
    return torch.where(row == 0, 3.0, row).expand(x.shape)


def use_of_positions(calls: Calls) -> str:
    """Whether each row's own position counts.

    Returns:
        ``"each"``, ``"first"`` where rows are counted from the first position on, ``"rows"`` where
        they are counted from 0, ``"differences"`` where only some other rule explains the result.
    """
    if not calls.with_positions:
        return "rows"
    same = _equal_rows(_whole_numbers((3,) * (calls.dims - 1) + (calls.head_dim,), 1))
    allowed = max(1e-5, 30 * calls.grain) * same.abs().max().item()

    def row(index: int, *places: int) -> torch.Tensor:
        return calls(same, torch.tensor(places))[0].select(calls.axis, index)

    def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
        return bool((one - other).abs().max() <= allowed)

    mixed = row(1, 3, 7, 4)
    if equal(mixed, row(1, 6, 7, 8)) and equal(row(2, 3, 7, 4), row(0, 4, 5, 6)):
        return "each"
    if equal(row(1, 3, 4, 5), row(1, 0, 1, 2)) and equal(mixed, row(1, 0, 1, 2)):
        return "rows"
    return "first" if equal(mixed, row(1, 3, 4, 5)) else "differences"
