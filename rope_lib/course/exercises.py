"""The checker behind every exercise: compare an answer with a slow specification."""

import copy
import dis
from collections.abc import Callable, Iterable
from numbers import Number
from typing import Any

import numpy as np
import torch

RANDOM_CASES = 50
SEED = 0

# How far a right answer may be off, as a share of the largest expected value (or of 1, if that is
# smaller). Roomy enough for another order of the same operations, far below any mistake.
TOLERANCES = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2,
              "complex128": 1e-8, "complex64": 1e-4}  # fmt: skip
NUMBER_TOLERANCE = 1e-5  # a Python number may have been computed in float32
ROUNDING = 1e-12  # a smaller number is shown as 0: cos 90° is 6e-17 in float64


def check(
    answer: Callable,
    spec: Callable,
    cases: Callable[[np.random.Generator], tuple] | Iterable[tuple],
    *,
    tolerance: float | None = None,
) -> None:
    """Call ``answer`` and ``spec`` with the same arguments and print one line of what came out.

    The line begins with "Not written yet" (``answer`` has no body but ``...``, or raises
    ``NotImplementedError``), with "Right", or with "Not yet" and the first case that differs.
    Types, shapes, dtypes and values are compared, and ``answer`` may not change its arguments.

    Args:
        answer: the reader's function.
        spec: the slow function that is right by its looks.
        cases: a function of a random generator that makes one tuple of arguments; it is called
            50 times, with a fixed seed. Or the tuples themselves.
        tolerance: allowed difference, as a share of the largest expected value or of 1;
            by default it follows the dtype.

    Raises:
        TypeError: ``answer`` or ``spec`` is not callable, ``cases`` holds no cases.
        ValueError: ``cases`` is empty, ``tolerance`` negative or NaN.

    Example:
        >>> check(lambda x: x + x, lambda x: 2 * x, [(1.0,), (2.5,)])
        Right: agrees with the slow version on 2 cases.
    """
    for name, value in (("answer", answer), ("spec", spec)):
        if not callable(value):
            raise TypeError(f"{name} must be a function, got {value!r} ({type(value).__name__})")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    kind = "random cases" if callable(cases) else "cases"
    drawn = _draw(cases)
    for number, arguments in enumerate(drawn, start=1):
        problem = _problem(answer, spec, arguments, tolerance)
        if problem is _NOT_WRITTEN and number == 1:
            print("Not written yet. Fill in the function and run this cell again.")
            return
        if problem:
            case = f"case {number} of {len(drawn)}, {_describe(arguments)}"
            print(f"Not yet: in {case}, {problem}.")
            return
    print(f"Right: agrees with the slow version on {len(drawn)} {kind}.")


def _draw(cases: Callable | Iterable) -> list[tuple]:
    if callable(cases):
        generator = np.random.default_rng(SEED)
        cases = [cases(generator) for _ in range(RANDOM_CASES)]
    if not isinstance(cases, Iterable):
        raise TypeError(f"cases must be a function or a list of tuples, got {cases!r}")
    drawn = [case if isinstance(case, tuple) else (case,) for case in cases]
    if not drawn:
        raise ValueError("cases must hold at least one tuple of arguments, got none")
    return drawn


_NOT_WRITTEN = "your function has no body"
# What a function consists of whose body is ``...``, ``pass`` or a docstring.
_EMPTY_BODY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


def _problem(answer: Callable, spec: Callable, arguments: tuple, tolerance: float | None) -> str:
    """What is wrong with ``answer`` on one case, or an empty string."""
    expected = spec(*_copied(arguments))
    given = _copied(arguments)
    try:
        result = answer(*given)
    except NotImplementedError:
        return _NOT_WRITTEN
    except Exception as error:
        reason = str(error).partition("\n")[0]
        return f"your function raised {type(error).__name__}: {reason}".rstrip(": ")
    if (result is None or result is ...) and expected is not None:
        if _is_empty(answer):
            return _NOT_WRITTEN
        return f"your function returned {result}; an answer that is printed must be returned too"
    for position, (before, after) in enumerate(zip(arguments, given, strict=True), start=1):
        if _changed(before, after):
            return f"your function changed its argument {position} in place; work on a copy"
    return _difference(result, expected, tolerance)


def _is_empty(function: Callable) -> bool:
    """Whether nothing was written into a function yet."""
    if not hasattr(function, "__code__"):
        return False
    return {step.opname for step in dis.get_instructions(function)} <= _EMPTY_BODY


def _copied(value: Any) -> Any:
    """A copy that shares no memory, so that a change in place shows."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        parts = [_copied(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return copy.deepcopy(value)


def _changed(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor | np.ndarray | Number | str):
        return bool(_difference(after, before, tolerance=0.0))
    if isinstance(before, tuple | list):
        pairs = zip(before, after, strict=False)
        return len(before) != len(after) or any(_changed(one, two) for one, two in pairs)
    return isinstance(before, dict | set) and before != after


# ---------------------------------------------------------------- comparing two values


def _difference(result: Any, expected: Any, tolerance: float | None) -> str:
    """How ``result`` differs from ``expected``, in words, or an empty string."""
    wanted, got = _kind(expected), _kind(result)
    if got != wanted:
        return f"your function returned {got} ({_shown(result)}), expected {wanted}"
    if wanted == "a tuple or list":
        return _sequence_difference(result, expected, tolerance)
    if wanted in ("a torch tensor", "a numpy array"):
        return _array_difference(result, expected, tolerance)
    if wanted == "a number":
        allowed = NUMBER_TOLERANCE if tolerance is None else tolerance
        return _value_difference(np.asarray(_plain(result)), np.asarray(_plain(expected)), allowed)
    if wanted == "True or False":
        result, expected = bool(result), bool(expected)
    if result != expected:
        return f"your function returned {_shown(result)}, expected {_shown(expected)}"
    return ""


def _kind(value: Any) -> str:
    """The family of a value. A number may stand in a Python, numpy or torch wrapping."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, Number):
        return "a number"
    if isinstance(value, tuple | list):
        return "a tuple or list"
    kinds = {torch.Tensor: "a torch tensor", np.ndarray: "a numpy array", str: "a string"}
    named = (name for kind, name in kinds.items() if isinstance(value, kind))
    return next(named, f"a value of type {type(value).__name__}")


def _sequence_difference(result: Any, expected: Any, tolerance: float | None) -> str:
    if len(result) != len(expected):
        return f"your function returned {len(result)} values, expected {len(expected)}"
    for number, (one, two) in enumerate(zip(result, expected, strict=True), start=1):
        difference = _difference(one, two, tolerance)
        if difference:
            return f"value {number} of {len(expected)}: {difference}"
    return ""


def _array_difference(result: Any, expected: Any, tolerance: float | None) -> str:
    """Compare two tensors or two arrays: first shapes, then dtypes, then values."""
    if tuple(result.shape) != tuple(expected.shape):
        return f"your result has shape {tuple(result.shape)}, expected {tuple(expected.shape)}"
    got, wanted = _dtype_name(result), _dtype_name(expected)
    if got != wanted and not (got.strip("u").startswith("int") and "int" in wanted):
        return f"your result has dtype {got}, expected {wanted}"
    allowed = TOLERANCES.get(wanted, 0.0) if tolerance is None else tolerance
    return _value_difference(_plain(result), _plain(expected), allowed)


def _dtype_name(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _plain(value: Any) -> Any:
    """Numbers and arrays as numpy sees them, in the widest dtype of their kind."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj()
        value = (value.double() if value.is_floating_point() else value).numpy()
    if isinstance(value, np.ndarray | np.generic):
        wide = {"f": np.float64, "c": np.complex128}.get(value.dtype.kind)
        return value if wide is None else value.astype(wide)
    return value


def _value_difference(result: np.ndarray, expected: np.ndarray, allowed: float) -> str:
    """Compare values of equal shape; NaN equals NaN, and an infinity only itself."""
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max(initial=0.0)))
    if np.allclose(result, expected, rtol=0.0, atol=allowed * scale, equal_nan=True):
        return ""
    with np.errstate(invalid="ignore"):
        gaps = np.abs(np.asarray(result, dtype=complex) - np.asarray(expected, dtype=complex))
    gaps = np.where(np.isnan(result) & np.isnan(expected) | (result == expected), 0.0, gaps)
    worst = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    floor = min(ROUNDING, allowed * scale)
    have, want = (_shown(_without_rounding(each[worst], floor)) for each in (result, expected))
    values = f"you have {have}, expected {want}"
    if not worst:
        return values
    place = ", ".join(str(int(index)) for index in worst)
    return f"the largest difference is {_shown(gaps[worst])}, at [{place}]: {values}"


def _without_rounding(value: Any, floor: float) -> Any:
    """Zero in place of a number, or of a part of a complex one, that rounding has left."""
    if np.iscomplexobj(value):
        return complex(_without_rounding(value.real, floor), _without_rounding(value.imag, floor))
    return value if isinstance(value, np.bool_) or not abs(value) <= floor else 0 * value


# ---------------------------------------------------------------- showing values in few words


def _describe(arguments: tuple) -> str:
    return f"called with ({', '.join(_shown(argument) for argument in arguments)})"


def _shown(value: Any) -> str:
    """A value in at most a few words, with four significant digits."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 0:
        small = value.ndim == 1 and 0 < value.shape[0] <= 4
        return _shown(value.tolist()) if small else f"shape {tuple(value.shape)}"
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = value.item()
    if isinstance(value, float | complex):
        return f"{value:.4g}"
    if isinstance(value, tuple | list) and len(value) <= 8:
        inside = ", ".join(_shown(part) for part in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
