"""Whole checkpoints in the other pairing: models of transformers say the same with them.

A small random model is run once as it is, and once with its rows converted and its rotation
exchanged for the other pairing; all else is its own code. Converting only the queries must show.
"""

import importlib
import re

import pytest
import torch
import transformers

from rope_lib import RotaryEmbedding, permute_projection, rotate, to_half
from rope_lib.models.checkpoints import convert_state_dict

SIZES = {
    "vocab_size": 40, "hidden_size": 48, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip
LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 10, "qk_rope_head_dim": 8,
          "v_head_dim": 12, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1,
          "topk_group": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 2}  # fmt: skip
# The class of a model, what its configuration has beside the sizes, and the pairing to go to.
MODELS = {
    "llama, grouped keys and biases": ("Llama", {"attention_bias": True}, "interleaved"),
    "qwen2, biases": ("Qwen2", {}, "interleaved"),
    "qwen3, norms of a head": ("Qwen3", {"head_dim": 16}, "interleaved"),
    "olmo2, norms of all heads": ("Olmo2", {}, "interleaved"),
    "phi3, fused": ("Phi3", {}, "interleaved"),
    "gpt_neox, fused by heads, a part": ("GPTNeoX", {"rotary_pct": 0.5, "num_key_value_heads": 4},
                                         "interleaved"),
    "falcon, one key for all": ("Falcon", {"multi_query": True, "new_decoder_architecture": False},
                                "interleaved"),
    "falcon, groups": ("Falcon", {"new_decoder_architecture": True, "num_kv_heads": 2},
                       "interleaved"),
    "glm4, a part": ("Glm4", {"head_dim": 16}, "half"),
    "cohere, norms of each head": ("Cohere", {"use_qk_norm": True}, "half"),
    "cohere2, layers that do not turn": ("Cohere2", {"sliding_window_pattern": 2}, "half"),
    "qwen3_next, gates beside the queries": ("Qwen3Next", {
        "head_dim": 16, "layer_types": ["full_attention", "linear_attention"],
        "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
        "linear_value_head_dim": 8, "num_experts": 0, "mlp_only_layers": [0, 1]}, "interleaved"),
    "gemma4, layers with heads of their own": ("Gemma4", {
        "head_dim": 16, "global_head_dim": 24, "num_global_key_value_heads": 1,
        "layer_types": ["sliding_attention", "full_attention"], "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0}, "interleaved"),
    "deepseek_v3, latent": ("DeepseekV3", LATENT, "half"),
    "deepseek_v3, latent keys alone": ("DeepseekV3", LATENT | {"q_lora_rank": None}, "half"),
}  # fmt: skip
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])


def built(name):
    family, more, to = MODELS[name]
    name = f"{family}TextConfig" if family == "Gemma4" else f"{family}Config"
    config = getattr(transformers, name)(**SIZES | more)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")._from_config(
        config, attn_implementation="eager"
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval(), to


def with_other_pairing(monkeypatch, model, to):
    """The rotation of a model's own module, exchanged for the library's, in the pairing ``to``."""
    code = importlib.import_module(type(model).__module__)
    repeats = type(model).__name__.startswith("Cohere")

    def turn(*tensors, unsqueeze_dim=1, **kwargs):
        *heads, cos, sin = tensors
        half = cos.shape[-1] // 2
        table = (t[..., ::2] if repeats else t[..., :half] for t in (cos, sin))
        cos, sin = (t.unsqueeze(unsqueeze_dim) for t in table)
        how = {"pairing": to, "rotated": "first", "layout": ("bhsd", "bshd")[unsqueeze_dim - 1]}
        turned = tuple(rotate(x, cos, sin, **how) for x in heads)
        return turned if len(heads) > 1 else turned[0]

    for function in ("apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave"):
        if hasattr(code, function):
            monkeypatch.setattr(code, function, turn)


@torch.no_grad()
def logits(model):
    return model(IDS).logits


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_the_same_in_the_other_pairing(name, monkeypatch):
    model, to = built(name)
    before, expected = model.state_dict(), logits(model)
    converted = convert_state_dict(before, model.config, to=to)
    assert [*converted] == [*before]
    with_other_pairing(monkeypatch, model, to)
    model.load_state_dict(converted)
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_and_what_is_left_alone(name):
    model, to = built(name)
    before = model.state_dict()
    converted = convert_state_dict(before, model.config, to=to)
    other = {"half": "interleaved", "interleaved": "half"}[to]
    again = convert_state_dict(converted, model.config, to=other)
    moved = [key for key in before if converted[key] is not before[key]]
    for key, tensor in before.items():
        assert torch.equal(again[key], tensor)
        is_of_attention = re.search("attn|attention", key)
        assert converted[key] is tensor or (
            is_of_attention and not torch.equal(tensor, converted[key])
        )
    assert len(moved) >= 2


@pytest.mark.parametrize("name", MODELS)
def test_half_of_a_conversion_is_not_enough(name, monkeypatch):
    """So that the first test can fail: one of the tensors stays what it was."""
    model, to = built(name)
    before, expected = model.state_dict(), logits(model)
    converted = convert_state_dict(before, model.config, to=to)
    first = next(key for key in before if converted[key] is not before[key])
    with_other_pairing(monkeypatch, model, to)
    model.load_state_dict(converted | {first: before[first]})
    assert (logits(model) - expected).abs().max() > 1e-2


LLAMA = {"model_type": "llama", "hidden_size": 48, "num_attention_heads": 4,
         "num_key_value_heads": 2, "num_hidden_layers": 2}  # fmt: skip


def named(q="model.layers.0.self_attn.q_proj.weight", k="model.layers.0.self_attn.k_proj.weight"):
    return {q: torch.randn(48, 6), k: torch.randn(24, 6)}


def test_it_is_the_conversion_of_transformers_script():
    """convert_llama_weights_to_hf.py: from Meta's interleaved rows to halves."""
    meta = named("layers.0.attention.wq.weight", "layers.0.attention.wk.weight")
    converted = convert_state_dict(meta, LLAMA, to="half")
    for (name, rows), heads in zip(meta.items(), (4, 2), strict=True):
        theirs = rows.view(heads, 6, 2, 6).transpose(1, 2).reshape(rows.shape)
        assert torch.equal(converted[name], theirs)


def test_it_is_the_conversion_of_llama_cpp():
    """convert_hf_to_gguf.py, LlamaModel.permute: from halves to interleaved rows."""
    weights = named("blk.0.attn_q.weight", "blk.0.attn_k.weight")
    converted = convert_state_dict(weights, LLAMA, to="interleaved")
    for (name, rows), heads in zip(weights.items(), (4, 2), strict=True):
        theirs = rows.numpy().reshape(heads, 2, 6, 6).swapaxes(1, 2).reshape(rows.shape)
        assert torch.equal(converted[name], torch.from_numpy(theirs.copy()))


def test_groups_of_internlm2():
    """Rows go through the key heads: the queries that share one, the key, the value."""
    fused = {"model.layers.0.attention.wqkv.weight": torch.randn(2 * 4 * 12, 6)}
    converted = convert_state_dict(fused, LLAMA | {"model_type": "internlm2"}, to="interleaved")
    old, new = (each["model.layers.0.attention.wqkv.weight"].view(2, 4, 12, 6)
                for each in (fused, converted))  # fmt: skip
    assert torch.equal(new[:, 3], old[:, 3])
    for place in range(3):
        expected = permute_projection(old[:, place].flatten(0, 1), 2, to="interleaved")
        assert torch.equal(new[:, place].flatten(0, 1), expected)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_quantised_rows_move_with_their_scales(dtype):
    """vllm#55335."""
    name = "model.layers.1.self_attn.q_proj"
    rows, scales = torch.randint(0, 100, (48, 6)), torch.rand(48, 1)
    key = {"model.layers.1.self_attn.k_proj.weight": torch.randn(24, 6)}
    state = named() | key | {
        f"{name}.weight": rows.to(dtype), f"{name}.weight_scale": scales,
        f"{name}.input_scale": torch.tensor(2.0), f"{name}.SCB": scales[:, 0],
    }  # fmt: skip
    converted = convert_state_dict(state, LLAMA, to="half")
    whole = rows.to(dtype).float() * scales
    found = converted[f"{name}.weight"].float() * converted[f"{name}.weight_scale"]
    assert torch.equal(found, permute_projection(whole, 4, to="half"))
    assert torch.equal(converted[f"{name}.SCB"], converted[f"{name}.weight_scale"][:, 0])
    assert converted[f"{name}.input_scale"] is state[f"{name}.input_scale"]
    assert converted[f"{name}.weight"].dtype == dtype


def test_a_shard_may_have_queries_alone():
    shard = {"model.layers.0.self_attn.q_proj.weight": torch.randn(48, 6)}
    (moved,) = convert_state_dict(shard, LLAMA, to="half", partial=True).values()
    assert torch.equal(moved, permute_projection(*shard.values(), 4, to="half"))


def test_lora_has_its_rows_in_b():
    name = "model.layers.0.self_attn.q_proj"
    b, a = torch.randn(48, 4), torch.randn(4, 6)
    state = {f"{name}.lora_B.default.weight": b, f"{name}.lora_A.default.weight": a}
    converted = convert_state_dict(state, LLAMA, to="half")
    moved = converted[f"{name}.lora_B.default.weight"] @ a
    assert torch.equal(moved, permute_projection(b @ a, 4, to="half"))
    assert converted[f"{name}.lora_A.default.weight"] is a


def test_towers_and_other_attention_are_left_alone():
    beside = {
        "vision_tower.encoder.layers.0.self_attn.q_proj.weight": torch.randn(6, 6),
        "model.visual.blocks.0.attn.q_proj.weight": torch.randn(6, 6),
        "model.layers.0.encoder_attn.k_proj.weight": torch.randn(6, 6),
        "model.layers.0.self_attn.indexer.wk.weight": torch.randn(6, 6),
        "model.layers.0.self_attn.v_proj.weight": torch.randn(24, 6),
    }
    converted = convert_state_dict(beside | named(), LLAMA, to="half")
    assert all(converted[name] is tensor for name, tensor in beside.items())


BAD = {
    "a wrong number of heads": (
        lambda: (named(), LLAMA | {"num_key_value_heads": 4}),
        r"k_proj.weight has shape \(24, 6\), but the configuration says 4 heads of 12, 48 rows"),
    "nothing to convert": (
        lambda: ({"model.embed.weight": torch.randn(3, 3)}, LLAMA), "no projection of queries"),
    "four bits": (
        lambda: (named() | {"model.layers.0.self_attn.q_proj.weight.absmax": torch.randn(9)},
                 LLAMA), "absmax: rows that are quantised or kept in this"),
    "GPTQ": (
        lambda: ({"model.layers.0.self_attn.q_proj.qweight": torch.ones(2, 48)}, LLAMA),
        "qweight: rows that are quantised or"),
    "blocks of scales": (
        lambda: (named() | {"model.layers.0.self_attn.q_proj.weight_scale_inv": torch.ones(1, 1)},
                 LLAMA), "weight_scale_inv: rows that are quantised or"),
    "four bits, as they are saved": (
        lambda: ({"model.layers.0.self_attn.q_proj.weight": torch.ones(144, 1, dtype=torch.uint8),
                  "model.layers.0.self_attn.q_proj.weight.absmax": torch.randn(9)}, LLAMA),
        "q_proj.weight: rows that are quantised"),
    "scales of blocks": (
        lambda: (named() | {"model.layers.0.self_attn.q_proj.weight_scale": torch.ones(2, 2)},
                 LLAMA), "weight_scale: rows that are quantised"),
    "queries without keys": (
        lambda: ({"model.layers.0.self_attn.q_proj.weight": torch.randn(48, 6),
                  "model.layers.0.self_attn.in_proj_weight": torch.randn(48, 6)}, LLAMA),
        r"layers.0.self_attn has queries but no keys whose name is known; partial=True for a"),
    "keys without queries": (
        lambda: ({"model.layers.0.self_attn.linear_q.weight": torch.randn(48, 6),
                  "model.layers.0.self_attn.k_proj.weight": torch.randn(24, 6)}, LLAMA),
        "has keys but no queries whose name is known"),
    "three dimensions": (
        lambda: (named() | {"model.layers.0.self_attn.q_proj.weight": torch.randn(48, 6, 1)},
                 LLAMA), "q_proj.weight must have 1 or 2 dimensions"),
    "keys that are values": (
        lambda: (named(), {"model_type": "gemma4_text", "attention_k_eq_v": True}),
        "gemma4_text is not converted here: its keys are its values too"),
    "values that turn": (
        lambda: (named(), {"model_type": "deepseek_v4"}), "deepseek_v4 is not converted here"),
    "a name that is none": (
        lambda: ({7: torch.ones(1)}, LLAMA), "state_dict key must be str, got 7"),
    "no tensor": (
        lambda: ({"model.layers.0.self_attn.q_proj.weight": [1.0]}, LLAMA),
        "q_proj.weight must be a torch.Tensor"),
    "an unknown model": (
        lambda: (named(), {"model_type": "mine"}), "like='llama'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_converted_is_named(name):
    make, words = BAD[name]
    state, config = make()
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        convert_state_dict(state, config, to="half")
    assert len(str(caught.value)) <= 300


def test_wrong_arguments():
    with pytest.raises(ValueError, match="to must be 'interleaved' or 'half', got 'neox'"):
        convert_state_dict(named(), LLAMA, to="neox")
    with pytest.raises(TypeError, match="state_dict must be Mapping"):
        convert_state_dict([], LLAMA, to="half")


def test_the_ten_lines_of_a_stranger():
    """A LLaMA of transformers, turned as neighbours: its scores by hand are the same."""
    model, _ = built("llama, grouped keys and biases")
    rows = convert_state_dict(model.state_dict(), model.config.to_dict(), to="interleaved")
    attention = model.model.layers[0].self_attn
    rope = RotaryEmbedding.from_config(model.config)
    other = RotaryEmbedding(rope.head_dim, pairing="interleaved", base=rope.base)
    x = torch.randn(1, 5, 48)
    q = attention.q_proj(x).view(1, 5, 4, 12).transpose(1, 2)
    moved = torch.nn.functional.linear(
        x,
        rows["model.layers.0.self_attn.q_proj.weight"],
        rows["model.layers.0.self_attn.q_proj.bias"],
    )
    moved = moved.view(1, 5, 4, 12).transpose(1, 2)
    expected, found = rope(q, q, 0)[0], other(moved, moved, 0)[0]
    torch.testing.assert_close(to_half(found), expected, rtol=1e-4, atol=1e-4)
