"""What a configuration does not say: how each model type rotates, and what its defaults are.

``MODELS`` holds a :class:`rope_lib.models.family.Model` for each model type. The tests compare them
with transformers 5.23, but for those whose code was never part of it.
"""

from dataclasses import replace

from .family import (
    CHATGLM_2,
    CHATGLM_6B,
    COHERE,
    DEEPSEEK_V3,
    DEEPSEEK_V4,
    DINOV3,
    ERNIE_VL,
    ESM,
    GEMMA_4_VISION,
    GLM_4V,
    GPT_J,
    INKLING,
    KIMI_VISION,
    LLAMA,
    LLAMA_4,
    MUSE_VISION,
    NANOCHAT,
    NEOMME,
    OLMO,
    PIXTRAL,
    QWEN2_VL,
    QWEN3_VL,
    QWEN_VISION,
    ROFORMER,
    SAM,
    STEP_VISION,
    Family,
    Model,
)
from .layers import (
    LINEAR,
    SLIDING,
    alternate,
    by_list,
    cohere2_moe_kind,
    cohere2_moe_turns,
    deepseek_v4_kind,
    every,
    flint_kind,
    fourth_from_the_end,
    if_sliding,
    if_sliding_or_no_window,
    lfm3_kind,
    llama4_kind,
    mimo_kind,
    minimax_kind,
    not_every_fourth_from_the_end,
    of_indices,
)


def _llama3(factor: float, length: int = 8192, low: float = 1.0, high: float = 4.0) -> dict:
    return {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": length,
            "low_freq_factor": low, "high_freq_factor": high}  # fmt: skip


def _yarn(factor: float, length: int, **more: float) -> dict:
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": length,
            **more}  # fmt: skip


def _layers(full: float, sliding: float = 10_000.0, **full_more) -> dict[str, dict]:
    return {
        "full_attention": {"rope_theta": full, **full_more},
        "sliding_attention": {"rope_theta": sliding},
    }


MODELS: dict[str, Model] = {}


def _add(names: str, family: Family, **defaults) -> None:
    MODELS.update(dict.fromkeys(names.split(), Model(family, **defaults)))


def _also(names: str, **more) -> None:
    MODELS.update({name: replace(MODELS[name], **more) for name in names.split()})


_PROPORTIONAL = {"rope_type": "proportional", "partial_rotary_factor": 0.25}
_NEOX = {"rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"}
_GEMMA_3 = {"rope_theta": "full_attention.rope_theta",
            "rope_local_base_freq": "sliding_attention.rope_theta",
            "rope_scaling": "full_attention"}  # fmt: skip
_MODERNBERT = {"global_rope_theta": "full_attention.rope_theta",
               "local_rope_theta": "sliding_attention.rope_theta",
               "rope_scaling": "full_attention sliding_attention"}  # fmt: skip
_OLMO_3 = {"rope_theta": "full_attention.rope_theta sliding_attention.rope_theta",
           "rope_scaling": "full_attention"}  # fmt: skip
_CONFORMER = {"keys": {"rotary_embedding_base": "rope_theta"},
              "needs": {"position_embeddings_type": ("rotary", "relative")},
              "kinds": ("default",)}  # fmt: skip
_PLAIN = ("default",)
_TOWER = ("default", "axial")
_MLA = {"width": "qk_rope_head_dim"}
_GPT_OSS = _yarn(32.0, 4096, truncate=False)
_INTERLEAVE = {"rope_interleave": "rope_interleave"}
_VISION = ("hidden_size", "num_heads")

# Half-split, whole heads: the commonest kind, by default base and default width of a head.
_add("""arcee aria_text chameleon deepseek_ocr2_encoder deepseek_ocr2_text diffllama doge dots1 esmc
     eurobert exaone4 exaone_moe falcon_h1 gradium_phonon_tts granite granite4_vision_text
     granite_docling_text granite_swa granitemoe granitemoe_swa granitemoeshared hyperclovax idefics
     jais2 kyutai_speech_to_text lasr_encoder llama mimi mimi_encoder mimi_decoder ministral mistral
     moshi olmoe pocket_tts pocket_tts_audio_tokenizer pocket_tts_audio_tokenizer_encoder
     pocket_tts_audio_tokenizer_decoder qwen2 qwen2_moe qwen3_moe starcoder2 unlimited_ocr_text
     voxtral_realtime_text""", LLAMA)  # fmt: skip
_add("""dia_decoder dia_encoder hrm_text
     muse_glimmer_text qwen3 qwen3_omni_moe_talker_code_predictor seed_oss""",
     LLAMA, head_dim=128)  # fmt: skip
_add("afmoe flint internlm3 iquestcoder kolibri1", LLAMA, head_dim=128)
_add("neucodec qwen2_5_omni_dit voxtral_realtime_encoder xcodec2", LLAMA, head_dim=64)
_add("gemma gemma2 t5_gemma_module vaultgemma", LLAMA, head_dim=256)
_add("timesfm2_5", LLAMA, head_dim=80)
_add("nomic_bert", LLAMA, base=1000.0,
     keys={"rotary_emb_base": "rope_theta", "rope_theta": "rope_theta",
           "rotary_emb_fraction": "partial_rotary_factor"})  # fmt: skip
_add("jina_embeddings_v3", LLAMA, base=20_000.0)
_add("gpt_oss", LLAMA, base=150_000.0, head_dim=64, parameters=_GPT_OSS)
_add("gte", LLAMA, base=160_000.0)
_add("bitnet csm csm_depth_decoder_model mllama_text_model", LLAMA, base=500_000.0)
_add("higgs_audio_v2", LLAMA, base=500_000.0, head_dim=128,
     parameters=_llama3(32.0, 1024, 0.125, 0.5))  # fmt: skip
_add("muse_glimmer_assistant", LLAMA, base=500_000.0, head_dim=128)
_add("muse_spark_text", LLAMA, base=500_000.0, head_dim=64)
_add("emu3_text_model minimax mixtral", LLAMA, base=1e6)
_add("molmo2_text", LLAMA, head_dim=128, keys={"rope_scaling_layers": ""})
_add("phimoe", LLAMA, base=1e6, kinds=("default", "longrope"))
_add("lfm2 lfm2_moe", LLAMA, base=1e6, keys={"theta": "rope_theta", "rope_theta": "rope_theta"})
_add("cwm", LLAMA, base=1e6, head_dim=128, parameters=_llama3(16.0))
_add("ministral3", LLAMA, base=1e6, head_dim=128,
     parameters=_yarn(16.0, 16_384, mscale=1.0, mscale_all_dim=1.0))  # fmt: skip
_add("solar_open", LLAMA, base=1e6, head_dim=128)
_add("smollm3", LLAMA, base=2e6)
_add("hy_v3", LLAMA, base=11_158_840.0, head_dim=128)
_add("apertus", LLAMA, base=12e6, parameters=_llama3(8.0))
_add("dbrx", LLAMA, per_head=("d_model", "n_heads"),
     keys={"max_seq_len": "max_position_embeddings"})  # fmt: skip
_add("jetmoe", LLAMA, width="kv_channels", head_dim=128)
_add("zamba2", LLAMA, width="attention_head_dim", needs={"use_mem_rope": (True, False)})
_add("falcon", LLAMA, needs={"alibi": (False, False)})
_add("granitemoehybrid", LLAMA, needs={"position_embedding_type": ("rope", None)})
_add("hunyuan_v1_dense hunyuan_v1_moe", LLAMA, keys={"alpha": "alpha"})
_add("wav2vec2-conformer wav2vec2-bert", LLAMA, **_CONFORMER)
_add(
    "seamless_m4t", LLAMA, per_head=("hidden_size", "speech_encoder_attention_heads"), **_CONFORMER
)
_add("minicpm3 hy_v4", LLAMA, **_MLA)

# Half-split, part of a head.
_add("""dots3_note_audio_encoder glm4_moe glmasr_encoder nemotron nemotron3_5_transcribe_asr_audio
     nemotron3_5_transcribe_word_timestamp persimmon phi""",
     LLAMA, partial=True, fraction=0.5)  # fmt: skip
_add("recurrent_gemma", LLAMA, partial=True, fraction=0.5, kinds=_PLAIN)
_add("stablelm", LLAMA, partial=True, fraction=0.25)
_add("qwen3_next", LLAMA, partial=True, fraction=0.25, head_dim=256)
_add("nemotron3_diarization_audio", LLAMA, partial=True)
_add("phi3 phi4_multimodal", LLAMA, partial=True, kinds=("default", "longrope"))
_add("bamba", LLAMA, fraction=0.5)
_add("gpt_neox", LLAMA, partial=True, fraction=0.25, keys=_NEOX)
_add("gpt_neox_japanese", LLAMA, partial=True, keys=_NEOX)
_add("minimax_m2", LLAMA, partial=True, base=5e6, head_dim=128, keys={"rotary_dim": "rotary_dim"})
_add("minimax_m3_vl_text", LLAMA, partial=True, base=5e6, head_dim=128, keys={"rotary_dim": ""})

# Half-split, and not every layer alike.
_add("gemma3_text gemma3n_text t5gemma2_text t5gemma2_decoder",
     LLAMA, head_dim=256, layers=_layers(1e6), keys=_GEMMA_3)  # fmt: skip
_add("embedding_gemma2_text", LLAMA, head_dim=256, layers=_layers(1e6, head_dim=512),
     keys={"global_head_dim": "full_attention.head_dim"})  # fmt: skip
_add("gemma4_text gemma4_unified_text diffusion_gemma_text", LLAMA, head_dim=256,
     layers=_layers(1e6, head_dim=512, **_PROPORTIONAL),
     keys={"global_head_dim": "full_attention.head_dim"})  # fmt: skip
_add("ultrabert", LLAMA, layers=_layers(2_560_000.0))
_add("mellum", LLAMA, head_dim=128, layers=_layers(500_000.0))
_add("laguna", LLAMA, partial=True, head_dim=128,
     layers=_layers(500_000.0, partial_rotary_factor=0.5))  # fmt: skip
_add("mimo_v2_flash", LLAMA, partial=True, fraction=0.334, head_dim=192, layers=_layers(5e6))
_add("zaya", LLAMA, partial=True, fraction=0.5, head_dim=128,
     layers={"hybrid": {"rope_theta": 5e6},
             "hybrid_sliding": {"rope_theta": 10_000.0}})  # fmt: skip

# Half-split, rounded elsewhere, or the other way round.
_add("olmo olmo2 olmo_hybrid", OLMO)
_add("flex_olmo", OLMO, base=500_000.0)
_add("olmo3", OLMO, layers=_layers(500_000.0, 500_000.0), keys=_OLMO_3)
_add("beam", OLMO, head_dim=128,
     layers={"sliding_attention": {"rope_theta": 10_000.0}, "full_attention": None})  # fmt: skip
_add("lfm3", OLMO, head_dim=128,
     layers=_layers(1e6, rope_type="proportional", partial_rotary_factor=0.5))  # fmt: skip
_add("esm", ESM, kinds=_PLAIN,
     needs={"position_embedding_type": ("rotary", "absolute")})  # fmt: skip
_add("evolla", ESM, base=500_000.0)
_add("modernbert modernbert-decoder", ESM, layers=_layers(160_000.0), keys=_MODERNBERT)
_add("nanochat", NANOCHAT)

# Interleaved.
_add("gptj codegen", GPT_J, per_head=("n_embd", "n_head"), keys={"rotary_dim": "rotary_dim"},
     parameters={"rotary_dim": 64}, kinds=_PLAIN,
     needs={"rotary": (True, True), "rope_theta": (10_000.0, 10_000.0)})  # fmt: skip
_add("glm glm4", GPT_J, partial=True, fraction=0.5, head_dim=128)
# ChatGLM2-32k divides positions by rope_ratio, ChatGLM3 and GLM-4 multiply the base: not guessed.
_add("chatglm", CHATGLM_2, fraction=0.5, width="kv_channels", keys={"original_rope": ""},
     needs={"rope_ratio": (1, 1)})  # fmt: skip
_add("helium", GPT_J, base=100_000.0, head_dim=128)
_add("moonshine", GPT_J, partial=True, fraction=0.9,
     per_head=("hidden_size", "decoder_num_attention_heads"))  # fmt: skip
_add("moonshine_streaming", GPT_J, partial=True, fraction=0.8)
_add("openai_privacy_filter", GPT_J, base=150_000.0, head_dim=64, parameters=_GPT_OSS)
_add("pe_audio_encoder pe_audio_video_encoder pe_video_encoder", GPT_J, base=20_000.0, head_dim=128)
_add("blt_patcher", GPT_J)
_add("blt_local_encoder blt_local_decoder blt_global_transformer", GPT_J, base=500_000.0)
_add("cohere", COHERE, base=500_000.0)
_add("cohere2", COHERE)
_add("cohere2_moe", COHERE, head_dim=128)
_add("llama4_text ernie4_5", LLAMA_4, base=500_000.0, head_dim=128)
_add("ernie4_5_moe", LLAMA_4, base=500_000.0)
_add("deepseek_v2", LLAMA_4, **_MLA)
_add("roformer", ROFORMER, kinds=_PLAIN,
     needs={"rotary_value": (False, False), "rope_theta": (10_000.0, 10_000.0)})  # fmt: skip
_add("deepseek_v3 axk1 glm4_moe_lite youtu", DEEPSEEK_V3, keys=_INTERLEAVE, **_MLA)
_add("mistral4", DEEPSEEK_V3, keys=_INTERLEAVE,
     parameters=_yarn(128.0, 8192, mscale=1.0, mscale_all_dim=1.0), **_MLA)  # fmt: skip
_add("mistral_large4_text", DEEPSEEK_V3, parameters=_yarn(2048.0, 512, attention_factor=1.0),
     **_MLA)  # fmt: skip
_add("deepseek_v32 axk2 glm_moe_dsa", DEEPSEEK_V3, **_MLA)
_add("bailing_hybrid", DEEPSEEK_V3, base=6e6,
     keys={"model_max_length": "max_position_embeddings"}, **_MLA)  # fmt: skip
_add("longcat_flash", DEEPSEEK_V3, base=1e7, **_MLA)
_add("deepseek_v4", DEEPSEEK_V4, partial=True, fraction=0.125, head_dim=512,
     layers={"main": {"rope_theta": 10_000.0},
             "compress": {"rope_theta": 160_000.0, "attention_factor": 1.0}},
     keys={"rope_theta": "main.rope_theta", "compress_rope_theta": "compress.rope_theta",
           "rope_scaling": "compress", "qk_rope_head_dim": "rotary_dim"})  # fmt: skip

# Positions with several axes.
_add("chatglm-6b", CHATGLM_6B, kinds=_TOWER, keys={"position_encoding_2d": ""})
_add("qwen2_vl qwen2_vl_text qwen2_5_vl qwen2_5_vl_text qwen2_5_omni_text",
     QWEN2_VL, base=1e6, sections=(16, 24, 24))  # fmt: skip
_add("qwen2_5_omni_talker", QWEN2_VL, base=1e6, head_dim=128, sections=(16, 24, 24))
_add("paddleocr_vl_text", QWEN2_VL, base=500_000.0, head_dim=128, sections=(16, 24, 24))
_add("glm4v_moe_text", QWEN2_VL, partial=True, fraction=0.5, sections=(8, 12, 12))
_add("glm_image_text", QWEN2_VL, partial=True, sections=(8, 12, 12))
_add("glm_ocr_text glm4v_text", GLM_4V, partial=True, sections=(8, 12, 12))
_add("qwen3_vl_text", QWEN3_VL, base=500_000.0, head_dim=128, sections=(24, 20, 20))
_add("qwen3_vl_moe_text", QWEN3_VL, base=500_000.0, sections=(24, 20, 20))
_add("qwen3_omni_moe_text", QWEN3_VL, base=1e6, sections=(24, 20, 20))
_add("qwen3_omni_moe_talker_text", QWEN3_VL, sections=(24, 20, 20))
_add("cosmos3_edge_text", QWEN3_VL, base=1e8, head_dim=128, sections=(24, 20, 20),
     kinds=_PLAIN)  # fmt: skip
_add("qwen3_5_text qwen3_5_moe_text", QWEN3_VL, partial=True, fraction=0.25, head_dim=256,
     sections=(11, 11, 10))  # fmt: skip
_add("qwen4_exp_text", QWEN3_VL, partial=True, head_dim=256, sections=(11, 11, 10))
_add("""cohere_compass_vision ernie4_5_vl_moe_vision exaone4_5_vision glm4v_moe_vision glm4v_vision
     glm5_next_vision glm_ocr_vision qwen2_5_omni_vision_encoder qwen2_5_vl_vision
     qwen3_5_moe_vision qwen3_5_vision qwen3_omni_moe_vision_encoder qwen3_vl_moe_vision
     qwen3_vl_vision qwen4_exp_vision""", QWEN_VISION, kinds=_TOWER, per_head=_VISION)  # fmt: skip
_add("qwen2_vl_vision", QWEN_VISION, kinds=_TOWER, per_head=("embed_dim", "num_heads"))
_add("dots3_note_vision_encoder mlcd_vision_model paddleocr_vl_vision video_llama_3_vision",
     QWEN_VISION, kinds=_TOWER)  # fmt: skip
_add("lfm3_vl_vision", QWEN_VISION, kinds=_TOWER, base=1e6)
_add("muse_glimmer_vision muse_spark_vision", MUSE_VISION, kinds=_TOWER)
_add("sam3_vit_model llama4_vision_model", SAM, kinds=_TOWER)
_add("dinov3_vit eomt_dinov3 sapiens2", DINOV3, kinds=_TOWER, base=100.0)
_add("pixtral", PIXTRAL, kinds=_TOWER)
_add("step3p5_vision", STEP_VISION, kinds=_TOWER)
_add("inkling2_vision", INKLING, kinds=_TOWER)
_add("kimi_k25_vision", KIMI_VISION, kinds=_TOWER)
_add("ernie4_5_vl_moe_text", ERNIE_VL, base=500_000.0, sections=(22, 22, 20), kinds=_PLAIN)
_add("neomme", NEOMME, partial=True, head_dim=64, layers=_layers(1e6, partial_rotary_factor=0.25))
_add("gemma4_vision", GEMMA_4_VISION, kinds=_TOWER, base=100.0, head_dim=64)

# Code that was never part of transformers; see rope_lib.models.remote.
_add("mpt-rope", LLAMA, per_head=("d_model", "n_heads"),
     keys={"max_seq_len": "max_position_embeddings"})  # fmt: skip
_add("qwen", LLAMA, partial=True, width="kv_channels", head_dim=128,
     keys={"rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor",
           "use_dynamic_ntk": ""})  # fmt: skip
_add("phi3small", LLAMA, base=1e6, kinds=("default", "longrope"),
     keys={"rope_embedding_base": "rope_theta", "rope_position_scale": ""})  # fmt: skip
_add("minimax_text_01", LLAMA, base=1e7, head_dim=128, keys={"rotary_dim": "rotary_dim"})
_add("stablelm_epoch", LLAMA, partial=True, fraction=0.25,
     keys={"rope_pct": "partial_rotary_factor"})  # fmt: skip
_add("mixformer-sequential", LLAMA, per_head=("n_embd", "n_head"), kinds=_PLAIN,
     keys={"rotary_dim": "rotary_dim"}, parameters={"rotary_dim": 32})  # fmt: skip

# Layers of several types, and layers that do not rotate.
_also("gemma3_text t5gemma2_text t5gemma2_decoder",
      kind_of_layer=every(6, "sliding_window_pattern", "_sliding_window_pattern"))  # fmt: skip
_also("gemma3n_text kolibri1", kind_of_layer=every(5))
_also("""beam embedding_gemma2_text gemma4_text gemma4_unified_text diffusion_gemma_text
      neomme""", kind_of_layer=every(6, last=True))  # fmt: skip
_also("olmo3", kind_of_layer=every(4))
_also("ultrabert", kind_of_layer=every(3))
_also("modernbert modernbert-decoder",
      kind_of_layer=every(3, "global_attn_every_n_layers", first=0))  # fmt: skip
_also("mellum laguna", kind_of_layer=every(1))
_also("zaya", kind_of_layer=alternate("hybrid"))
_also("mimo_v2_flash", kind_of_layer=mimo_kind)
_also("lfm3", kind_of_layer=lfm3_kind)
_also("cohere2", kind_of_layer=every(4, "sliding_window_pattern"), turns=if_sliding)
_also("cohere2_moe", kind_of_layer=cohere2_moe_kind, turns=cohere2_moe_turns)
_also("afmoe", kind_of_layer=every(4, "global_attn_every_n_layers"), turns=if_sliding)
_also("flint", kind_of_layer=flint_kind, turns=if_sliding)
_also("exaone4 exaone_moe", kind_of_layer=every(4, "sliding_window_pattern"),
      turns=if_sliding_or_no_window)  # fmt: skip
_also("kolibri1", turns=if_sliding_or_no_window)
_also("llama4_text", kind_of_layer=llama4_kind, turns=by_list, scores=("temperature",))
_also("smollm3 mistral_large4_text", turns=by_list)
_also("muse_glimmer_text muse_spark_text", kind_of_layer=fourth_from_the_end,
      turns=not_every_fourth_from_the_end, base_of_layer=True)  # fmt: skip
_also("granite_swa granitemoe_swa", kind_of_layer=every(4, first=0), base_of_layer=True)
_also("deepseek_v4", kind_of_layer=deepseek_v4_kind, turns_values=True,
      labels={SLIDING: "main", "compressed_sparse_attention": "compress",
              "heavily_compressed_attention": "compress"})  # fmt: skip

# Hybrids: layers without attention.
_also("qwen3_next qwen3_5_text qwen3_5_moe_text",
      kind_of_layer=every(4, "full_attention_interval", others=LINEAR))  # fmt: skip
_also("olmo_hybrid", kind_of_layer=every(4, others=LINEAR))
_also("bailing_hybrid", kind_of_layer=every(6, "layer_group_size", others=LINEAR))
_also("bamba", kind_of_layer=of_indices("attn_layer_indices"))
_also("minimax_text_01", kind_of_layer=minimax_kind)
_also("recurrent_gemma", kind_of_layer=alternate(LINEAR, LINEAR, SLIDING))

# Indexers of sparse attention, and factors of scores beside the rotation.
_also("deepseek_v32 axk2", indexer=LLAMA)
_also("glm_moe_dsa", indexer=DEEPSEEK_V3)
_also(
    """axk1 axk2 bailing_hybrid deepseek_v2 deepseek_v3 deepseek_v32 glm4_moe_lite glm_moe_dsa
      hy_v4 longcat_flash minicpm3 mistral4 mistral_large4_text youtu""",
    scores=("mscale",),
)
_also("ministral3", scores=("beta",), extra=("llama_4_scaling_beta",))
_also("mistral4", scores=("mscale", "beta"), extra=("llama_4_scaling_beta",))
_also("phimoe phi3small", extra=("short_mscale", "long_mscale"))
