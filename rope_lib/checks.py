"""What a wrong argument is told: its name, its value, and what is allowed.

Each function returns its argument or raises; nothing is repaired on the way.
"""

import sys
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch

PAIRINGS = ("interleaved", "half")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LAYOUTS = ("bhsd", "bshd", "thd", "sbhd")
# What other libraries call the pairings, and, for each argument of ours, what they call it.
ELSEWHERE = {"neox": "half", "rotate_half": "half", "split": "half", "non-interleaved": "half",
             "gptj": "interleaved", "gpt-j": "interleaved", "rotate_every_two": "interleaved",
             "complex": "interleaved", "meta": "interleaved"}  # fmt: skip
FOREIGN = {
    "head_dim, or rotary_dim for a part of it": "dim",
    "rotary_dim": "rotary_percent rotary_pct partial_rotary_factor",
    "base": "theta rope_theta freqs_base",
    "pairing='interleaved', or 'half' where it is False": "interleaved interleave",
    "pairing='half', or 'interleaved' where it is False": "is_neox_style is_neox",
    "positions": "position_ids offset",
    "scaling, or RotaryEmbedding.from_config for a model's own": "rope_scaling",
    "layout": "unsqueeze_dim",
    "not needed: tables are made for the positions that are asked for":
        "max_position_embeddings max_seq_len",
}  # fmt: skip
WIDE_FLOATS = (torch.float32, torch.float64)
# What can tell one token from the next: floats of 16 bits and fewer cannot.
POSITIONS = (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16,
             torch.int32, torch.int64, torch.float32, torch.float64)  # fmt: skip


def require_even(name: str, value: int) -> int:
    """Return ``value`` if it is a positive even integer.

    Raises:
        TypeError: not an integer (``bool`` is not one either).
        ValueError: odd, zero or negative.
    """
    require_count(name, value)
    if value % 2:
        raise ValueError(f"{name} must be even, since elements are rotated in pairs; got {value}")
    return int(value)


def require_count(name: str, value: int) -> int:
    """Return ``value`` if it is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    if value > sys.maxsize:
        raise ValueError(f"{name} must be at most {sys.maxsize}, got {value}")
    return int(value)


def require_rotary_dim(head_dim: int, rotary_dim: int | None) -> int:
    """Return how many elements of a head are rotated: ``rotary_dim``, or all where it is None."""
    require_count("head_dim", head_dim)
    if rotary_dim is None:
        return require_even("head_dim", head_dim)
    if require_even("rotary_dim", rotary_dim) > head_dim:
        raise ValueError(f"rotary_dim must be at most head_dim = {head_dim}, got {rotary_dim}")
    return int(rotary_dim)


def require_real(name: str, value: float) -> float:
    """Return ``value`` if it is a real number, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r} ({type(value).__name__})")
    return value


def require_positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite real number above zero (NaN is not)."""
    # Compared, since a compiler cannot trace math.isfinite and a huge int overflows in it.
    if not 0 < require_real(name, value) <= sys.float_info.max:
        raise ValueError(f"{name} must be finite and greater than 0, got {value}")
    return float(value)


def require_fraction(name: str, value: float) -> float:
    """Return ``value`` if it is a share between 0 and 1, both included."""
    if not 0 <= require_real(name, value) <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(value)


def require_factor(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number of at least 1: contexts are stretched."""
    if require_positive(name, value) < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return float(value)


def require_dtype(name: str, value: torch.dtype, allowed: tuple) -> torch.dtype:
    """Return ``value`` if it is one of the ``allowed`` dtypes."""
    if value not in allowed:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise TypeError(f"{name} must be {names}, got {value!r}")
    return value


def require_choice(name: str, value: str, choices: tuple) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        other = ELSEWHERE.get(value) if isinstance(value, str) else None
        hint = f" (called {other!r} here)" if other and other in choices else ""
        raise ValueError(f"{name} must be {allowed}, got {value!r}{hint}")
    return value


def refuse_foreign(function: str, given: dict) -> None:
    """Raise a ``TypeError`` for arguments that other libraries have, naming ours."""
    for name, value in given.items():
        ours = next((ours for ours, names in FOREIGN.items() if name in names.split()), None)
        advice = f"; here that is {ours}" if ours else ""
        raise TypeError(f"{function} has no argument {name!r} (got {value!r}){advice}")


def require_instance(name: str, value: Any, kind: type) -> Any:
    """Return ``value`` if it is of ``kind``, a type or a union of types."""
    if not isinstance(value, kind):
        kinds = getattr(kind, "__args__", (kind,))
        allowed = " or ".join("None" if one is type(None) else one.__name__ for one in kinds)
        raise TypeError(f"{name} must be {allowed}, got {value!r} ({type(value).__name__})")
    return value


def require_tensor(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it is a dense tensor."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.layout != torch.strided:
        hint = "; rotate its values() with layout='thd' and packed_positions of its offsets()"
        hint = hint if value.layout == torch.jagged else ""
        raise TypeError(f"{name} must be a dense tensor, got one of layout {value.layout}{hint}")
    if type(value).__name__ == "DTensor":
        raise TypeError(f"{name} must be a plain tensor: rotate the to_local() of a DTensor by the "
                        "positions of its shard, and wrap the result again")  # fmt: skip
    return value


def require_float_tensor(name: str, value: torch.Tensor, dims: int = 1) -> torch.Tensor:
    """Return ``value`` if it is a tensor of 16, 32 or 64-bit floats, ``dims`` deep or more."""
    require_tensor(name, value)
    if value.dtype not in FLOATS:
        raise TypeError(f"{name} must have a 16, 32 or 64-bit float dtype, got {value.dtype}")
    if value.ndim < dims:
        raise ValueError(
            f"{name} must have at least {dims} dimension(s), got shape {tuple(value.shape)}"
        )
    return value


def require_finite(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it holds no NaN and no infinity, as far as :func:`seen_any` looks."""
    if value.is_floating_point() and seen_any(value, lambda numbers: ~numbers.isfinite()):
        raise ValueError(f"{name} must be finite, got {value[~value.isfinite()][0].item()}")
    return value


def require_positions(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it is a tensor of finite positions or distances, in tokens."""
    require_tensor(name, value)
    if value.dtype not in POSITIONS:
        raise TypeError(
            f"{name} must be integers, float32 or float64 (shorter floats cannot tell neighbouring"
            f" tokens apart), got {value.dtype}"
        )
    return require_finite(name, value)


def require_same_device(
    name: str, value: torch.Tensor, other_name: str, other: torch.Tensor
) -> None:
    """Raise a ``ValueError`` where two tensors live on different devices."""
    if value.device != other.device:
        raise ValueError(
            f"{name} is on {value.device} but {other_name} on {other.device}; move one of them"
        )


def fits_rows(positions: tuple, rows: tuple) -> bool:
    """Whether positions of one shape fit rows of another, with no guess which dimension is meant.

    One position fits all rows; one for each place in the sequence fits, and so does one for each
    place in each of a batch, ``(batch, seq)``, where rows are ``(batch, heads, seq)``. Otherwise
    each dimension of ``rows`` must be there, with size 1 or its own.
    """
    if len(positions) < 2:
        return len(positions) == 0 or positions == rows[-1:]
    if len(positions) == 2 and len(rows) == 3:
        positions = (positions[0], 1, positions[1])
    return (
        len(positions) == len(rows)
        and positions[-1] == rows[-1]
        and all(size in (1, row) for size, row in zip(positions, rows, strict=True))
    )


def require_a_position_each(name: str, x: torch.Tensor, positions: torch.Tensor) -> None:
    """Raise a ``ValueError`` unless ``positions`` fit the rows of ``x`` and share its device."""
    require_same_device("positions", positions, name, x)
    if not fits_rows(tuple(positions.shape), tuple(x.shape[:-1])):
        swapped = x.ndim == 4 and positions.shape[-1:] == x.shape[-3:-2]
        hint = "; where tokens come before heads, say layout='bshd'" if swapped else ""
        raise ValueError(
            f"positions must have shape ({x.shape[-2]},), (batch, {x.shape[-2]}) or {x.ndim - 1} "
            f"dimensions to fit {name} of shape {tuple(x.shape)}; got {tuple(positions.shape)}"
            + hint
        )


def seen_any(value: torch.Tensor, bad: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    """Whether ``bad`` is seen to hold for a number of ``value``.

    Numbers are looked at on the CPU only. Looking at them on an accelerator would make the host
    wait for it, a compiler cannot branch on them, and fake tensors and vmap refuse to show them.
    """
    if value.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    try:
        return bool(bad(value).any())
    except RuntimeError:
        return False


def seen_ends(value: torch.Tensor) -> tuple[float, float]:
    """The smallest and the largest number of ``value``; 0 and 0 where nothing is to be seen.

    Numbers are looked at as in :func:`seen_any`.
    """
    if value.device.type != "cpu" or torch.compiler.is_compiling() or value.numel() == 0:
        return 0, 0
    try:
        wide = value if value.dtype in (torch.int64, torch.int32) else value.double()
        low, high = wide.aminmax()
        return low.item(), high.item()
    except RuntimeError:
        return 0, 0
