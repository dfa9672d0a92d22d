"""The formula as PyTorch's compiler joins it: one pass, for every dtype, on any device.

An eager run of half-split pairs takes three passes (:mod:`rope_lib.eager.blocks`), and five of
16-bit numbers. The compiler takes seconds at the first call with a new kind of tensors, and what it
makes is kept while the process runs. So it is chosen explicitly, with ``backend="compile"``.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch


def fault(device: torch.device) -> str | None:
    """Why nothing can be compiled for ``device``, or None. Told once, by a warning."""
    return _fault(device.type)


@functools.cache
def _fault(device: str) -> str | None:
    try:
        torch.compile(lambda x: x + 1, fullgraph=True)(torch.zeros(2, device=device))
    except Exception as error:  # each compiler has errors of its own; nothing else can fail here
        why = str(error).strip().partition("\n")[0]
        warnings.warn(f"backend 'compile' rotates in eager mode: {why}", stacklevel=5)
        return why
    return None


def run(way: Callable, turn: Any, *tensors: torch.Tensor | None) -> Any:
    """``way(*tensors, turn)``, compiled."""
    kinds = tuple(None if x is None else (x.dtype, x.ndim, x.device.type) for x in tensors)
    return _program(way, turn, kinds)(*tensors)


@functools.cache
def _program(way: Callable, turn: Any, kinds: tuple) -> Callable:
    """One for each kind of tensors, since the compiler gives up on one with too many versions."""

    def called(*tensors):
        return way(*tensors, turn)

    called.__code__ = called.__code__.replace()  # versions are counted for a code, not a function
    return torch.compile(called)
