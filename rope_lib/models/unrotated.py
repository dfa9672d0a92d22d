"""Models without rotary embedding, and what they have in its place.

From the code of transformers 5.23, and of those that were never part of it.
"""

_INSTEAD = {
    "learned or sinusoidal vectors are added to its embeddings": """
        albert autoformer bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot
        blenderbot-small camembert canine clip clip_text_model ctrl data2vec-text distilbert dpr
        electra ernie flaubert fnet fsmt gpt-sw3 gpt2 gpt_bigcode gpt_neo ibert imagegpt
        informer layoutlm layoutlmv2 layoutlmv3 led lilt longformer luke lxmert m2m_100 marian
        markuplm mbart megatron-bert mobilebert mra mvp nezha nllb-moe nystromformer openai-gpt
        opt pegasus pegasus_x perceiver plbart qdqbert rag realm reformer rembert retribert
        roberta roberta-prelayernorm roc_bert santacoder seamless_m4t_v2 siglip_text_model
        speech_to_text speecht5 splinter squeezebert starcoder tapas time_series_transformer
        trocr vilt visual_bert whisper xglm xlm xlm-roberta xlm-roberta-xl xmod yoso""",
    "a bias for each distance is added to its scores": """
        cpmant deberta deberta-v2 funnel longt5 mpnet mt5 pop2piano prophetnet sew-d
        switch_transformers t5 transfo-xl udop umt5 vits xlnet""",
    "ALiBi lowers its scores by the distance": """
        bloom btlm jais jina_embeddings_v2 mpt""",
    "it has a state that is carried along instead of attention": """
        falcon_mamba mamba mamba2 rwkv rwkv5 xlstm""",
    "its attention has no positions at all": """
        glm5_next_text jamba kimi_linear nemotron_h zamba""",
    "its positions, if it has any, are learned or computed in another way": """
        aimv2_text_model aimv2_vision_model align_text_model align_vision_model
        altclip_text_model altclip_vision_model audio-spectrogram-transformer
        audioflamingo3_encoder beit bit blip_2_qformer blip_2_vision_model blip_text_model
        blip_vision_model bridgetower_text_model bridgetower_vision_model bros canary_decoder
        chinese_clip_text_model chinese_clip_vision_model clap_audio_model clap_text_model
        clip_vision_model clipseg_text_model clipseg_vision_model convbert convnext convnextv2
        cvt dac data2vec-audio data2vec-vision decision_transformer deit dinat dinov2
        dinov2_with_registers dinov3_convnext donut-swin edgetam_mask_decoder
        edgetam_prompt_encoder efficientnet encodec eomt fastspeech2_conformer
        fastspeech2_conformer_hifigan flava_image_codebook flava_image_model
        flava_multimodal_model flava_text_model florence_vision focalnet fun_asr_nano_encoder
        git_vision_model glpn got_ocr2_vision granite_speech5_encoder granite_speech_encoder
        granite_speech_plus_encoder groupvit_text_model groupvit_vision_model hgnet_v2 hiera
        hubert idefics2_perceiver idefics2_vision idefics3_vision ijepa inkling_audio
        inkling_text inkling_vision instructblip_qformer instructblip_vision_model
        instructblipvideo_qformer instructblipvideo_vision_model internvl_vision
        janus_vision_model janus_vqgan kosmos_2_5_text_model kosmos_2_5_vision_model
        kosmos_2_text_model kosmos_2_vision_model layoutxlm levit lw_detr_vit maskformer-swin
        metaclip_2_text_model metaclip_2_vision_model mgp-str minicpm_ocr_vision
        minicpmv4_6_vision minicpmv4_7_vision mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2
        moss_transcribe_diarize_audio musicgen_decoder musicgen_melody_decoder ovis2_vision
        owlv2_text_model owlv2_vision_model owlvit_text_model owlvit_vision_model patchtsmixer
        patchtst pix2struct_text_model pix2struct_vision_model pixio poolformer
        pp_chart2table_vision pp_formulanet_text pp_formulanet_vision pp_lcnet pp_lcnet_v3
        pp_lcnet_v4 pvt pvt_v2 qianfan_ocr_vision qwen2_audio_encoder qwen3_asr_encoder radio
        regnet resnet rf_detr_dinov2 rt_detr_resnet sam2_hiera_det_model sam2_mask_decoder
        sam2_prompt_encoder sam3_lite_text_detr_decoder sam3_lite_text_detr_encoder
        sam3_lite_text_geometry_encoder sam3_lite_text_mask_decoder sam3_lite_text_text_model
        sam3_tracker_mask_decoder sam3_tracker_prompt_encoder sam_hq_mask_decoder
        sam_hq_prompt_encoder sam_hq_vision_model sam_mask_decoder sam_prompt_encoder
        sam_vision_model segformer seggpt sew siglip2_text_model siglip2_vision_model
        siglip_vision_model slanext_vision smolvlm_vision speecht5_hifigan superpoint
        swiftformer swin swin2sr swinv2 textnet timesfm timesformer timm_backbone timm_wrapper
        tipsv2_text_model tipsv2_vision_model unispeech unispeech-sat univnet uvdoc_backbone
        vibevoice_acoustic_tokenizer vibevoice_acoustic_tokenizer_decoder
        vibevoice_acoustic_tokenizer_encoder vibevoice_diffusion videomae videomt
        videoprism_text_model videoprism_vision_model vit vit_mae vit_msn vitdet
        vitpose_backbone vivit voxtral_encoder wav2vec2 wavlm xclip_text_model
        xclip_vision_model yolos""",
}
_WHY = {name: why for why, names in _INSTEAD.items() for name in names.split()}


def why_unrotated(kind: str | None) -> str | None:
    """Why a model type has no rotary embedding; None where that is not known."""
    return _WHY.get(kind)
