"""Where the tokens of images and videos stand, alone (vision towers) or among text (M-RoPE).

A position has one number for each axis, and the axes come first: ``(axes, seq)``.
"""

import math
from collections.abc import Iterable
from fractions import Fraction

import torch

from ..checks import WIDE_FLOATS, require_choice, require_count, require_dtype, require_positive
from ..positions import require_size

Grid = tuple[int, int, int] | tuple[int, int, int, float]


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
        prefix: tokens before the patches (class token, registers). They get 0 and do not rotate.
        merge: vision towers from Qwen2-VL on take the patches by squares of ``merge x merge``,
            since each square later becomes one token; 1 is plain reading order.
        device: where the result lives.

    Returns:
        int64, ``(2, prefix + height * width)``: rows, then columns.

    Raises:
        TypeError, ValueError: not counts; a side that ``merge`` does not divide.

    Example:
        >>> grid_positions(2, 3)
        tensor([[0, 0, 0, 1, 1, 1],
                [0, 1, 2, 0, 1, 2]])
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

    Example:
        >>> centered_grid(1, 2)
        tensor([[ 0.0000,  0.0000],
                [-3.1416,  3.1416]], dtype=torch.float64)
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
    shipped: bool = False,
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
            second_per_grid``. Times are exact and rounded down. It is 1 unless given.
        start: position of the first token. To decode on, ``start=int(positions.max()) + 1``.
        resume: where a token goes after a video whose times reach past its rows and columns:
            ``"max"``, past the largest number so far (the paper and Qwen's code), or ``"space"``,
            past the rows and columns (transformers 5.23). It must be said where they differ.
        shipped: form times in float32, as transformers 5.23 does. Of two numbers whose product is
            whole it may take the one below: 15 steps of 25 · 4/3 are 499 there, and 500 here.
        device: where the result lives.

    Returns:
        int64, ``(3, total)``. In a padded batch, write it where the mask is True:
        ``ids[:, row, mask[row]] = mrope_positions(...)``.

    Raises:
        TypeError, ValueError: a segment, ``start`` or ``resume`` that is not as above.

    Source: Qwen2-VL (arXiv 2409.12191), Qwen2.5-VL (arXiv 2502.13923); ``get_rope_index`` of
    transformers 5.23.

    Example:
        >>> mrope_positions([2, (1, 2, 2), 1])  # two words, a 2 x 2 image, a word
        tensor([[0, 1, 2, 2, 2, 2, 4],
                [0, 1, 2, 2, 3, 3, 4],
                [0, 1, 2, 3, 2, 3, 4]])
    """
    if resume is not None:
        require_choice("resume", resume, ("max", "space"))
    pieces = [torch.empty(3, 0, dtype=torch.int64, device=device)]
    past_space = past_all = require_size("start", start)
    for number, segment in enumerate(segments):
        if resume is None and past_space != past_all:
            raise ValueError(
                f"resume must be 'max' or 'space', since a video before segments[{number}] lasts "
                f"longer than it is wide or high: 'max' goes on at {past_all}, 'space' at "
                f"{past_space}; got None"
            )
        place = past_all if resume == "max" else past_space
        piece, space, time = _mrope_segment(f"segments[{number}]", segment, shipped, device)
        pieces.append(place + piece)
        past_space, past_all = place + space, place + max(space, time)
    return torch.cat(pieces, dim=1)


def _mrope_segment(
    name: str, segment: int | Grid, shipped: bool, device: torch.device | str | None
) -> tuple[torch.Tensor, int, int]:
    """Positions of one segment from 0 on, ``(3, tokens)``, and how far it reaches: space, time."""
    if not isinstance(segment, tuple | list):
        length = require_size(name, segment)
        return torch.arange(length, device=device).expand(3, -1), length, length
    if len(segment) not in (3, 4):
        raise ValueError(f"{name} must be (t, h, w) or (t, h, w, time step), got {segment!r}")
    t, h, w = (require_count(name, size) for size in segment[:3])
    step = require_positive(name, segment[3]) if len(segment) == 4 else 1.0
    times = _times(t, step, shipped)
    grid = (times.to(device), torch.arange(h, device=device), torch.arange(w, device=device))
    return torch.cartesian_prod(*grid).T, max(h, w), int(times[-1]) + 1


def _times(count: int, step: float, shipped: bool) -> torch.Tensor:
    """``0, step, 2 step, ...``, rounded down."""
    if shipped:
        return (torch.arange(count, dtype=torch.float32, device="cpu") * step).long()
    # A rate such as 25 · 4/3 has a short fraction, of which a float is only the nearest neighbour.
    exact = Fraction(step).limit_denominator(10**6)
    return torch.tensor([int(number * exact) for number in range(count)], dtype=torch.int64)


def _with_prefix(prefix: int, positions: torch.Tensor) -> torch.Tensor:
    """``(2, seq)`` behind ``prefix`` columns of zeros."""
    nowhere = positions.new_zeros(2, require_size("prefix", prefix))
    return torch.cat((nowhere, positions), dim=1)
