"""What some models multiply their attention scores by, beside ``1 / sqrt(head_dim)``.

These factors are no part of a rotation, but they belong to its scaling, and a model without them
is another model: DeepSeek raises its scores once and for all, Ministral and Llama 4 raise those of
late queries. (The amplitude of a scaling, by which cosines and sines are multiplied, is not among
them: :attr:`rope_lib.module.RotaryEmbedding.amplitude`.)
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..checks import require_count, require_positions, require_real


@dataclass(frozen=True)
class ScoreFactors:
    """Scores of the query at ``m`` are multiplied by ``constant * (1 + beta ln(1 + steps))``.

    ``steps`` counts how often ``length`` tokens have passed: ``floor((m + first) / length)``.

    Args:
        constant: DeepSeek's ``(0.1 mscale_all_dim ln(factor) + 1) ** 2``; otherwise 1.
        beta: how much scores of late queries grow; 0 for not at all.
        length: tokens of a step.
        first: what the first token counts as, 0 or 1.
    """

    constant: float = 1.0
    beta: float = 0.0
    length: int = 1
    first: int = 0

    def at(self, positions: torch.Tensor) -> torch.Tensor:
        """The factor for queries at ``positions``, in tokens: float64, of the same shape.

        Example:
            >>> ScoreFactors(beta=0.1, length=8192).at(torch.tensor([0, 8192, 16384]))
            tensor([1.0000, 1.0693, 1.1099], dtype=torch.float64)
        """
        require_positions("positions", positions)
        steps = torch.floor((positions.double() + self.first) / self.length)
        return self.constant * (1 + self.beta * torch.log1p(steps))


def factors_of(kinds: tuple, parameters: Mapping, config: Mapping, turns: bool) -> ScoreFactors:
    """The factors that a model type has, by the ``kinds`` that its conventions name.

    Raises:
        TypeError, ValueError: numbers that are not allowed, each named.
    """
    found = {}
    if "mscale" in kinds:
        found["constant"] = _deepseek(parameters)
    if "beta" in kinds and parameters.get("llama_4_scaling_beta"):
        found["beta"] = parameters["llama_4_scaling_beta"]
        found["length"] = parameters["original_max_position_embeddings"]
    if "temperature" in kinds and not turns and config.get("attn_temperature_tuning", True):
        found["beta"] = _not_negative("attn_scale", config.get("attn_scale", 0.1))
        found["length"] = require_count("floor_scale", config.get("floor_scale", 8192))
        found["first"] = 1
    return ScoreFactors(**found)


def _deepseek(parameters: Mapping) -> float:
    mscale = _not_negative("mscale_all_dim", parameters.get("mscale_all_dim", 0))
    factor = parameters.get("factor", 1)
    if parameters.get("rope_type", "default") == "default" or not mscale or factor <= 1:
        return 1.0
    return (0.1 * mscale * math.log(factor) + 1) ** 2


def _not_negative(name: str, value: float) -> float:
    if not 0 <= require_real(name, value) <= sys.float_info.max:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return float(value)
