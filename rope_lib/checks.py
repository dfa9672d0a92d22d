"""What a wrong argument is told: its name, its value, and what is allowed.

Each function returns its argument or raises; nothing is repaired on the way.
"""

import math
from numbers import Integral, Real

import torch

PAIRINGS = ("interleaved", "half")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def require_even(name: str, value: int) -> int:
    """Return ``value`` if it is a positive even integer.

    Raises:
        TypeError: not an integer (``bool`` is not one either).
        ValueError: odd, zero or negative.
    """
    require_count(name, value)
    if value % 2:
        raise ValueError(f"{name} must be even, since numbers are turned in pairs; got {value}")
    return int(value)


def require_count(name: str, value: int) -> int:
    """Return ``value`` if it is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def require_rotary_dim(head_dim: int, rotary_dim: int | None) -> int:
    """Return how many numbers of a head are turned: ``rotary_dim``, or all where it is None."""
    require_count("head_dim", head_dim)
    if rotary_dim is None:
        return require_even("head_dim", head_dim)
    if require_even("rotary_dim", rotary_dim) > head_dim:
        raise ValueError(f"rotary_dim must be at most head_dim = {head_dim}, got {rotary_dim}")
    return int(rotary_dim)


def require_positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite real number above zero (NaN is not)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r} ({type(value).__name__})")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and greater than 0, got {value}")
    return float(value)


def require_choice(name: str, value: str, choices: tuple) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return value


def require_float_tensor(name: str, value: torch.Tensor, dims: int = 1) -> torch.Tensor:
    """Return ``value`` if it is a tensor of 16, 32 or 64-bit floats, ``dims`` deep or more."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.dtype not in FLOATS:
        raise TypeError(f"{name} must have a 16, 32 or 64-bit float dtype, got {value.dtype}")
    if value.ndim < dims:
        raise ValueError(
            f"{name} must have at least {dims} dimension(s), got shape {tuple(value.shape)}"
        )
    return value


def require_finite(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it holds no NaN and no infinity.

    Values are read on the CPU only. Reading them on an accelerator would make the host wait for it,
    and a compiler cannot branch on them.
    """
    if values_are_readable(value) and value.is_floating_point():
        bad = ~torch.isfinite(value)
        if bad.any():
            raise ValueError(f"{name} must be finite, got {value[bad][0].item()}")
    return value


def values_are_readable(value: torch.Tensor) -> bool:
    """Whether looking at the numbers of ``value`` costs nothing: eager, and on the CPU."""
    return value.device.type == "cpu" and not torch.compiler.is_compiling()
