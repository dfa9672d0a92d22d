"""Longer contexts: changing the frequencies that a model was trained with.

Each scaling is a small value with two things to give. ``inverse_frequencies(rotary_dim, base)``
takes ``dtype`` and ``device`` as :func:`rope_lib.frequencies.inverse_frequencies` does. The
``amplitude`` is a number that cosines and sines are multiplied by, so that scores grow by its
square; configs call it the attention factor.

Two scalings depend on how long the text is. They hold no frequencies of their own: call
``at_length(tokens)`` with the longest length that the cache will reach, and use what it returns for
every query and key of that text. Keys that were rotated with the frequencies of another length do
not fit; :meth:`rope_lib.module.RotaryEmbedding.rerotate` mends them.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from .checks import (
    require_count,
    require_factor,
    require_fraction,
    require_instance,
    require_positive,
    require_real,
)
from .frequencies import inverse_frequencies, proportional_frequencies, tokens_per_radian


@dataclass(frozen=True)
class Linear:
    """Linear interpolation: positions are squeezed by ``factor``, so every pair rotates slower.

    Source: Chen et al., arXiv 2306.15595, equation 4.

    Example:
        >>> Linear(4.0).inverse_frequencies(4, 100.0)
        tensor([0.2500, 0.0250], dtype=torch.float64)
    """

    factor: float
    amplitude: ClassVar[float] = 1.0

    def __post_init__(self):
        require_factor("factor", self.factor)

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """All frequencies divided by ``factor``."""
        return inverse_frequencies(rotary_dim, base, **where) / self.factor


@dataclass(frozen=True)
class NTK:
    """NTK-aware scaling: a larger base, ``base * factor ** (d / (d - 2))``.

    The exponent makes the slowest pair exactly ``factor`` times slower and leaves the fastest
    alone.

    Source: YaRN (arXiv 2309.00071), section 3.1, after a post by its first author.

    Example:
        >>> NTK(4.0).inverse_frequencies(4, 100.0)
        tensor([1.0000, 0.0250], dtype=torch.float64)
    """

    factor: float
    amplitude: ClassVar[float] = 1.0

    def __post_init__(self):
        require_factor("factor", self.factor)

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """The frequencies of the larger base; needs two pairs at least."""
        if rotary_dim < 4:
            raise ValueError(f"NTK scaling needs a rotary_dim of at least 4, got {rotary_dim}")
        try:
            larger = base * self.factor ** (rotary_dim / (rotary_dim - 2))
        except OverflowError:
            larger = math.inf
        require_positive(f"the base that factor = {self.factor} leads to", larger)
        return inverse_frequencies(rotary_dim, larger, **where)


@dataclass(frozen=True)
class DynamicNTK:
    """NTK-aware scaling that grows with the text: nothing up to ``original_length`` tokens.

    Beyond it, the factor at ``n`` tokens is ``factor * n / original_length - (factor - 1)``.

    Source: YaRN (arXiv 2309.00071), section 3.3; the formula is that of transformers.

    Example:
        >>> DynamicNTK(2.0, 4096).at_length(8192)
        NTK(factor=3.0)
    """

    factor: float
    original_length: int

    def __post_init__(self):
        require_factor("factor", self.factor)
        require_count("original_length", self.original_length)

    def at_length(self, tokens: int) -> NTK:
        """The scaling for a text of at most ``tokens`` tokens."""
        ratio = max(1.0, require_count("tokens", tokens) / self.original_length)
        return NTK(self.factor * ratio - (self.factor - 1))


@dataclass(frozen=True)
class Proportional:
    """p-RoPE: the fastest ``fraction`` of the pairs, divided by ``factor``; the rest do not rotate.

    Source: Barbero et al., arXiv 2410.06205, section 6; Gemma 4 ships it.

    Example:
        >>> Proportional(0.5).inverse_frequencies(8, 10_000.0)
        tensor([1.0000, 0.1000, 0.0000, 0.0000], dtype=torch.float64)
    """

    fraction: float
    factor: float = 1.0
    amplitude: ClassVar[float] = 1.0

    def __post_init__(self):
        require_fraction("fraction", self.fraction)
        require_factor("factor", self.factor)

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """See :func:`rope_lib.frequencies.proportional_frequencies`."""
        return proportional_frequencies(rotary_dim, self.fraction, base, **where) / self.factor


@dataclass(frozen=True)
class YaRN:
    """Slow pairs are interpolated, fast ones left alone, with a ramp between; scores are sharpened.

    A pair that makes more than ``beta_fast`` turns within ``original_length`` tokens keeps its
    speed, one that makes fewer than ``beta_slow`` is slowed by ``factor``. Between them the blend
    is straight in the number of the pair, as in the released code; in the paper, in the turns.

    What DeepSeek multiplies its scores by as well: :func:`rope_lib.models.reader.score_factors`.

    Args:
        factor: how many times the context grows.
        original_length: tokens of the context that the model was trained on.
        beta_fast, beta_slow: turns within the original context, where the ramp begins and ends.
        attention_factor: the amplitude; by default ``0.1 ln(factor) + 1``, or a ratio of two such
            numbers where ``mscale`` and ``mscale_all_dim`` are given (DeepSeek).
        mscale, mscale_all_dim: used together, and only without ``attention_factor``.
        truncate: round the ends of the ramp to whole pairs, outwards.

    Source: YaRN (arXiv 2309.00071), sections 3.2 and 3.4.

    Example:
        >>> yarn = YaRN(4.0, 4096)
        >>> inverse_frequencies(8) / yarn.inverse_frequencies(8, 10_000.0)  # slowed
        tensor([1.0000, 1.0000, 1.6000, 4.0000], dtype=torch.float64)
        >>> round(yarn.amplitude, 4)
        1.1386
    """

    factor: float
    original_length: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    def __post_init__(self):
        require_factor("factor", self.factor)
        require_count("original_length", self.original_length)
        require_positive("beta_slow", self.beta_slow)
        if require_positive("beta_fast", self.beta_fast) < self.beta_slow:
            raise ValueError(
                f"beta_fast must be at least beta_slow = {self.beta_slow}, got {self.beta_fast}"
            )
        if self.attention_factor is not None:
            require_positive("attention_factor", self.attention_factor)
        for name in ("beta_fast", "beta_slow"):
            turns = 2 * math.pi * getattr(self, name)
            require_positive(f"original_length / (2 pi {name})", self.original_length / turns)
        for name in ("mscale", "mscale_all_dim"):
            value = getattr(self, name)
            if value is not None and require_real(name, value) != 0:  # 0 stands for the default
                require_positive(name, value)
        require_instance("truncate", self.truncate, bool)

    @property
    def amplitude(self) -> float:
        """What cosines and sines are multiplied by."""
        if self.attention_factor is not None:
            return float(self.attention_factor)
        if self.mscale and self.mscale_all_dim:
            return self._temperature(self.mscale) / self._temperature(self.mscale_all_dim)
        return self._temperature(1.0)

    def _temperature(self, mscale: float) -> float:
        return 1.0 if self.factor <= 1 else 0.1 * mscale * math.log(self.factor) + 1.0

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """A blend, pair by pair, of the old frequencies and the old ones over ``factor``."""
        tokens = tokens_per_radian(rotary_dim, base, **where)
        low, high = self._ramp(rotary_dim, base)
        pairs = torch.arange(len(tokens), dtype=tokens.dtype, device=tokens.device)
        kept = 1 - ((pairs - low) / (high - low)).clamp(0, 1)
        return 1.0 / (self.factor * tokens) * (1 - kept) + 1.0 / tokens * kept

    def _ramp(self, rotary_dim: int, base: float) -> tuple[float, float]:
        """The pairs between which the blend changes, as transformers counts them."""
        if base <= 1:
            raise ValueError(f"base must be greater than 1 for YaRN, got {base}")
        low, high = (
            rotary_dim
            * math.log(self.original_length / (turns * 2 * math.pi))
            / (2 * math.log(base))
            for turns in (self.beta_fast, self.beta_slow)
        )
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotary_dim - 1)
        return low, high + 0.001 if low == high else high


@dataclass(frozen=True)
class Llama3:
    """Short wavelengths kept, long ones divided by ``factor``, a smooth blend between them.

    Kept below ``original_length / high_freq_factor`` tokens a turn, divided above
    ``original_length / low_freq_factor``; where the two are equal, as in Llama 4, nothing between.

    Source: the Llama 3.1 release; "Effective long-context scaling", arXiv 2309.16039, is where
    the larger base comes from.

    Example:
        >>> inverse_frequencies(8) / Llama3(8.0, 8192).inverse_frequencies(8, 10_000.0)
        tensor([1.0000, 1.0000, 1.0000, 4.6815], dtype=torch.float64)
    """

    factor: float
    original_length: int
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    amplitude: ClassVar[float] = 1.0

    def __post_init__(self):
        require_factor("factor", self.factor)
        require_count("original_length", self.original_length)
        require_positive("low_freq_factor", self.low_freq_factor)
        if require_positive("high_freq_factor", self.high_freq_factor) < self.low_freq_factor:
            raise ValueError(
                f"high_freq_factor must be at least low_freq_factor = {self.low_freq_factor}, "
                f"got {self.high_freq_factor}"
            )

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """Each frequency kept, divided, or blended, by its wavelength."""
        inv_freq = inverse_frequencies(rotary_dim, base, **where)
        wavelength = 2 * math.pi / inv_freq
        low, high = self.low_freq_factor, self.high_freq_factor
        is_long = wavelength > self.original_length / low
        is_short = wavelength < self.original_length / high
        kept = (self.original_length / wavelength - low) / (high - low)
        blend = (1 - kept) * inv_freq / self.factor + kept * inv_freq
        return torch.where(is_long, inv_freq / self.factor, torch.where(is_short, inv_freq, blend))


@dataclass(frozen=True)
class Rescaled:
    """Every pair slowed by a factor of its own, as :meth:`LongRoPE.at_length` returns it."""

    factors: tuple[float, ...]
    amplitude: float = 1.0

    def __post_init__(self):
        _keep_numbers(self, "factors")
        require_positive("amplitude", self.amplitude)

    def inverse_frequencies(self, rotary_dim: int, base: float, **where) -> torch.Tensor:
        """Each frequency divided by its own factor; there must be one for each pair."""
        tokens = tokens_per_radian(rotary_dim, base, **where)
        if len(self.factors) != len(tokens):
            raise ValueError(f"factors must hold {len(tokens)} numbers, got {len(self.factors)}")
        factors = torch.tensor(self.factors, dtype=tokens.dtype, device=tokens.device)
        return 1.0 / (factors * tokens)


@dataclass(frozen=True)
class LongRoPE:
    """Searched factors, one a pair: one set up to ``original_length`` tokens, another beyond.

    Args:
        short_factor, long_factor: one number a pair each.
        original_length: tokens of the context that the model was trained on; at least 2.
        factor: how many times the context grows; sets the amplitude,
            ``sqrt(1 + ln(factor) / ln(original_length))``.
        attention_factor: the amplitude itself, where it is given.

    Source: LongRoPE (arXiv 2402.13753), section 3; the amplitude is that of the Phi-3 release.

    Example:
        >>> LongRoPE((1.0, 1.0), (1.0, 4.0), 4096).at_length(5000)
        Rescaled(factors=(1.0, 4.0), amplitude=1.0)
    """

    short_factor: tuple[float, ...]
    long_factor: tuple[float, ...]
    original_length: int
    factor: float = 1.0
    attention_factor: float | None = None

    def __post_init__(self):
        require_count("original_length", self.original_length)
        require_positive("factor", self.factor)
        if self.attention_factor is not None:
            require_positive("attention_factor", self.attention_factor)
        _keep_numbers(self, "short_factor", "long_factor")
        if len(self.short_factor) != len(self.long_factor):
            raise ValueError(
                "short_factor and long_factor must hold one number a pair each, got "
                f"{len(self.short_factor)} and {len(self.long_factor)}"
            )
        if self.original_length < 2:
            raise ValueError(f"original_length must be at least 2, got {self.original_length}")

    def at_length(self, tokens: int) -> Rescaled:
        """The scaling for a text of at most ``tokens`` tokens."""
        is_long = require_count("tokens", tokens) > self.original_length
        factors = self.long_factor if is_long else self.short_factor
        return Rescaled(factors, self._amplitude())

    def _amplitude(self) -> float:
        if self.attention_factor is not None:
            return float(self.attention_factor)
        grown = math.log(max(self.factor, 1.0))
        return math.sqrt(1 + grown / math.log(self.original_length))


def _keep_numbers(scaling: Rescaled | LongRoPE, *names: str) -> None:
    """Positive numbers as a tuple, also where they came as a list, as JSON has them."""
    for name in names:
        numbers = tuple(require_instance(name, getattr(scaling, name), tuple | list))
        object.__setattr__(scaling, name, numbers)
        for number in numbers:
            require_positive(name, number)


Scaling = Linear | NTK | DynamicNTK | Proportional | YaRN | Llama3 | Rescaled | LongRoPE
