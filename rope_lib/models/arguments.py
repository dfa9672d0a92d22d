"""The arguments of a rotation that a configuration describes: its widths, its base, its axes."""

from collections.abc import Mapping
from typing import Any

from .. import axes, scaling
from ..checks import (
    require_count,
    require_even,
    require_fraction,
    require_instance,
    require_positive,
)
from ..functional import EXACT
from .family import Family, Model
from .layers import Layer
from .opening import Opened
from .scalings import needed, scaling_of
from .schema import Parameters, whole
from .sharing import SHARED_OUT


def arguments_of(
    parameters: Parameters, opened: Opened, this: Layer, kind: str, shipped: bool
) -> dict:
    config, model, family = opened.config, opened.model, opened.model.family
    head_dim = _head_dim(parameters, config, model, this.kind)
    rotary_dim = _rotary_dim(parameters, opened, head_dim, kind)
    if kind == "alpha":
        given = scaling.NTK(parameters["alpha"])
    else:
        given = scaling_of(parameters, config, kind)
    pairing, output = family.pairing, family.output_pairing
    if parameters.get("rope_interleave") is False:
        pairing, output = output, None
    return {
        "head_dim": head_dim,
        "pairing": pairing,
        "base": _base(parameters, opened, this),
        "rotary_dim": rotary_dim,
        "rotated": family.rotated,
        "scaling": given,
        "axes": _axes(parameters, model, rotary_dim),
        "clockwise": family.clockwise,
        "output_pairing": output,
        "precision": precision_of(family, shipped),
        "signed": family.signed,
    }


def precision_of(family: Family, shipped: bool) -> Any:
    if shipped and family.shipped is None:
        raise ValueError(
            f"shipped must be False for {family.name}, whose rounding is not reproduced"
        )
    return family.shipped if shipped else EXACT


def _base(parameters: Parameters, opened: Opened, this: Layer) -> float:
    base = require_positive("rope_theta", parameters.get("rope_theta", opened.model.base))
    if this.base is not None:
        return require_positive("layer_rope_theta", this.base)
    others = opened.config.get("layer_rope_theta", ())
    for other in require_instance("layer_rope_theta", others, list | tuple):
        if other and other != base:  # a zero marks a layer that does not rotate
            hint = ": ask by layer=" if opened.model.base_of_layer else ""
            raise ValueError(f"layer_rope_theta has {other}, but rope_theta is {base}{hint}")
    return base


def _head_dim(parameters: Parameters, config: dict, model: Model, layer_type: str | None) -> int:
    """The width of a head, or of the part of it that is there to be rotated."""
    layer = _layer_head_dim(config, layer_type)
    for width in (layer, parameters.get("head_dim"), config.get(model.width), model.head_dim):
        if width is not None:
            return require_count(model.width, whole(width))
    if model.width != "head_dim":
        raise ValueError(f"config must have {model.width!r}")
    size, heads = (require_count(key, whole(_size(config, key))) for key in model.per_head)
    width, rest = divmod(size, heads)
    if rest:
        size_key, heads_key = model.per_head
        raise ValueError(f"{heads_key} must divide {size_key} = {size}, got {heads}")
    return width


def _size(config: dict, key: str) -> Any:
    """A size by the key of its model type, or by a name that other code has for it."""
    if key not in config:
        key = next((other for other in _SAME_SIZE.get(key, ()) if other in config), key)
    return needed(config, key)


_SAME_SIZE = {
    "hidden_size": ("n_embd", "d_model", "dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
}


def _layer_head_dim(config: dict, layer_type: str | None) -> int | None:
    """The width that ``per_layer_config`` gives to all layers of a type, if it gives one."""
    own = {}
    name = "per_layer_config"
    for layer, values in require_instance(name, config.get(name, {}), Mapping).items():
        width = require_instance(f"{name}[{layer!r}]", values, Mapping).get("head_dim")
        if not str(layer).isdecimal():
            raise ValueError(f"{name} must have the numbers of layers as its keys, got {layer!r}")
        if width is not None:
            own[int(layer)] = require_count(f"{name}[{layer!r}] head_dim", width)
    if not own:
        return None
    kinds = needed(config, "layer_types")
    widths = {own.get(i) for i, kind in enumerate(kinds) if layer_type in (None, kind)}
    if len(widths) > 1:
        raise ValueError(f"per_layer_config gives layers of type {layer_type!r} several head_dim")
    return widths.pop() if widths else None


def _rotary_dim(parameters: Parameters, opened: Opened, head_dim: int, kind: str) -> int:
    """How many elements of a head are rotated."""
    config, model = opened.config, opened.model
    name = "partial_rotary_factor"
    share = require_fraction(name, parameters.get(name, model.fraction))
    if kind == "proportional":  # all pairs count, though some do not rotate
        return head_dim
    if "rotary_dim" in parameters:
        rotary_dim = require_even("rotary_dim", parameters["rotary_dim"])
        allowed = {rotary_dim / head_dim}
    elif model.width == "qk_rope_head_dim":  # this part of a head is there to be rotated
        rotary_dim = head_dim
        still = config.get("qk_nope_head_dim")
        both = head_dim + (0 if still is None else require_count("qk_nope_head_dim", still))
        allowed = {1.0, head_dim / both}
    else:
        rotary_dim = int(head_dim * share)
        allowed = {share} if model.partial else {model.fraction}
    if name in parameters and not any(abs(share - each) * head_dim < 1 for each in allowed):
        raise ValueError(
            f"{name} must be {' or '.join(f'{each:g}' for each in sorted(allowed))}, as the rest "
            f"of the config (such as rotary_dim) and the code of {opened.kind} have it; "
            f"got {share}"
        )
    _require_turnable(rotary_dim, head_dim, model)
    return rotary_dim


def _require_turnable(rotary_dim: int, head_dim: int, model: Model) -> None:
    """Refuse a width that pairs, or axes with equal shares of them, cannot be made of."""
    least = 4 if model.family.axes and not model.sections else 2
    if not 0 < rotary_dim <= head_dim or rotary_dim % least:
        keys = {model.width, *model.per_head, *model.keys, "partial_rotary_factor", "rotary_dim"}
        raise ValueError(
            f"what is rotated must be a multiple of {least}, and no wider than a head; got "
            f"{rotary_dim} of {head_dim}, from {', '.join(sorted(keys))}"
        )


def _axes(parameters: Parameters, model: Model, rotary_dim: int) -> axes.Axes | None:
    kind = model.family.axes
    interleaved = kind == "interleaved sections"
    if parameters.get("mrope_interleaved", interleaved) != interleaved:
        raise ValueError(f"mrope_interleaved must be {interleaved} for this model type")
    if not model.sections:
        if "mrope_section" in parameters:
            raise ValueError("mrope_section has no meaning for this model type")
        return None if kind is None else SHARED_OUT[kind](rotary_dim)
    sizes = parameters.get("mrope_section", model.sections)
    if len(sizes) != len(model.sections) or 2 * sum(sizes) != rotary_dim:
        raise ValueError(
            f"mrope_section must share out {rotary_dim // 2} pairs among {len(model.sections)} "
            f"axes, got {sizes}"
        )
    try:
        return SHARED_OUT[kind](sizes)
    except ValueError as error:
        raise ValueError(f"mrope_section: {error}") from error
