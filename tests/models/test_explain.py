"""What a configuration means, in words and numbers that are checked against the rotation itself."""

import json
import math
import subprocess
import sys

import pytest
import torch

from rope_lib import RotaryEmbedding, explain, scaling, wavelengths
from rope_lib.__main__ import main

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "rope_theta": 500_000.0,
    "num_hidden_layers": 32, "max_position_embeddings": 8192,
}  # fmt: skip
LLAMA_31 = LLAMA | {"max_position_embeddings": 131_072, "rope_scaling": {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192}}  # fmt: skip
GEMMA = {
    "model_type": "gemma3_text", "hidden_size": 1152, "num_attention_heads": 4, "head_dim": 256,
    "num_hidden_layers": 12, "max_position_embeddings": 32_768,
}  # fmt: skip
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}


def only(config):
    told = explain(config)
    assert not told.problems
    assert len(told.kinds) == 1
    return told.kinds[0]


def test_the_numbers_of_a_plain_model():
    kind, rope = only(LLAMA), RotaryEmbedding.from_config(LLAMA)
    found = wavelengths(rope._inverse_frequencies(torch.device("cpu")))
    assert kind.wavelengths == kind.trained_wavelengths == tuple(found.tolist())
    assert kind.unfinished == sum(wave > 8192 for wave in kind.wavelengths) == 29
    assert (kind.trained_length, kind.served_length, kind.unchanged_length) == (8192, 8192, 8192)
    assert kind.layers == tuple(range(32))
    facts = {name: getattr(kind, name) for name in ("head_dim", "rotary_dim", "pairing", "base")}
    assert facts == {name: getattr(rope, name) for name in facts}


def test_the_numbers_of_a_scaled_one():
    kind, rope = only(LLAMA_31), RotaryEmbedding.from_config(LLAMA_31)
    assert kind.scaling == rope.scaling
    assert (kind.trained_length, kind.served_length, kind.unchanged_length) == (8192, 131_072, 0)
    found = wavelengths(rope._inverse_frequencies(torch.device("cpu")))
    assert kind.wavelengths == tuple(found.tolist())
    assert max(kind.slowed) == pytest.approx(8)
    assert kind.slowed.count(1.0) == 29
    assert kind.unfinished == only(LLAMA).unfinished  # in training nothing was scaled


def test_what_a_scaling_costs():
    yarn = only(LLAMA | {"rope_scaling": YARN})
    assert yarn.amplitude == pytest.approx(0.1 * math.log(4) + 1)
    assert yarn.unchanged_length == 0
    dynamic = only(LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 2.0}})
    assert dynamic.unchanged_length == dynamic.trained_length == 8192
    ones, twos = [1.0] * 64, [2.0] * 64
    phi = LLAMA | {"model_type": "phi3", "original_max_position_embeddings": 4096}
    long = {"type": "longrope", "short_factor": ones, "long_factor": twos, "attention_factor": 1.0}
    assert only(phi | {"rope_scaling": long}).unchanged_length == 4096
    assert only(phi | {"rope_scaling": long | {"short_factor": twos}}).unchanged_length == 0


def test_every_kind_of_layer():
    told = explain(GEMMA)
    bases = [(kind.name, kind.layers, kind.base) for kind in told.kinds]
    sliding = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)
    assert bases == [("sliding_attention", sliding, 1e4), ("full_attention", (5, 11), 1e6)]
    without_count = {key: value for key, value in GEMMA.items() if key != "num_hidden_layers"}
    assert {kind.name for kind in explain(without_count).kinds} == {
        kind.name for kind in told.kinds
    }


def test_layers_that_do_not_turn():
    llama_4 = {**LLAMA, "model_type": "llama4_text", "num_hidden_layers": 8, "head_dim": 128}
    turning, still = explain(llama_4).kinds
    assert (turning.turns, still.turns, still.layers) == (True, False, (3, 7))
    assert "no rotation: these layers" in str(explain(llama_4))
    assert "1 + 0.1 ln(1 + floor((m + 1) / 8,192))" in str(explain(llama_4))


def test_kinds_that_turn_alike_are_told_once():
    mixed = LLAMA | {"layer_types": 16 * ["sliding_attention", "full_attention"]}
    assert only(mixed).layers == tuple(range(32))


def test_contradictions_and_misspelt_keys_are_told():
    """sglang#38786: betas that were swapped are among them."""
    told = explain(LLAMA | {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}})
    assert told.kinds == ()
    assert "500000.0" in told.problems[0]
    assert "1000000.0" in str(told)
    assert "'rope_scaling' meant" in str(explain(LLAMA | {"rope_scalings": {"factor": 2}}))
    swapped = YARN | {"beta_fast": 1, "beta_slow": 32}
    assert "beta_fast must be at least" in explain(LLAMA | {"rope_scaling": swapped}).problems[0]


def test_factors_for_another_head_are_a_problem():
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    scaling = {"rope_type": "longrope", "original_max_position_embeddings": 8192, **factors}
    found = explain(LLAMA | {"max_position_embeddings": 32_768, "rope_scaling": scaling})
    assert found.problems == ("factors must hold 64 numbers, got 4",)


def test_stray_keys_and_defaults_are_told():
    """vllm#56066: a lost base is seen; unknown keys are too."""
    lost = {key: value for key, value in LLAMA.items() if key != "rope_theta"}
    assert explain(lost).assumed == ("no base is in the file; llama takes 10,000",)
    stray = explain(LLAMA | {"rope_pos_offset": 7, "rope_scaling": YARN | {"attn_factor": 0.9}})
    assert len(stray.notes) == 2
    assert "rope_pos_offset" in str(stray)
    assert explain(LLAMA).notes == explain(LLAMA).assumed == ()


def test_an_attention_factor_that_was_counted_twice():
    """vllm#46280."""
    usual = 0.1 * math.log(4) + 1
    twice = str(explain(LLAMA | {"rope_scaling": YARN | {"attention_factor": usual**2}}))
    assert "counted twice?" in twice
    once = str(explain(LLAMA | {"rope_scaling": YARN | {"attention_factor": usual}}))
    assert "counted" not in once


def test_a_list_of_layers_that_is_too_short_does_not_hide_the_rest():
    config = {"model_type": "deepseek_v4", "hidden_size": 4096, "num_attention_heads": 64,
              "num_hidden_layers": 9, "compress_ratios": [0, 4]}  # fmt: skip
    told = explain(config)
    assert [kind.base for kind in told.kinds] == [1e4, 16e4]
    assert "compress_ratios must have an entry for layer 2" in told.problems[0]


@pytest.mark.parametrize("config", [LLAMA, LLAMA_31, GEMMA, LLAMA | {"rope_scaling": YARN}])
def test_as_a_dictionary_for_json(config):
    told = explain(config)
    again = json.loads(json.dumps(told.as_dict(), allow_nan=False))
    assert again["model_type"] == config["model_type"]
    assert [kind["base"] for kind in again["kinds"]] == [kind.base for kind in told.kinds]


def test_infinite_wavelengths():
    still = LLAMA | {"rope_scaling": {"rope_type": "proportional", "partial_rotary_factor": 0.25}}
    assert "48 pairs are not rotated" in str(explain(still))
    assert (
        json.loads(json.dumps(explain(still).as_dict(), allow_nan=False))["kinds"][0][
            "wavelengths"
        ].count(None)
        == 48
    )
    assert isinstance(only(still).scaling, scaling.Proportional)


def test_as_a_figure():
    axes = explain(GEMMA).figure().axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 128]
    assert len(lines) == 2
    for line, kind in zip(lines, explain(GEMMA).kinds, strict=True):
        assert list(line.get_ydata()) == list(kind.wavelengths)
    with pytest.raises(ValueError, match="no layer of this configuration rotates"):
        explain({"model_type": "bert"}).figure()


def test_what_is_no_configuration():
    with pytest.raises(TypeError, match="config must be a dictionary"):
        explain(7)
    assert "there is no" in explain("nowhere/config.json").problems[0]


@pytest.mark.parametrize("kind", ["bert", "t5", "mamba", "whisper", "gpt2", "bloom", "jamba"])
def test_models_without_rotary_embedding_are_told_so(kind):
    (problem,) = explain({"model_type": kind}).problems
    assert f"{kind!r} has no rotary embedding" in problem


def test_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_31), "utf-8")
    assert main(["explain", str(path)]) == 0
    assert capsys.readouterr().out == f"{explain(LLAMA_31)}\n"
    assert main(["explain", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kinds"][0]["base"] == 500_000
    picture = tmp_path / "wavelengths.svg"
    assert main(["explain", str(path), "--figure", str(picture)]) == 0
    assert picture.read_text("utf-8").lstrip().startswith("<?xml")
    capsys.readouterr()
    assert main(["explain", str(path), "--figure", str(tmp_path / "no" / "where.png")]) == 1
    assert "no figure" in capsys.readouterr().err
    path.write_text('{"model_type": "bert"}', "utf-8")
    assert main(["explain", str(path)]) == 1
    run = [sys.executable, "-m", "rope_lib", "explain", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, "no rotary embedding" in done.stdout) == (1, True)


def test_parts_of_heads_axes_and_towers():
    latent = {"model_type": "deepseek_v3", "num_attention_heads": 8, "qk_rope_head_dim": 64,
              "qk_nope_head_dim": 128, "max_position_embeddings": 4096}  # fmt: skip
    assert "64 elements of a head are rotated, 128 beside them are not" in str(explain(latent))
    video = {"model_type": "qwen2_vl", "hidden_size": 1536, "num_attention_heads": 12,
             "vision_config": {"depth": 32}}  # fmt: skip
    told = explain(video)
    assert told.kinds[0].axis_pairs == (16, 24, 24)
    assert "positions have 3 axes, which rotate 16, 24, 24 pairs" in str(told)
    assert told.notes == ("vision_config is not described here; explain it by itself, with like=",)
