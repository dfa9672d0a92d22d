"""A tiny random model in a GGUF file, of the same architecture as the real one."""

import numpy
from gguf import GGUFWriter
from tokenizers.pre_tokenizers import ByteLevel

LAYERS, WIDTH, HEADS, KEY_HEADS, FEED_FORWARD, TRAINED = 2, 32, 4, 2, 48, 64
HEAD_DIM = WIDTH // HEADS
SPECIAL = ["<|endoftext|>"]
TOKENS = [*SPECIAL, *sorted(ByteLevel.alphabet()), "th", "12"]  # no digits are ever joined


def write(path, seed=0):
    """Every tensor that the reader asks for, with numbers large enough to matter."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_context_length(TRAINED)
    writer.add_rope_freq_base(100.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(["t h", "1 2"])
    for name, value in tensors(numpy.random.default_rng(seed)).items():
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(rng):
    def draw(*shape, size=0.3):
        return (size * rng.standard_normal(shape)).astype(numpy.float32)

    made = {"token_embd": draw(len(TOKENS), WIDTH, size=1.0), "output_norm": 1 + draw(WIDTH)}
    key_width = KEY_HEADS * HEAD_DIM
    for n in range(LAYERS):
        made |= {
            f"blk.{n}.attn_norm": 1 + draw(WIDTH), f"blk.{n}.ffn_norm": 1 + draw(WIDTH),
            f"blk.{n}.attn_q": draw(WIDTH, WIDTH), f"blk.{n}.attn_k": draw(key_width, WIDTH),
            f"blk.{n}.attn_v": draw(key_width, WIDTH), f"blk.{n}.attn_output": draw(WIDTH, WIDTH),
            f"blk.{n}.ffn_gate": draw(FEED_FORWARD, WIDTH),
            f"blk.{n}.ffn_up": draw(FEED_FORWARD, WIDTH),
            f"blk.{n}.ffn_down": draw(WIDTH, FEED_FORWARD),
        }  # fmt: skip
    return made
