"""What a chapter gives to paste: a program prints what the page says, a block is read alike."""

import contextlib
import io
import json
import re

import nbformat
import pytest
import torch

from notebook_rules import ROOT
from rope_lib import RotaryEmbedding

NOTEBOOK = nbformat.read(ROOT / "notebooks" / "10_find_in_models.ipynb", as_version=4)
SOURCES = {cell["id"]: cell.source for cell in NOTEBOOK.cells}
SETTINGS = nbformat.read(ROOT / "notebooks" / "07c_choose_repair.ipynb", as_version=4)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def rope_types() -> list[dict]:
    names = {"json": json}
    exec(SOURCES["rope-types"], names)
    return names["BLOCKS"]


def test_the_program_for_transformers_prints_what_the_page_says():
    pytest.importorskip("transformers")
    found = [pair for source in SOURCES.values() for pair in BLOCK.findall(source)]
    ((_, program),) = [pair for pair in found if pair[0] == "python"]
    ((_, expected),) = [pair for pair in found if pair[0] == "text"]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(program, {"__name__": "__main__"})
    assert shown.getvalue() == expected


@pytest.mark.parametrize("block", rope_types(), ids=lambda block: block["rope_type"])
def test_a_block_to_paste_is_read_as_transformers_reads_it(block):
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    length = 4096 if block["rope_type"] == "dynamic" else 16_384
    sizes = {"hidden_size": 64, "num_attention_heads": 8, "max_position_embeddings": length}
    config = transformers.LlamaConfig(**sizes, rope_parameters=dict(block))
    places = torch.arange(0, length, 311)
    theirs = LlamaRotaryEmbedding(config)(torch.zeros(1), places[None])[0][0, :, :4]
    given = {"model_type": "llama", **sizes, "rope_parameters": block}
    ours = RotaryEmbedding.from_config(given).for_length(int(places[-1]) + 1).tables(places)[0]
    torch.testing.assert_close(ours, theirs, atol=3e-3, rtol=0)


def test_all_types_of_transformers_have_a_block():
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    names = {block["rope_type"] for block in rope_types()}
    assert names == {"default", *rope_utils.ROPE_INIT_FUNCTIONS}


def _small(transformers, kind: str):
    """A small random model with a head of 32 elements, as a folder would hold it."""
    sizes = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 8192}
    if kind == "gemma3_text":
        config = transformers.Gemma3TextConfig(**sizes | {"num_hidden_layers": 6}, head_dim=32)
        return transformers.Gemma3ForCausalLM(config)
    if kind == "glm4":
        return transformers.Glm4ForCausalLM(
            transformers.Glm4Config(**sizes, head_dim=32, pad_token_id=0)
        )
    text = transformers.LlamaConfig(**sizes)
    if kind == "llama":
        return transformers.LlamaForCausalLM(text)
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    vision = transformers.CLIPVisionConfig(**vision)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text)
    return transformers.LlavaForConditionalGeneration(config)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "glm4", "llava"])
def test_the_settings_for_transformers_change_what_they_should(kind, tmp_path, capsys):
    """As many frequencies as before, the last four times slower, and the attention factor."""
    transformers = pytest.importorskip("transformers")
    sources = [cell.source for cell in SETTINGS.cells if cell.cell_type == "markdown"]
    blocks = [
        text for source in sources for name, text in BLOCK.findall(source) if name == "python"
    ]
    extend, _, show = blocks
    model = _small(transformers, kind)
    model.save_pretrained(tmp_path)
    capsys.readouterr()
    names = {"MODEL": str(tmp_path)}
    if kind == "llava":
        extend = extend.replace("AutoModelForCausalLM", "AutoModelForImageTextToText")
    exec(extend, names)
    exec(show, names)
    shown = []
    for each in (model, names["model"]):
        names["show_frequencies"](each)
        shown.append(capsys.readouterr().out.split("\n")[:2])
    (before, plain), (after, scaled) = shown
    assert plain == "attention factor 1.0"
    assert scaled == "attention factor 1.138629436111989"
    *place, count, last = before.split()
    assert [*place, count] == after.split()[:-1]
    assert count == ("8" if kind == "glm4" else "16")
    assert float(last) / float(after.split()[-1]) == pytest.approx(4)
    with pytest.raises(ValueError, match="it has a scaling: yarn"):
        names["extend"](names["config"], 8192, 4.0)


SIZES = {
    "num_hidden_layers": 1, "vocab_size": 64, "hidden_size": 128, "intermediate_size": 64,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 64, "pad_token_id": 0,
}  # fmt: skip


def _pairs_without_a_share(transformers, model_type: str) -> tuple[int, int]:
    """Pairs that a model of this type rotates before and after a block without the share."""
    config = transformers.AutoConfig.for_model(model_type)
    for name, value in SIZES.items():
        setattr(config, name, value)

    def pairs() -> int:
        with torch.device("meta"):
            buffers = transformers.AutoModel.from_config(config).named_buffers()
            return next(len(buffer) for name, buffer in buffers if name.endswith("inv_freq"))

    before = pairs()
    trained = {"factor": 4.0, "original_max_position_embeddings": 2048}
    config.rope_parameters = {"rope_type": "yarn", "rope_theta": 10_000.0, **trained}
    return before, pairs()


@pytest.mark.parametrize("model_type", ["glm", "glm4", "gpt_neox", "qwen3_next"])
def test_a_block_without_its_share_rotates_whole_heads(model_type):
    """Chapters 7c and 10, question 21: given in Python, without an error."""
    before, after = _pairs_without_a_share(pytest.importorskip("transformers"), model_type)
    assert before < after == 32


@pytest.mark.parametrize("model_type", ["phi", "stablelm", "persimmon", "nemotron"])
def test_a_block_without_its_share_raises(model_type):
    with pytest.raises(KeyError, match="partial_rotary_factor"):
        _pairs_without_a_share(pytest.importorskip("transformers"), model_type)


@pytest.mark.parametrize("model_type", ["gemma2", "cohere2", "llama4_text", "mistral"])
def test_one_block_for_window_layers_too_is_refused(model_type):
    """Chapter 7c: a scaling would change the layers that read no farther."""
    transformers = pytest.importorskip("transformers")
    sources = [cell.source for cell in SETTINGS.cells if cell.cell_type == "markdown"]
    extend = next(text for source in sources for name, text in BLOCK.findall(source))
    names = {}
    exec(extend.partition("\n\nconfig = ")[0], names)
    with pytest.raises(ValueError, match="one block serves layers with a window"):
        names["extend"](transformers.AutoConfig.for_model(model_type), 8192, 4.0)


def test_flash_attention_sees_packed_texts_in_one_row_only():
    """Chapter 10b and question 30."""
    flash = pytest.importorskip("transformers.modeling_flash_attention_utils")
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    assert flash._is_packed_sequence(positions, batch_size=1)
    assert not flash._is_packed_sequence(positions.expand(2, -1), batch_size=2)
