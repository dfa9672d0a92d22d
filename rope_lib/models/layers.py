"""Which type each layer of a model is of, and which layers rotate at all.

Some models leave out the rotation in every fourth layer or so, others rotate with several
bases, and in hybrids most layers have no attention. A configuration says so in a list or by a
rule of its model type; the rules here are those of transformers 5.23.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..checks import require_instance
from ..positions import require_size
from .family import Model, always

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
#: Types of layers that have no queries and keys.
NO_ATTENTION = {"conv", LINEAR, "mamba", "mamba2", "recurrent", "moe", "mlp"}
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
_LISTS = ("layer_types", "layers_block_type")


@dataclass(frozen=True)
class Layer:
    """One layer: its type (None where the model has but one), and whether and how it rotates.

    ``base`` is its own base, where the configuration gives each layer one.
    """

    kind: str | None
    turns: bool
    base: float | None = None


def layer_at(config: Mapping, model: Model, layer: int) -> Layer:
    """One layer, counted from 0.

    Raises:
        TypeError, ValueError: no integer of 0 or more, or beyond the last layer; lists that are
            too short.
    """
    require_size("layer", layer)
    count = _count(config)
    if count is not None and layer >= count:
        raise ValueError(f"layer must be below {count}, the number of layers, got {layer}")
    kind = _kind(config, model, layer, layer + 1 if count is None else count)
    bases = config.get("layer_rope_theta")
    if bases is not None and model.base_of_layer:
        base = _entry("layer_rope_theta", bases, layer)
        return Layer(kind, bool(base), base or None)
    turns = kind not in NO_ATTENTION and model.turns(config, layer, kind)
    return Layer(kind, turns)


def all_layers(config: Mapping, model: Model) -> list[Layer]:
    """Every layer; one that stands for all where nothing says how many there are."""
    count = _count(config)
    if count is None:
        return [layer_at(config, model, 0)]
    return [layer_at(config, model, layer) for layer in range(count)]


def kinds_of_layers(config: Mapping, model: Model) -> list[str | None]:
    """The types of all layers; of as many as any model has, where nothing says how many."""
    count = _count(config) or 48
    return [_kind(config, model, layer, count) for layer in range(count)]


def turns_of_type(config: Mapping, model: Model, kind: str) -> bool:
    """Whether the layers of one type rotate.

    Raises:
        ValueError: some of them do.
    """
    if model.turns is always and not model.base_of_layer:
        return True
    layers = [layer for layer in all_layers(config, model) if layer.kind == kind]
    found = {layer.turns for layer in layers} or {model.turns(config, 0, kind)}
    if len(found) > 1:
        raise ValueError(f"not all layers of type {kind!r} rotate in this model: ask by layer=")
    return found.pop()


def _count(config: Mapping) -> int | None:
    for key in _COUNTS:
        if config.get(key) is not None:
            return require_size(key, config[key])
    lists = (config[key] for key in (*_LISTS, "no_rope_layers") if config.get(key))
    return next((len(kinds) for kinds in lists), None)


def _kind(config: Mapping, model: Model, layer: int, count: int) -> str | None:
    for key in _LISTS:
        if config.get(key):
            return require_instance(key, _entry(key, config[key], layer), str)
    return None if model.kind_of_layer is None else model.kind_of_layer(config, layer, count)


def _entry(key: str, values: list, layer: int):
    if len(require_instance(key, values, list | tuple)) <= layer:
        raise ValueError(f"{key} must have an entry for layer {layer}, got {len(values)} entries")
    return values[layer]


# ---------------------------------------------------------------- of which type a layer is


def every(
    step: int, *keys: str, first: int = -1, last: bool = False, others: str = SLIDING
) -> Callable[[Mapping, int, int], str]:
    """One full layer in ``step``, or as many as one of ``keys`` says; the rest are ``others``.

    Args:
        step: how many layers come round again; 0 where all are full.
        keys: what configurations call it. A string spells the layers out, G for the full ones.
        first: which of the first ``step`` is full, by its index.
        last: whether the last layer is full, whatever comes round.
        others: the type of the rest.
    """

    def kind(config: Mapping, layer: int, count: int) -> str:
        size = next((config[key] for key in keys if config.get(key) is not None), step)
        if isinstance(size, str):
            full = size[layer % len(size)] == "G"
        else:
            full = not size or layer % size == first % size
        return FULL if full or (last and layer == count - 1) else others

    return kind


def of_indices(key: str) -> Callable[[Mapping, int, int], str]:
    """Full attention in the layers that a key lists, none in the others."""
    return lambda config, layer, count: FULL if layer in config.get(key, ()) else LINEAR


def alternate(*kinds: str) -> Callable[[Mapping, int, int], str]:
    """Types that come round again."""
    return lambda config, layer, count: kinds[layer % len(kinds)]


def mimo_kind(config: Mapping, layer: int, count: int) -> str:
    return FULL if layer == 0 or layer % 6 == 5 else SLIDING


def flint_kind(config: Mapping, layer: int, count: int) -> str:
    return FULL if layer < 2 or layer % 4 == 1 or layer == count - 1 else SLIDING


def minimax_kind(config: Mapping, layer: int, count: int) -> str:
    """A list has 1 for a layer with softmax, 0 for one with linear attention."""
    keys = ("attn_type_list", "decoder_attention_types")
    listed = next((config[key] for key in keys if config.get(key)), None)
    full = _entry(keys[0], listed, layer) if listed else layer % 8 == 7
    return FULL if full else LINEAR


def lfm3_kind(config: Mapping, layer: int, count: int) -> str:
    if layer % 4 == 2:
        return FULL
    return SLIDING if layer % 4 == 0 and layer else "conv"


def fourth_from_the_end(config: Mapping, layer: int, count: int) -> str:
    return FULL if (count - 1 - layer) % 4 == 0 else SLIDING


def llama4_kind(config: Mapping, layer: int, count: int) -> str:
    return "chunked_attention" if by_list(config, layer, None) else FULL


def cohere2_moe_kind(config: Mapping, layer: int, count: int) -> str:
    dense = config.get("first_k_dense_replace", 0)
    if layer < dense:
        return every(1, "prefix_dense_sliding_window_pattern")(config, layer, count)
    return every(4, "sliding_window_pattern")(config, layer - dense, count)


def deepseek_v4_kind(config: Mapping, layer: int, count: int) -> str:
    ratios = config.get("compress_ratios")
    if ratios:
        by_ratio = {0: SLIDING, 4: "compressed_sparse_attention"}
        return by_ratio.get(
            _entry("compress_ratios", ratios, layer), "heavily_compressed_attention"
        )
    sparse = layer > 2 and layer % 2
    return "compressed_sparse_attention" if sparse else "heavily_compressed_attention"


# ---------------------------------------------------------------- whether a layer rotates


def if_sliding(config: Mapping, layer: int, kind: str | None) -> bool:
    return kind == SLIDING


def if_sliding_or_no_window(config: Mapping, layer: int, kind: str | None) -> bool:
    """A model whose window is null has full layers only, and they all rotate."""
    return kind == SLIDING or config.get("sliding_window", 0) is None


def by_list(config: Mapping, layer: int, kind: str | None) -> bool:
    """``no_rope_layers`` has a 1 for a layer that rotates; by default every fourth does not."""
    listed = config.get("no_rope_layers")
    if listed:
        return bool(_entry("no_rope_layers", listed, layer))
    return (layer + 1) % config.get("no_rope_layer_interval", 4) != 0


def not_every_fourth_from_the_end(config: Mapping, layer: int, kind: str | None) -> bool:
    count = _count(config)
    return count is None or (count - 1 - layer) % 4 != 0


def cohere2_moe_turns(config: Mapping, layer: int, kind: str | None) -> bool:
    """The first, dense layers rotate although they are full, where all of those are."""
    types = config.get("mlp_layer_types")
    is_dense = types[layer] == "dense" if types else layer < config.get("first_k_dense_replace", 0)
    prefix = config.get("prefix_dense_sliding_window_pattern", 1)
    return kind == SLIDING or (is_dense and prefix == 1)
