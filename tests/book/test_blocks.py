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
