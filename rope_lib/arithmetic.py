"""The arithmetic of a rotation: its definition, and who watches it.

The same in fewer passes over memory, for eager PyTorch on a CPU, is in :mod:`rope_lib.eager`.
"""

import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

PLAIN = (torch.Tensor, torch.nn.Parameter)


def define(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str, work: torch.dtype
) -> torch.Tensor:
    """``(a cos - b sin, a sin + b cos)`` for each pair of ``x``, computed in the dtype ``work``.

    Plain operations, which compilers and transformations see through. The arguments fit each other
    already: :func:`rope_lib.functional.rotate` looks at them.
    """
    first, second = split(as_dtype(work, x), pairing)
    cos, sin = as_dtype(work, cos), as_dtype(work, sin)
    turned = first * cos - second * sin, first * sin + second * cos
    # Narrowed before they are joined: a compiler would write the wide joint tensor to memory.
    return join([as_dtype(x.dtype, part) for part in turned], pairing)


def wide(x: torch.Tensor, table: torch.Tensor) -> torch.dtype:
    """The dtype to compute in: 16-bit numbers are rotated in float32 and rounded once."""
    return torch.promote_types(torch.promote_types(x.dtype, table.dtype), torch.float32)


def split(x: torch.Tensor, pairing: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of the first and the second number of every pair."""
    return (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, dim=-1)


def join(parts: list[torch.Tensor], pairing: str) -> torch.Tensor:
    """Undo :func:`split`."""
    if pairing == "interleaved":
        *rows, pairs = parts[0].shape
        return torch.stack(parts, dim=-1).reshape(*rows, 2 * pairs)
    return torch.cat(parts, dim=-1)


def is_plain(*tensors: torch.Tensor) -> bool:
    """The one question of every fast way: is each of these tensors its memory and nothing else?

    No subclass; no wrapper, as vmap and derivatives put around their arguments; no tangent of a
    forward derivative; and no compiler or tracer that watches. One argument that is not plain is
    enough to take the definition, which all of them see through.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return all(map(_is_bare, tensors))


def is_watched() -> bool:
    """Whether a compiler or a tracer follows, which would take what is remembered for constant."""
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return tracing or is_in_torch_dispatch_mode()


def _is_bare(x: torch.Tensor) -> bool:
    if type(x) not in PLAIN:
        return False
    try:
        x.data_ptr()
    except RuntimeError:  # vmap or a derivative has wrapped it
        return False
    # Without an open level there are no tangents; to ask for one takes longer.
    return forward_ad._current_level < 0 or forward_ad.unpack_dual(x).tangent is None


def as_numbers(pairs: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Complex ``pairs`` as real numbers, twice as many: a product is read where it lies.

    Unless a factor was expanded: then the product may have its last dimension elsewhere.
    """
    return (pairs if pairs.stride(-1) == 1 else pairs.contiguous()).view(dtype)


def as_dtype(dtype: torch.dtype, x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == dtype else x.to(dtype)
