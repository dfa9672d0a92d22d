"""Small models of real architectures, and a way to put another rotary code into them.

A :class:`Case` names an architecture of transformers, a tiny configuration of it and the one place
where its queries and keys are turned. :class:`Intercepted` stands in that place: it records what
happens there, or lets other code do it.
"""

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn.functional import pad

from rope_lib import RotaryEmbedding
from rope_lib.models.grids import centered_grid

SMALL = dict(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
TEXT, OFFSET = 12, 5


# What a model is given.


def text(config, generator: torch.Generator) -> dict[str, Any]:
    """Two rows of tokens, the second one starting at a later position."""
    ids = torch.randint(3, 64, (2, TEXT), generator=generator)
    positions = torch.arange(TEXT) + torch.tensor([[0], [OFFSET]])
    mask = torch.ones_like(ids)
    return dict(input_ids=ids, attention_mask=mask, position_ids=positions)


def text_from_zero(config, generator: torch.Generator) -> dict[str, Any]:
    """For models that number the tokens themselves."""
    given = text(config, generator)
    return dict(input_ids=given["input_ids"], attention_mask=given["attention_mask"])


def longer_text(config, generator: torch.Generator) -> dict[str, Any]:
    """Twenty tokens: past the original length of the LongRoPE cases."""
    ids = torch.randint(3, 64, (2, 20), generator=generator)
    return dict(input_ids=ids, attention_mask=torch.ones_like(ids))


def text_around_an_image(config, generator: torch.Generator) -> dict[str, Any]:
    """Three tokens, a grid of 2 by 3, three more tokens: positions of time, row and column."""
    text_before, text_after = torch.arange(3).expand(3, 3), torch.arange(3).expand(3, 3) + 6
    rows, columns = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
    image = torch.stack((torch.zeros(6, dtype=torch.long), rows.flatten(), columns.flatten())) + 3
    positions = torch.cat((text_before, image, text_after), dim=1)
    embeds = torch.randn(2, TEXT, config.get_text_config().hidden_size, generator=generator)
    return dict(
        inputs_embeds=embeds,
        attention_mask=torch.ones(2, TEXT, dtype=torch.long),
        position_ids=torch.stack((positions, positions + OFFSET), dim=1),
    )


def picture(config, generator: torch.Generator) -> dict[str, Any]:
    """One picture of 3 by 4 patches of 4 by 4 points."""
    return dict(pixel_values=torch.randn(1, 3, 12, 16, generator=generator))


def square_picture(config, generator: torch.Generator) -> dict[str, Any]:
    """One picture of 4 by 4 patches of 4 by 4 points."""
    return dict(pixel_values=torch.randn(1, 3, 16, 16, generator=generator))


def patches_of_qwen(config, generator: torch.Generator) -> dict[str, Any]:
    """Patches of two pictures, 4 by 6 and 2 by 4, in the order of Qwen-VL's merging."""
    grids = torch.tensor([[1, 4, 6], [1, 2, 4]])
    wide = config.in_channels * config.temporal_patch_size * config.patch_size**2
    pixels = torch.randn(int(grids.prod(-1).sum()), wide, generator=generator)
    return dict(hidden_states=pixels, grid_thw=grids)


def patches_of_gemma(config, generator: torch.Generator) -> dict[str, Any]:
    """Four rows of six patches, each with its column and row."""
    columns, rows = torch.meshgrid(torch.arange(6), torch.arange(4), indexing="xy")
    positions = torch.stack((columns.flatten(), rows.flatten()), dim=-1)
    pixels = torch.rand(1, 24, 3 * config.patch_size**2, generator=generator)
    return dict(pixel_values=pixels, pixel_position_ids=positions[None])


# Where a model keeps its positions, seen from the call that makes or fetches its tables.


def token_ids(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """(batch, seq) becomes (batch, 1, seq): the same for every head."""
    return given["position_ids"][:, None]


def axis_ids(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """(axes, batch, seq) becomes (axes, batch, 1, seq)."""
    return given["position_ids"][:, :, None]


def patch_ids(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """(seq, axes) becomes (axes, seq)."""
    return given["position_ids"].movedim(-1, 0)


def batched_patch_ids(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """(batch, seq, axes) becomes (axes, batch, 1, seq)."""
    return given["position_ids"].movedim(-1, 0)[:, :, None]


def from_zero(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """RoFormer counts the tokens itself."""
    return torch.arange(given["input_ids_shape"][1]) + given["past_key_values_length"]


def dino_grid(module: nn.Module, given: dict[str, Any]) -> torch.Tensor:
    """Centres of the patches, rounded as the model does; the prefix tokens stand at 0."""
    side = module.config.patch_size
    prefix = 1 + module.config.num_register_tokens
    height, width = (size // side for size in given["pixel_values"].shape[-2:])
    return centered_grid(height, width, prefix=prefix, dtype=torch.float32)


# What a model's tables look like: each function gives (cos, sin), one number a pair.


def doubled(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Every number twice, the second half of the row repeats the first."""
    return tuple(table.chunk(2, dim=-1)[0] for table in (cos, sin))


def repeated(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Every number twice, side by side."""
    return cos[..., ::2], sin[..., ::2]


def plain(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Every number once."""
    return cos, sin


def complexes(turns: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """cos + i sin."""
    return turns.real, turns.imag


def sines_first(sines_and_cosines: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All sines, then all cosines."""
    sin, cos = sines_and_cosines.chunk(2, dim=-1)
    return cos, sin


def doubled_in_blocks(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Two slices of the row, each with its numbers twice."""
    return tuple(torch.cat(table.chunk(4, dim=-1)[::2], dim=-1) for table in (cos, sin))


@dataclass(frozen=True)
class Case:
    """One architecture.

    Args:
        name: what the test is called.
        family: directory and module of transformers.
        model: class to build.
        settings: of its configuration; on top of ``SMALL``, unless ``small`` is False.
        apply: what turns q and k: a function of the module, or ``Class.method``.
        signature: its first arguments, in order. ``q``, ``k`` and ``x`` are turned by the tables
            ``cos``, ``sin`` and ``turns``.
        layout: how to read the tables.
        heads: dimension that counts the heads; the other one of -3 and -2 is the sequence.
        turns: calls of ``apply`` in one pass.
        back: every so many calls, one turns back instead, with the sines negated; 0 for none.
        source: end of the name of the class that sees the positions when it is called.
        positions: how to read them there, as rope_lib wants them.
        makes_tables: whether ``source`` returns the tables, which can then be spoiled.
        widens: whether float32 tables make q and k float32.
        same_bits: False where even the shipped precision is off by a rounding.
        inputs: what the model is given.
        part: which part of a composite configuration is about this tower.
    """

    name: str
    family: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    apply: str = "apply_rotary_pos_emb"
    signature: str = "q k cos sin"
    layout: Callable[..., tuple[torch.Tensor, ...]] = doubled
    heads: int = -3
    turns: int = 2
    back: int = 0
    source: str = "RotaryEmbedding"
    positions: Callable[..., torch.Tensor] = token_ids
    makes_tables: bool = True
    widens: bool = False
    same_bits: bool = True
    inputs: Callable[..., dict[str, Any]] = text
    part: str | None = None
    small: bool = True

    def _module(self) -> Any:
        name = f"transformers.models.{self.family}.modeling_{self.family}"
        return importlib.import_module(name)

    def owner(self) -> tuple[Any, str]:
        """The module or class that holds what turns, and its name there."""
        module = self._module()
        *classes, name = self.apply.split(".")
        return (getattr(module, classes[0]) if classes else module), name

    def build(self) -> nn.Module:
        """The model, with weights so large that attention is far from uniform."""
        model_class = getattr(self._module(), self.model)
        config = model_class.config_class(**((SMALL if self.small else {}) | self.settings))
        config._attn_implementation = "eager"
        torch.manual_seed(0)
        model = model_class(config).eval().requires_grad_(False)
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed_positions" not in name:
                weight.normal_(0, 1.5 * weight[0].numel() ** -0.5)
        return model

    def config(self, model: nn.Module) -> Any:
        """The configuration of the tower that turns."""
        return getattr(model.config, self.part) if self.part else model.config

    def heads_first(self, x: torch.Tensor) -> torch.Tensor:
        """Heads before the sequence, as rope_lib has them, or back again."""
        return x if self.heads == -3 else x.transpose(-2, -3)


def in_bfloat16(model: nn.Module) -> nn.Module:
    """A copy as ``from_pretrained`` would load it: parameters cast, frequencies left alone."""
    model = copy.deepcopy(model)
    for weight in model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    return model


def logits(model: nn.Module, inputs: dict[str, Any], *, rounded: bool = False) -> torch.Tensor:
    """What the model makes of its inputs: logits, or the last hidden states of a tower.

    Inputs that are not whole numbers get the dtype of the model, ``rounded`` to bfloat16 before.
    """
    dtype = next(model.parameters()).dtype
    floats = {name: value for name, value in inputs.items() if value.is_floating_point()}
    if rounded:
        floats = {name: value.to(torch.bfloat16) for name, value in floats.items()}
    output = model(**(inputs | {name: value.to(dtype) for name, value in floats.items()}))
    return output.logits if "logits" in output else output.last_hidden_state


@dataclass
class Turn:
    """One call of the function that turns. Heads stand before the sequence."""

    given: tuple[torch.Tensor, ...]
    tables: tuple[torch.Tensor, ...]
    positions: torch.Tensor
    layer_type: str | None
    back: bool = False
    result: tuple[torch.Tensor, ...] = ()


class Intercepted:
    """A model whose queries and keys are turned by ``answer``, or by itself where that is None.

    Use it as a context. ``turns`` lists what was turned. Where there is an answer, the model's own
    tables are filled with NaN: nothing of them can reach the result unseen.
    """

    def __init__(self, case: Case, model: nn.Module, answer: Callable | None = None):
        self.case, self.model, self.answer = case, model, answer
        self.turns: list[Turn] = []

    def __enter__(self) -> "Intercepted":
        owner, name = self.case.owner()
        self.own = getattr(owner, name)
        function = staticmethod(self._apply) if isinstance(owner, type) else self._apply
        self.patch = mock.patch.object(owner, name, function)
        self.patch.start()
        self.tables_seen: list[tuple[torch.Tensor, tuple]] = []
        self.hooks = [
            module.register_forward_hook(self._watch, with_kwargs=True)
            if self.case.makes_tables
            else module.register_forward_pre_hook(self._note, with_kwargs=True)
            for module in self.model.modules()
            if type(module).__name__.endswith(self.case.source)
        ]
        return self

    def __exit__(self, *_) -> None:
        self.patch.stop()
        for hook in self.hooks:
            hook.remove()

    def _note(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        given = inspect.signature(module.forward).bind(*args, **kwargs)
        given.apply_defaults()
        positions = self.case.positions(module, given.arguments)
        self.latest = positions, given.arguments.get("layer_type")

    def _watch(self, module: nn.Module, args: tuple, kwargs: dict[str, Any], output):
        self._note(module, args, kwargs)
        tables = output if isinstance(output, tuple) else (output,)
        if self.answer is not None:
            tables = tuple(torch.full_like(table, torch.nan) for table in tables)
        self.tables_seen.append((tables[0], self.latest))
        return tables if isinstance(output, tuple) else tables[0]

    def _apply(self, *args, **kwargs):
        names = self.case.signature.split()
        values = dict(zip(names, args, strict=False)) | kwargs
        given = tuple(self.case.heads_first(values[name]) for name in names if name in "qkx")
        tables = tuple(values[name] for name in ("cos", "sin", "turns") if name in values)
        known = [what for table, what in self.tables_seen if table is tables[0]]
        turn = Turn(given, tables, *(known[-1] if known else self.latest))
        self.turns.append(turn)
        turn.back = bool(self.case.back) and len(self.turns) % self.case.back == 0
        if self.answer is None:
            out = self.own(*args, **kwargs)
            out = out if isinstance(out, tuple) else (out,)
            turn.result = tuple(self.case.heads_first(x) for x in out)
        else:
            turn.result = self.answer(turn)
            out = tuple(self.case.heads_first(x) for x in turn.result)
        return out if len(given) == 2 else out[0]


def rotary(case: Case, model: nn.Module, turn: Turn, *, shipped: bool = False) -> RotaryEmbedding:
    """rope_lib's rotary embedding for this architecture, at the length of this turn."""
    rope = RotaryEmbedding.from_config(
        case.config(model), layer_type=turn.layer_type, shipped=shipped
    )
    rope = rope.for_length(int(turn.positions.max()) + 1)
    rope.clockwise ^= turn.back
    return rope


def turned(case: Case, rope: RotaryEmbedding, turn: Turn) -> tuple[torch.Tensor, ...]:
    """What ``rope`` makes of the vectors, some of which come as the turning slice alone."""
    rest = rope.head_dim - turn.given[0].shape[-1]
    sides = (rest, 0) if rope.rotated == "last" else (0, rest)
    wide = [pad(x.float() if case.widens else x, sides) for x in turn.given]
    q, k = rope(wide[0], wide[-1], turn.positions)
    keep = slice(rest, None) if rope.rotated == "last" else slice(0, rope.head_dim - rest)
    return tuple(x[..., keep] for x in (q, k)[: len(turn.given)])


def own_tables(case: Case, turn: Turn) -> tuple[torch.Tensor, ...]:
    """The model's own tables, one number a pair."""
    cos, sin = case.layout(*turn.tables)
    return cos, -sin if turn.back else sin


# The architectures.

WIDER = dict(hidden_size=64)  # 16 numbers a head
LATENT = dict(
    q_lora_rank=16,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=8,
    num_key_value_heads=4,
)
DENSE = dict(first_k_dense_replace=2, n_routed_experts=4, n_group=1, topk_group=1)
YARN = dict(rope_type="yarn", rope_theta=10_000.0, factor=4.0, original_max_position_embeddings=256)
# GPT-J and CodeGen have old names for everything, and turn q and k one by one.
ONE_BY_ONE = dict(
    settings=dict(n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4, vocab_size=64),
    signature="x sin cos",
    layout=plain,
    heads=-2,
    turns=4,
    source="Attention",
    makes_tables=False,
    small=False,
)
LONGROPE = dict(
    max_position_embeddings=64,
    original_max_position_embeddings=18,
    rope_parameters=dict(
        rope_type="longrope",
        rope_theta=10_000.0,
        short_factor=[1.0, 1.1, 1.3, 1.6],
        long_factor=[1.0, 2.0, 3.0, 4.0],
    ),
)
QWEN_VISION = dict(depth=2, embed_dim=32, hidden_size=32, num_heads=2, patch_size=4, mlp_ratio=2)
MULTIMODAL = dict(
    positions=axis_ids,
    inputs=text_around_an_image,
    part="text_config",
    small=False,
)


def multimodal_settings(vision: dict, **rope) -> dict[str, Any]:
    """A text tower for three axes, with a vision tower that is not used."""
    rope = dict(rope_type="default", rope_theta=10_000.0, **rope)
    return dict(
        text_config=SMALL | WIDER | dict(head_dim=16, rope_parameters=rope), vision_config=vision
    )


CASES = (
    Case("LLaMA 2", "llama", "LlamaForCausalLM"),
    Case("LLaMA 3", "llama", "LlamaForCausalLM", WIDER | dict(rope_parameters=dict(
        rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0,
        high_freq_factor=4.0, original_max_position_embeddings=32,
    ))),
    Case("LLaMA, linear", "llama", "LlamaForCausalLM",
         dict(rope_parameters=dict(rope_type="linear", rope_theta=10_000.0, factor=4.0))),
    Case("LLaMA, dynamic NTK", "llama", "LlamaForCausalLM",
         dict(rope_parameters=dict(rope_type="dynamic", rope_theta=10_000.0, factor=2.0),
              max_position_embeddings=16), inputs=longer_text,
         same_bits=False),  # the base is a float32 tensor
    Case("LLaMA, YaRN", "llama", "LlamaForCausalLM", dict(rope_parameters=YARN)),
    Case("Mistral", "mistral", "MistralForCausalLM", dict(head_dim=16)),
    Case("Qwen2", "qwen2", "Qwen2ForCausalLM", dict(rope_parameters=dict(rope_theta=1e6))),
    Case("Qwen3", "qwen3", "Qwen3ForCausalLM", dict(head_dim=16)),
    Case("GPT-NeoX", "gpt_neox", "GPTNeoXForCausalLM", WIDER | dict(rotary_pct=0.25)),
    Case("GPT-J", "gptj", "GPTJForCausalLM", **ONE_BY_ONE),
    Case("CodeGen", "codegen", "CodeGenForCausalLM", widens=True, **ONE_BY_ONE),
    Case("GLM", "glm", "GlmForCausalLM", dict(head_dim=8, partial_rotary_factor=0.5)),
    Case("GLM-4", "glm4", "Glm4ForCausalLM", dict(head_dim=8, partial_rotary_factor=0.5)),
    Case("RoFormer", "roformer", "RoFormerForMaskedLM", dict(embedding_size=32),
         apply="RoFormerSelfAttention.apply_rotary_position_embeddings", signature="turns q k",
         layout=sines_first, source="SinusoidalPositionalEmbedding", positions=from_zero,
         inputs=text_from_zero),
    Case("Phi-3, short", "phi3", "Phi3ForCausalLM", LONGROPE),
    Case("Phi-3, long", "phi3", "Phi3ForCausalLM", LONGROPE, inputs=longer_text),
    Case("Phi-4-mini", "phi3", "Phi3ForCausalLM",
         WIDER | dict(rope_parameters=dict(rope_theta=10_000.0, partial_rotary_factor=0.75))),
    Case("Phi", "phi", "PhiForCausalLM", dict(partial_rotary_factor=0.5)),
    Case("StableLM", "stablelm", "StableLmForCausalLM", WIDER | dict(partial_rotary_factor=0.25)),
    Case("Falcon", "falcon", "FalconForCausalLM", dict(alibi=False)),
    Case("Gemma", "gemma", "GemmaForCausalLM", dict(head_dim=16)),
    Case("Gemma 2", "gemma2", "Gemma2ForCausalLM", dict(head_dim=16, sliding_window=4)),
    Case("Gemma 3", "gemma3", "Gemma3ForCausalLM", dict(
        head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=10_000.0),
            full_attention=dict(rope_type="linear", rope_theta=100_000.0, factor=8.0),
        ),
    )),
    Case("Gemma 4", "gemma4", "Gemma4ForCausalLM", dict(
        head_dim=8, global_head_dim=16, sliding_window=4, hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=64, layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=10_000.0),
            full_attention=dict(
                rope_type="proportional", rope_theta=100_000.0, partial_rotary_factor=0.5),
        ),
    ), signature="x cos sin", heads=-2, turns=4),
    Case("Gemma 4, vision", "gemma4", "Gemma4VisionModel", dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, patch_size=4, position_embedding_size=16,
        pooling_kernel_size=2,
    ), apply="apply_multidimensional_rope", signature="x cos sin", heads=-2, turns=4,
         layout=doubled_in_blocks, positions=batched_patch_ids, inputs=patches_of_gemma,
         small=False),
    Case("Cohere", "cohere", "CohereForCausalLM", dict(logit_scale=1.0), layout=repeated),
    Case("Cohere 2", "cohere2", "Cohere2ForCausalLM",
         dict(sliding_window=4, layer_types=["sliding_attention", "full_attention"],
              logit_scale=1.0), layout=repeated, turns=1),
    Case("OLMo", "olmo", "OlmoForCausalLM"),
    Case("OLMo 2", "olmo2", "Olmo2ForCausalLM"),
    Case("gpt-oss", "gpt_oss", "GptOssForCausalLM",
         dict(head_dim=16, num_local_experts=2, num_experts_per_tok=2, sliding_window=4,
              rope_parameters=YARN | dict(truncate=False)), layout=plain),
    Case("DeepSeek-V2", "deepseek_v2", "DeepseekV2ForCausalLM",
         LATENT | DENSE | dict(rope_parameters=YARN | dict(mscale=0.707, mscale_all_dim=0.5)),
         apply="apply_rotary_emb", signature="q k turns", layout=complexes,
         same_bits=False),  # torch.polar rounds unlike torch.cos and torch.sin
    Case("DeepSeek-V3", "deepseek_v3", "DeepseekV3ForCausalLM",
         LATENT | DENSE | dict(rope_parameters=YARN | dict(mscale=1.0, mscale_all_dim=0.5)),
         apply="apply_rotary_pos_emb_interleave"),
    Case("DeepSeek-V3, half-split", "deepseek_v3", "DeepseekV3ForCausalLM",
         LATENT | DENSE | dict(rope_interleave=False)),
    Case("DeepSeek-V4", "deepseek_v4", "DeepseekV4ForCausalLM",
         dict(head_dim=16, partial_rotary_factor=0.5, num_key_value_heads=1, q_lora_rank=16,
              o_groups=2, o_lora_rank=8, hc_mult=2, n_routed_experts=2, num_experts_per_tok=2,
              moe_intermediate_size=32, layer_types=["sliding_attention"] * 2,
              mlp_layer_types=["moe"] * 2, num_nextn_predict_layers=0),
         signature="x cos sin", layout=plain, turns=6, back=3),
    Case("MiniCPM3", "minicpm3", "MiniCPM3ForCausalLM", LATENT | dict(dim_model_base=32)),
    Case("Llama 4", "llama4", "Llama4ForCausalLM",
         dict(head_dim=8, intermediate_size_mlp=48, num_local_experts=1, no_rope_layers=[1, 0]),
         apply="apply_rotary_emb", signature="q k turns", layout=complexes, heads=-2, turns=1,
         same_bits=False),  # torch.polar again
    Case("Qwen2-VL", "qwen2_vl", "Qwen2VLForConditionalGeneration", **MULTIMODAL,
         settings=multimodal_settings(QWEN_VISION, mrope_section=[2, 3, 3])),
    Case("Qwen2.5-VL", "qwen2_5_vl",
         "Qwen2_5_VLForConditionalGeneration", **MULTIMODAL,
         settings=multimodal_settings(
             dict(depth=1, hidden_size=32, num_heads=2, patch_size=4, intermediate_size=48,
                  out_hidden_size=64),
             mrope_section=[2, 3, 3])),
    Case("Qwen3-VL", "qwen3_vl", "Qwen3VLForConditionalGeneration", **MULTIMODAL,
         settings=multimodal_settings(
             dict(depth=1, hidden_size=32, num_heads=2, patch_size=4, intermediate_size=48,
                  out_hidden_size=64, num_position_embeddings=16, deepstack_visual_indexes=[0]),
             mrope_section=[4, 2, 2])),
    Case("GLM-4V", "glm4v", "Glm4vForConditionalGeneration", **MULTIMODAL,
         settings=multimodal_settings(
             dict(depth=1, hidden_size=32, num_heads=2, patch_size=4, image_size=16,
                  out_hidden_size=64, intermediate_size=48),
             mrope_section=[1, 2, 1], partial_rotary_factor=0.5),
         layout=repeated),
    Case("ERNIE 4.5 VL", "ernie4_5_vl_moe", "Ernie4_5_VLMoeTextModel",
         WIDER | dict(
             moe_intermediate_size=[32, 32], moe_k=2, moe_num_experts=2,
             mlp_layer_types=["dense", "dense"],
             rope_parameters=dict(
                 rope_type="default", rope_theta=10_000.0, mrope_section=[3, 3, 2])),
         layout=repeated, positions=axis_ids, inputs=text_around_an_image),
    Case("SAM 3, vision", "sam3", "Sam3ViTModel",
         dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
              image_size=16, pretrain_image_size=16, patch_size=4, window_size=2,
              global_attn_indexes=[1]), apply="apply_rotary_pos_emb_2d", layout=repeated,
         positions=patch_ids, inputs=square_picture, small=False),
    Case("Qwen2-VL, vision", "qwen2_vl", "Qwen2VisionTransformerPretrainedModel", QWEN_VISION,
         apply="apply_rotary_pos_emb_vision", heads=-2, positions=patch_ids,
         inputs=patches_of_qwen, small=False),
    Case("Pixtral, vision", "pixtral", "PixtralVisionModel",
         dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
              image_size=16, patch_size=4), positions=patch_ids, inputs=picture, small=False),
    Case("DINOv3", "dinov3_vit", "DINOv3ViTModel",
         dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
              image_size=16, patch_size=4, num_register_tokens=2),
         source="RopePositionEmbedding", positions=dino_grid, inputs=picture, small=False),
    Case("ModernBERT", "modernbert", "ModernBertForMaskedLM", dict(local_attention=4)),
    Case("ESM-2", "esm", "EsmForMaskedLM",
         dict(position_embedding_type="rotary", mask_token_id=3, token_dropout=False)),
    Case("nanochat", "nanochat", "NanoChatForCausalLM"),
    Case("Helium", "helium", "HeliumForCausalLM", dict(head_dim=8)),
    Case("ERNIE 4.5", "ernie4_5", "Ernie4_5ForCausalLM", dict(head_dim=8)),
    Case("Granite", "granite", "GraniteForCausalLM"),
    Case("SmolLM3", "smollm3", "SmolLM3ForCausalLM", dict(no_rope_layers=[1, 0]), turns=1),
)  # fmt: skip
