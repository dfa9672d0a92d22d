"""Whether the pairs of a head stand where they are expected."""

from dataclasses import dataclass

from .arrangement import Arrangement
from .expectation import Expectation
from .measurement import Measurement


@dataclass(frozen=True)
class Placing:
    """Pairs that were found beside those expected.

    Args:
        steps: for each pair found, which of the expected pairs its frequency is compared with.
        pairs: how many pairs the frequencies are compared over.
        differences: what differs, in sentences.
        rest: what differs in the numbers that do not turn.
    """

    steps: tuple[int, ...]
    pairs: int
    differences: tuple[str, ...]
    rest: tuple[str, ...]


def placed(found: Measurement, where: Arrangement, expected: Expectation) -> Placing:
    """Match the pairs by place, or by order where they stand elsewhere."""
    inputs = [tuple(pair) for pair in found.blocks.inputs.tolist()]
    wanted = {pair: step for step, pair in enumerate(expected.places())}
    if all(pair in wanted for pair in inputs):
        steps, pairs, words = tuple(wanted[p] for p in inputs), expected.rotary_dim // 2, []
    else:
        steps, pairs, words = _elsewhere(found, where, expected)
    words += _order(found, where, expected, bool(words))
    rest = _rest(found, expected, bool(words))
    return Placing(steps, pairs, tuple(words), tuple(rest))


def _elsewhere(found: Measurement, where: Arrangement, expected: Expectation):
    """Pairs that are not among those expected."""
    inputs, turning = found.blocks.inputs.tolist(), int((expected.frequencies != 0).sum())
    width = where.rotary_dim
    if width <= expected.rotary_dim <= where.widest:
        width = expected.rotary_dim
    steps, pairs, words = where.steps, width // 2, []
    distance = inputs[0][1] - inputs[0][0]
    if where.pairing == "other":
        shown = ", ".join(f"({i}, {j})" for i, j in inputs[:3])
        words.append(f"pairing: yours turns numbers {shown} ... together, expected "
                     f"{expected.pairing}")  # fmt: skip
        return steps, pairs, words
    if where.pairing != expected.pairing and not where.either:
        words.append(f"pairing: yours {where.pairing}, expected {expected.pairing}")
    elif (
        where.pairing == "half" and width != expected.rotary_dim and len(inputs) == turning
        and max(steps) < expected.rotary_dim // 2
    ):  # fmt: skip
        words.append(f"pairing: yours turns numbers (i, i + {distance}) together, expected "
                     f"(i, i + {expected.rotary_dim // 2})")  # fmt: skip
        return steps, expected.rotary_dim // 2, words
    if width != expected.rotary_dim:
        words.append(f"rotary_dim: yours {width}, expected {expected.rotary_dim}")
    elif where.rotated != expected.rotated and width < found.head_dim:
        words.append(f"rotated: yours the {where.rotated} part, expected the {expected.rotated}")
    return steps, pairs, words


def _order(found: Measurement, where: Arrangement, expected: Expectation, moved: bool) -> list[str]:
    """The order in which turned numbers come out."""
    yours, wanted = where.output_pairing, expected.output_pairing
    kept = yours == where.pairing and wanted == expected.pairing
    if yours == wanted or where.either or (moved and kept) or len(found.blocks.inputs) < 2:
        return []
    return [f"output order: yours {yours}, expected {wanted}"]


def _rest(found: Measurement, expected: Expectation, moved: bool) -> list[str]:
    """Numbers that do not turn: kept as they are, or multiplied as their still pairs are."""
    inside = {number for pair in expected.places() for number in pair}
    allowed = max(1e-4, 4 * found.grain)
    for (place, _), factor in zip(found.blocks.still, found.still, strict=True):
        wanted = found.amplitude if place in inside and not moved else 1.0
        if abs(factor - wanted) > allowed and abs(factor - 1) > allowed:
            return [f"numbers that do not turn: yours multiplied by {factor:.6g}, expected by 1"]
    outside = [(a, b) for a, b in found.blocks.still if a != b and a not in inside]
    if outside and not moved:
        a, b = outside[0]
        return [f"numbers that do not turn: yours moves number {a} to {b}"]
    return []
