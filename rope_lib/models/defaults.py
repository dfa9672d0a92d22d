"""The sizes that a configuration class takes where a file leaves them out.

transformers writes the text part of a larger model without what is equal to the defaults of its
class, so that LLaVA's says neither ``hidden_size`` nor ``num_attention_heads``. They are compared
with transformers 5.23 by the tests.
"""

# The hidden size and the number of heads, or what a model type has in their place, and the types.
_BY_SIZE = {
    (288, 8): """moonshine""",
    (320, 8): """moonshine_streaming""",
    (512, 4): """embedding_gemma2_text""",
    (512, 8): """lasr_encoder mimi mimi_decoder mimi_encoder nemotron3_diarization_audio
        pocket_tts_audio_tokenizer pocket_tts_audio_tokenizer_decoder
        pocket_tts_audio_tokenizer_encoder""",
    (640, 14): """openai_privacy_filter""",
    (768, 6): """nanochat""",
    (768, 12): """blt_patcher esm eurobert gradium_phonon_tts gte modernbert modernbert-decoder
        nomic_bert roformer wav2vec2-conformer""",
    (1024, 8): """csm_depth_decoder_model doge""",
    (1024, 16): """blt_local_decoder blt_local_encoder dia_encoder ernie4_5 glm_ocr_text
        granite_docling_text jina_embeddings_v3 neucodec paddleocr_vl_text pocket_tts
        qwen2_5_omni_dit qwen3_omni_moe_talker_code_predictor qwen3_omni_moe_talker_text
        seamless_m4t wav2vec2-bert xcodec2""",
    (1280, 10): """nemotron3_5_transcribe_asr_audio unlimited_ocr_text""",
    (1280, 16): """nemotron3_5_transcribe_word_timestamp timesfm2_5""",
    (1280, 20): """dots3_note_audio_encoder glmasr_encoder""",
    (1280, 32): """voxtral_realtime_encoder""",
    (1536, 12): """hrm_text""",
    (1792, 14): """pe_audio_encoder pe_audio_video_encoder pe_video_encoder""",
    (2048, 8): """gemma3n_text zaya""",
    (
        2048,
        16,
    ): """afmoe blt_global_transformer cosmos3_edge_text dbrx dia_decoder lfm3 olmoe qwen2_moe
        qwen3_5_moe_text qwen3_next qwen3_vl_moe_text qwen4_exp_text smollm3 youtu""",
    (2048, 20): """glm4_moe_lite""",
    (2048, 28): """qwen3_omni_moe_text""",
    (2048, 32): """axk2 csm diffllama flint jetmoe kyutai_speech_to_text lfm2_moe phi qwen3_moe""",
    (2048, 48): """laguna""",
    (2304, 8): """diffusion_gemma_text gemma2 gemma3_text gemma4_text gemma4_unified_text
        t5_gemma_module t5gemma2_decoder t5gemma2_text vaultgemma""",
    (2304, 32): """mellum""",
    (2560, 10): """recurrent_gemma""",
    (2560, 20): """bitnet ernie4_5_moe ernie4_5_vl_moe_text granite_swa helium""",
    (2560, 32): """arcee bailing_hybrid gpt_neox_japanese lfm2 stablelm zamba2""",
    (2560, 40): """esmc minicpm3""",
    (2560, 48): """kolibri1""",
    (2816, 32): """hy_v4""",
    (2880, 64): """gpt_oss""",
    (3072, 16): """gemma""",
    (3072, 24): """higgs_audio_v2 starcoder2""",
    (3072, 32): """phi3 phi4_multimodal""",
    (3072, 48): """minimax_m2""",
    (3328, 26): """jais2""",
    (3584, 28): """qwen2_5_omni_talker qwen2_5_omni_text""",
    (3840, 30): """olmo_hybrid""",
    (4096, 16): """codegen gptj qwen3_5_text""",
    (4096, 32): """apertus aria_text bamba chameleon deepseek_ocr2_encoder deepseek_ocr2_text
        deepseek_v2 emu3_text_model evolla exaone4 exaone_moe falcon_h1 flex_olmo glm glm4
        glm4v_text glm_image_text granite granite4_vision_text granitemoe granitemoe_swa
        granitemoehybrid granitemoeshared hunyuan_v1_dense hunyuan_v1_moe hyperclovax
        idefics internlm3 llama minimax ministral ministral3 mistral mistral4 mixtral
        mllama_text_model molmo2_text moshi olmo olmo2 olmo3 phimoe qwen2 qwen3
        qwen3_vl_text ultrabert voxtral_realtime_text""",
    (4096, 64): """deepseek_v4 hy_v3 mimo_v2_flash persimmon solar_open""",
    (4096, 80): """seed_oss""",
    (4096, 96): """glm4_moe glm4v_moe_text""",
    (4544, 71): """falcon""",
    (4608, 32): """dots1""",
    (5120, 40): """iquestcoder llama4_text""",
    (5120, 48): """beam""",
    (6144, 48): """cwm nemotron""",
    (6144, 64): """glm_moe_dsa gpt_neox longcat_flash minimax_m3_vl_text mistral_large4_text""",
    (6656, 32): """muse_glimmer_assistant muse_glimmer_text""",
    (7168, 64): """axk1""",
    (7168, 128): """deepseek_v3 deepseek_v32""",
    (8192, 64): """cohere cohere2 cohere2_moe qwen2_5_vl_text qwen2_vl_text""",
    (8192, 128): """muse_spark_text""",
}

#: For each model type, the two sizes whose quotient is the width of a head.
SIZES = {name: size for size, names in _BY_SIZE.items() for name in names.split()}
