"""How families of models rotate: the few things in which rotations differ.

A :class:`Family` is a value that names them. A :class:`Model` is a family with the defaults of one
model type, for what its ``config.json`` may leave out. :mod:`rope_lib.models.conventions` holds one
for each model type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..functional import Precision

# Where shipped code rounds: angles in float32, then tables and arithmetic ...
_AS_INPUT = Precision(torch.float32, wide_tables=False, wide_arithmetic=False)
_NARROW_TABLES = Precision(torch.float32, wide_tables=False, wide_arithmetic=True)
_WIDE = Precision(torch.float32, wide_tables=True, wide_arithmetic=True)


@dataclass(frozen=True)
class Family:
    """How a family of models rotates its queries and keys.

    Args:
        name: after its best known model.
        pairing, rotated, clockwise, output_pairing, signed: as in
            :class:`rope_lib.module.RotaryEmbedding`.
        axes: how pairs are shared out where positions have several axes, by a name of
            :data:`rope_lib.models.sharing.SHARED_OUT`.
        shipped: where the released code rounds; None where that is not reproduced.
    """

    name: str
    pairing: str
    rotated: str = "first"
    clockwise: bool = False
    output_pairing: str | None = None
    axes: str | None = None
    signed: bool = False
    shipped: Precision | None = _AS_INPUT


LLAMA = Family("LLaMA", "half")
OLMO = Family("OLMo", "half", shipped=_WIDE)
ESM = Family("ESM", "half", shipped=_NARROW_TABLES)
NANOCHAT = Family("nanochat", "half", clockwise=True)
GPT_J = Family("GPT-J", "interleaved")
COHERE = Family("Cohere", "interleaved", shipped=_NARROW_TABLES)
LLAMA_4 = Family("Llama 4", "interleaved", shipped=_WIDE)
ROFORMER = Family("RoFormer", "interleaved", shipped=Precision(torch.float64, False, False))
DEEPSEEK_V3 = Family("DeepSeek-V3", "interleaved", output_pairing="half")
DEEPSEEK_V4 = Family("DeepSeek-V4", "interleaved", rotated="last", shipped=_NARROW_TABLES)
CHATGLM_2 = Family("ChatGLM2", "interleaved", shipped=None)  # forms its angles in 16 bits
CHATGLM_6B = Family("ChatGLM-6B", "half", axes="blocks", shipped=None)  # so does this one
QWEN2_VL = Family("Qwen2-VL", "half", axes="sections")
QWEN3_VL = Family("Qwen3-VL", "half", axes="interleaved sections")
GLM_4V = Family("GLM-4V", "interleaved", axes="sections")
QWEN_VISION = Family("Qwen-VL, vision tower", "half", axes="axial", shipped=_WIDE)
MUSE_VISION = Family("Muse, vision tower", "half", axes="axial", shipped=_NARROW_TABLES)
SAM = Family("SAM 3 and Llama 4, vision tower", "interleaved", axes="axial", shipped=_WIDE)
DINOV3 = Family("DINOv3", "half", axes="axial", signed=True)
PIXTRAL = Family("Pixtral, vision tower", "half", axes="alternating")
GEMMA_4_VISION = Family("Gemma 4, vision tower", "half", axes="blocks")
STEP_VISION = Family("Step, vision tower", "half", axes="axial, columns first", shipped=_WIDE)
INKLING = Family("Inkling, vision tower", "interleaved", axes="axial, columns first", shipped=_WIDE)
KIMI_VISION = Family("Kimi, vision tower", "half", axes="alternating ladders", shipped=_WIDE)
NEOMME = Family("NeoMME", "half", axes="alternating in place")
ERNIE_VL = Family("ERNIE 4.5 VL", "interleaved", axes="rows and columns, then time", shipped=_WIDE)


def always(config: Mapping, layer: int, kind: str | None) -> bool:
    """Whether a layer rotates, in a model whose layers all do."""
    return True


@dataclass(frozen=True)
class Model:
    """A family, and what one model type takes where its configuration is silent.

    Args:
        family: how it rotates.
        base: the default base.
        fraction: the default share of the head that is rotated.
        partial: whether its code reads a share from the configuration at all.
        head_dim: the default width of a head; None divides ``per_head``.
        width: the key that holds the width of what is rotated.
        per_head: the keys whose quotient is the width of a head.
        layers: rope parameters by layer type, where layers rotate differently; None: no rotation.
        sections: pairs for each axis.
        parameters: rope parameters where the configuration has none at all.
        keys: its own keys, and what each means in ``rope_parameters``
            (``full_attention.rope_theta`` for one layer type); empty for a key without effect.
        needs: keys that must have this value for the model to rotate at all, and their defaults.
        kinds: the only types of scaling that its code has; None for all.
        kind_of_layer: the type of a layer where ``layer_types`` does not say, from the
            configuration, the layer and the number of layers; None where all are of one type.
        turns: whether a layer rotates, from the configuration, the layer and its type.
        labels: what rope parameters call the types of layers, where they have names of their own.
        base_of_layer: whether ``layer_rope_theta`` gives each layer its base, 0 for no rotation.
        indexer: how the keys of sparse attention's indexer rotate, where there is one.
        turns_values: whether values are rotated as keys are, and the output rotated back.
        extra: rope parameters that only this model type has.
        scores: what scores are multiplied by beside the rotation; see
            :mod:`rope_lib.models.scores`.
    """

    family: Family
    base: float = 10_000.0
    fraction: float = 1.0
    partial: bool = False
    head_dim: int | None = None
    width: str = "head_dim"
    per_head: tuple[str, str] = ("hidden_size", "num_attention_heads")
    layers: Mapping[str, dict | None] = field(default_factory=dict)
    sections: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple] = field(default_factory=dict)
    kinds: tuple[str, ...] | None = None
    kind_of_layer: Callable[[Mapping, int, int], str] | None = None
    turns: Callable[[Mapping, int, str | None], bool] = always
    labels: Mapping[str, str] = field(default_factory=dict)
    base_of_layer: bool = False
    indexer: Family | None = None
    turns_values: bool = False
    extra: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()

    @property
    def leaves_layers_out(self) -> bool:
        """Whether some of its layers do not rotate, by its conventions."""
        by_rule = self.turns is not always or self.base_of_layer
        return by_rule or None in self.layers.values()
