"""Configurations as people write them: real ones are read right, bad ones refused by name.

A bad configuration may end in two ways only: a ``ValueError`` or ``TypeError`` whose text holds the
name of the key that is wrong, or, where the key plays no part in the rotation, the same result as
without the change.
"""

import copy
import json
import math
from itertools import combinations

import pytest
import torch

from rope_lib import RotaryEmbedding, axes, scaling
from rope_lib.models.conventions import MODELS

read = RotaryEmbedding.from_config


def facts(rope):
    """Everything that decides how a module turns."""
    names = ("head_dim", "rotary_dim", "base", "pairing", "output_pairing", "rotated", "scaling",
             "axes", "clockwise", "precision", "signed")  # fmt: skip
    return {name: getattr(rope, name) for name in names}


LLAMA_1 = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "num_attention_heads": 32, "num_hidden_layers": 32, "max_sequence_length": 2048,
    "rms_norm_eps": 1e-06, "vocab_size": 32000,
}  # fmt: skip
LLAMA_2 = LLAMA_1 | {
    "max_position_embeddings": 4096, "num_key_value_heads": 32, "pretraining_tp": 1,
    "rope_scaling": None, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_31 = LLAMA_1 | {
    "max_position_embeddings": 131_072, "num_key_value_heads": 8, "rope_theta": 500_000.0,
    "rope_scaling": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3",
    },
}  # fmt: skip
MISTRAL = {
    "model_type": "mistral", "hidden_size": 4096, "num_attention_heads": 32, "sliding_window": 4096,
    "num_key_value_heads": 8, "max_position_embeddings": 32_768, "rope_theta": 10_000.0,
}  # fmt: skip
QWEN_25 = {
    "model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28,
    "use_sliding_window": False, "max_position_embeddings": 32_768, "rope_theta": 1_000_000.0,
    "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32_768, "type": "yarn"},
}  # fmt: skip
SHORT, LONG = [1.0 + i / 50 for i in range(48)], [1.0 + i for i in range(48)]
PHI_3 = {
    "model_type": "phi3", "hidden_size": 3072, "num_attention_heads": 32, "rope_theta": 10_000.0,
    "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096,
    "rope_scaling": {"long_factor": LONG, "short_factor": SHORT, "type": "su"},
}  # fmt: skip
NEOX = {
    "model_type": "gpt_neox", "hidden_size": 6144, "num_attention_heads": 64, "rotary_pct": 0.25,
    "rotary_emb_base": 10_000, "max_position_embeddings": 2048, "use_parallel_residual": True,
}  # fmt: skip
GPT_J = {
    "model_type": "gptj", "n_embd": 4096, "n_head": 16, "n_positions": 2048, "rotary": True,
    "rotary_dim": 64, "n_layer": 28,
}  # fmt: skip
GEMMA_3 = {
    "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 10_240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
}  # fmt: skip
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "num_attention_heads": 128,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rope_theta": 10_000,
    "max_position_embeddings": 163_840,
    "rope_scaling": {
        "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096, "type": "yarn",
    },
}  # fmt: skip
QWEN2_VL = {
    "model_type": "qwen2_vl", "hidden_size": 1536, "num_attention_heads": 12,
    "num_key_value_heads": 2, "max_position_embeddings": 32_768, "rope_theta": 1_000_000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 1536},
}  # fmt: skip
CHATGLM = {
    "model_type": "chatglm", "hidden_size": 4096, "inner_hidden_size": 16_384,
    "num_attention_heads": 32, "max_sequence_length": 2048, "position_encoding_2d": True,
}  # fmt: skip
CHATGLM_3 = {
    "model_type": "chatglm", "hidden_size": 4096, "kv_channels": 128, "num_attention_heads": 32,
    "multi_query_group_num": 2, "original_rope": True, "seq_length": 8192,
}  # fmt: skip
MINIMAX = {
    "model_type": "minimax_m2", "hidden_size": 3072, "num_attention_heads": 48, "head_dim": 128,
    "rotary_dim": 64, "rope_theta": 5_000_000,
}  # fmt: skip
DYNAMIC = MISTRAL | {"rope_scaling": {"type": "dynamic", "factor": 2.0}}
PERSIMMON = {
    "model_type": "persimmon", "hidden_size": 4096, "num_attention_heads": 64,
    "partial_rotary_factor": 0.5, "rope_theta": 25_000.0,
}  # fmt: skip
TOWER = {"model_type": "qwen2_vl_vision", "embed_dim": 1280, "num_heads": 16, "depth": 32}
NESTED = {
    "model_type": "gemma3_text", "head_dim": 256, "hidden_size": 2560, "num_attention_heads": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}  # fmt: skip
GEMMA_4 = {
    "model_type": "gemma4_text", "hidden_size": 2048, "num_attention_heads": 8, "head_dim": 256,
    "layer_types": ["sliding_attention", "full_attention"],
    "per_layer_config": {"1": {"head_dim": 512}},
    "rope_parameters": {
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                           "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}  # fmt: skip
FULL = {"layer_type": "full_attention"}

REAL = {
    "LLaMA, without any rotary key": (LLAMA_1, {}, dict(head_dim=128, pairing="half")),
    "LLaMA 2": (LLAMA_2, {}, dict(head_dim=128, pairing="half")),
    "Llama 3.1": (LLAMA_31, {}, dict(head_dim=128, pairing="half", base=5e5,
                                     scaling=scaling.Llama3(8.0, 8192, 1.0, 4.0))),
    "Mistral": (MISTRAL, {}, dict(head_dim=128, pairing="half")),
    "Mistral, dynamic": (DYNAMIC, {}, dict(head_dim=128, pairing="half",
                                           scaling=scaling.DynamicNTK(2.0, 32_768))),
    "Qwen 2.5, YaRN": (QWEN_25, {}, dict(head_dim=128, pairing="half", base=1e6,
                                         scaling=scaling.YaRN(4.0, 32_768))),
    "Phi-3, 128k": (PHI_3, {}, dict(head_dim=96, pairing="half", scaling=scaling.LongRoPE(
        tuple(SHORT), tuple(LONG), 4096, 32.0))),
    "GPT-NeoX": (NEOX, {}, dict(head_dim=96, pairing="half", rotary_dim=24)),
    "GPT-J": (GPT_J, {}, dict(head_dim=256, pairing="interleaved", rotary_dim=64)),
    "Gemma 3, global": (GEMMA_3, FULL, dict(head_dim=256, pairing="half", base=1e6,
                                            scaling=scaling.Linear(8.0))),
    "Gemma 3, local": (GEMMA_3, {"layer_type": "sliding_attention"},
                       dict(head_dim=256, pairing="half")),
    "Gemma 3, nested": (NESTED, FULL, dict(head_dim=256, pairing="half", base=1e6,
                                           scaling=scaling.Linear(8.0))),
    "Gemma 4": (GEMMA_4, FULL, dict(head_dim=512, pairing="half", base=1e6,
                                    scaling=scaling.Proportional(0.25))),
    "DeepSeek-V3": (DEEPSEEK_V3, {}, dict(
        head_dim=64, pairing="interleaved", output_pairing="half",
        scaling=scaling.YaRN(40, 4096, 32, 1, mscale=1.0, mscale_all_dim=1.0))),
    "Qwen2-VL": (QWEN2_VL, {}, dict(head_dim=128, pairing="half", base=1e6,
                                    axes=axes.sections([16, 24, 24]))),
    "ChatGLM-6B": (CHATGLM, {}, dict(head_dim=128, pairing="half",
                                     axes=axes.axial(128, blocks=True))),
    "ChatGLM3": (CHATGLM_3, {}, dict(head_dim=128, pairing="interleaved", rotary_dim=64)),
    "MiniMax-M2": (MINIMAX, {}, dict(head_dim=128, pairing="half", rotary_dim=64, base=5e6)),
    "Persimmon": (PERSIMMON, {}, dict(head_dim=64, pairing="half", rotary_dim=32, base=25e3)),
    "Qwen2-VL, vision": (TOWER, {}, dict(head_dim=80, pairing="half", axes=axes.axial(80))),
}  # fmt: skip


@pytest.mark.parametrize(("config", "how", "expected"), REAL.values(), ids=REAL)
def test_configurations_as_released(config, how, expected):
    before = copy.deepcopy(config)
    assert facts(read(config, **how)) == facts(RotaryEmbedding(**expected))
    assert config == before


def test_gemma_3_scales_its_global_layers_only():
    """mlx-vlm#1709, ollama#13452."""
    local = read(GEMMA_3, layer_type="sliding_attention")
    assert (local.scaling, local.base) == (None, 10_000)
    assert read(GEMMA_3, layer_type="full_attention").scaling == scaling.Linear(8.0)
    with pytest.raises(ValueError, match=r"layer_type must be one of .*full_attention.*got None"):
        read(GEMMA_3)


def in_the_new_form(config):
    """``rope_theta`` and ``rope_scaling`` moved into ``rope_parameters``."""
    new = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling")}
    parameters = {
        "rope_theta": config.get("rope_theta", 10_000.0),
        **(config.get("rope_scaling") or {}),
    }
    parameters.setdefault("rope_type", parameters.pop("type", "default"))
    return new | {"rope_parameters": parameters}


ONE_KIND = [LLAMA_1, LLAMA_2, LLAMA_31, MISTRAL, DYNAMIC, QWEN_25, PHI_3, DEEPSEEK_V3, QWEN2_VL,
            PERSIMMON, MINIMAX]  # fmt: skip


@pytest.mark.parametrize("config", ONE_KIND, ids=lambda config: config["model_type"])
def test_both_forms_say_the_same(config):
    """DeepSpeed#8345, vllm#42624: and both at once, where they agree."""
    new = in_the_new_form(config)
    assert facts(read(new)) == facts(read(config))
    assert facts(read(config | new)) == facts(read(config))


def test_an_object_with_to_dict():
    class Config:
        def to_dict(self):
            return LLAMA_31

    assert facts(read(Config())) == facts(read(LLAMA_31))


def paths(config, prefix=()):
    """Where every value of a configuration stands."""
    for key, value in config.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def changed(config, path, value):
    new = copy.deepcopy(config)
    place = new
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return new


def assert_refused(config, how, *names):
    with pytest.raises((TypeError, ValueError)) as caught:
        pytest.fail(f"read without a word: {config}, {how}, as {read(config, **how)}")
    assert any(name in str(caught.value) for name in names), f"none of {names} in: {caught.value}"
    assert len(str(caught.value)) <= 300


BAD_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    0,
    -0.5,
    "8",
    True,
    [],
    {},
    (),
    10**400,
    1j,
    object(),
]
# Keys that play no part in the rotation of a configuration, whatever they hold.
IDLE = {
    "max_sequence_length", "num_hidden_layers", "rms_norm_eps", "vocab_size", "num_key_value_heads",
    "pretraining_tp", "tie_word_embeddings", "sliding_window", "use_sliding_window", "n_positions",
    "use_parallel_residual", "n_layer", "intermediate_size", "architectures", "v_head_dim",
    "depth", "inner_hidden_size", "multi_query_group_num", "seq_length",
    "vision_config", "original_rope",
}  # fmt: skip
IDLE_IN = {
    "LLaMA 2": {"max_position_embeddings"},
    "Mistral": {"max_position_embeddings"},
    "GPT-NeoX": {"max_position_embeddings"},
    "Qwen2-VL": {"max_position_embeddings"},
    "Gemma 3, global": {"hidden_size"},
    "Gemma 3, local": {"hidden_size", "factor", "rope_type", "rope_scaling"},
    "Gemma 3, nested": {"hidden_size", "num_attention_heads"},
    "Gemma 4": {"hidden_size", "num_attention_heads"},
    "DeepSeek-V3": {"hidden_size", "num_attention_heads"},
    "ChatGLM3": {"hidden_size", "num_attention_heads"},
    "MiniMax-M2": {"hidden_size", "num_attention_heads"},
}


# Values of the list above that mean something after all, as in the released code.
MEANT = [
    ("beta_fast", 0), ("beta_slow", 0), ("mscale", 0), ("mscale_all_dim", 0),  # the default
    ("partial_rotary_factor", 0),  # p-RoPE in which nothing turns
    ("rope_scaling", {}), ("rope_parameters", {}), ("layer_types", []), ("layer_types", ()),
    ("per_layer_config", {}), ("1", {}), ("rotary", True), ("position_encoding_2d", True),
]  # fmt: skip


def is_idle(name, config, path):
    inside = path[0] == "vision_config" or (path[:1] == ("model_type",) and "text_config" in config)
    inside |= name == "Gemma 4" and path == ("head_dim",)  # there is another for these layers
    return inside or bool(IDLE & set(path) | IDLE_IN.get(name, set()) & set(path))


def is_meant(key, value):
    return any(key == one and type(value) is type(two) and value == two for one, two in MEANT)


@pytest.mark.parametrize("name", REAL)
def test_every_value_replaced_by_a_bad_one(name):
    config, how, _ = REAL[name]
    whole = facts(read(config, **how))
    seen = 0
    for path in paths(config):
        if "sliding_attention" in path:  # another kind of layer than the one that is read
            continue
        for value in BAD_NUMBERS:
            bad = changed(config, path, value)
            seen += 1
            if is_idle(name, config, path):
                assert facts(read(bad, **how)) == whole, (path, value)
            elif is_meant(path[-1], value):
                continue
            else:
                # a part without anything in it is refused for what it lacks
                names = ("model_type",) if (path[-1], value) == ("text_config", {}) else path[-1:]
                assert_refused(bad, how, *names)
    assert seen >= 4 * len(BAD_NUMBERS)


NEEDED = [
    (LLAMA_1, ("model_type",)), (LLAMA_1, ("hidden_size",)), (LLAMA_1, ("num_attention_heads",)),
    (LLAMA_31, ("rope_scaling", "factor")), (LLAMA_31, ("rope_scaling", "low_freq_factor")),
    (LLAMA_31, ("rope_scaling", "high_freq_factor")), (DYNAMIC, ("rope_scaling", "factor")),
    (DYNAMIC, ("max_position_embeddings",)), (PHI_3, ("rope_scaling", "long_factor")),
    (PHI_3, ("rope_scaling", "short_factor")), (DEEPSEEK_V3, ("qk_rope_head_dim",)),
    (CHATGLM_3, ("kv_channels",)), (GPT_J, ("n_embd",)), (GPT_J, ("n_head",)),
    (TOWER, ("embed_dim",)), (MINIMAX, ("rotary_dim",)), (GPT_J, ("rotary_dim",)),
]  # fmt: skip


@pytest.mark.parametrize(("config", "path"), NEEDED, ids=lambda value: str(value)[:40])
def test_what_is_needed_cannot_be_null_or_missing(config, path):
    assert_refused(changed(config, path, None), {}, path[-1])
    if path[-1] != "rotary_dim":  # for which there is a default
        missing = copy.deepcopy(config)
        del (missing[path[0]] if len(path) > 1 else missing)[path[-1]]
        assert_refused(missing, {}, path[-1])


NEAR_MISSES = [
    "rope_tetha", "rope_thetas", "rope_base", "rope_freq_base", "rotary_percent", "rotary_dims",
    "rotary_base", "rope_scalings", "rope_parameter", "rope_params", "ropescaling", "theta", "teta",
    "partial_rotary_factors", "partial_rotory_factor", "rotary_emb_base", "rotary_pct", "rot_pct",
    "rope_local_base_freq", "global_rope_theta", "swa_rope_theta", "use_dynamic_ntk", "freq_base",
    "compress_rope_theta", "rope_ratio", "yarn_factor", "mscale", "rope_interleave",
    "rope_type", "rotation_base", "rotary_embedding_base", "partial_factor", "rope_factor", "mrope",
    "rope_scaling_factor", "use_yarn",
]  # fmt: skip


@pytest.mark.parametrize("key", NEAR_MISSES)
@pytest.mark.parametrize("config", [LLAMA_1, MISTRAL, TOWER], ids=["silent", "base", "tower"])
def test_unknown_keys_about_rotation_are_refused(key, config):
    """DeepSpeed#8345, vllm#42624: never a silent 10000."""
    assert_refused(config | {key: 0.5}, {}, key)
    inside = {"model_type": "llava", "text_config": config | {key: 0.5}}
    assert_refused(inside, {}, key)
    beside = {"model_type": "llava", "text_config": config, key: 0.5}
    assert_refused(beside, {}, key)


STRAY = ["rope_tetha", "factors", "Factor", "orginal_max_position_embeddings", "beta", "head_dim",
         "rotary_dim", "rope_interleave", "low_freq", "short_factors"]  # fmt: skip


@pytest.mark.parametrize("key", STRAY)
@pytest.mark.parametrize("config", ONE_KIND, ids=lambda config: config["model_type"])
def test_unknown_rope_parameters_are_refused(config, key):
    new = in_the_new_form(config)
    assert_refused(changed(new, ("rope_parameters", key), 2), {}, key)
    if config.get("rope_scaling"):
        assert_refused(changed(config, ("rope_scaling", key), 2), {}, key)


SCALED = {
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 2.0, "original_max_position_embeddings": 64},
    "llama3": {"factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64},
    "longrope": {"factor": 2.0, "short_factor": [1.0] * 64, "long_factor": [2.0] * 64,
                 "original_max_position_embeddings": 64},
    "proportional": {"partial_rotary_factor": 0.5},
    "default": {},
}  # fmt: skip
OWN_KEYS = {
    "alpha": 2.0, "attention_factor": 1.2, "beta_fast": 8, "beta_slow": 1, "mscale": 1.0,
    "mscale_all_dim": 1.0, "truncate": True, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "short_factor": [1.0] * 64, "long_factor": [1.0] * 64, "factor": 2.0,
}  # fmt: skip
BELONG = {
    "linear": {"factor"}, "dynamic": {"factor"}, "proportional": {"factor"}, "default": set(),
    "yarn": {"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
             "truncate"},
    "llama3": {"factor", "low_freq_factor", "high_freq_factor"},
    "longrope": {"factor", "short_factor", "long_factor", "attention_factor"},
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALED)
@pytest.mark.parametrize("key", OWN_KEYS)
def test_a_key_of_another_type_of_scaling_is_refused(kind, key):
    """Read by nobody, it would be lost without a word: transformers#47435, mlx-lm#1507."""
    config = MISTRAL | {"rope_scaling": {"rope_type": kind, **SCALED[kind]}}
    read(config)
    if key not in BELONG[kind] and (kind, key) != (
        "yarn",
        "long_factor",
    ):  # which makes it LongRoPE
        assert_refused(changed(config, ("rope_scaling", key), OWN_KEYS[key]), {}, key)


PLACES = {
    "rope_theta": {("rope_theta",): 2e4, ("rope_parameters", "rope_theta"): 3e4,
                   ("rope_scaling", "rope_theta"): 4e4},
    "partial_rotary_factor": {
        ("partial_rotary_factor",): 0.5, ("rope_parameters", "partial_rotary_factor"): 0.25,
        ("rope_scaling", "partial_rotary_factor"): 1.0,
    },
    "rope_type": {("rope_parameters", "rope_type"): "linear",
                  ("rope_scaling", "rope_type"): "dynamic", ("rope_parameters", "type"): "yarn",
                  ("rope_scaling", "type"): "llama3"},
    "factor": {("rope_parameters", "factor"): 2.0, ("rope_scaling", "factor"): 4.0},
    "original_max_position_embeddings": {
        ("original_max_position_embeddings",): 64,
        ("rope_parameters", "original_max_position_embeddings"): 128,
        ("rope_scaling", "original_max_position_embeddings"): 256,
    },
    "max_position_embeddings": {
        ("max_position_embeddings",): 64, ("rope_scaling", "max_position_embeddings"): 128,
        ("rope_parameters", "max_position_embeddings"): 256,
    },
}  # fmt: skip
BESIDE = {
    "factor": {"type": "linear"}, "max_position_embeddings": {"type": "dynamic", "factor": 2.0},
    "original_max_position_embeddings": {"type": "yarn", "factor": 2.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "one", "two"),
    [(key, *pair) for key, places in PLACES.items() for pair in combinations(places, 2)],
    ids=str,
)
def test_two_places_that_disagree_are_refused(key, one, two):
    """DeepSpeed#8345, vllm#42624."""
    base = {"model_type": "phi", "hidden_size": 4096, "num_attention_heads": 32}
    base |= {} if key == "rope_theta" else {"rope_theta": 1e4}
    for values in (PLACES[key], dict.fromkeys(PLACES[key], PLACES[key][one])):
        config = copy.deepcopy(base)
        for path in (one, two):
            inner = config if len(path) == 1 else config.setdefault(path[0], {})
            inner[path[-1]] = values[path]
        if key in BESIDE:
            config.setdefault("rope_scaling", {}).update(BESIDE[key])
        if values is PLACES[key]:
            assert_refused(config, {}, key)
        elif key != "rope_type":
            read(config)


def sections(sizes):
    return QWEN2_VL | {"rope_scaling": {"type": "mrope", "mrope_section": sizes}}


def long(short_factor, long_factor):
    factors = {"short_factor": short_factor, "long_factor": long_factor}
    return PHI_3 | {"rope_scaling": {"type": "su", **factors}}


ALIASES = [
    (NEOX | {"rope_theta": 5e5}, {}, "rotary_emb_base", "rope_theta"),
    (NEOX | {"partial_rotary_factor": 0.5}, {}, "rotary_pct", "partial_rotary_factor"),
    (NEOX | {"rope_parameters": {"rope_theta": 5e5}}, {}, "rotary_emb_base", "rope_theta"),
    (NEOX | {"rope_parameters": {"partial_rotary_factor": 1}}, {}, "rotary_pct", "partial_rotary"),
    (MINIMAX | {"partial_rotary_factor": 0.25}, {}, "partial_rotary_factor", "rotary_dim"),
    (NESTED | {"rope_theta": 5e5}, FULL, "rope_theta", "rope_theta"),
    (
        NESTED | {"rope_local_base_freq": 5e5},
        {"layer_type": "sliding_attention"},
        "rope_local_base_freq",
        "rope_theta",
    ),
    (NESTED | {"rope_scaling": {"type": "linear", "factor": 2.0}}, FULL, "rope_scaling", "factor"),
    (NESTED | {"rope_scaling": {"type": "yarn", "factor": 8.0}}, FULL, "rope_scaling", "rope_type"),
    (DEEPSEEK_V3 | {"partial_rotary_factor": 0.5}, {}, "partial_rotary_factor", "partial"),
    (MISTRAL | {"partial_rotary_factor": 0.5}, {}, "partial_rotary_factor", "partial"),
    (MISTRAL | {"layer_rope_theta": [1e4, 5e5]}, {}, "layer_rope_theta", "rope_theta"),
    (QWEN2_VL | {"rope_parameters": {"mrope_section": [24, 20, 20]}}, {}, "mrope_section", "mrope"),
    (QWEN2_VL | {"rope_parameters": {"mrope_interleaved": True}}, {}, "mrope_interleaved", "mrope"),
    (MISTRAL | {"rope_parameters": {"mrope_section": [16, 24, 24]}}, {}, "mrope_section", "mrope"),
    ({"model_type": "llava", "rope_theta": 5e5, "text_config": MISTRAL}, {}, "rope_theta", "text_"),
    ({"model_type": "llava", "rope_theta": 5e5, "text_config": LLAMA_1}, {}, "rope_theta", "text_"),
    ({"model_type": "llava", "text_config": "llama"}, {}, "text_config", "dictionary"),
    (LLAMA_1 | {"hidden_size": 4097}, {}, "hidden_size", "num_attention_heads"),
    (LLAMA_1 | {"num_attention_heads": 24}, {}, "num_attention_heads", "hidden_size"),
    (LLAMA_1 | {"hidden_size": 27, "num_attention_heads": 3}, {}, "hidden_size", "num_attention"),
    (LLAMA_1 | {"head_dim": 7}, {}, "head_dim", "7"),
    (NEOX | {"rotary_pct": 0.01}, {}, "rotary_pct", "partial_rotary_factor"),
    (GPT_J | {"rotary_dim": 63}, {}, "rotary_dim", "63"),
    (GPT_J | {"rotary_dim": 258}, {}, "rotary_dim", "258"),
    (TOWER | {"embed_dim": 96}, {}, "embed_dim", "6"),
    (sections([16, 24, 23]), {}, "mrope_section", "64"),
    (sections([32, 32]), {}, "mrope_section", "3"),
    (sections([-16, 40, 40]), {}, "mrope_section", "-16"),
    (sections([16.0, 24, 24]), {}, "mrope_section", "16.0"),
    (long(SHORT, LONG[1:]), {}, "long_factor", "47"),
    (long(SHORT[1:], LONG[1:]), {}, "factor", "47"),
    (long(SHORT, ["1"] * 48), {}, "long_factor", "'1'"),
    (CHATGLM_3 | {"rope_ratio": 4}, {}, "rope_ratio", "4"),
    (DEEPSEEK_V3 | {"rope_interleave": "false"}, {}, "rope_interleave", "'false'"),
    (MISTRAL | {"rope_scaling": {"type": "mystery"}}, {}, "rope_type", "'mystery'"),
    (MISTRAL | {"rope_scaling": {"type": ["linear"]}}, {}, "type", "'linear'"),
    (MISTRAL | {"rope_scaling": {"type": "linear", "factor": 0.5}}, {}, "factor", "0.5"),
    (MISTRAL | {"rope_scaling": {"type": "ntk", "factor": 2.0}}, {}, "rope_type", "'ntk'"),
    (MISTRAL | {"model_type": "mistrall"}, {}, "model_type", "'mistrall'"),
    (
        TOWER | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        {},
        "rope_type",
        "'linear'",
    ),
    (NESTED | {"layer_types": "full_attention"}, FULL, "layer_types", "'full_attention'"),
    (NESTED | {"layer_types": [["full_attention"]]}, FULL, "layer_types", "full"),
    (NESTED | {"rope_parameters": {"rope_theta": 1e4}}, FULL, "rope_parameters", "full_attention"),
    (NESTED, {}, "layer_type", "None"),
    (NESTED, {"layer_type": "global"}, "layer_type", "'global'"),
    (NESTED, {"layer_type": ["full_attention"]}, "layer_type", "full"),
    (MISTRAL, {"layer_type": "chunked_attention"}, "layer_type", "chunked"),
    (MISTRAL, {"shipped": "no"}, "shipped", "'no'"),
    (GEMMA_4 | {"per_layer_config": {"one": {"head_dim": 512}}}, FULL, "per_layer_config", "'one'"),
    (GEMMA_4 | {"per_layer_config": {"1": {"head_dim": 7.5}}}, FULL, "per_layer_config", "7.5"),
    (GEMMA_4 | {"per_layer_config": [512]}, FULL, "per_layer_config", "512"),
    ({"model_type": "mellum", "rope_theta": 1e4}, FULL, "rope_theta", "layers"),
]


@pytest.mark.parametrize(("config", "how", "first", "second"), ALIASES, ids=range(len(ALIASES)))
def test_contradictions_and_wrong_values_name_both_sides(config, how, first, second):
    assert_refused(config, how, first)
    assert_refused(config, how, second)


@pytest.mark.parametrize("config", [None, [], 7, RotaryEmbedding, ("model_type", "llama")])
def test_what_is_no_configuration(config):
    words = "config must be a dictionary, the path of a JSON file or have to_dict"
    with pytest.raises(TypeError, match=words):
        read(config)


def test_a_path(tmp_path):
    """Of the file, or of the folder that holds it, as a string or a path."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_31), "utf-8")
    for given in (path, str(path), tmp_path):
        assert facts(read(given)) == facts(read(LLAMA_31))
    for text, words in (("[]", "config must be Mapping"), ("{", "cannot be read as JSON")):
        path.write_text(text, "utf-8")
        with pytest.raises((TypeError, ValueError), match=words):
            read(path)
    with pytest.raises(ValueError, match="there is no llama"):
        read("llama")


@pytest.mark.parametrize("key", ["rope_theta", "partial_rotary_factor"])
def test_a_layer_s_dictionary_with_a_gap_is_not_filled_by_a_guess(key):
    """gemma3_text takes 1,000,000 for the base, deepseek_v4 10,000, others fail."""
    for model_type, model in MODELS.items():
        layers = {name: {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
                  for name, default in model.layers.items() if default is not None}  # fmt: skip
        for name in layers:
            if key in model.layers[name] and "rope_type" not in model.layers[name]:
                bad = {**layers, name: {k: v for k, v in layers[name].items() if k != key}}
                config = {"model_type": model_type, "rope_parameters": bad, "head_dim": 64}
                assert_refused(config, {"layer_type": name}, key)


def test_a_layer_that_is_missing_or_misspelt():
    parameters = NESTED["rope_parameters"]
    alone = {"full_attention": parameters["full_attention"]}
    assert_refused(
        NESTED | {"rope_parameters": alone}, {"layer_type": "sliding_attention"}, "sliding"
    )
    misspelt = alone | {"sliding_atention": parameters["sliding_attention"]}
    for layer_type in ("sliding_attention", "full_attention", "sliding_atention"):
        how = {"layer_type": layer_type}
        assert_refused(NESTED | {"rope_parameters": misspelt}, how, "sliding_atention")


def test_layers_with_heads_of_several_widths():
    several = {"1": {"head_dim": 512}, "2": {"head_dim": 128}}
    config = GEMMA_4 | {"layer_types": ["sliding_attention"] + 2 * ["full_attention"]}
    assert_refused(config | {"per_layer_config": several}, FULL, "per_layer_config")
    padded = {"01": {"head_dim": 512}, "02": {"head_dim": 512}}
    assert read(config | {"per_layer_config": padded}, **FULL).head_dim == 512
    assert (
        read(config | {"per_layer_config": padded}, layer_type="sliding_attention").head_dim == 256
    )
    del config["layer_types"]
    assert_refused(config | {"per_layer_config": padded}, FULL, "layer_types")


def test_a_lone_weight_order_can_be_told():
    half = read(DEEPSEEK_V3 | {"rope_interleave": False})
    assert (half.pairing, half.output_pairing) == ("half", "half")
    assert facts(read(DEEPSEEK_V3 | {"rope_interleave": True})) == facts(read(DEEPSEEK_V3))


def test_the_lengths_of_a_configuration():
    implied = copy.deepcopy(QWEN_25)
    del implied["rope_scaling"]["factor"]
    implied["max_position_embeddings"] = 65_536
    assert read(implied).scaling == scaling.YaRN(2.0, 32_768)
    del implied["rope_scaling"]["original_max_position_embeddings"]
    assert read(implied).scaling == scaling.YaRN(1.0, 65_536)
    assert torch.equal(
        read(implied).tables(torch.arange(9))[0],
        read(MISTRAL | {"rope_theta": 1e6}).tables(torch.arange(9))[0],
    )


def test_hunyuan_s_alpha():
    """Its "dynamic" type with ``alpha`` is a fixed NTK factor; keys beside it have no effect."""
    config = LLAMA_1 | {"model_type": "hunyuan_v1_dense", "max_position_embeddings": 64}
    keys = {"type": "dynamic", "alpha": 1000.0, "factor": 1.0, "beta_fast": 32, "mscale": 1.0}
    assert read(config | {"rope_scaling": keys}).scaling == scaling.NTK(1000.0)
    for alpha in (0.5, True, "8", math.nan):
        assert_refused(config | {"rope_scaling": keys | {"alpha": alpha}}, {}, "alpha")
    assert_refused(MISTRAL | {"rope_scaling": keys}, {}, "alpha")


def test_a_switch_is_no_number_and_a_number_no_switch():
    falcon = {"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71}
    assert read(falcon | {"alibi": False}).head_dim == 64
    assert_refused(falcon | {"alibi": 0}, {}, "alibi")
    assert_refused(falcon | {"alibi": True}, {}, "alibi")
    assert_refused(CHATGLM_3 | {"rope_ratio": True}, {}, "rope_ratio")
    assert read(CHATGLM_3 | {"rope_ratio": 1}).base == 10_000


def test_a_share_may_repeat_a_width_but_not_contradict_it():
    """Some configurations of latent attention give the share of the whole head that is turned."""
    latent = DEEPSEEK_V3 | {"qk_nope_head_dim": 192}
    for share in (0.25, 1.0):
        assert read(latent | {"partial_rotary_factor": share}).rotary_dim == 64
    for share in (0.22, 0.28, 0.5):
        assert_refused(latent | {"partial_rotary_factor": share}, {}, "partial_rotary_factor")
    assert read(MINIMAX | {"partial_rotary_factor": 0.5}).rotary_dim == 64
    assert_refused(MINIMAX | {"partial_rotary_factor": 0.47}, {}, "partial_rotary_factor")
    assert read(NEOX | {"rotary_pct": 0.34}).rotary_dim == 32


def test_a_layer_of_another_type_of_scaling_needs_no_share():
    parameters = GEMMA_4["rope_parameters"] | {
        "full_attention": {"rope_type": "default", "rope_theta": 5e5}
    }
    plain = read(GEMMA_4 | {"rope_parameters": parameters}, **FULL)
    assert (plain.scaling, plain.base) == (None, 5e5)


def test_old_names_and_zeros_that_stand_for_a_default():
    zeros = DEEPSEEK_V3["rope_scaling"] | {"beta_fast": 0, "beta_slow": 0, "mscale": 0}
    expected = scaling.YaRN(40, 4096, mscale=0, mscale_all_dim=1.0)
    assert read(DEEPSEEK_V3 | {"rope_scaling": zeros}).scaling == expected
    early = PHI_3 | {"rope_scaling": PHI_3["rope_scaling"] | {"type": "yarn"}}
    assert facts(read(early)) == facts(read(PHI_3))


HEADS = {"hidden_size": 512, "num_attention_heads": 8}
COHERE_2 = {
    "model_type": "cohere2",
    **HEADS,
    "layer_types": ["sliding_attention", "full_attention"],
}
LFM_2 = {"model_type": "lfm2", **HEADS, "layer_types": ["conv", "full_attention"]}
GLM = {"model_type": "glm4", **HEADS}
LINEAR = {"type": "linear", "factor": 4.0}
DBRX = {"model_type": "dbrx", "d_model": 512, "n_heads": 8, "max_seq_len": 2048}


@pytest.mark.parametrize(
    ("config", "layer_type", "words"),
    [
        (LFM_2, "conv", "layer_type must be one of .None, 'full_attention'"),
        (GPT_J | {"rope_scaling": LINEAR}, None, "rope_type must be one of .'default',. for gptj"),
        (GPT_J | {"rope_theta": 500_000}, None, "rope_theta must be 10000"),
        ({"model_type": "roformer", **HEADS, "rope_theta": 1e6}, None, "rope_theta must be 10000"),
        ({"model_type": "phi3", **HEADS, "rope_scaling": LINEAR}, None, "rope_type must be one of"),
        ({"model_type": "gpt_neox", **HEADS, "rope_theta": 1e6}, None, "called 'rotary_emb_base'"),
        ({"model_type": "ernie4_5", **HEADS, "head_dim": None}, None, "head_dim must be given or"),
        (GLM | {"partial_rotary_factor": None}, None, "partial_rotary_factor must be given or"),
        ({"model_type": "qwen2", **HEADS, "use_mrope": True}, None, "'use_mrope' = True"),
        ({"model_type": "llama", **HEADS, "rope_interleaved": True}, None, "'rope_interleaved'"),
        ({"model_type": "stablelm", **HEADS, "rotary_pct": 1.0}, None, "'rotary_pct' = 1.0"),
        (LFM_2 | {"theta": 1e6, "rope_theta": 1e4}, None, "rope_theta"),
        ({"model_type": "mistrall"}, None, "names like it are mistral, "),
    ],
)  # fmt: skip
def test_what_a_models_code_reads_otherwise_is_refused(config, layer_type, words):
    with pytest.raises(ValueError, match=words):
        RotaryEmbedding.from_config(config, layer_type=layer_type)


@pytest.mark.parametrize(
    ("config", "harmless"),
    [
        (DEEPSEEK_V3, {"moe_layer_freq": 1, "frequency_penalty": None}),
        (QWEN_25, {"use_mrope": False}),
        (MISTRAL, {"rope_interleaved": False, "rotary_pct": 1.0, "rotary_scaling_factor": 1.0}),
        (LFM_2, {"theta": 1_000_000.0, "rope_theta": 1_000_000.0}),
        (DBRX, {"attn_config": {"kv_n_heads": 8, "rope_theta": None}}),
    ],
)
def test_keys_that_say_what_holds_anyway_are_let_pass(config, harmless):
    with_them = RotaryEmbedding.from_config(config | harmless)
    assert str(with_them) == str(RotaryEmbedding.from_config(config))


def test_a_dictionary_may_be_asked_for_a_type_of_layer_as_its_object_may():
    plain = RotaryEmbedding.from_config(MISTRAL)
    for layer_type in ("full_attention", "sliding_attention"):
        assert str(RotaryEmbedding.from_config(MISTRAL, layer_type=layer_type)) == str(plain)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rope_type": "linear", "factor": 2.0}, "rope_parameters must have 'rope_theta'"),
        ({"rope_type": "axial", "rope_theta": 1e4}, "rope_type must be one of .*got 'axial'"),
        ({"rope_type": "dynamic with alpha", "rope_theta": 1e4, "alpha": 2.0}, "got 'dynamic with"),
        ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0,
          "original_max_position_embeddings": 64}, "must be max_position_embeddings = 4096"),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_in_silence_is_refused(parameters, words):
    """unsloth#7028."""
    with pytest.raises(ValueError, match=words):
        read(LLAMA_2 | {"rope_parameters": parameters})


def test_keys_that_nobody_knows_are_told_and_passed_over():
    """Published files have them; one that is misspelt, or says otherwise, is refused above."""
    stray = LLAMA_31 | {"rope_pos_offset": 3, "alibi_rope": 0.5}
    stray["rope_scaling"] = LLAMA_31["rope_scaling"] | {"attn_factor": 0.9, "kind": 2}
    with pytest.warns(UserWarning, match="not read") as told:
        rope = read(stray)
    assert facts(rope) == facts(read(LLAMA_31))
    for key in ("rope_pos_offset", "alibi_rope", "attn_factor", "kind"):
        assert sum(f"{key!r} = " in str(each.message) for each in told) == 1


def test_the_code_of_another_type():
    unknown = LLAMA_31 | {"model_type": "my_own_llama"}
    with pytest.raises(ValueError, match=r"'my_own_llama' is not known.*like='llama'"):
        read(unknown)
    assert facts(read(unknown, like="llama")) == facts(read(LLAMA_31))
    for like in ("lama", 7):
        with pytest.raises((TypeError, ValueError), match="like must be"):
            read(unknown, like=like)


def test_how_a_rotation_is_used_is_said_beside_its_configuration():
    rope = read(LLAMA_31, layout="bshd", backend="onnx")
    assert (rope.layout, rope.backend) == ("bshd", "onnx")
    assert facts(rope) == facts(read(LLAMA_31))
    with pytest.raises(TypeError, match=r"from_config has no argument 'theta'.*here that is base"):
        read(LLAMA_31, theta=1e4)
    for wrong in ({"scaling": {"rope_type": "yarn"}}, {"axes": [16, 48]}):
        with pytest.raises(TypeError, match="from_config reads them from a configuration"):
            RotaryEmbedding(128, "half", **wrong)
