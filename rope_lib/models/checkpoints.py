"""Whole checkpoints, moved from one pairing to the other: every row that a rotation pairs.

Reordering the rows of queries and keys alike leaves all scores as they are, where the rotation
changes its pairing with them. Everything else of a checkpoint stays what it is.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..checks import PAIRINGS, require_choice, require_instance, require_tensor
from ..layout import take_rows
from .layers import all_layers, layer_at
from .opening import Opened, open_config
from .reader import read
from .rows import Rows, rows_of

# A parameter's name: what stands before the projection, the projection, what stands after.
_NAME = re.compile(
    r"^(?P<before>(?:.*\.)?)(?P<part>q_proj|k_proj|q_b_proj|kv_a_proj_with_mqa|qkv_proj"
    r"|query_key_value|Wqkv|wqkv|c_attn|W_pack|wq|wk|query|key|attn_q|attn_k|attn_qkv|attn_q_b"
    r"|attn_kv_a_mqa|q_norm|k_norm|q_layernorm|k_layernorm|attn_q_norm|attn_k_norm)"
    r"\.(?P<after>.+)$"
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block|blk)\.(\d+)\.")
# Parts of larger models that rotate otherwise, or not at all.
_ELSEWHERE = re.compile(
    r"(?:^|\.)(vision\w*|visual|image\w*|vpm|resampler|audio\w*|speech\w*|encoder_attn|cross_attn"
    r"|crossattention|indexer)(?:\.|$)"
)
# What may stand after a projection: rows to be moved, scales of them, and what is of no rows.
_ROWS = re.compile(
    r"^((base_layer\.|linear\.|norms\.\d+\.)?(weight|bias)|lora_B(\.\w+)?(\.weight)?)$"
)
_SCALES = re.compile(r"^(SCB|(weight_)?scales?|weight_zero_point)$")
_NO_ROWS = re.compile(r"^(lora_A.*|lora_embedding.*|(input|output|act|[qkv])_scale|weight_format)$")


def convert_state_dict(
    state_dict: Mapping[str, torch.Tensor],
    config: Any,
    *,
    to: str,
    like: str | None = None,
    partial: bool = False,
) -> dict[str, torch.Tensor]:
    """A checkpoint whose rows are in the order of the other pairing.

    Moved are the rows of query and key projections and their biases, alone or fused with others,
    of latent attention, of ``lora_B``, the scales of quantised rows, and the norms of queries and
    keys. Left alone are layers that do not rotate, indexers, vision and audio towers, and whatever
    has no queries and keys.

    Args:
        state_dict: names as in transformers, in Meta's releases or in GGUF; not changed.
        config: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`. It says how wide heads
            are, how many there are, and which part of them rotates.
        to: the pairing that the result is for, ``"half"`` or ``"interleaved"``; the rows are taken
            to be in the order of the other one.
        like: a model type whose code it has, where its own is not known.
        partial: that this is a shard, or some weights only. Otherwise each layer that is there
            must have both queries and keys, since moving one without the other would break it.

    Returns:
        A new dictionary with the same names in the same order; what is not moved is the same
        tensor. Converted back it is the first again, bit for bit.

    Raises:
        TypeError, ValueError: a number of rows that the configuration does not lead to, quantised
            rows that cannot be moved on their own, no queries or keys at all, or one without the
            other; a model whose values are its keys; as in ``from_config``.

    Example:
        >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 1}
        >>> names = [f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkv"]
        >>> weights = dict.fromkeys(names, torch.arange(8.0)[:, None].expand(8, 8))
        >>> converted = convert_state_dict(weights, config, to="interleaved")
        >>> converted[names[0]][:, 0]  # rows of the queries
        tensor([0., 4., 1., 5., 2., 6., 3., 7.])
        >>> converted[names[2]] is weights[names[2]]  # values are not rotated
        True
    """
    require_choice("to", to, PAIRINGS)
    require_instance("state_dict", state_dict, Mapping)
    require_instance("partial", partial, bool)
    opened = open_config(config, like)
    _require_convertible(opened)
    orders = _Orders(opened, to)
    found = list(_found(state_dict, orders))
    if not partial:
        _require_both(found, opened.config)
    moved = {name: _reordered(name, tensor, rows) for name, tensor, rows, _ in found}
    if not moved:
        raise ValueError("state_dict has no projection of queries or keys that its model rotates")
    return {name: moved.get(name, tensor) for name, tensor in state_dict.items()}


def _require_convertible(opened: Opened) -> None:
    """Raise for models in which keys are more than keys, or whose queries have other names."""
    why = None
    if opened.model.turns_values or opened.config.get("attention_k_eq_v"):
        why = "its keys are its values too, so that their order is that of the output"
    if opened.kind in ("axk2", "codegen", "jetmoe"):
        why = "its queries are laid out in a way of its own"
    if why:
        raise ValueError(f"a checkpoint of {opened.kind} is not converted here: {why}")


def _found(state_dict: Mapping, orders: "_Orders") -> Iterator[tuple]:
    """What is to be moved: its name, the tensor, its rows, and what its layer is called."""
    for name, tensor in state_dict.items():
        found = _NAME.match(require_instance("state_dict key", name, str))
        if found is None or _ELSEWHERE.search(found["before"]) or _NO_ROWS.match(found["after"]):
            continue
        rows = orders.rows_of(name, found["part"])
        if rows is None:
            continue
        require_tensor(name, tensor)
        is_scale = _SCALES.match(found["after"])
        if is_scale and tensor.numel() == 1:  # one scale for all rows
            continue
        fits_rows = tensor.ndim == 1 or tuple(tensor.shape[1:]) == (1,)
        packed = not is_scale and tensor.dtype == torch.uint8 and tuple(tensor.shape[1:]) == (1,)
        if packed or not (_ROWS.match(found["after"]) or (is_scale and fits_rows)):
            raise ValueError(
                f"{name}: rows that are quantised or kept in this way cannot be moved on their own;"
                " convert the checkpoint before, or use permute_projection"
            )
        yield name, tensor, rows, found["before"]


def _require_both(found: list[tuple], config: Mapping) -> None:
    """Raise where the queries of a layer would move without its keys, or the other way round."""
    sides: dict[str, set] = {}
    for name, _, rows, before in found:
        if not rows.is_norm and "lora_" not in name:
            sides.setdefault(before, set()).update(rows.sides)
    for before, there in sides.items():
        if there == {"queries"} and config.get("num_kv_shared_layers"):
            continue  # these layers look at the keys of earlier ones
        if len(there) == 1:
            other = "keys" if there == {"queries"} else "queries"
            raise ValueError(
                f"{before.rstrip('.')} has {there.pop()} but no {other} whose name is known; "
                "partial=True for a shard"
            )


def _reordered(name: str, tensor: torch.Tensor, rows: Rows) -> torch.Tensor:
    """A tensor with its rows in their new order, once there are as many as there should be."""
    if rows.is_norm:
        flat = tensor.flatten()
        rows = rows if len(flat) > rows.width else rows.of_one_head()
        return take_rows(flat, _fitting(name, flat, rows)).view(tensor.shape)
    if tensor.ndim > 2:
        raise ValueError(f"{name} must have 1 or 2 dimensions, got shape {tuple(tensor.shape)}")
    return take_rows(tensor, _fitting(name, tensor, rows))


def _fitting(name: str, tensor: torch.Tensor, rows: Rows) -> torch.Tensor:
    order = rows.order()
    if tensor.shape[0] != len(order):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}, but the configuration says {rows.heads} "
            f"heads of {rows.width}, {len(order)} rows: is its number of heads right?"
        )
    return order.to(tensor.device)


class _Orders:
    """The rows of each projection of each layer, read from the configuration once a kind."""

    def __init__(self, opened: Opened, to: str):
        self.opened, self.to = opened, to
        self.known: dict[tuple, Rows | None] = {}

    def rows_of(self, name: str, part: str) -> Rows | None:
        """What the rows of a projection are; None where nothing is to be moved."""
        found = _LAYER.search(name)
        layer = None if found is None else self._within(int(found[1]))
        kind = None if layer is None else layer_at(self.opened.config, self.opened.model, layer)
        if (part, kind) not in self.known:
            self.known[part, kind] = self._read(part, layer)
        return self.known[part, kind]

    def _within(self, layer: int) -> int:
        """Layers beyond the last one predict further tokens, and are built as it is."""
        return min(layer, max(len(all_layers(self.opened.config, self.opened.model)) - 1, 0))

    def _read(self, part: str, layer: int | None) -> Rows | None:
        config, kind = self.opened.config, self.opened.kind
        arguments = read(config, layer=layer, like=kind).arguments
        if arguments is None:
            return None
        if arguments["axes"] is not None and arguments["axes"].blocks > 1:
            raise ValueError(f"{kind} pairs numbers within blocks of a head: not converted here")
        this = None if layer is None else layer_at(config, self.opened.model, layer).kind
        return rows_of(part, kind, config, arguments, self.to, this)
