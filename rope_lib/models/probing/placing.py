"""Whether the pairs of a head stand where they are expected."""

from collections.abc import Iterator
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
        rest: what differs in the elements that do not rotate.
        covers_amplitude: whether that says what there is to say about the amplitude.
    """

    steps: tuple[int, ...]
    pairs: int
    differences: tuple[str, ...]
    rest: tuple[str, ...]
    covers_amplitude: bool = False


def placings(found: Measurement, where: Arrangement, expected: Expectation) -> Iterator[Placing]:
    """Match the pairs by place, and by order where they may stand elsewhere."""
    inputs = [tuple(pair) for pair in found.blocks.inputs.tolist()]
    wanted = {pair: step for step, pair in enumerate(expected.places())}
    if all(pair in wanted for pair in inputs):
        steps = tuple(wanted[pair] for pair in inputs)
        yield _placing(found, where, expected, steps, expected.rotary_dim // 2, [])
        if where.rotary_dim < expected.rotary_dim and where.pairing == expected.pairing:
            words = [f"rotary_dim: yours {where.rotary_dim}, expected {expected.rotary_dim}"]
            pairs = where.rotary_dim // 2
            yield _placing(found, where, expected, where.steps, pairs, words)
        return
    yield _placing(found, where, expected, *_elsewhere(found, where, expected))


def _placing(found, where, expected, steps, pairs, words) -> Placing:
    wanted = expected.places(expected.output_pairing)
    outputs = [tuple(pair) for pair in found.blocks.outputs.tolist()]
    as_wanted = not words and outputs == [wanted[step] for step in steps]
    order = [] if as_wanted else _order(found, where, expected, bool(words))
    rest, covers = _rest(found, expected, bool(words + order))
    return Placing(steps, pairs, tuple(words + order), tuple(rest), covers)


def _shift(inputs: list, expected: Expectation) -> int:
    """By how many numbers all pairs stand away from those expected; 0 where that is not all."""
    turning = [p for p, f in zip(expected.places(), expected.frequencies, strict=True) if f != 0]
    away = {a - b for p, q in zip(inputs, turning, strict=False) for a, b in zip(p, q, strict=True)}
    return away.pop() if len(away) == 1 and len(inputs) == len(turning) else 0


def _elsewhere(found: Measurement, where: Arrangement, expected: Expectation):
    """Pairs that are not among those expected."""
    inputs, turning = found.blocks.inputs.tolist(), int((expected.frequencies != 0).sum())
    width = where.rotary_dim
    if width <= expected.rotary_dim <= where.widest:
        width = expected.rotary_dim
    steps, pairs, words = where.steps, width // 2, []
    distance = inputs[0][1] - inputs[0][0]
    start = expected.start + (shift := _shift(inputs, expected))
    if shift and start not in (0, found.head_dim - expected.rotary_dim):
        last, wanted = start + expected.rotary_dim - 1, expected.start + expected.rotary_dim - 1
        words.append(f"part: yours turns numbers {start} to {last}, expected {expected.start} to "
                     f"{wanted}")  # fmt: skip
        return tuple(range(len(inputs))), expected.rotary_dim // 2, words
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
    if yours == "other":
        (i, j), (r, s) = found.blocks.inputs[0].tolist(), found.blocks.outputs[0].tolist()
        return [f"output order: yours puts numbers {i} and {j} at {r} and {s}"]
    return [f"output order: yours {yours}, expected {wanted}"]


def _rest(found: Measurement, expected: Expectation, moved: bool) -> tuple[list[str], bool]:
    """Elements that do not rotate: kept as they are, or multiplied as their still pairs are.

    Returns:
        What differs, and whether it is the amplitude, extended to all numbers.
    """
    inside = {number for pair in expected.places() for number in pair}
    allowed = max(1e-4, 4 * found.grain)
    for (place, _), factor in zip(found.blocks.still, found.still, strict=True):
        wanted = found.amplitude if place in inside and not moved else 1.0
        if abs(factor - wanted) > allowed and abs(factor - 1) > allowed:
            return _multiplied(found, expected, factor, allowed)
    outside = [(a, b) for a, b in found.blocks.still if a != b and a not in inside]
    if outside and not moved:
        a, b = outside[0]
        return [f"elements that do not rotate: yours moves element {a} to {b}"], False
    return [], False


def _multiplied(
    found: Measurement, expected: Expectation, factor: float, allowed: float
) -> tuple[list[str], bool]:
    if abs(factor - found.amplitude) <= allowed < abs(found.amplitude - expected.amplitude):
        words = (
            f"attention factor (amplitude): yours {factor:.6g}, on all numbers, expected "
            f"{expected.amplitude:.6g}, on those that turn"
        )
        return [words], True
    return [f"elements that do not rotate: yours multiplied by {factor:.6g}, expected by 1"], False
