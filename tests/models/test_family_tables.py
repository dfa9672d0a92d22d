"""Every model type that the library knows against its own code in transformers, without a model.

A configuration is read twice: by the classes of the model type, and by
``RotaryEmbedding.from_config``. Tables and turned heads must then be the same: bit for bit where
the library rounds as the shipped code does, and within the error of a float32 angle where it rounds
once. Configurations are the default ones, those with each scaling that the type takes, those in the
form of transformers 4, and bare ones that leave everything to the defaults.
"""

import copy
import re

import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from family_sources import CONFIGS, Plain, half_width, source
from rope_lib import DynamicNTK, RotaryEmbedding
from rope_lib.models.conventions import MODELS

REMOTE = set(MODELS) - set(CONFIG_MAPPING.keys())  # never part of transformers
FLAT = {"qwen2_vl", "qwen2_5_vl"}  # old configurations, read like those of the text model within
TYPES = sorted(set(MODELS) - REMOTE - FLAT)
# torch.polar, of which these make their tables, rounds other numbers up than cos and sin do.
POLAR = {"deepseek_v2", "llama4_text"}
# Types whose code knows one kind of rotation, though their configuration could ask for others.
UNSCALED = {"cosmos3_edge_text", "eomt_dinov3", "ernie4_5_vl_moe_text", "llama4_vision_model",
            "phimoe", "recurrent_gemma"}  # fmt: skip
PHI_3 = {"phi3", "phi4_multimodal"}  # LongRoPE only
DEAF = {"cohere2_moe"}  # its class has a field for rope_scaling, and never reads it
# A configuration with head_dim = None, in the middle of which transformers' own scalings fail.
HEAD_DIM_NONE = {"hunyuan_v1_dense", "hunyuan_v1_moe", "minimax", "ministral", "mixtral"}

SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096},
    "yarn, more keys": {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 16,
        "beta_slow": 2,
        "mscale": 1.0,
        "mscale_all_dim": 0.8,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    },
    "longrope": {
        "rope_type": "longrope",
        "factor": 16.0,
        "original_max_position_embeddings": 2048,
    },
}


def layer_types(config):
    """The kinds of layers that turn, where they differ; one None where all turn alike."""
    parameters = getattr(config, "rope_parameters", None) or {}
    if not any(isinstance(value, dict) for value in parameters.values()):
        return [None]
    return [name for name, value in parameters.items() if value is not None]


def read(config, layer_type, positions=None, **how):
    """What the library reads, fixed for the length of ``positions`` where it depends on that."""
    rope = RotaryEmbedding.from_config(config, layer_type=layer_type, **how)
    if positions is None or not hasattr(rope.scaling, "at_length"):
        return rope
    return rope.for_length(int(positions.max()) + 1)


def assert_agrees(model_type, config, layer_type, given=None):
    """The library reads from ``given`` what transformers does with ``config``."""
    code, given = source(model_type), config if given is None else given
    as_read = read(given, layer_type)
    axes = as_read.axes
    positions = code.positions(1 if axes is None else axes.count)
    rope = read(given, layer_type, positions, shipped=True)
    slack = allowed(model_type, as_read.scaling, rope.amplitude, positions)
    x = torch.randn(1, 2, positions.shape[-1], rope.head_dim)
    for dtype in (torch.float32, torch.bfloat16):
        tables = code.tables(config, positions, dtype, layer_type)
        theirs = half_width(tables, rope.rotary_dim // 2, axes.blocks if axes else 1)
        for mine, other in zip(rope.tables(positions, theirs[0].dtype), theirs, strict=True):
            assert_within(mine, other, slack)
        if dtype == torch.float32:
            exact = read(given, layer_type, positions)
            for mine, other in zip(exact.tables(positions), theirs, strict=True):
                assert_within(mine, other, slack + exact.amplitude * float32_angles(positions))
        turned, again = rope(x.to(dtype), x.to(dtype), positions)
        assert_turned(turned, code.turn(x.to(dtype), tables, positions), slack)
        assert torch.equal(turned, again)


def assert_turned(mine, other, slack):
    """The same bits; where tables may differ in their last one, all but a few in a hundred."""
    rounding = torch.finfo(mine.dtype).eps * other.double().abs() if slack.any() else 0
    assert_within(mine, other, 8 * slack + rounding)
    if mine.dtype == torch.bfloat16 and slack.max() < 1e-6:
        assert (mine != other).double().mean() < 0.03


def assert_within(mine, other, slack):
    """No further apart than ``slack``, one number for each position: at 0, the same bits."""
    assert mine.dtype == other.dtype
    assert mine.shape == other.shape
    assert ((mine.double() - other.double()).abs() <= slack).all()


def float32_angles(positions):
    """How far off a table is whose angles were formed in float32: four roundings, and its own."""
    furthest = positions.double().abs().reshape(-1, positions.shape[-1]).amax(dim=0)
    return (2.0**-22 * furthest + 2.0**-23)[:, None]


def allowed(model_type, scaling, amplitude, positions):
    """0 where the library shall have the very bits of the shipped code, else why not."""
    if isinstance(scaling, DynamicNTK):  # shipped code forms the larger base in float32
        return 8 * float32_angles(positions)
    if model_type in POLAR:
        return torch.full((positions.shape[-1], 1), 2.0**-23 * amplitude)
    return torch.zeros(positions.shape[-1], 1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("model_type", TYPES)
def test_default(model_type):
    config = source(model_type).config()
    for layer_type in layer_types(config):
        assert_agrees(model_type, config, layer_type)


def takes(model_type, scaling):
    """Whether the code of a type knows a scaling."""
    config = source(model_type).config()
    parameters = getattr(config, "rope_parameters", None)
    if not parameters or parameters.get("rope_type") == "axial" or model_type in UNSCALED:
        return False
    if model_type in PHI_3:
        return scaling == "longrope"
    # transformers cannot check the factors where layers have heads of several widths
    return scaling != "longrope" or "per_layer_config" not in config.to_dict()


@pytest.mark.parametrize(
    ("model_type", "scaling"),
    [(name, scaling) for name in TYPES for scaling in SCALINGS if takes(name, scaling)],
)
def test_scaling(model_type, scaling):
    code = source(model_type)
    plain = code.config()
    for layer_type in layer_types(plain):
        config = code.config(**scaled(code, plain, layer_type, scaling))
        assert_agrees(model_type, config, layer_type)


def scaled(code, plain, layer_type, scaling):
    """The keys that give one kind of layer a scaling: its own base and share stay."""
    new = dict(SCALINGS[scaling])
    if scaling == "longrope":
        pairs = torch.arange(read(plain, layer_type).rotary_dim // 2)
        new["short_factor"] = (1 + pairs / 64).tolist()
        new["long_factor"] = (1.0 + pairs).tolist()
    old = parameters_of(plain, layer_type)
    kept = {"rope_theta", "mrope_section"}
    if old["rope_type"] != "proportional":
        kept.add("partial_rotary_factor")
    new |= {key: value for key, value in old.items() if key in kept}
    more = {"head_dim": 128} if code.model_type in HEAD_DIM_NONE else {}
    return {"rope_parameters": with_parameters(plain, layer_type, new), **more}


PARTIAL = [name for name in TYPES if MODELS[name].partial and name != "deepseek_v4"]  # see below


@pytest.mark.parametrize("model_type", PARTIAL)
def test_share_of_the_head(model_type):
    """A share that is not the default one: mlx-lm#1698, transformers#41185, #48652."""
    code = source(model_type)
    plain = code.config()
    for layer_type in layer_types(plain):
        old = parameters_of(plain, layer_type)
        share = 0.25 if old.get("partial_rotary_factor") == 0.5 else 0.5
        new = with_parameters(plain, layer_type, {**old, "partial_rotary_factor": share})
        sections = sum(MODELS[model_type].sections)
        keys = {"head_dim": int(2 * sections / share)} if sections else {}
        assert_agrees(model_type, code.config(rope_parameters=new, **keys), layer_type)


def parameters_of(config, layer_type):
    parameters = getattr(config, "rope_parameters", None) or {}
    return parameters if layer_type is None else parameters[layer_type]


def with_parameters(config, layer_type, new):
    """Rope parameters in which one kind of layer has ``new`` ones."""
    return new if layer_type is None else {**config.rope_parameters, layer_type: new}


@pytest.mark.parametrize("model_type", sorted({*TYPES} - {*PARTIAL, "deepseek_v4"}))
def test_share_that_the_code_does_not_read(model_type):
    """Refused: in transformers it is passed over, or ends in widths that do not fit."""
    config = source(model_type).config()
    for layer_type in layer_types(config):
        old = parameters_of(config, layer_type)
        if old.get("rope_type") != "proportional":
            new = with_parameters(config, layer_type, {**old, "partial_rotary_factor": 0.75})
            with pytest.raises(ValueError, match="partial_rotary_factor"):
                read({**config.to_dict(), "rope_parameters": new}, layer_type)


@pytest.mark.parametrize("model_type", TYPES)
def test_silent_configuration(model_type):
    """Everything that may be left out is left out: bases, shares and widths are the defaults."""
    code = source(model_type)
    about_rotation = re.compile("rope|rotary|theta|head_dim|kv_channels|partial|layer_config")
    whole = code.config().to_dict()
    bare = {key: value for key, value in whole.items() if not about_rotation.search(key)}
    bare |= CONFIGS.get(model_type, {})
    if MODELS[model_type].width in ("qk_rope_head_dim", "attention_head_dim"):  # without a default
        bare[MODELS[model_type].width] = whole[MODELS[model_type].width]
    config = code.config_class.from_dict(bare)
    for layer_type in layer_types(config):
        assert_agrees(model_type, config, layer_type, bare)


def had_an_old_form(model_type):
    """Whether one base and one dictionary for scaling say all: no layers of several kinds."""
    config = source(model_type).config()
    if not getattr(config, "rope_parameters", None) or layer_types(config) != [None]:
        return False
    return model_type != "cosmos3_edge_text"  # younger than the new form, and drops the old base


@pytest.mark.parametrize("model_type", [name for name in TYPES if had_an_old_form(name)])
def test_form_of_transformers_4(model_type):
    """The base at the top, a scaling beside it, its kind under ``type``; and no default base."""
    code = source(model_type)
    config = code.config()
    names = {meaning: key for key, meaning in MODELS[model_type].keys.items()}
    new_keys = ("rope_parameters", "layer_rope_theta")  # the second repeats the base of the first
    old = {key: value for key, value in config.to_dict().items() if key not in new_keys}
    old[names.get("rope_theta", "rope_theta")] = 54_321.0
    share = "partial_rotary_factor"
    if share in config.rope_parameters:
        old[names.get(share, share)] = config.rope_parameters[share]
    if takes(model_type, "linear") and model_type not in DEAF:
        old["rope_scaling"] = {"type": "linear", "factor": 2.0}
        if "mrope_section" in config.rope_parameters:
            old["rope_scaling"]["mrope_section"] = config.rope_parameters["mrope_section"]
    theirs = code.config_class.from_dict(copy.deepcopy(old))  # which writes into dictionaries
    assert theirs.rope_parameters["rope_theta"] == 54_321.0
    assert_agrees(model_type, theirs, None, old)


YARN = {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 65_536}
LINEAR = {"rope_type": "linear", "factor": 8.0}
ALPHA = {"type": "dynamic", "alpha": 1000.0, "factor": 1.0, "beta_fast": 32, "beta_slow": 1,
         "mscale": 1.0, "mscale_all_dim": 1.0}  # fmt: skip
GEMMA_3 = {"rope_theta": 2e6, "rope_local_base_freq": 5000.0, "rope_scaling": LINEAR}
MODERNBERT = {"global_rope_theta": 80_000.0, "local_rope_theta": 20_000.0, "rope_scaling": LINEAR}
NEOX = {"rotary_emb_base": 20_000.0, "rotary_pct": 0.5}
GEMMA_4 = {"global_head_dim": 128}
HUNYUAN = {"head_dim": 128, "rope_scaling": ALPHA}
DEEPSEEK_V4 = {"rope_theta": 20_000.0, "compress_rope_theta": 80_000.0, "rope_scaling": YARN,
               "qk_rope_head_dim": 128}  # fmt: skip
OWN_KEYS = {
    "codegen gptj": {"rotary_dim": 32},
    "deepseek_v4": DEEPSEEK_V4,
    "diffusion_gemma_text embedding_gemma2_text gemma4_text gemma4_unified_text": GEMMA_4,
    "gemma3_text gemma3n_text t5gemma2_decoder t5gemma2_text": GEMMA_3,
    "gpt_neox gpt_neox_japanese": NEOX,
    "hunyuan_v1_dense hunyuan_v1_moe": HUNYUAN,
    "jetmoe": {"kv_channels": 64},
    "minimax_m2": {"rotary_dim": 64},
    "modernbert modernbert-decoder": MODERNBERT,
    # transformers 5.23 loses any other base on the way to the sliding layers
    "olmo3": {"rope_theta": 500_000.0, "rope_scaling": YARN},
    "seamless_m4t wav2vec2-bert wav2vec2-conformer": {"rotary_embedding_base": 500},
    "zamba2": {"attention_head_dim": 80},
}


@pytest.mark.parametrize(
    ("model_type", "keys"), [(t, keys) for types, keys in OWN_KEYS.items() for t in types.split()]
)
def test_keys_of_their_own(model_type, keys):
    """Keys that some types have to themselves: for kinds of layers, widths, other names."""
    code = source(model_type)
    old = code.config().to_dict()
    for key in ("rope_parameters", "per_layer_config", "partial_rotary_factor"):
        old.pop(key, None)
    old |= keys
    config = code.config_class.from_dict(copy.deepcopy(old))
    for layer_type in layer_types(config):
        assert_agrees(model_type, config, layer_type, old)


NOT_TURNING = {
    "esm": {"position_embedding_type": "absolute"},
    "falcon": {"alibi": True},
    "granitemoehybrid": {"position_embedding_type": None},
    "roformer": {"rotary_value": True},  # which would have to turn the values as well
    "seamless_m4t": {"position_embeddings_type": "relative"},
    "wav2vec2-bert": {"position_embeddings_type": "relative_key"},
    "wav2vec2-conformer": {"position_embeddings_type": "relative"},
    "zamba2": {"use_mem_rope": False},
}


@pytest.mark.parametrize("model_type", NOT_TURNING)
def test_models_that_do_not_turn(model_type):
    """Refused with the key that says so, whether it is given or left to its default."""
    (key,) = NOT_TURNING[model_type]
    config = source(model_type).config(**NOT_TURNING[model_type]).to_dict()
    with pytest.raises(ValueError, match=f"{key} must be"):
        RotaryEmbedding.from_config(config)


@pytest.mark.parametrize("model_type", sorted(FLAT))
def test_flat_form_of_qwen_vl(model_type):
    """Text, vision and M-RoPE in one dictionary, as these models were released."""
    old = {
        "model_type": model_type, "hidden_size": 1536, "num_attention_heads": 12,
        "max_position_embeddings": 32_768, "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    config = source(model_type).config_class.from_dict(copy.deepcopy(old)).text_config
    assert_agrees(model_type + "_text", config, None, old)


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if "rope_interleave" in m.keys])
def test_weights_in_half_split_order(name):
    """DeepSeek-V3's kin with ``rope_interleave = false``: another function, and no reordering."""
    config = source(name).config(rope_interleave=False)
    rope = read(config, None, shipped=True)
    positions, x = Plain(name).positions(1), torch.randn(1, 2, 10, rope.head_dim)
    tables = Plain(name).tables(config, positions, x.dtype, None)
    assert torch.equal(rope(x, x, positions)[0], Plain(name).turn(x, tables, positions))


def test_text_part_of_larger_models():
    """A configuration with a ``text_config`` is read as that part is."""
    seen = 0
    for model_type, whole in larger_models():
        part = whole["text_config"]
        if part["model_type"] in set(TYPES) - set(CONFIGS):
            for layer_type in layer_types(source(part["model_type"]).config_class.from_dict(part)):
                assert str(read(whole, layer_type)) == str(read(part, layer_type)), model_type
                seen += 1
    assert seen > 80


def larger_models():
    """Default configurations of transformers' models that hold one for text."""
    strange = ("gemma4_assistant", "musicflamingo")  # no default; rope parameters for its audio too
    for model_type, config_class in CONFIG_MAPPING.items():
        if "text_config" in config_class.sub_configs and model_type not in strange:
            whole = config_class().to_dict()
            if whole["text_config"] is not None:
                yield model_type, whole
