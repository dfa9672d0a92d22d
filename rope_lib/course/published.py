"""Configurations of published models, cut down to the keys that say how they turn.

Each is meant to say what the ``config.json`` in the model's own repository says, without the rest
of the file. Lists of layers are written as products; towers for images are left out. The tests
compare 21 of them with whole files; of the other five they only know that they can be read.
"""

_FULL, _SLIDING, _LINEAR = "full_attention", "sliding_attention", "linear_attention"


def _model(kind: str, width: int, heads: int, layers: int, length: int, **more) -> dict:
    """What most files have: type, width of the model, query heads, layers, length in tokens."""
    return {"model_type": kind, "hidden_size": width, "num_attention_heads": heads,
            "num_hidden_layers": layers, "max_position_embeddings": length, **more}  # fmt: skip


def _llama3(factor: float) -> dict:
    return {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": 8192,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0}  # fmt: skip


def _yarn(factor: float, original: int = 4096, **more) -> dict:
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original,
            "beta_fast": 32.0, "beta_slow": 1.0, **more}  # fmt: skip


_LATENT = {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64}
_ALL = {"mscale": 1.0, "mscale_all_dim": 1.0}
_LONG = [  # of Phi-4-mini's LongRoPE
    1, 1.118320672, 1.250641126, 1.398617824, 1.564103225, 1.74916897, 1.956131817, 2.187582649,
    2.446418898, 2.735880826, 3.059592084, 3.421605075, 3.826451687, 4.279200023, 4.785517845,
    5.351743533, 5.984965424, 6.693110555, 7.485043894, 8.370679318, 9.36110372, 10.4687158,
    11.70738129, 13.09260651, 14.64173252, 16.37415215, 18.31155283, 20.47818807, 22.90118105,
    25.61086418, 28.64115884, 32.03, 32.1, 32.13, 32.23, 32.6, 32.61, 32.64, 32.66, 32.7, 32.71,
    32.93, 32.97, 33.28, 33.49, 33.5, 44.16, 47.77,
]  # fmt: skip

#: By the names under which people know them.
CONFIGS: dict[str, dict] = {
    "RoFormer base": _model("roformer", 768, 12, 12, 1536),
    "GPT-J 6B": {
        "model_type": "gptj", "n_embd": 4096, "n_head": 16, "n_layer": 28, "n_positions": 2048,
        "rotary_dim": 64,
    },
    "GPT-NeoX 20B": _model(
        "gpt_neox", 6144, 64, 44, 2048, rotary_pct=0.25, rotary_emb_base=10_000
    ),
    "ChatGLM 6B": {
        "model_type": "chatglm", "hidden_size": 4096, "num_attention_heads": 32, "num_layers": 28,
        "max_sequence_length": 2048, "position_encoding_2d": True,
    },
    "GLM-4 9B chat": {
        "model_type": "chatglm", "hidden_size": 4096, "kv_channels": 128, "num_layers": 40,
        "num_attention_heads": 32, "original_rope": True, "rope_ratio": 500, "seq_length": 131_072,
        "padded_vocab_size": 151_552,  # by which it is known to be no ChatGLM3
    },
    "LLaMA 2 13B": _model("llama", 5120, 40, 40, 4096),
    "TinyLlama 1.1B": _model("llama", 2048, 32, 22, 2048, num_key_value_heads=4),
    "SmolLM2 135M": _model(
        "llama", 576, 9, 30, 8192, num_key_value_heads=3, rope_theta=100_000
    ),
    "Llama 3.1 8B": _model(
        "llama", 4096, 32, 32, 131_072, num_key_value_heads=8, rope_theta=500_000.0,
        rope_scaling=_llama3(8.0),
    ),
    "Llama 4 Scout": _model(
        "llama4_text", 5120, 40, 48, 10_485_760, head_dim=128, rope_theta=500_000.0,
        rope_scaling=_llama3(16.0) | {"high_freq_factor": 1.0},
    ),
    "Mistral 7B v0.3": _model(
        "mistral", 4096, 32, 32, 32_768, num_key_value_heads=8, rope_theta=1e6
    ),
    "Ministral 3 3B": _model(
        "ministral3", 3072, 32, 26, 262_144, head_dim=128,
        rope_parameters=_yarn(16.0, 16_384, **_ALL, rope_theta=1e6, llama_4_scaling_beta=0.1),
    ),
    "Qwen2.5 7B": _model("qwen2", 3584, 28, 28, 32_768, rope_theta=1e6),
    "Qwen3 8B": _model("qwen3", 4096, 32, 36, 40_960, head_dim=128, rope_theta=1e6),
    "Qwen3.5 9B": _model(
        "qwen3_5_text", 4096, 16, 32, 262_144, head_dim=256,
        layer_types=[*[_LINEAR] * 3, _FULL] * 8,
        rope_parameters={"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25,
                         "mrope_section": [11, 11, 10], "mrope_interleaved": True},
    ),
    "Gemma 2 9B": _model("gemma2", 3584, 16, 42, 8192, head_dim=256, rope_theta=10_000.0),
    "Gemma 3 27B": _model(
        "gemma3_text", 5376, 32, 62, 131_072, head_dim=128, rope_theta=1e6,
        rope_local_base_freq=10_000.0, rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    "Gemma 4, 30 layers": {
        "model_type": "gemma4_text", "hidden_size": 2816, "num_attention_heads": 16,
        "num_hidden_layers": 30, "head_dim": 256, "global_head_dim": 512,
        "layer_types": [*[_SLIDING] * 5, _FULL] * 5,
        "rope_parameters": {
            _FULL: {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
            _SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
        },
    },
    "Phi-4": _model("phi3", 5120, 40, 40, 16_384, rope_theta=250_000.0),
    "Phi-4-mini": _model(
        "phi3", 3072, 24, 32, 131_072, original_max_position_embeddings=4096,
        partial_rotary_factor=0.75, rope_theta=10_000.0,
        rope_scaling={"type": "longrope", "short_factor": [1.0] * 48, "long_factor": _LONG},
    ),
    "DeepSeek-V3": _model(
        "deepseek_v3", 7168, 128, 61, 163_840, rope_theta=10_000, **_LATENT,
        rope_scaling=_yarn(40.0, **_ALL),
    ),
    "Kimi K2.6": _model(
        "kimi_k2", 7168, 64, 61, 262_144, rope_theta=50_000.0, **_LATENT,
        rope_scaling=_yarn(64.0, **_ALL),
    ),
    "gpt-oss 20B": _model(
        "gpt_oss", 2880, 64, 24, 131_072, head_dim=64, rope_theta=150_000,
        layer_types=[_SLIDING, _FULL] * 12, rope_scaling=_yarn(32.0, truncate=False),
    ),
    "SmolLM3 3B": _model(
        "smollm3", 2048, 16, 36, 65_536, rope_theta=5e6, no_rope_layers=[1, 1, 1, 0] * 9,
        layer_types=[_FULL] * 36,
    ),
    "EXAONE 4.0 32B": _model(
        "exaone4", 5120, 40, 64, 131_072, head_dim=128, rope_theta=1e6, sliding_window=4096,
        layer_types=[*[_SLIDING] * 3, _FULL] * 16, rope_scaling=_llama3(16.0),
    ),
    "OLMo 3.1 32B": _model(
        "olmo3", 5120, 40, 64, 65_536, rope_theta=500_000,
        layer_types=[*[_SLIDING] * 3, _FULL] * 16,
        rope_scaling=_yarn(8.0, 8192, attention_factor=1.2079441541679836),
    ),
}  # fmt: skip
