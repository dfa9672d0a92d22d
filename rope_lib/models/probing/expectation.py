"""What a rotation is expected to do, from a rotary embedding or from one that was identified."""

from dataclasses import dataclass
from typing import Any

import torch

from ...frequencies import inverse_frequencies
from ...scaling import Scaling
from .arrangement import place


@dataclass(frozen=True)
class Expectation:
    """A rotation in numbers.

    Args:
        head_dim, rotary_dim, rotated, pairing, output_pairing, clockwise, layout, base, scaling:
            as in :class:`rope_lib.module.RotaryEmbedding`; the scaling at its length.
        given: the scaling as it was given, which may depend on a length.
        frequencies: radians per token, ``(rotary_dim / 2,)``, positive; 0 where a pair stands.
        amplitude, origin: as in :class:`rope_lib.models.identify.Identified`.
        precision: words for its rounding, None where it has to be measured.
        length: the longest text that it is for, None for any.
    """

    head_dim: int
    rotary_dim: int
    rotated: str
    pairing: str
    output_pairing: str
    clockwise: bool
    layout: str
    base: float
    scaling: Scaling | None
    given: Any
    frequencies: torch.Tensor
    amplitude: float
    origin: float
    precision: str | None
    length: int | None

    @property
    def start(self) -> int:
        """The place of the first number that turns."""
        return self.head_dim - self.rotary_dim if self.rotated == "last" else 0

    def places(self, pairing: str | None = None) -> list[tuple[int, int]]:
        """The two numbers of each pair, turning or not."""
        pairs = range(self.rotary_dim // 2)
        return [place(pairing or self.pairing, k, self.start, self.rotary_dim) for k in pairs]


_PARTS = ("head_dim", "rotary_dim", "rotated", "pairing", "output_pairing", "clockwise", "layout",
          "base")  # fmt: skip


def expectation(rope: Any) -> Expectation:
    """Read a rotary embedding, or a rotation that was identified.

    Raises:
        TypeError, ValueError: neither of them, positions with more than one axis, a scaling that
            depends on a length not yet given.
    """
    missing = [name for name in (*_PARTS, "scaling") if not hasattr(rope, name)]
    if missing:
        raise TypeError(
            "rope must be a RotaryEmbedding or what identify returned, got "
            f"{type(rope).__name__}; RotaryEmbedding.from_config reads a configuration"
        )
    if getattr(rope, "axes", None) is not None:
        raise ValueError("rope must have positions of one axis to be compared with; it has axes")
    scaling, length = rope.scaling, getattr(rope, "length", None)
    if hasattr(scaling, "at_length"):
        if length is None:
            raise ValueError(
                f"rope has the scaling {type(scaling).__name__}, which depends on the length of "
                "the text: pass rope.for_length(tokens) to compare at one"
            )
        scaling = scaling.at_length(length)
    return Expectation(
        **{name: getattr(rope, name) for name in _PARTS}, scaling=scaling, given=rope.scaling,
        frequencies=_frequencies(rope, scaling), amplitude=float(rope.amplitude),
        origin=getattr(rope, "origin", 0.0), length=length,
        precision=rope.precision if isinstance(getattr(rope, "precision", 0), str) else None,
    )  # fmt: skip


def _frequencies(rope: Any, scaling: Scaling | None) -> torch.Tensor:
    if hasattr(rope, "frequencies"):
        return torch.tensor(rope.frequencies, dtype=torch.float64)
    dtype = getattr(getattr(rope, "precision", None), "angles", torch.float64)
    ladder = inverse_frequencies if scaling is None else scaling.inverse_frequencies
    return ladder(rope.rotary_dim, rope.base, dtype=dtype).double()
