"""Where the turning pairs of a head stand: pairing, width, part, and the order of the result."""

from dataclasses import dataclass

from .blocks import Blocks


@dataclass(frozen=True)
class Arrangement:
    """The pairs of a head in the terms of :class:`rope_lib.module.RotaryEmbedding`.

    Args:
        pairing: ``"interleaved"``, ``"half"``; ``"other"`` for pairs that are neither.
        output_pairing: the order of the turned numbers in the result, in the same words.
        rotary_dim: the smallest width that holds the turning pairs.
        widest: the largest, which has pairs that do not rotate at its end.
        rotated: ``"first"`` or ``"last"``.
        steps: the number of each turning pair, from 0, in the order of the blocks.
        either: both pairings are the same, since there is one pair.
    """

    pairing: str
    output_pairing: str
    rotary_dim: int
    widest: int
    rotated: str
    steps: tuple[int, ...]
    either: bool = False


def arrange(blocks: Blocks, head_dim: int) -> Arrangement:
    """Name the arrangement of blocks that turn."""
    inputs = [tuple(pair) for pair in blocks.inputs.tolist()]
    outputs = [tuple(pair) for pair in blocks.outputs.tolist()]
    apart = {j - i for i, j in inputs}
    firsts = [i for i, _ in inputs]
    if apart == {1} and len({i % 2 for i in firsts}) == 1:
        start, width, widest = _interleaved(firsts, head_dim)
        steps, pairing = [(i - start) // 2 for i in firsts], "interleaved"
    elif len(apart) == 1 and (start := _half_start(firsts, distance := apart.pop(), head_dim)) >= 0:
        steps, pairing = [i - start for i in firsts], "half"
        width = widest = 2 * distance
    else:
        return Arrangement("other", "other", 2 * len(inputs), head_dim, "first",
                           tuple(range(len(inputs))))  # fmt: skip
    rotated = "first" if start == 0 else "last"
    order = _order(outputs, steps, start, (width, widest), pairing)
    return Arrangement(pairing, order, width, widest, rotated, tuple(steps), width == widest == 2)


def _interleaved(firsts: list[int], head_dim: int) -> tuple[int, int, int]:
    """Where interleaved pairs start, and the widths they may have."""
    low, high = min(firsts), max(firsts) + 2
    if low == 0:
        return 0, high, head_dim - head_dim % 2
    return low, head_dim - low, head_dim - low


def _half_start(firsts: list[int], distance: int, head_dim: int) -> int:
    """Where half pairs of that distance start; -1 where they do not stand like that."""
    for start in (0, head_dim - 2 * distance):
        if start >= 0 and start <= min(firsts) and max(firsts) < start + distance:
            return start
    return -1


def _order(
    outputs: list[tuple[int, int]], steps: list[int], start: int, widths: tuple, pairing: str
) -> str:
    """In which order the pairs come out."""
    for name in (pairing, "interleaved", "half"):
        for width in sorted(set(widths)):
            if outputs == [place(name, step, start, width) for step in steps]:
                return name
    return "other"


def place(pairing: str, step: int, start: int, width: int) -> tuple[int, int]:
    """The two numbers of a pair."""
    if pairing == "interleaved":
        return start + 2 * step, start + 2 * step + 1
    return start + step, start + step + width // 2
