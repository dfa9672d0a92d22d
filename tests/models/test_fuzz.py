"""Random configurations and shapes, the same ones on every run.

Where a case fails, hypothesis prints it twice. ``Falsifying example: test_...(case={...})`` holds
plain arguments: paste them behind ``@example`` on the test, or call ``check_module(**case)`` or
``check_config(**case)`` in a Python session that was started in this folder. The line
``@reproduce_failure(...)`` below it, put on the test, replays the same case. For other cases than
these, run::

    pytest tests/models/test_fuzz.py --hypothesis-seed=1 --hypothesis-profile=default
"""

import copy
import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from family_sources import source
from rope_lib import RotaryEmbedding
from rope_lib import scaling as scaling_module
from rope_lib.models.conventions import MODELS
from rope_lib.models.sharing import SHARED_OUT
from test_family_tables import assert_agrees, layer_types

bases = st.sampled_from([10_000.0, 500_000.0, 1e6, 137.5])
factors = st.floats(1, 40).map(lambda number: round(number, 3))
lengths = st.sampled_from([16, 100, 4096, 32_768])
seeds = st.integers(0, 10_000)


# --- Modules against pairs turned one at a time ------------------------------------------------


def frequencies_by_hand(width, base, name, values):
    """The ladder of frequencies and the amplitude, each scaling by its definition, in numpy."""
    pairs = np.arange(width // 2)
    plain = base ** (-2 * pairs / width)
    turns = plain / (2 * math.pi)  # a token
    if name == "Linear":
        return plain / values["factor"], 1.0
    if name == "NTK":
        slowest = values["factor"] ** (-2 * pairs / (width - 2))
        return plain * slowest, 1.0
    if name == "Proportional":
        turning = pairs < int(values["fraction"] * (width // 2))
        return np.where(turning, plain / values["factor"], 0), 1.0
    if name == "Llama3":
        length, low, high = values["original_length"], 1.0, 4.0
        kept = np.clip((length * turns - low) / (high - low), 0, 1)
        return plain * kept + plain / values["factor"] * (1 - kept), 1.0
    if name == "YaRN":
        ends = [width * math.log(values["original_length"] / (2 * math.pi * beta))
                / (2 * math.log(base)) for beta in (32, 1)]  # fmt: skip
        low, high = max(math.floor(ends[0]), 0), min(math.ceil(ends[1]), width - 1)
        slowed = np.clip((pairs - low) / (high - low if high != low else 0.001), 0, 1)
        amplitude = 1 + 0.1 * math.log(values["factor"])
        return plain * (1 - slowed) + plain / values["factor"] * slowed, amplitude
    return plain, 1.0


def turned_by_hand(x, positions, settings):
    """Rows of heads, turned by explicit two by two matrices, one pair after the other."""
    shared, result = settings["axes"], x.copy()
    width = settings["rotary_dim"] if shared is None else shared.width
    ladder, amplitude = frequencies_by_hand(width, settings["base"], *settings["scaling"])
    start = settings["head_dim"] - settings["rotary_dim"] if settings["rotated"] == "last" else 0
    blocks = 1 if shared is None else shared.blocks
    each = settings["rotary_dim"] // (2 * blocks)  # pairs in a block
    for row, pair in np.ndindex(len(x), settings["rotary_dim"] // 2):
        axis, step = (0, pair) if shared is None else (shared.axis[pair], shared.step[pair])
        angle = positions[axis][row] * ladder[step] * (-1 if settings["clockwise"] else 1)
        matrix = amplitude * np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        block = start + pair // each * 2 * each
        into = settings["output_pairing"] or settings["pairing"]
        result[row, place(into, block, pair % each, each)] = (
            matrix @ (x[row, place(settings["pairing"], block, pair % each, each)])
        )
    return result


def place(pairing, start, pair, pairs):
    """Where the two numbers of a pair stand."""
    first, step = (2 * pair, 1) if pairing == "interleaved" else (pair, pairs)
    return [start + first, start + first + step]


def check_module(settings, shape, dtype, seed):
    """``shape`` is ``(batch, query heads, key heads, seq)``."""
    batch, q_heads, k_heads, seq = shape
    name, values = settings["scaling"]
    scaling = getattr(scaling_module, name)(**values) if name else None
    shared = shared_out(settings["axes"], settings["rotary_dim"])
    rope = RotaryEmbedding(**{**settings, "scaling": scaling, "axes": shared})
    generator = torch.Generator().manual_seed(seed)
    count = 1 if shared is None else shared.count
    positions = torch.randint(0, 1000, (count, batch, 1, seq), generator=generator)
    q, k = (torch.randn(batch, heads, seq, rope.head_dim, generator=generator).to(dtype)
            for heads in (q_heads, k_heads))  # fmt: skip
    before = q.clone(), k.clone()
    turned = rope(q, k, positions[0] if shared is None else positions)
    bound = {torch.float64: 1e-11, torch.float32: 1e-5}.get(dtype, 2 * torch.finfo(dtype).eps)
    for x, old, result in zip((q, k), before, turned, strict=True):
        assert torch.equal(x, old)
        assert (result.dtype, result.shape) == (x.dtype, x.shape)
        for b, head in np.ndindex(*x.shape[:2]):
            rows = x[b, head].double().numpy()
            exact = turned_by_hand(rows, positions[:, b, 0].numpy(), {**settings, "axes": shared})
            np.testing.assert_allclose(
                result[b, head].double().numpy(), exact, rtol=bound, atol=bound * rope.amplitude
            )


def shared_out(name, rotary_dim):
    if name is None or "section" not in name:
        return None if name is None else SHARED_OUT[name](rotary_dim)
    third = rotary_dim // 6
    return SHARED_OUT[name]([rotary_dim // 2 - 2 * third, third, third])


NAMES = [None, None, *(name for name in SHARED_OUT if "time" not in name)]


@st.composite
def modules(draw):
    name = draw(st.sampled_from(NAMES))
    rotary_dim = draw(st.sampled_from([12, 24] if name else [4, 6, 8, 16, 34]))
    pairing = draw(st.sampled_from(["interleaved", "half"]))
    kind = draw(st.sampled_from([None, "Linear", "NTK", "Proportional", "Llama3", "YaRN"]))
    values = {} if kind is None else {"factor": draw(factors)}
    if kind in ("Llama3", "YaRN"):
        values["original_length"] = draw(lengths)
    if kind == "Proportional":
        values["fraction"] = draw(st.sampled_from([0.0, 0.25, 0.5, 0.99, 1.0]))
    return {
        "settings": {
            "head_dim": rotary_dim + draw(st.sampled_from([0, 0, 1, 6])),
            "rotary_dim": rotary_dim,
            "pairing": pairing,
            "base": draw(bases),
            "rotated": draw(st.sampled_from(["first", "last"])),
            "clockwise": draw(st.booleans()),
            "output_pairing": draw(st.sampled_from([None, "interleaved", "half"])),
            "axes": name,
            "scaling": (kind, values),
        },
        "shape": draw(
            st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 4))
        ),
        "dtype": draw(
            st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])
        ),
        "seed": draw(seeds),
    }


@settings(max_examples=250, print_blob=True)
@given(case=modules())
def test_modules_turn_as_matrices_do(case):
    check_module(**case)


# --- Configurations against transformers -------------------------------------------------------

TYPES = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text", "phi", "glm", "gpt_neox",
         "stablelm", "persimmon", "cohere", "olmo2", "helium", "nemotron", "deepseek_v3",
         "qwen2_vl_text", "qwen3_vl_text", "starcoder2", "granite", "smollm3"]  # fmt: skip


def check_config(model_type, heads, width, parameters, old):
    """One model type with rope parameters, in the new form or in that of transformers 4."""
    code, model = source(model_type), MODELS[model_type]
    torch.manual_seed(0)
    keys = {
        "hidden_size": heads * width,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
    }
    if model.width == "qk_rope_head_dim":
        keys |= {"qk_rope_head_dim": width, "qk_nope_head_dim": width}
    elif hasattr(code.config(), "head_dim"):
        keys["head_dim"] = width
    if model.sections:
        third = width // 6
        parameters = {**parameters, "mrope_section": [width // 2 - 2 * third, third, third]}
    new = dict.fromkeys(model.layers, parameters) if model.layers else parameters
    config = code.config(**keys, rope_parameters=copy.deepcopy(new))
    given_config = in_the_old_form(config.to_dict(), parameters, model) if old else config
    for layer_type in layer_types(config):
        assert_agrees(model_type, config, layer_type, given_config)


def in_the_old_form(config, parameters, model):
    names = {meaning: key for key, meaning in model.keys.items()}
    config = {key: value for key, value in config.items() if key != "rope_parameters"}
    scaling = {**parameters, "type": parameters["rope_type"]}
    del scaling["rope_type"]
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in scaling:
            config[names.get(key, key)] = scaling.pop(key)
    if scaling != {"type": "default"}:
        config["rope_scaling"] = scaling
    return config


@st.composite
def configs(draw):
    model_type = draw(st.sampled_from(TYPES))
    model = MODELS[model_type]
    width = draw(st.sampled_from([8, 24, 64, 96, 128]))
    # dynamic, whose growth shipped code rounds in a way of its own, is drawn in test_scaling.py
    kind = draw(st.sampled_from(["default", "linear", "yarn", "llama3", "longrope"]))
    parameters = {"rope_type": kind, "rope_theta": draw(bases)}
    rotary_dim = width
    if model.partial:
        parameters["partial_rotary_factor"] = share = draw(st.sampled_from([0.25, 0.5, 0.75, 1.0]))
        rotary_dim = int(width * share)
    elif model.fraction != 1:
        rotary_dim = int(width * model.fraction)
    if kind != "default":
        parameters["factor"] = draw(factors)
    if kind in ("yarn", "llama3", "longrope"):
        parameters["original_max_position_embeddings"] = draw(lengths)
    if kind == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": draw(st.floats(1.5, 32))}
    if kind == "yarn":
        optional = {"beta_fast": st.sampled_from([16, 32, 48.0]),
                    "beta_slow": st.sampled_from([1, 2]),
                    "attention_factor": st.sampled_from([0.9, 1.0, 1.3])}  # fmt: skip
        parameters |= draw(st.fixed_dictionaries({}, optional=optional))
    if kind == "longrope":
        random = np.random.default_rng(draw(seeds))
        for name in ("short_factor", "long_factor"):
            parameters[name] = random.uniform(1, 30, rotary_dim // 2).round(2).tolist()
    return {
        "model_type": model_type,
        "heads": draw(st.sampled_from([1, 2, 4])),
        "width": width,
        "parameters": parameters,
        "old": draw(st.booleans()) and not model.layers,
    }


@settings(max_examples=250, print_blob=True)
@given(case=configs())
def test_configurations_turn_as_transformers_does(case):
    check_config(**case)
