"""The configurations that a chapter shows say what the whole files say."""

import json
from pathlib import Path

import pytest

from rope_lib import explain
from rope_lib.course.published import CONFIGS

FOLDER = Path(__file__).resolve().parents[1] / "models"
# Names of whole files beside ours; those of ours that are missing here come from no file of these.
WHOLE = {
    "GLM-4 9B chat": "GLM-4-9b-chat, chatglm",
    "LLaMA 2 13B": "Llama-2-13b-hf",
    "TinyLlama 1.1B": "TinyLlama-1.1B-Chat-v1.0",
    "SmolLM2 135M": "SmolLM2-135M-Instruct",
    "Llama 3.1 8B": "Llama-3.1-8B-Instruct",
    "Llama 4 Scout": "Llama-4-Scout-17B-16E-Instruct",
    "Mistral 7B v0.3": "Mistral-7B-v0.3",
    "Ministral 3 3B": "Ministral-3-3B-Reasoning-2512",
    "Qwen2.5 7B": "Qwen2.5-7B-Instruct",
    "Qwen3 8B": "Qwen3-8B",
    "Qwen3.5 9B": "Qwen3.5-9B",
    "Gemma 2 9B": "gemma-2-9b-it",
    "Gemma 3 27B": "gemma-3-27b-it",
    "Gemma 4, 30 layers": "Gemma-4, nested",
    "Phi-4": "phi-4",
    "Phi-4-mini": "Phi-4-mini-instruct",
    "DeepSeek-V3": "DeepSeek-V3",
    "Kimi K2.6": "Kimi-K2.6, nested",
    "SmolLM3 3B": "SmolLM3-3B",
    "EXAONE 4.0 32B": "EXAONE-4.0-32B",
    "OLMo 3.1 32B": "Olmo-3.1-32B-Instruct",
}


def whole_files() -> dict[str, dict]:
    names = ("known_configs.json", "published_configs.json")
    listed = [json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in names]
    return {each["name"]: each["config"] for one in listed for each in one}


@pytest.mark.parametrize("name", WHOLE)
def test_a_short_configuration_means_what_the_whole_file_means(name):
    whole, short = explain(whole_files()[WHOLE[name]]), explain(CONFIGS[name])
    assert short.kinds == whole.kinds


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_can_be_read(name):
    told = explain(CONFIGS[name])
    assert told.kinds
    assert not told.problems
    assert not told.notes
