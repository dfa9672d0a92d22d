"""Stored results of ``experiments/`` and ``benchmarks/``, and what to count from them."""

import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from ..checks import require_choice

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


def paired(
    runs: list[dict], others: list[dict], *, by: tuple[str, ...] = ("seed",), of: str = "loss"
) -> Difference:
    """How much higher ``of`` is in ``runs`` than in ``others``, run by run with equal ``by``.

    Raises:
        ValueError: a run without a partner, two partners for one, or fewer than two pairs.
    """
    left, right = _keyed(runs, by), _keyed(others, by)
    if left.keys() != right.keys():
        raise ValueError(f"runs without a partner by {by}: {sorted(left.keys() ^ right.keys())}")
    if len(left) < 2:
        raise ValueError(f"a spread needs two pairs at least, got {len(left)}")
    differences = [left[key][of] - right[key][of] for key in left]
    return Difference(fmean(differences), stdev(differences), len(differences))


def _keyed(runs: list[dict], by: tuple[str, ...]) -> dict[tuple, dict]:
    keyed = {tuple(run[key] for key in by): run for run in runs}
    if len(keyed) < len(runs):
        raise ValueError(f"several runs are alike by {by}")
    return keyed
