"""Models whose code was never part of transformers, or that write their configuration otherwise.

What is said here of released code was read in it; types marked as ports only in what inference
engines made of it.
"""

from collections.abc import Callable

Lifted = tuple[str, dict, list[str]]

#: Model types that rotate exactly as another one.
ALIASES = {
    **dict.fromkeys(("deepseek", "internlm2", "minicpm", "molmo"), "llama"),
    # MiniCPM, Llama 3 or Qwen2, by the release; they rotate alike
    **dict.fromkeys(("minicpmv", "minicpmo"), "llama"),
    **dict.fromkeys(("Yi", "aquila", "arctic", "exaone", "grok-1", "nemotron-nas", "orion", "solar",
                     "telechat3", "xverse"), "llama"),  # ports
    "minimax_m1": "minimax_text_01",  # a port, too
    **dict.fromkeys(("RefinedWeb", "RefinedWebModel"), "falcon"),
    "phi-msft": "mixformer-sequential",
    "exaone4_5_text": "exaone4",
    "phi3_v": "phi3",
    "phi4mm": "phi4_multimodal",
    "kimi_k2": "deepseek_v3",
}  # fmt: skip
#: Model types that rotate, but not by what their configuration says, and what to do with them.
NOT_READ = {
    "telechat": "has bases that are written in its code only: build a RotaryEmbedding by hand",
    **dict.fromkeys(
        ("clvp_decoder", "clvp_encoder", "cohere_compass_text", "dots3_note_text", "edgetam_video",
         "efficientloftr", "esmfold2", "hunyuan_vl_text", "lightglue", "musicflamingo",
         "sam2_video", "sam3_tracker_video", "step3p5", "vjepa2"),
        "rotates in a way that is not read here: build a RotaryEmbedding by hand",
    ),
}  # fmt: skip


def _internlm(config: dict) -> Lifted:
    """Its base and its dynamic scaling stand under ``rotary``."""
    inner = config.get("rotary") or {}
    given = {"rope_theta": inner.get("base", 10_000.0)}
    if inner.get("type") == "dynamic":
        given["rope_scaling"] = {"type": "dynamic", "factor": inner.get("scaling_factor", 1.0)}
    elif inner.get("type", "origin") != "origin":
        raise ValueError(f"rotary must be of type 'dynamic' or 'origin', got {inner['type']!r}")
    return "llama", {**given, **{k: v for k, v in config.items() if k != "rotary"}}, []


def _baichuan(config: dict) -> Lifted:
    """Only the hidden size tells the smaller models, which rotate, from the larger ones."""
    if config.get("hidden_size") != 4096:
        raise ValueError(
            f"a baichuan of hidden_size {config.get('hidden_size')} has no rotary embedding to be "
            "read: ALiBi lowers its scores by the distance (the 7B, of 4096, rotates)"
        )
    return "llama", config, []


def _qwen(config: dict) -> Lifted:
    """Plain up to ``seq_length`` tokens; what its code does beyond depends on each prompt."""
    length = config.get("seq_length")
    notes = []
    if config.get("use_dynamic_ntk"):
        notes += [f"use_dynamic_ntk: prompts beyond {length} tokens have a larger base, not read"]
    if config.get("use_logn_attn"):
        notes += [f"use_logn_attn: late queries are multiplied by log(m) / log({length}), not read"]
    return "qwen", config, notes


def _chatglm(config: dict) -> Lifted:
    """GLM-4 and ChatGLM3 multiply the base by ``rope_ratio``, ChatGLM2 divides positions by it."""
    ratio = config.get("rope_ratio", 1)
    if ratio in (1, None) or isinstance(ratio, bool | str):
        return "chatglm", config, []
    notes = []
    if config.get("padded_vocab_size") != 151_552:
        if ratio != 50:
            raise ValueError(
                f"rope_ratio must be 1 or 50 in a chatglm that is no GLM-4 (whose padded_vocab_size"
                f" is 151552), got {ratio!r}: ChatGLM2 divides positions by it, ChatGLM3 "
                "multiplies its base; say rope_theta or rope_scaling instead"
            )
        notes = ["rope_ratio = 50 is read as in ChatGLM3-32k: the base is multiplied by it"]
    return "chatglm", {**config, "rope_theta": 10_000.0 * ratio, "rope_ratio": 1}, notes


def _phi3small(config: dict) -> Lifted:
    if config.get("rope_position_scale", 1.0) != 1:
        scale = config["rope_position_scale"]
        raise ValueError(f"rope_position_scale must be 1: engines disagree on it; got {scale}")
    inner = config.get("rope_scaling") or {}
    usual = {key: value for key, value in inner.items()
             if not (key.endswith("_mscale") and value <= 0)}  # fmt: skip
    return "phi3small", {**config, "rope_scaling": usual or None}, []


def _mpt(config: dict) -> Lifted:
    """Those that rotate say so in ``attn_config``, which transformers does not read."""
    inner = config.get("attn_config") or {}
    if not inner.get("rope"):
        raise ValueError(
            "this mpt has no rotary embedding to be read: attn_config has no rope = True"
        )
    if (inner.get("rope_dail_config") or {}).get("type", "original") != "original":
        raise ValueError("rope_dail_config must be of type 'original' to be read")
    scaling = inner.get("rope_hf_config") or {}
    given = {"rope_theta": inner.get("rope_theta", 10_000.0)}
    if scaling.get("type", "no_scaling") != "no_scaling":
        given["rope_scaling"] = {"type": scaling["type"], "factor": scaling.get("factor")}
    return "mpt-rope", {**given, **config}, ["transformers 5.23 reads no rope of an mpt"]


def _dbrx(config: dict) -> Lifted:
    """Its base stands in ``attn_config``."""
    base = (config.get("attn_config") or {}).get("rope_theta")
    if base is None or "rope_theta" in config or "rope_parameters" in config:
        return "dbrx", config, []
    note = f"rope_theta = {base} is read from attn_config; transformers 5.23 takes 10,000 instead"
    return "dbrx", {**config, "rope_theta": base}, [note]


def _modernbert(config: dict) -> Lifted:
    """A null for the local base stands for the global one, in the code that it came with."""
    if "local_rope_theta" not in config or config["local_rope_theta"] is not None:
        return config["model_type"], config, []
    base = config.get("global_rope_theta", 160_000.0)
    note = f"local_rope_theta is null: the global base, {base}, is taken"
    return config["model_type"], {**config, "local_rope_theta": base}, [note]


def _deepseek_v2(config: dict) -> Lifted:
    """Without latent attention it is a LLaMA."""
    return ("deepseek_v2" if config.get("use_mla", True) else "llama"), config, []


def _molmo2(config: dict) -> Lifted:
    """Layers that ``rope_scaling_layers`` leaves out are rotated without the scaling."""
    listed, count = config.get("rope_scaling_layers"), config.get("num_hidden_layers", 36)
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = given.get("rope_type", given.get("type", "default"))
    if kind == "default" or listed is None or len(set(listed)) >= count:
        return "molmo2_text", config, []
    note = f"rope_scaling_layers: only layers {listed} are scaled; what is read holds for them"
    return "molmo2_text", config, [note[:200]]


def _phimoe(config: dict) -> Lifted:
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    note = "long_factor serves texts beyond the original length; transformers 5.23 never takes it"
    return "phimoe", config, [note] if given.get("long_factor") else []


#: What has to be brought to the usual form first: from a configuration to its model type, the
#: configuration in that form, and what there is to tell. They raise a ``ValueError`` for models
#: that do not rotate.
LIFTED: dict[str, Callable[[dict], Lifted]] = {
    "baichuan": _baichuan,
    "chatglm": _chatglm,
    "dbrx": _dbrx,
    "deepseek_v2": _deepseek_v2,
    "internlm": _internlm,
    "modernbert": _modernbert,
    "molmo2_text": _molmo2,
    "modernbert-decoder": _modernbert,
    "mpt": _mpt,
    "phi3small": _phi3small,
    "phimoe": _phimoe,
    "qwen": _qwen,
}
