"""The ways to read beyond the trained length that the experiments compare, by name."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from llama import Sizes
from memory import Range, Way

from rope_lib import NTK, DynamicNTK, Linear, Llama3, Rescaled, YaRN, inverse_frequencies
from rope_lib.frequencies import wavelengths

NEAR = 2048  # what clamped and grouped distances leave as it is, and the width of windows
GROUP = 8


def catalogue(sizes: Sizes, factor: int, length: int, found: tuple = ()) -> dict[str, Way]:
    """Every way to read ``length`` tokens, set up for ``factor`` times the trained length.

    Args:
        length: what dynamic scaling looks at.
        found: one factor a pair, from ``real_search.py``; without it that way is left out.
    """
    plain, trained = scaled(sizes), sizes.trained_length
    yarn = YaRN(factor, trained)
    made = {
        "plain": plain,
        "linear": scaled(sizes, Linear(factor)),
        "NTK-aware": scaled(sizes, NTK(factor)),
        "dynamic NTK": scaled(sizes, DynamicNTK(2, trained).at_length(length)),
        "YaRN": scaled(sizes, yarn),
        "YaRN, no temperature": replace(scaled(sizes, yarn), amplitude=1.0),
        "Llama 3": scaled(sizes, Llama3(factor, trained)),
        "clamped": clamped(plain, NEAR),
        "clamped, log n": log_n(clamped(plain, NEAR), trained),
        "grouped": grouped(plain, NEAR, GROUP),
        "log n": log_n(plain, trained),
        "window": window(plain, NEAR),
        "window and first": window_with_sinks(plain, NEAR),
    }
    if found:
        made["searched factors"] = scaled(sizes, Rescaled(tuple(found), yarn.amplitude))
    return made


def scaled(sizes: Sizes, scaling=None) -> Way:
    """RoPE with one of rope_lib's scalings, or without."""
    if scaling is None:
        return Way(inverse_frequencies(sizes.head_dim, sizes.base))
    inv_freq = scaling.inverse_frequencies(sizes.head_dim, sizes.base)
    return Way(inv_freq, getattr(scaling, "amplitude", 1.0))


def log_n(way: Way, trained: int) -> Way:
    """Scores that grow like the logarithm of the position, from the trained length on."""
    return replace(way, query_scale=lambda m: ((m + 1).log() / math.log(trained)).clamp(min=1))


def clamped(way: Way, near: int) -> Way:
    """No distance above ``near``: all keys beyond seem to stand there (ReRoPE)."""
    return replace(way, ranges=(Range(0, near), Range(near, math.inf, _at(near), _at(0))))


def grouped(way: Way, near: int, group: int) -> Way:
    """Beyond ``near``, ``group`` neighbours share a position (Self-Extend, arXiv 2401.01325)."""
    far = Range(near, math.inf, lambda m: m // group + near - near // group, lambda n: n // group)
    return replace(way, ranges=(Range(0, near), far))


def window(way: Way, width: int) -> Way:
    """The last ``width`` keys only, the query's own included."""
    return replace(way, ranges=(Range(0, width),))


def window_with_sinks(way: Way, width: int, sinks: int = 4, *, moved: bool = True) -> Way:
    """A window, and the first ``sinks`` keys of the text (StreamingLLM, arXiv 2309.17453).

    Args:
        moved: rotate as if the cache held nothing else, so that the first keys stand right before
            the window; otherwise they keep their distance.
    """

    def at(m: torch.Tensor) -> torch.Tensor:
        return m.clamp(max=width + sinks - 1) if moved else m

    return replace(way, ranges=(Range(0, width), Range(width, math.inf, at, first=sinks)))


def slow_pairs_clamped(way: Way, trained: int) -> Way:
    """Pairs that do not finish a turn within ``trained`` see no larger distance; the rest do."""
    return _clamp_some(way, trained, wavelengths(way.inv_freq) > trained)


def fast_pairs_clamped(way: Way, trained: int) -> Way:
    """The other way round: pairs that finish a turn see no distance above ``trained``."""
    return _clamp_some(way, trained, wavelengths(way.inv_freq) <= trained)


def slow_pairs_frozen(way: Way, trained: int) -> Way:
    """Pairs that do not finish a turn within ``trained`` do not turn at all."""
    return replace(way, inv_freq=way.inv_freq.where(wavelengths(way.inv_freq) <= trained, 0.0))


def _clamp_some(way: Way, near: int, chosen: torch.Tensor) -> Way:
    far = Range(
        near, math.inf,
        lambda m: torch.where(chosen, float(near), m[:, None]),
        lambda n: torch.where(chosen, 0.0, n[:, None]),
    )  # fmt: skip
    return replace(way, ranges=(Range(0, near), far))


def _at(place: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda positions: torch.full_like(positions, place)
