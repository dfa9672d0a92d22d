"""Every layer as it is: which type, whether it turns, in which role, and what its scores get.

The lists of layers are compared with the configuration classes of transformers, for every model
type that has one, and with other numbers of layers than the default.
"""

import copy

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rope_lib import RotaryEmbedding, scaling
from rope_lib.models.conventions import MODELS
from rope_lib.models.family import always
from rope_lib.models.layers import LINEAR, NO_ATTENTION, all_layers
from rope_lib.models.reader import ROLES, score_factors

transformers.logging.set_verbosity_error()
read = RotaryEmbedding.from_config
HEADS = {"hidden_size": 512, "num_attention_heads": 8, "head_dim": 64}
WITH_RULES = [name for name, model in MODELS.items()
              if model.kind_of_layer is not None and name in CONFIG_MAPPING]  # fmt: skip


def theirs(model_type, count):
    """The types of layers that transformers works out, and what it worked them out from."""
    more = {}
    if model_type == "bamba":
        more["attn_layer_indices"] = [1, 4, 7]
    if model_type == "neomme":
        more["intermediate_size"] = 64
    config = CONFIG_MAPPING[model_type](num_hidden_layers=count, **more)
    kinds = getattr(config, "layer_types", None) or config.layers_block_type
    return config, list(kinds)


@pytest.mark.parametrize("count", [5, 13, 24])
@pytest.mark.parametrize("model_type", WITH_RULES)
def test_types_of_layers_where_a_file_does_not_list_them(model_type, count):
    config, kinds = theirs(model_type, count)
    mine = {"num_hidden_layers": count, "attn_layer_indices": [1, 4, 7]}
    found = [layer.kind for layer in all_layers(mine, MODELS[model_type])]
    full = {"hybrid", "indexed_attention"}  # names that several model types have for their own
    assert [kind for kind in found if kind not in full] == [k for k in kinds if k not in full]
    del config


@pytest.mark.parametrize("count", [5, 13, 24])
@pytest.mark.parametrize(
    "model_type", [name for name, model in MODELS.items() if model.turns is not always]
)
def test_layers_that_do_not_turn(model_type, count):
    """What their attention asks before it turns: each class by the line of its own code."""
    config, kinds = theirs(model_type, count)
    if hasattr(config, "no_rope_layers"):
        expected = [bool(each) for each in config.no_rope_layers]
    elif hasattr(config, "layer_rope_theta"):
        expected = [bool(each) for each in config.layer_rope_theta]
    elif model_type == "cohere2_moe":
        dense = [kind == "dense" for kind in config.mlp_layer_types]
        pairs = zip(kinds, dense, strict=True)
        expected = [kind == "sliding_attention" or is_dense for kind, is_dense in pairs]
    else:
        expected = [kind == "sliding_attention" for kind in kinds]
    found = [layer.turns for layer in all_layers({"num_hidden_layers": count}, MODELS[model_type])]
    assert found == expected
    assert True in expected
    assert False in expected


LLAMA_4 = {"model_type": "llama4_text", **HEADS, "num_hidden_layers": 4}
SMOLLM_3 = {"model_type": "smollm3", **HEADS, "num_hidden_layers": 4}
COHERE_2 = {"model_type": "cohere2", **HEADS, "num_hidden_layers": 4}
EXAONE_4 = {"model_type": "exaone4", **HEADS, "num_hidden_layers": 4}


def by_layer(config):
    return [read(config, layer=layer) is not None for layer in range(4)]


def test_llama_4():
    """executorch#22043, transformers#43756: exactly the layers of full attention never turn."""
    assert by_layer(LLAMA_4) == [True, True, True, False]
    assert read(LLAMA_4, layer_type="full_attention") is None
    assert read(LLAMA_4, layer_type="chunked_attention").head_dim == 64
    listed = LLAMA_4 | {"no_rope_layers": [0, 1, 0, 1]}
    assert by_layer(listed) == [False, True, False, True]
    assert by_layer(LLAMA_4 | {"no_rope_layers": [], "no_rope_layer_interval": 2}) == 2 * [
        True,
        False,
    ]
    with pytest.raises(ValueError, match="no_rope_layers must have an entry for layer 2, got 2"):
        read(LLAMA_4 | {"no_rope_layers": [1, 1]}, layer=2)


def test_smollm_3_is_asked_by_layer():
    assert by_layer(SMOLLM_3) == [True, True, True, False]
    listed = SMOLLM_3 | {"layer_types": 4 * ["full_attention"], "no_rope_layers": [1, 0, 1, 1]}
    assert by_layer(listed) == [True, False, True, True]
    with pytest.raises(ValueError, match=r"not all layers .* 'full_attention' rotate .* layer="):
        read(listed, layer_type="full_attention")


def test_cohere_2_and_exaone_4():
    assert by_layer(COHERE_2) == by_layer(EXAONE_4) == [True, True, True, False]
    assert read(COHERE_2, layer_type="full_attention") is None
    assert read(COHERE_2 | {"sliding_window_pattern": 2}, layer=1) is None
    assert by_layer(EXAONE_4 | {"sliding_window_pattern": "LLGL"}) == [True, True, False, True]
    all_full = EXAONE_4 | {"sliding_window": None, "layer_types": 4 * ["full_attention"]}
    assert by_layer(all_full) == 4 * [True]
    assert read(all_full, layer_type="full_attention") is not None


def test_a_base_for_each_layer():
    granite = {"model_type": "granite_swa", **HEADS, "num_hidden_layers": 4, "rope_theta": 1e4,
               "layer_rope_theta": [0, 1e4, 5e5, 1e4]}  # fmt: skip
    bases = [None if rope is None else rope.base
             for rope in (read(granite, layer=layer) for layer in range(4))]  # fmt: skip
    assert bases == [None, 1e4, 5e5, 1e4]
    with pytest.raises(ValueError, match=r"layer_rope_theta has 500000.0.*ask by layer="):
        read(granite)


def test_layers_without_attention():
    hybrid = {"model_type": "qwen3_next", **HEADS, "num_hidden_layers": 4}
    assert by_layer(hybrid) == [False, False, False, True]
    assert by_layer(hybrid | {"layer_types": ["full_attention", *3 * [LINEAR]]})[0]
    for kind in NO_ATTENTION:
        assert read({**hybrid, "layer_types": 4 * [kind]}, layer=0) is None


def test_gemma_3_by_layer_and_deepseek_v4_by_its_own_names():
    gemma = {"model_type": "gemma3_text", **HEADS, "num_hidden_layers": 12}
    bases = [read(gemma, layer=layer).base for layer in range(12)]
    assert bases == 2 * [*5 * [1e4], 1e6]
    deepseek = {"model_type": "deepseek_v4", "hidden_size": 512, "num_attention_heads": 8,
                "compress_ratios": [0, 128, 4]}  # fmt: skip
    assert [read(deepseek, layer=layer).base for layer in range(3)] == [1e4, 16e4, 16e4]
    by_name = read(deepseek, layer_type="compressed_sparse_attention")
    assert str(by_name) == str(read(deepseek, layer_type="compress"))


@pytest.mark.parametrize("layer", [4, -1, 1.0, True, "0"])
def test_a_layer_that_is_not_there(layer):
    with pytest.raises((TypeError, ValueError), match="layer must be"):
        read(COHERE_2, layer=layer)


def test_a_layer_and_its_type_at_once():
    with pytest.raises(ValueError, match="layer_type must be left out where layer is given"):
        read(COHERE_2, layer=0, layer_type="full_attention")


# ---------------------------------------------------------------- roles

SPARSE = {"model_type": "deepseek_v32", "num_attention_heads": 8, "qk_rope_head_dim": 64,
          "qk_nope_head_dim": 128, "index_head_dim": 96, "rope_theta": 5e4}  # fmt: skip


def test_an_indexer_turns_as_its_code_does():
    """sglang#13495, vllm#28968, mlx-lm#1431: DeepSeek-V3.2's pairs halves, GLM-5's neighbours."""
    deepseek, glm = read(SPARSE, role="indexer"), read(SPARSE | {"model_type": "glm_moe_dsa"},
                                                       role="indexer")  # fmt: skip
    assert (deepseek.pairing, glm.pairing, glm.output_pairing) == ("half", "interleaved", "half")
    assert (deepseek.head_dim, deepseek.rotary_dim, deepseek.rotated) == (96, 64, "first")
    assert deepseek.base == glm.base == 5e4
    assert read(SPARSE).pairing == "interleaved"


def test_an_indexer_is_that_of_transformers():
    from transformers.models.deepseek_v32 import modeling_deepseek_v32 as code

    rope = read(SPARSE, role="indexer", shipped=True)
    x = torch.randn(1, 6, 2, 96)
    cos, sin = (torch.cat((t, t), dim=-1)[None] for t in rope.tables(torch.arange(6)))
    part, _ = code.apply_rotary_pos_emb(x[..., :64], x[..., :64], cos, sin, unsqueeze_dim=2)
    expected = torch.cat((part, x[..., 64:]), dim=-1)
    found, _ = rope(x.transpose(1, 2), None, torch.arange(6))
    assert torch.equal(found.transpose(1, 2), expected)


def test_an_output_is_turned_back():
    config = {"model_type": "deepseek_v4", "hidden_size": 512, "num_attention_heads": 8}
    values = torch.randn(1, 1, 5, 512, dtype=torch.float64)
    positions = torch.arange(5) + 9
    turn, back = (read(config, layer_type="main", role=role) for role in ("attention", "output"))
    turned, _ = turn(values, None, positions)
    assert not torch.allclose(turned, values)
    torch.testing.assert_close(back(turned, None, positions)[0], values)


@pytest.mark.parametrize("role", [*ROLES[1:], "keys", None])
def test_a_role_that_a_model_does_not_have(role):
    with pytest.raises(ValueError, match=r"role must be .*'attention'"):
        read(COHERE_2, role=role)


# ---------------------------------------------------------------- factors of scores

YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}


def test_deepseek_s_factor():
    """vllm#48621, Megatron-LM#1429: (0.1 * 0.707 * ln 40 + 1) ** 2."""
    config = {"model_type": "deepseek_v2", "num_attention_heads": 8, "qk_rope_head_dim": 64,
              "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}}  # fmt: skip
    assert score_factors(config).constant == pytest.approx(1.58963, abs=5e-6)
    del config["rope_scaling"]["mscale_all_dim"]
    assert score_factors(config).constant == 1
    code = transformers.models.deepseek_v3.modeling_deepseek_v3
    parameters = YARN | {"rope_type": "yarn", "mscale_all_dim": 0.5}
    config["rope_scaling"]["mscale_all_dim"] = 0.5
    theirs = code.yarn_apply_mscale(parameters, 1.0)
    assert score_factors(config).constant == pytest.approx(theirs, rel=1e-15)


def test_a_llama_has_no_such_factor():
    llama = {"model_type": "llama", **HEADS, "rope_scaling": YARN | {"mscale_all_dim": 1.0}}
    assert score_factors(llama).at(torch.tensor([0, 10**6])).tolist() == [1, 1]


MINISTRAL = {"model_type": "ministral3", **HEADS, "rope_parameters": {
    "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 16_384}}  # fmt: skip


def test_llama_4_scaling_beta():
    """sglang#26203: 1 + 0.1 ln(1 + floor(65,536 / 16,384)) = 1.16094, as in Ministral's code."""
    code = transformers.models.ministral3.modeling_ministral3
    positions = torch.tensor([[0, 1, 16_383, 16_384, 65_536, 10**6]])
    found = score_factors(MINISTRAL).at(positions)
    assert found[0, 4].item() == pytest.approx(1.16094, abs=5e-6)
    expected = code.get_llama_4_attn_scale(positions, 0.1, 16_384)
    torch.testing.assert_close(found, expected[:, 0, :, 0].double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [-3, "0.1", float("nan"), True])
def test_a_beta_that_is_not_allowed(value):
    config = copy.deepcopy(MINISTRAL)
    config["rope_parameters"]["llama_4_scaling_beta"] = value
    with pytest.raises((TypeError, ValueError), match="llama_4_scaling_beta"):
        read(config)


def test_a_beta_where_it_has_no_meaning():
    with pytest.raises(ValueError, match=r"llama_4_scaling_beta.*no meaning for llama"):
        read(MINISTRAL | {"model_type": "llama"})


def test_llama_4_raises_late_queries_of_layers_that_do_not_turn():
    positions = torch.tensor([0, 8190, 8191, 99_999])
    assert score_factors(LLAMA_4, layer=0).at(positions).tolist() == 4 * [1]
    steps = torch.floor((positions.float() + 1) / 8192)
    expected = torch.log1p(steps) * 0.1 + 1
    torch.testing.assert_close(score_factors(LLAMA_4, layer=3).at(positions).float(), expected)
    off = LLAMA_4 | {"attn_temperature_tuning": False}
    assert score_factors(off, layer=3).at(positions).tolist() == 4 * [1]


def test_llama_4_scout_has_a_hard_step():
    """Its release has low_freq_factor = high_freq_factor = 1."""
    given = {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
             "original_max_position_embeddings": 8192}  # fmt: skip
    scout = LLAMA_4 | {"rope_theta": 5e5, "rope_scaling": given, "max_position_embeddings": 10**7}
    assert read(scout).scaling == scaling.Llama3(16.0, 8192, 1.0, 1.0)
    tables = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"]
    config = transformers.Llama4TextConfig(**{k: v for k, v in scout.items() if k != "model_type"})
    expected, _ = tables(config, "cpu")
    found = read(scout).scaling.inverse_frequencies(64, 5e5, dtype=torch.float32)
    assert torch.equal(found, expected)
    assert found.isfinite().all()


def test_lists_that_only_one_model_type_has():
    minimax = {"model_type": "minimax_text_01", **HEADS, "head_dim": 128, "rotary_dim": 64,
               "num_hidden_layers": 4, "attn_type_list": [0, 1, 0, 1]}  # fmt: skip
    assert by_layer(minimax) == [False, True, False, True]
    del minimax["attn_type_list"]
    assert by_layer(minimax | {"num_hidden_layers": 8}) == 4 * [False]
    assert read(minimax | {"num_hidden_layers": 8}, layer=7).rotary_dim == 64
    molmo = {"model_type": "molmo2_text", **HEADS, "num_hidden_layers": 2, "rope_theta": 1e6,
             "rope_scaling": {"type": "linear", "factor": 2.0}}  # fmt: skip
    with pytest.warns(UserWarning, match=r"only layers \[1\] are scaled"):
        read(molmo | {"rope_scaling_layers": [1]})
    assert read(molmo | {"rope_scaling_layers": [0, 1]}).scaling == scaling.Linear(2.0)
