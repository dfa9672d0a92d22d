"""The rotary code of transformers, one model type at a time: configuration, tables, rotation.

A model type names a configuration class; the modelling module beside it holds a class that makes
tables and a function that turns. A :class:`Source` finds them and gives each the shapes it wants,
so that every model type answers the same two questions: which tables, and which turned heads. Only
the class of the tables is built, never a model.
"""

import importlib
import inspect
import re
from collections.abc import Callable
from functools import cache, cached_property
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import transformers
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from rope_lib.models.grids import centered_grid

transformers.logging.set_verbosity_error()  # it warns of each key that one scaling does not know

# Where a model type's name does not tell which of a module's classes makes its tables.
TABLE_CLASSES = {
    "deepseek_ocr2_encoder": "DeepseekOcr2VisionRotaryEmbedding",
    "dots3_note_audio_encoder": "Dots3NoteAudioRotaryEmbedding",
    "evolla": "EvollaRotaryEmbedding",
    "granite4_vision_text": "Granite4VisionTextRotaryEmbedding",
    "qwen2_5_omni_dit": "Qwen2_5OmniDiTRotaryEmbedding",
    "qwen2_5_omni_talker": "Qwen2_5OmniRotaryEmbedding",
    "qwen2_5_omni_text": "Qwen2_5OmniRotaryEmbedding",
    "qwen3_omni_moe_talker_code_predictor": "Qwen3OmniMoeRotaryEmbedding",
    "qwen3_omni_moe_talker_text": "Qwen3OmniMoeTalkerRotaryEmbedding",
    "qwen3_omni_moe_text": "Qwen3OmniMoeThinkerTextRotaryEmbedding",
    "roformer": "RoFormerSinusoidalPositionalEmbedding",
}
# Default configurations that describe no model: heads of odd width, sections that do not fit them.
CONFIGS = {
    "glm4_moe": {"head_dim": 128},
    "glm4v_moe_text": {"head_dim": 128},
    "glm4v_text": {"partial_rotary_factor": 0.5},
    "glm_image_text": {"partial_rotary_factor": 0.5},
    "qwen3_omni_moe_talker_text": {"head_dim": 128},
    "qwen3_omni_moe_text": {"head_dim": 128},
    "qwen4_exp_text": {"partial_rotary_factor": 0.25},
    # one kind of layer only, though the parameters know two
    "laguna": {"layer_types": ["full_attention", "sliding_attention"] * 20},
    "mellum": {"layer_types": ["full_attention", "sliding_attention"] * 14},
    "zaya": {"layer_types": ["hybrid", "hybrid_sliding"] * 20, "sliding_window": 64},
    # What turns on the rotation of models that know several encodings
    "esm": {"position_embedding_type": "rotary"},
    "granitemoehybrid": {"position_embedding_type": "rope"},
    "seamless_m4t": {"position_embeddings_type": "rotary"},
    "wav2vec2-bert": {"position_embeddings_type": "rotary"},
    "wav2vec2-conformer": {"position_embeddings_type": "rotary"},
    "zamba2": {"use_mem_rope": True},
}
FAR = torch.tensor([0, 1, 2, 3, 100, 511, 2047, 4095, 131_071, 1_000_000])
NEAR = FAR[:7]  # for code that tabulates every position up to the last


@cache
def source(model_type: str) -> "Source":
    is_tower = model_type.endswith(("_vision", "_vision_encoder", "mlcd_vision_model"))
    return SPECIAL.get(model_type, Tower if is_tower else Source)(model_type)


class Source:
    """The code of one model type."""

    def __init__(self, model_type: str):
        self.model_type = model_type
        self.config_class = CONFIG_MAPPING[model_type]

    def config(self, **keys: Any) -> transformers.PreTrainedConfig:
        """Its default configuration, with ``keys`` changed."""
        return self.config_class(**{**CONFIGS.get(self.model_type, {}), **keys})

    @cached_property
    def module(self) -> ModuleType:
        if MODEL_MAPPING_NAMES.get(self.model_type) == "LlamaModel":  # with a name of its own
            return importlib.import_module("transformers.models.llama.modeling_llama")
        name = self.config_class.__module__.replace("configuration_", "modeling_")
        return importlib.import_module(name)

    @cached_property
    def table_class(self) -> type[nn.Module]:
        names = [
            name
            for name, value in vars(self.module).items()
            if re.search("Rotary|Rope|RoPE", name) and "Attention" not in name
            if isinstance(value, type) and value.__module__ == self.module.__name__
        ]
        if self.model_type in TABLE_CLASSES:
            names = [TABLE_CLASSES[self.model_type]]
        elif len(names) > 1:
            names = [n for n in names if ("Vision" in n) == ("vision" in self.model_type)]
        (name,) = names
        return getattr(self.module, name)

    @cached_property
    def function(self) -> Callable:
        """What turns queries and keys."""
        names = ["apply_rotary_pos_emb_interleave", "apply_rotary_pos_emb", "apply_rotary_emb"]
        return next(getattr(self.module, name) for name in names if hasattr(self.module, name))

    def positions(self, axes: int) -> torch.Tensor:
        """Positions in rope_lib's form, ``(seq,)`` or ``(axes, seq)``."""
        return FAR if axes == 1 else random_positions(axes, 100_000)

    def tables(
        self, config: Any, positions: torch.Tensor, dtype: torch.dtype, layer_type: str | None
    ) -> Any:
        """What the model hands to its rotation: cosines and sines, or complex numbers."""
        arguments = {} if layer_type is None else {"layer_type": layer_type}
        made = self.table_class(config)
        return made(torch.zeros(1, dtype=dtype), positions.unsqueeze(-2), **arguments)

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        """``x``, ``(1, heads, seq, head_dim)``, turned by the module's own function."""
        if next(iter(inspect.signature(self.function).parameters)) == "x":
            return self.function(x, *tables)
        return self.function(x, x, *tables)[0]


class CutOutside(Source):
    """Attention that cuts the part to turn off the head before it calls the function."""

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        width = tables[0].shape[-1]
        return torch.cat((super().turn(x[..., :width], tables, positions), x[..., width:]), dim=-1)


class Plain(Source):
    """The older of two functions: pairs left in the order in which they came."""

    @cached_property
    def function(self) -> Callable:
        return self.module.apply_rotary_pos_emb


class GPTJ(Source):
    """Half-width tables from a function; heads after the sequence; sines before cosines."""

    def positions(self, axes: int) -> torch.Tensor:
        return NEAR

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        every = self.module.create_sinusoidal_positions(int(positions.max()) + 1, config.rotary_dim)
        return every[positions][None].to(dtype).chunk(2, dim=-1)[::-1]

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        width = 2 * tables[0].shape[-1]
        turned = self.module.apply_rotary_pos_emb(x[..., :width].transpose(1, 2), *tables[::-1])
        return torch.cat((turned.transpose(1, 2), x[..., width:]), dim=-1)


class RoFormer(Source):
    """A frozen table of sines, then cosines."""

    positions = GPTJ.positions

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        width = config.hidden_size // config.num_attention_heads
        made = self.table_class(int(positions.max()) + 1, width)
        made.weight = nn.Parameter(made.create_weight(), requires_grad=False)
        return made.to(dtype)(None, position_ids=positions)[None, None].chunk(2, dim=-1)[::-1]

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        attention = self.module.RoFormerSelfAttention
        both = torch.cat(tables[::-1], dim=-1)
        return attention.apply_rotary_position_embeddings(both, x, x)[0]


class Speech(Source):
    """A table of every position so far; the function is a method, and takes heads as one width."""

    positions = GPTJ.positions

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        length = int(positions.max()) + 1
        return self.table_class(config)(torch.zeros(1, length, 1, dtype=dtype))[:, positions]

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        name = "_apply_rotary_embedding"
        (attention,) = {value for value in vars(self.module).values() if hasattr(value, name)}
        heads = SimpleNamespace(num_heads=x.shape[1], head_size=x.shape[-1])
        turned = getattr(attention, name)(heads, x.transpose(1, 2).flatten(2), tables)
        return turned.unflatten(2, (x.shape[1], -1)).transpose(1, 2)


class Llama4(Source):
    """Complex tables, heads after the sequence."""

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        return self.function(x.transpose(1, 2), x.transpose(1, 2), tables)[0].transpose(1, 2)


class DeepSeekV2(Source):
    """Complex tables."""

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        return self.function(x, x, tables)[0]


class Tower(Source):
    """Patches of pictures, without a batch: positions ``(seq, axes)``, heads after the sequence."""

    @cached_property
    def function(self) -> Callable:
        return self.module.apply_rotary_pos_emb_vision

    def positions(self, axes: int) -> torch.Tensor:
        return random_positions(axes, 100)

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        return self.table_class(config)(torch.zeros(1, dtype=dtype), positions.T)

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        rows = x[0].transpose(0, 1)
        return self.function(rows, rows, *tables)[0].transpose(0, 1)[None]


class Pixtral(Tower):
    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        return self.module.apply_rotary_pos_emb(x, x, *tables, unsqueeze_dim=0)[0]


class Sam3(Tower):
    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        return self.module.apply_rotary_pos_emb_2d(x, x, *tables)[0]


class Gemma4Vision(Tower):
    """With a batch again, and positions handed to the function as well."""

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        return self.table_class(config)(torch.zeros(1, dtype=dtype), positions.T[None])

    def turn(self, x: torch.Tensor, tables: Any, positions: torch.Tensor) -> torch.Tensor:
        turn = self.module.apply_multidimensional_rope
        return turn(x.transpose(1, 2), *tables, positions.T[None]).transpose(1, 2)


class Llama4Vision(Llama4):
    """One grid, from the configuration: columns and rows from 1; the class token stands still."""

    @cached_property
    def function(self) -> Callable:
        return self.module.vision_apply_rotary_emb

    def positions(self, axes: int) -> torch.Tensor:
        side = self.config().image_size // self.config().patch_size
        patches = torch.arange(side**2)
        grid = torch.stack((patches % side + 1, patches // side + 1))
        return torch.cat((grid, torch.zeros(2, 1, dtype=torch.long)), dim=1)

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        return self.table_class(config)(torch.zeros(1, dtype=dtype))


class DINOv3(Source):
    """Positions that the code makes from the size of a picture, in float32."""

    GRID = (5, 4)

    def positions(self, axes: int) -> torch.Tensor:
        return centered_grid(*self.GRID, dtype=torch.float32)

    def tables(self, config: Any, positions: torch.Tensor, dtype: torch.dtype, _: None) -> Any:
        height, width = (side * config.patch_size for side in self.GRID)
        made = self.table_class(config).eval()  # in training, positions are jittered
        return made(torch.zeros(1, 3, height, width, dtype=dtype))


SPECIAL = {
    "deepseek_v2": DeepSeekV2,
    "dots3_note_audio_encoder": Plain,
    "gemma4_vision": Gemma4Vision,
    "llama4_text": Llama4,
    "llama4_vision_model": Llama4Vision,
    "pixtral": Pixtral,
    "roformer": RoFormer,
    "sam3_vit_model": Sam3,
    **dict.fromkeys(("codegen", "gptj"), GPTJ),
    **dict.fromkeys(("dinov3_vit", "eomt_dinov3", "sapiens2"), DINOv3),
    **dict.fromkeys(("gpt_neox_japanese", "persimmon", "phi", "stablelm"), CutOutside),
    **dict.fromkeys(("seamless_m4t", "wav2vec2-bert", "wav2vec2-conformer"), Speech),
}


def random_positions(axes: int, below: int) -> torch.Tensor:
    return torch.randint(below, (axes, 12), generator=torch.Generator().manual_seed(0))


def half_width(tables: Any, pairs: int, blocks: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """One cosine and one sine a pair, ``(seq, pairs)``, whatever way they were repeated."""
    if isinstance(tables, torch.Tensor) and tables.is_complex():
        tables = tables.real, tables.imag
    return tuple(_first_of_each_pair(t.reshape(-1, t.shape[-1]), pairs, blocks) for t in tables)


def _first_of_each_pair(table: torch.Tensor, pairs: int, blocks: int) -> torch.Tensor:
    if table.shape[-1] == pairs:
        return table
    halves = table.unflatten(-1, (blocks, 2, -1))
    if torch.equal(halves[:, :, 0], halves[:, :, 1]):
        return halves[:, :, 0].flatten(1)
    assert torch.equal(table[:, 0::2], table[:, 1::2])
    return table[:, 0::2]
