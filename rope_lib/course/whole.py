"""Stored runs in which a scaling read a long text itself, beside those that had plain RoPE's cache.

Both ask for the same planted numbers after the same texts of SmolLM2: ``real_whole.py`` reads every
token in the given way, ``real_foreign`` (``real_length.py --ways``) only the passage and questions.
"""

import numpy as np

from ..checks import require_choice
from . import results

CACHES = ("itself", "plain RoPE")


def answers(way: str, factor: int, cache: str) -> list[dict]:
    """For each of 16 texts ``window``, ``loss`` and, by distance, ``found`` and ``digit_loss``.

    Args:
        way: ``"plain"`` or ``"YaRN"``.
        factor: 2 or 4; plain RoPE has only 2, where it means nothing.
        cache: who had read the text, ``"itself"`` or ``"plain RoPE"``.
    """
    require_choice("cache", cache, CACHES)
    if cache == "itself":
        return results.select(results.load("real_whole")["runs"], way=way, factor=factor)
    runs = results.load("real_foreign")["runs"]
    return [
        {"window": run["window"], **run["ways"][f"{way}, {factor}"][str(run["lengths"][0])]}
        for run in runs
    ]


def distances() -> list[int]:
    """How many tokens before the passage numbers were planted, the nearest first."""
    return sorted(results.load("real_whole")["runs"][0]["distances"])


def numbers_found(way: str, factor: int, cache: str) -> list[int]:
    """How many of 16 numbers were found, for each distance."""
    found = np.sum([each["found"] for each in answers(way, factor, cache)], axis=0)
    return [int(count) for count in found]


def found_more(
    case: tuple[str, int, str], other: tuple[str, int, str], comparisons: int = 1
) -> tuple[float, float, float]:
    """Of the numbers at the two largest distances, how many more were found: mean and interval.

    The differences are paired by text; the mean is their sum over the texts.
    """
    runs = [
        [{"window": each["window"], "far": sum(each["found"][-2:])} for each in answers(*which)]
        for which in (case, other)
    ]
    pairs = results.paired(*runs, by=("window",), of="far")
    return results.of_sum(pairs, comparisons)
