"""Where each token stands: the numbers that a rotation turns by.

A position is a whole number of tokens, an int64. Tokens in a line need one number each; pictures
and video need one for each axis, and then the axes come first: ``(axes, seq)``. What a model turns
is decided elsewhere, so nothing here knows about heads or frequencies.

The next token of a sequence stands one past the largest number that is there, on every axis:
``positions.max() + 1``. In a plain sequence that is its length; after pictures it is smaller, and
the difference from the length is what Qwen's code calls ``rope_delta``.
"""

import math
from collections.abc import Iterable
from numbers import Integral

import torch

from .checks import (
    WIDE_FLOATS,
    require_choice,
    require_count,
    require_dtype,
    require_positive,
    require_tensor,
    seen_any,
)

Grid = tuple[int, int, int] | tuple[int, int, int, float]
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def sequence_positions(
    length: int, *, start: int | torch.Tensor = 0, device: torch.device | str | None = None
) -> torch.Tensor:
    """``start, start + 1, ...``: tokens in a row, from wherever a cache has got to.

    Args:
        length: how many tokens; 0 or more.
        start: position of the first, in tokens; or one for each row of a batch, ``(batch,)``.
        device: where the result lives; a tensor ``start`` has said so already.

    Returns:
        int64, ``(length,)``, or ``(batch, length)`` for a tensor ``start``. A model wants the
        latter as ``positions[:, None, :]``, one row for all heads.

    Raises:
        TypeError, ValueError: not integers of 0 or more, a tensor of other than one dimension,
            another ``device`` than that of ``start``.
    """
    _require_size("length", length)
    if not isinstance(start, torch.Tensor):
        return torch.arange(length, device=device) + _require_size("start", start)
    _require_integers("start", start)
    if device is not None and start.device != torch.device(device):
        raise ValueError(f"device must be that of start, {start.device}, got {device}")
    if seen_any(start, lambda numbers: numbers < 0):
        raise ValueError(f"start must be at least 0, got {start.min().item()}")
    return start.unsqueeze(-1) + torch.arange(length, device=start.device)


def left_padded_positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions in a padded batch: each row counts its own tokens from 0 and skips the padding.

    Padding gets 0, which is harmless where the attention mask hides it. Padding on the right, or
    holes, are skipped alike. The next token of a row stands at ``mask.sum(-1)``.

    Args:
        mask: ``(..., seq)``, 1 or True for a token, 0 or False for padding.

    Returns:
        int64, of the shape of ``mask`` and on its device.

    Raises:
        TypeError, ValueError: not a mask of booleans or integers, other values than 0 and 1.

    Source: what transformers' ``generate`` does with an ``attention_mask`` (version 5.23).
    """
    if require_tensor("mask", mask).dtype not in (torch.bool, *_INTEGERS):
        raise TypeError(f"mask must hold booleans or integers, got {mask.dtype}")
    if mask.ndim == 0:
        raise ValueError("mask must have at least 1 dimension, got shape ()")
    if seen_any(mask, lambda numbers: (numbers != 0) & (numbers != 1)):
        wrong = mask[(mask != 0) & (mask != 1)][0].item()
        raise ValueError(f"mask must hold 1 for a token and 0 for padding, got {wrong}")
    return (mask.long().cumsum(dim=-1) - 1).masked_fill(mask == 0, 0)


def packed_positions(cu_seqlens: torch.Tensor, *, total: int | None = None) -> torch.Tensor:
    """Positions of sequences packed into one row: each begins again at 0.

    Args:
        cu_seqlens: ``(sequences + 1,)`` integers: where each sequence begins, and at last where
            all end, in tokens. Starts at 0 and never falls; empty sequences are fine.
        total: the last of these, if it is known: then the result's shape does not depend on data,
            so a GPU need not be waited for, and a compiler can trace it.

    Returns:
        int64, ``(total,)``, on the device of ``cu_seqlens``.

    Raises:
        TypeError, ValueError: ``cu_seqlens`` is not as above, or ``total`` is not its end.
    """
    sequence, row = _unpack(cu_seqlens, total)
    return row - cu_seqlens[sequence]


def packed_mask(cu_seqlens: torch.Tensor, *, total: int | None = None) -> torch.Tensor:
    """Which packed tokens may look at each other: True within a sequence, False across.

    Args, raises: as in :func:`packed_positions`.

    Returns:
        bool, ``(total, total)``; ``.tril()`` makes it causal.
    """
    sequence, _ = _unpack(cu_seqlens, total)
    return sequence.unsqueeze(-1) == sequence


def shard_positions(
    length: int, rank: int, world_size: int, *, device: torch.device | str | None = None
) -> torch.Tensor:
    """The positions that one of several processes holds of a sequence cut into pieces in a row.

    The pieces differ by one token at most and the first ones are the longer, as in
    ``torch.tensor_split``. A rotation needs no other knowledge of its neighbours.

    Args:
        length: of the whole sequence, in tokens; 0 or more.
        rank: which process asks, from 0 to ``world_size - 1``.
        world_size: how many there are.
        device: where the result lives.

    Returns:
        int64, ``(length // world_size,)`` or one more; empty for the last ones of a short sequence.

    Raises:
        TypeError, ValueError: not integers, or out of these ranges.
    """
    _require_size("length", length)
    require_count("world_size", world_size)
    if _require_size("rank", rank) >= world_size:
        raise ValueError(f"rank must be below world_size = {world_size}, got {rank}")
    share, longer = length // world_size, length % world_size
    first = rank * share + min(rank, longer)
    return sequence_positions(share + (rank < longer), start=first, device=device)


def grid_positions(
    height: int,
    width: int,
    *,
    prefix: int = 0,
    merge: int = 1,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Row and column of every patch of an image, row by row.

    A video whose frames do not look at each other repeats it: ``.repeat(1, frames)``.

    Args:
        height, width: of the image, in patches.
        prefix: tokens before the patches (class token, registers). They get 0 and do not turn.
        merge: vision towers from Qwen2-VL on take the patches by squares of ``merge x merge``,
            since each square later becomes one token; 1 is plain reading order.
        device: where the result lives.

    Returns:
        int64, ``(2, prefix + height * width)``: rows, then columns.

    Raises:
        TypeError, ValueError: not counts; a side that ``merge`` does not divide.
    """
    for name, side in (("height", height), ("width", width)):
        require_count(name, side)
        if side % require_count("merge", merge):
            raise ValueError(f"{name} must be a multiple of merge = {merge}, got {side}")
    grid = torch.cartesian_prod(
        torch.arange(height, device=device), torch.arange(width, device=device)
    )
    squares = grid.reshape(height // merge, merge, width // merge, merge, 2).transpose(1, 2)
    return _with_prefix(prefix, squares.reshape(-1, 2).T)


def centered_grid(
    height: int,
    width: int,
    *,
    prefix: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Patch centres as shares of the image: ``2 pi`` times a number between -1 and 1.

    The ends of an image stand at the same angles whatever its resolution. Positions are negative
    left of and above the centre, so a module must be told: ``RotaryEmbedding(..., signed=True)``.

    Args:
        height, width, prefix, device: as in :func:`grid_positions`.
        dtype: float64, or float32 for the very bits of the shipped models.

    Returns:
        ``dtype``, ``(2, prefix + height * width)``: rows, then columns.

    Raises:
        TypeError, ValueError: not counts, another dtype.

    Source: DINOv3 (arXiv 2508.10104); transformers 5.23, ``get_patches_center_coordinates``.
    """
    require_dtype("dtype", dtype, WIDE_FLOATS)
    sides = []
    for name, side in (("height", height), ("width", width)):
        steps = torch.arange(0.5, require_count(name, side), dtype=dtype, device=device)
        sides.append(2 * math.pi * (2.0 * (steps / side) - 1.0))
    return _with_prefix(prefix, torch.cartesian_prod(*sides).T)


def mrope_positions(
    segments: Iterable[int | Grid],
    *,
    start: int = 0,
    resume: str | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Time, row and column of every token where text, images and videos alternate (M-RoPE).

    Text counts all three axes up together, so for text alone M-RoPE is RoPE. A grid counts each
    axis from where it begins. Qwen3-VL cuts a video into frames with a time stamp as text before
    each: give it ``stamp, (1, h, w), stamp, (1, h, w), ...``.

    Args:
        segments: in order: an integer is that many text tokens, ``(t, h, w)`` is an image
            (``t = 1``) or a video of ``t`` steps, in tokens *after* merging patches. A fourth
            number is the time step, in positions: Qwen2.5-VL's ``tokens_per_second *
            second_per_grid``; times are rounded down, formed in float32 as in the model. It is 1
            unless given.
        start: position of the first token. To decode on, ``start=int(positions.max()) + 1``.
        resume: where a token goes after a video whose times reach past its rows and columns:
            ``"max"``, past the largest number so far (the paper and Qwen's code), or ``"space"``,
            past the rows and columns (transformers 5.23). It must be said where they differ.
        device: where the result lives.

    Returns:
        int64, ``(3, total)``. In a padded batch, write it where the mask is True:
        ``ids[:, row, mask[row]] = mrope_positions(...)``.

    Raises:
        TypeError, ValueError: a segment, ``start`` or ``resume`` that is not as above.

    Source: Qwen2-VL (arXiv 2409.12191), Qwen2.5-VL (arXiv 2502.13923); ``get_rope_index`` of
    transformers 5.23.
    """
    if resume is not None:
        require_choice("resume", resume, ("max", "space"))
    pieces = [torch.empty(3, 0, dtype=torch.int64, device=device)]
    past_space = past_all = _require_size("start", start)
    for number, segment in enumerate(segments):
        if resume is None and past_space != past_all:
            raise ValueError(
                f"resume must be 'max' or 'space', since a video before segments[{number}] lasts "
                f"longer than it is wide or high: 'max' goes on at {past_all}, 'space' at "
                f"{past_space}; got None"
            )
        place = past_all if resume == "max" else past_space
        piece, space, time = _mrope_segment(f"segments[{number}]", segment, device)
        pieces.append(place + piece)
        past_space, past_all = place + space, place + max(space, time)
    return torch.cat(pieces, dim=1)


def _mrope_segment(
    name: str, segment: int | Grid, device: torch.device | str | None
) -> tuple[torch.Tensor, int, int]:
    """Positions of one segment from 0 on, ``(3, tokens)``, and how far it reaches: space, time."""
    if not isinstance(segment, tuple | list):
        length = _require_size(name, segment)
        return torch.arange(length, device=device).expand(3, -1), length, length
    if len(segment) not in (3, 4):
        raise ValueError(f"{name} must be (t, h, w) or (t, h, w, time step), got {segment!r}")
    t, h, w = (require_count(name, size) for size in segment[:3])
    step = require_positive(name, segment[3]) if len(segment) == 4 else 1.0
    times = (torch.arange(t, dtype=torch.float32, device="cpu") * step).long()  # as models round
    grid = (times.to(device), torch.arange(h, device=device), torch.arange(w, device=device))
    return torch.cartesian_prod(*grid).T, max(h, w), int(times[-1]) + 1


def _unpack(cu_seqlens: torch.Tensor, total: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """For each packed token: which sequence it belongs to, and its place in the row."""
    _require_integers("cu_seqlens", cu_seqlens)
    if seen_any(cu_seqlens[:1], lambda first: first != 0):
        raise ValueError(f"cu_seqlens must start at 0, got {cu_seqlens[0].item()}")
    if seen_any(cu_seqlens, lambda ends: ends[1:] < ends[:-1]):
        raise ValueError(f"cu_seqlens must never fall, got {cu_seqlens.tolist()}")
    total = int(cu_seqlens[-1]) if total is None else _require_size("total", total)
    if seen_any(cu_seqlens[-1:], lambda end: end != total):
        raise ValueError(f"total must be the end of cu_seqlens, {cu_seqlens[-1]}, got {total}")
    row = torch.arange(total, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens[1:].long(), row, right=True), row


def _with_prefix(prefix: int, positions: torch.Tensor) -> torch.Tensor:
    """``(2, seq)`` behind ``prefix`` columns of zeros."""
    nowhere = positions.new_zeros(2, _require_size("prefix", prefix))
    return torch.cat((nowhere, positions), dim=1)


def _require_size(name: str, value: int) -> int:
    """Return ``value`` if it is an integer of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return value


def _require_integers(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` if it is a row of one integer or more."""
    if require_tensor(name, value).dtype not in _INTEGERS:
        raise TypeError(f"{name} must hold integers, got {value.dtype}")
    if value.ndim != 1 or len(value) == 0:
        raise ValueError(
            f"{name} must have one dimension and a number in it, got shape {tuple(value.shape)}"
        )
    return value
