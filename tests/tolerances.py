"""Numbers in a notebook's outputs that may move a little, as far as its cell says.

Sums come out differently in their last digits on another processor. A cell that prints such numbers
says how far they may move, in its metadata:

    "tolerance": {"relative": 0.02}      or      "tolerance": {"absolute": 0.005}

(or both, which add up). nbval compares all outputs as before. Only, before it does, each new
number that is close enough to the stored one is written like the stored one. So a number outside,
a changed word and a missing line are still seen, and nbval shows them. Integers never move: they
count something. Spaces may change where numbers are lined up.
"""

import re
from functools import partial

NUMBER = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
KEYS = {"absolute", "relative"}


def pytest_collection_modifyitems(items):
    """Give nbval's cells that state a tolerance a comparison that heeds it."""
    for item in items:
        metadata = getattr(getattr(item, "cell", None), "metadata", {})
        if "tolerance" in metadata:
            require_tolerance(metadata["tolerance"])
            item.compare_outputs = partial(compare, item.compare_outputs, metadata["tolerance"])


def require_tolerance(tolerance: dict) -> None:
    """Refuse what would be read as something else than was meant.

    Raises:
        ValueError: other keys than ``absolute`` and ``relative``, or a number that is not above 0.
    """
    if not tolerance or tolerance.keys() - KEYS or not all(x > 0 for x in tolerance.values()):
        raise ValueError(
            f"a cell's tolerance must have 'absolute' or 'relative' above 0, got {dict(tolerance)}"
        )


def compare(plain, tolerance: dict, test: list, ref: list, *more):
    """nbval's comparison, after numbers within the tolerance were set to the stored ones."""
    if len(test) == len(ref):
        test = [settled(new, old, tolerance) for new, old in zip(test, ref, strict=True)]
    return plain(test, ref, *more)


def settled(new, old, tolerance: dict):
    """An output, or a part of one, with its numbers settled wherever it holds text."""
    if isinstance(new, str) and isinstance(old, str):
        return settle(new, old, **tolerance)
    if isinstance(new, dict) and isinstance(old, dict):
        return type(new)(
            {key: settled(value, old.get(key), tolerance) for key, value in new.items()}
        )
    return new


def settle(new: str, old: str, absolute: float = 0.0, relative: float = 0.0) -> str:
    """``new``, with numbers that are close to those of ``old`` written as there.

    Where the words differ it stays as it is.
    """
    words, numbers = NUMBER.split(new), NUMBER.findall(new)
    old_words, old_numbers = NUMBER.split(old), NUMBER.findall(old)
    if [word.split() for word in words] != [word.split() for word in old_words]:
        return new

    def one(number: str, stored: str) -> str:
        if not (is_decimal(number) and is_decimal(stored)):
            return number
        near = abs(value(number) - value(stored)) <= absolute + relative * abs(value(stored))
        return stored if near else number

    kept = [one(*pair) for pair in zip(numbers, old_numbers, strict=True)]
    return "".join(part for pair in zip(old_words, [*kept, ""], strict=True) for part in pair)


def is_decimal(number: str) -> bool:
    """Whether it was measured, not counted."""
    return "." in number or "e" in number.lower()


def value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))
