"""Stored results of ``experiments/`` and ``benchmarks/``, and what to count from them."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from ..checks import require_choice, require_count

_COURSE = Path(__file__).resolve().parent
# In a checkout the scripts' own folders; an installed library carries copies.
_FOLDERS = (
    *(_COURSE.parents[1] / scripts / "results" for scripts in ("experiments", "benchmarks")),
    *(_COURSE / copy for copy in ("stored", "measured")),
)


def stored() -> list[str]:
    """The names of all results that :func:`load` finds."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.json")})


def load(name: str) -> dict:
    """One result file as its script wrote it: ``command`` and ``runs``, each with its provenance.

    Raises:
        ValueError: there is no such result.
    """
    require_choice("name", name, tuple(stored()))
    paths = (folder / f"{name}.json" for folder in _FOLDERS)
    return json.loads(next(path for path in paths if path.exists()).read_text("utf-8"))


def select(runs: list[dict], **wanted) -> list[dict]:
    """The runs whose settings have all these values.

    Raises:
        ValueError: no run has them, or no run knows such a setting.
    """
    unknown = [key for key in wanted if not any(key in run for run in runs)]
    if unknown:
        raise ValueError(f"no run knows {', '.join(unknown)}")
    found = [run for run in runs if all(run.get(key) == value for key, value in wanted.items())]
    if not found:
        raise ValueError(f"no run has {wanted}")
    return found


def best_settings(runs: list[dict], by: tuple[str, ...], of: str = "loss") -> dict:
    """The values of ``by`` that lead to the lowest mean of ``of``; None stands for infinity."""
    groups: dict[tuple, list[float]] = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in by), []).append(
            math.inf if run[of] is None else run[of]
        )
    lowest = min(groups, key=lambda values: fmean(groups[values]))
    return dict(zip(by, lowest, strict=True))


class Difference(NamedTuple):
    """A paired difference: its mean, its standard deviation and the pairs it rests on."""

    mean: float
    spread: float
    pairs: int

    @classmethod
    def of(cls, differences: Collection[float]) -> "Difference":
        """The mean and the spread of two or more differences, one for each pair."""
        return cls(fmean(differences), stdev(differences), len(differences))


def paired(
    runs: list[dict], others: list[dict], *, by: tuple[str, ...] = ("seed",), of: str = "loss"
) -> Difference:
    """How much higher ``of`` is in ``runs`` than in ``others``, run by run with equal ``by``.

    Raises:
        ValueError: a run without a partner, two partners for one, or fewer than two pairs.

    Example:
        >>> runs = [{"seed": 0, "loss": 2.0}, {"seed": 1, "loss": 2.5}]
        >>> others = [{"seed": 0, "loss": 1.5}, {"seed": 1, "loss": 1.0}]
        >>> paired(runs, others).mean
        1.0
    """
    left, right = _keyed(runs, by), _keyed(others, by)
    if left.keys() != right.keys():
        raise ValueError(f"runs without a partner by {by}: {sorted(left.keys() ^ right.keys())}")
    if len(left) < 2:
        raise ValueError(f"a spread needs two pairs at least, got {len(left)}")
    differences = [left[key][of] - right[key][of] for key in left]
    return Difference.of(differences)


def of_sum(difference: Difference, comparisons: int = 1) -> tuple[float, float, float]:
    """The sum of paired differences, such as of counts, and its interval as :func:`interval`.

    Example:
        >>> of_sum(Difference.of([1.0, 2.0, 3.0]))[0]
        6.0
    """
    ends = (difference.mean, *interval(difference, comparisons=comparisons))
    return tuple(difference.pairs * end for end in ends)


def _keyed(runs: list[dict], by: tuple[str, ...]) -> dict[tuple, dict]:
    keyed = {tuple(run[key] for key in by): run for run in runs}
    if len(keyed) < len(runs):
        raise ValueError(f"several runs are alike by {by}")
    return keyed


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def interval(difference: Difference, *, comparisons: int = 1, confidence: float = 0.95) -> Interval:
    """Student's interval of a mean paired difference, for differences that are about normal.

    Args:
        difference: as :func:`paired` returns it.
        comparisons: how many intervals are to hold together with this confidence: each is made
            with the level ``1 - (1 - confidence) / comparisons`` (Bonferroni's correction).
        confidence: such as 0.95.

    Returns:
        The interval ``mean ± t * spread / sqrt(pairs)``.

    Example:
        >>> low, high = interval(Difference(mean=0.10, spread=0.02, pairs=3))
        >>> round(low, 4), round(high, 4)  # 2.48 standard deviations each way
        (0.0503, 0.1497)
    """
    outside = (1 - confidence) / require_count("comparisons", comparisons)
    quantile = t_quantile(1 - outside / 2, difference.pairs - 1)
    half = quantile * difference.spread / math.sqrt(difference.pairs)
    return Interval(difference.mean - half, difference.mean + half)


def t_quantile(probability: float, freedom: int) -> float:
    """The number below which Student's t with ``freedom`` degrees of freedom lies so probably.

    Args:
        probability: from 0.5 to below 1; such as 0.975 for an interval of 95 %.
        freedom: a positive integer.

    Raises:
        TypeError, ValueError: a probability outside that range, no positive integer.
    """
    require_count("freedom", freedom)
    if not 0.5 <= probability < 1:
        raise ValueError(f"probability must be from 0.5 to below 1, got {probability}")
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # halving an interval of angles until it is as narrow as a float
        middle = (low + high) / 2
        if 0.5 + _t_area(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _t_area(angle: float, freedom: int, parts: int = 400) -> float:
    """The probability of ``0 < t < sqrt(freedom) tan(angle)``, by Simpson's rule.

    With that substitution the density of t becomes ``c cos(angle) ** (freedom - 1)``.
    """
    logarithm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    heights = [math.cos(angle * i / parts) ** (freedom - 1) for i in range(parts + 1)]
    total = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return math.exp(logarithm) * total * angle / parts / 3


def is_on_plateau(runs: list[dict], *, within: float = 0.05) -> bool:
    """Whether a run did not get below the ``loss`` of a bigram table by as much as ``within``.

    Each run holds that loss as ``bigram``. A training that diverged, with the loss None, did not.
    """
    return any(run["loss"] is None or run["loss"] > run["bigram"] - within for run in runs)


def verdict(runs: list[dict], others: list[dict], *, comparisons: int, least: float = 0.01) -> str:
    """How ``runs`` compare with ``others`` by the rules that ``experiments/fair.py`` set itself.

    Args:
        runs, others: trainings of two encodings with the same seeds.
        comparisons: that are made together, as in :func:`interval`.
        least: a mean difference below it is called no difference, nats a byte.

    Returns:
        ``"plateau"`` if ``runs`` learnt little more than a bigram table, see
        :func:`is_on_plateau`; else ``"no difference"``, ``"undecided"`` where the interval of
        the difference includes 0, ``"better"`` or ``"worse"``.
    """
    if is_on_plateau(runs):
        return "plateau"
    difference = paired(runs, others)
    if abs(difference.mean) < least:
        return "no difference"
    low, high = interval(difference, comparisons=comparisons)
    if low <= 0 <= high:
        return "undecided"
    return "better" if high < 0 else "worse"
