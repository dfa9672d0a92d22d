"""Published configurations: each is read as its own code reads it, or refused usefully.

``published_configs.json`` holds what was found in public repositories, with its source;
``known_configs.json`` more of them, mostly written from memory, and forms that engines accept.
"""

import copy
import json
import warnings
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from family_sources import source
from rope_lib import RotaryEmbedding, explain
from rope_lib.models.opening import open_config
from test_family_tables import assert_agrees, layer_types

FOLDER = Path(__file__).parent
FILES = ("published_configs.json", "known_configs.json")
CONFIGS = {entry["name"]: entry["config"] for name in FILES
           for entry in json.loads((FOLDER / name).read_text("utf-8"))}  # fmt: skip
# What is refused, and a word of the reason that its owner is told.
NOT_TURNING = "has no rotary embedding"
REFUSED = {
    "Mistral-Large-3 params.json (from vllm#57563)": "looks like a params.json",
    "Spark2.5": "not known",
    "Flux transformer/config.json (diffusers)": "axes=axial([16, 56, 56])",
    "V-JEPA 2": "not read here",
    "string rope_theta": "rope_theta must be a real number, got '1000000.0'",
    "CodeLlama GGUF style strings": "rope_theta must be a real number",
    "rope_scaling factor as string": "'factor'] must be a real number, got '4'",
    "rope_scaling without type": "rope_type is missing",
    "rope_scaling type null": "rope_type is missing",
    "dynamic factor 0.5": "factor must be at least 1, got 0.5",
    "chatglm2-6b-int4": "config must have 'model_type'",
    "Falcon-Perception": "not known",
    "TeleChat-7B": "written in its code only",
    "TeleChat-52B": "written in its code only",
} | dict.fromkeys(
    ("Baichuan2-13B (ALiBi)", "MPT-7B (ALiBi)", "bert-base-uncased", "mamba-2.8b", "gpt2",
     "opt-6.7b", "Nemotron-H-8B", "gpt2-medium", "gpt_bigcode-1b", "rwkv-5-world-3b",
     "snowflake-arctic-embed-m", "vit-huge-patch14-224-in21k",
     "vit-large-patch32-224-in21k"),
    NOT_TURNING,
)  # fmt: skip
# What transformers 5.23 cannot be asked, and why; the library reads it.
NOT_THEIRS = {
    "Phi-3.5-vision-instruct": "its length stands outside of rope_scaling, where they want it",
    "Phi-3-mini-128k, first release (su)": "the same",
    "Laguna-XS.2-FP8": "they take a number beside the layers for a layer",
    "Llama-4-Scout": "a switch that is 4 instead of true",
    "EmbeddingGemma-300m": "a list of layers that was shortened",
    "DeepSeek-V4-Flash": "a list of layers that was shortened",
    "TeleChat3 (telechat3-yarn)": "a type of its engine's own",
    "deepseek_yarn (vLLM name)": "a type of vLLM's own",
    "max_position_embeddings a float": "a length with a decimal point",
    "head_dim float": "a width with a decimal point",
}
THEIR_ERRORS = (AttributeError, KeyError, StrictDataclassError, TypeError, ValueError)
FLAT = {"qwen2_vl": "qwen2_vl_text", "qwen2_5_vl": "qwen2_5_vl_text"}


def test_every_name_of_the_lists_is_a_configuration():
    assert set(REFUSED) | set(NOT_THEIRS) <= set(CONFIGS)
    assert len(CONFIGS) >= 200


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - set(REFUSED)))
def test_it_is_read_layer_by_layer(name):
    told = explain(CONFIGS[name])
    shortened = ("EmbeddingGemma-300m", "DeepSeek-V4-Flash")
    assert not told.problems or name in shortened
    assert any(kind.turns for kind in told.kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in told.kinds:
            for layer in kind.layers[:1]:
                rope = RotaryEmbedding.from_config(CONFIGS[name], layer=layer)
                assert (rope is not None) == kind.turns


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_for_a_reason_that_helps(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        RotaryEmbedding.from_config(CONFIGS[name])
    assert REFUSED[name] in str(caught.value)
    assert len(str(caught.value)) <= 300


def has_a_class(name):
    return name not in REFUSED and open_config(CONFIGS[name]).kind in CONFIG_MAPPING


@pytest.mark.parametrize("name", [each for each in sorted(CONFIGS) if has_a_class(each)])
def test_it_turns_as_transformers_does(name):
    if name in NOT_THEIRS:
        with pytest.raises(THEIR_ERRORS):
            assert_is_theirs(name)
        return
    assert_is_theirs(name)


@pytest.mark.filterwarnings("ignore")
def assert_is_theirs(name):
    torch.manual_seed(0)
    opened = open_config(CONFIGS[name])
    kind = FLAT.get(opened.kind, opened.kind)
    given = {**opened.config, "model_type": kind}
    theirs = source(kind).config_class.from_dict(copy.deepcopy(given))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layer_type in layer_types(theirs):
            assert_agrees(kind, theirs, layer_type, given)
