"""What the rows of a projection are: heads of queries, keys and values, in which order.

Fused projections differ in it. Some have all queries, then all keys, then all values; some go
through the heads, or through the groups of queries that share a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..checks import require_count
from ..layout import order_of_head

NORMS = {"q_norm", "k_norm", "q_layernorm", "k_layernorm", "attn_q_norm", "attn_k_norm"}
_QUERIES = {"q_proj", "wq", "query", "attn_q", "q_b_proj", "attn_q_b", "q_norm", "q_layernorm",
            "attn_q_norm"}  # fmt: skip
_KEYS = {"k_proj", "wk", "key", "attn_k", "k_norm", "k_layernorm", "attn_k_norm"}
_SHARED_KEY = {"kv_a_proj_with_mqa", "attn_kv_a_mqa"}
_BLOCKS = {"qkv_proj", "Wqkv", "c_attn", "W_pack", "attn_qkv"}
_GROUPS = {"wqkv"}
# Of query_key_value: who has blocks; everybody else goes through heads or groups of them.
_IN_BLOCKS = {"chatglm"}
# Whose q_proj has, for each head, the query and a gate of the same width.
_GATED = {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}
# Key heads of one type of layers.
_OF_LAYERS = {"full_attention": "num_global_key_value_heads",
              "sliding_attention": "swa_num_key_value_heads"}  # fmt: skip
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads")


@dataclass(frozen=True)
class Rows:
    """Heads of one width, in the order of the rows.

    Args:
        runs: how many heads follow each other, and whether they rotate.
        width: rows of a head.
        head: which old row of a head that rotates each new one is, ``(width,)``.
        is_norm: whether these are the weights of a norm: of one head, or of all.
        sides: whether queries are among them, or keys, or both.
    """

    runs: tuple[tuple[int, bool], ...]
    width: int
    head: torch.Tensor
    is_norm: bool = False
    sides: frozenset = frozenset()

    @property
    def heads(self) -> int:
        return sum(count for count, _ in self.runs)

    def of_one_head(self) -> "Rows":
        return replace(self, runs=((1, True),))

    def order(self) -> torch.Tensor:
        """Which old row each new one is, ``(heads * width,)``."""
        still = torch.arange(self.width, device="cpu")
        heads = [self.head if turns else still for count, turns in self.runs for _ in range(count)]
        starts = self.width * torch.arange(self.heads, device="cpu")
        return (torch.stack(heads) + starts[:, None]).flatten()


def rows_of(
    part: str, kind: str, config: Mapping, arguments: Mapping, to: str, layer: str | None = None
) -> Rows:
    """The rows of a projection, by its name and its model's configuration.

    Args:
        part: the name of the projection or norm, such as ``"q_proj"``.
        kind: the model type.
        config: its configuration.
        arguments: of the rotation, as :func:`rope_lib.models.reader.read` gives them.
        to: the pairing that the new order is for.
        layer: the type of the layer, where layers have key heads of their own.

    Raises:
        ValueError: a number of heads that is missing, or that groups cannot be made of.
    """
    width, rotated, rotary_dim = (arguments[key] for key in ("head_dim", "rotated", "rotary_dim"))
    if part in _SHARED_KEY:
        width, rotated = require_count("kv_lora_rank", config.get("kv_lora_rank")) + width, "last"
    elif part not in _KEYS and config.get("qk_nope_head_dim") and "kv_lora_rank" in config:
        width, rotated = width + config["qk_nope_head_dim"], "last"
    elif part == "q_proj" and (kind in _GATED or config.get("attn_output_gate")):
        width *= 2
    head = order_of_head(width, to, rotary_dim, rotated)
    sides = frozenset({"queries"} if part in _QUERIES else {"keys"} if part in _KEYS | _SHARED_KEY
                      else {"queries", "keys"})  # fmt: skip
    return Rows(_runs(part, kind, config, layer), width, head, part in NORMS, sides)


def _runs(part: str, kind: str, config: Mapping, layer: str | None) -> tuple[tuple[int, bool], ...]:
    queries = require_count("num_attention_heads", _first(config, _HEADS))
    keys = config.get(_OF_LAYERS.get(layer, ""))
    keys = _key_heads(config, queries) if keys is None else require_count("key heads", keys)
    if part in _SHARED_KEY:
        return ((1, True),)
    if part in _QUERIES:
        return ((queries, True),)
    if part in _KEYS:
        return ((keys, True),)
    if part in _BLOCKS or (part == "query_key_value" and _has_blocks(kind, config)):
        return ((queries, True), (keys, True), (keys, False))
    if queries % keys:
        raise ValueError(f"num_key_value_heads must divide {queries}, got {keys}")
    return keys * ((queries // keys, True), (1, True), (1, False))


def _has_blocks(kind: str, config: Mapping) -> bool:
    """Falcon's first models have all their queries before the one key that they share."""
    shares_one = config.get("multi_query") and not config.get("new_decoder_architecture")
    return kind in _IN_BLOCKS or bool(kind == "falcon" and shares_one)


def _key_heads(config: Mapping, queries: int) -> int:
    if config.get("multi_query_attention"):  # ChatGLM
        return require_count("multi_query_group_num", config.get("multi_query_group_num"))
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    found = _first(config, _KEY_HEADS)
    found = (config.get("attn_config") or {}).get("kv_n_heads") if found is None else found
    return queries if found is None else require_count("num_key_value_heads", found)


def _first(config: Mapping, keys: tuple[str, ...]) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)
