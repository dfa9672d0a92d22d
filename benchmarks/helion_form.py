"""RoPE in Helion, half-split pairs: imported only where Helion is installed.

One configuration, the tile of rope_lib's own kernel, since a search takes minutes for each shape.
"""

import helion
import helion.language as hl
import torch

ROWS, HEADS, WARPS = 8, 2, 4


def turning(heads: int, tokens: int, pairs: int):
    """A function of ``x``, ``cos`` and ``sin`` for this shape."""
    sizes = [1, min(HEADS, power(heads)), min(ROWS, power(tokens)), power(pairs)]
    config = helion.Config(block_sizes=sizes, num_warps=WARPS)
    return helion.kernel(turn, config=config, static_shapes=True)


def power(size: int) -> int:
    return 1 << (size - 1).bit_length()


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    batch, heads, tokens, width = x.size()
    pairs = width // 2
    out = torch.empty_like(x)
    for text, head, row, pair in hl.tile([batch, heads, tokens, pairs]):
        c, s = cos[row, pair], sin[row, pair]
        first = x[text, head, row, pair].to(torch.float32)
        second = x[text, head, row, pair.index + pairs].to(torch.float32)
        out[text, head, row, pair] = (first * c - second * s).to(x.dtype)
        out[text, head, row, pair.index + pairs] = (first * s + second * c).to(x.dtype)
    return out
