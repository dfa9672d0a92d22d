"""``published_configs.json``: what configurations of released models say of positions, and where.

Each entry has a name, its source (repository, file, commit) and the facts: the keys that speak of
rotation, positions, widths of heads and layers, with values as they stand there. All other keys of
the file are left out. Some sources shortened a length for themselves; their entries say so.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PUBLISHED = json.loads(
    Path(__file__).with_name("published_configs.json").read_text(encoding="utf-8")
)
LEAST, LEAST_TYPES = 120, 55
#: repository, a colon, the file (and an entry of it), the commit, and a remark in brackets.
SOURCE = re.compile(r"[\w.-]+/[\w.-]+:[^ ]+ at [0-9a-f]{40}( \([^()]+\))?")
#: What an entry may speak of.
TOPICS = re.compile(
    r"""
    model_type | architectures | version | (torch_|params_)?dtype | transformers_version
    | (\w+_)?config                                      # parts of models with several
    | (\w*_)?(rope|rotary|rotate|alibi|theta|ntk|logn|mscale)(_\w+)? | \w*(rope|rotary)\w*
    | \w*(beta|freq|factor|factors)(_\w+)? | mrope_\w+ | short_\w+ | long_\w+ | type | truncate
    | scale_(emb|depth) | dim_model_base | mup_\w+ | query_pre_attn_scalar
    | pos_emb | (relative|absolute|learned)_\w+ | \w*position\w* | original_\w+ | use_pos_enc
    | \w*(seq_?len|seq_length|sequence_length|max_length|context_length)\w* | n_ctx
    | (attention_)?hidden_size | hidden_dim | dim | d_model | embed_dim | n_embd
    | \w*head\w* | \w*_channels | kv_lora_rank | multi_query\w* | num_key_value_groups
    | num_layers | num_hidden_layers | n_layers? | depth | (encoder|decoder)_layers
    | \w*layers?_(types?|interval|pattern|block_type) | attn_type_list | \w*pattern\w*
    | \w*attention_layers | attn_layer_\w+ | dense_attention_\w+ | \w*_attention(_\w+)?
    | (use_)?sliding_window(_\w+)? | attention_chunk_size | blocksparse_\w+
    | image_size | (\w+_)?patch_size | spatial_merge_size | num_patches | tokens_per_second
    | use_mla | use_mrope | init_pos_emb_\w+ | padded_vocab_size
    """,
    re.VERBOSE,
)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)


def test_there_are_many_and_of_many_kinds():
    names = Counter(entry["name"] for entry in PUBLISHED)
    assert len(PUBLISHED) >= LEAST
    assert [name for name, count in names.items() if count > 1] == []
    assert len({entry["config"].get("model_type") for entry in PUBLISHED}) >= LEAST_TYPES


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry["name"])
def test_an_entry_has_a_source_and_only_facts_about_positions(entry):
    assert set(entry) == {"name", "source", "config"}
    assert entry["name"].strip() == entry["name"] != ""
    assert SOURCE.fullmatch(entry["source"]), entry["source"]
    assert [key for key in _keys(entry["config"]) if not TOPICS.fullmatch(key)] == []
