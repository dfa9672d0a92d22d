"""Reading the rotation out of a model's configuration: what its rope parameters mean.

:mod:`rope_lib.models.schema` has brought them together; here they become the arguments of a
:class:`rope_lib.module.RotaryEmbedding`, with what :mod:`rope_lib.models.conventions` knows of the
model.
"""

import difflib
from collections.abc import Callable, Mapping
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
from .conventions import MODELS, Model
from .schema import ORIGINAL_LENGTH, OUTSIDE, Parameters, collect, config_of_text, without_nulls
from .sharing import SHARED_OUT

# Keys of rope parameters: allowed with any type, and with each type (needed ones first).
_ALWAYS = {"rope_type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved",
           "max_position_embeddings", "llama_4_scaling_beta"}  # fmt: skip
_TYPES = {
    "default": ((), ()),
    "axial": ((), ()),
    "linear": (("factor",), ()),
    "dynamic": (("factor",), ()),
    "dynamic with alpha": (("alpha",), ("factor", "beta_fast", "beta_slow", "mscale",
                                        "mscale_all_dim")),
    "yarn": (("factor", ORIGINAL_LENGTH), ("attention_factor", "beta_fast", "beta_slow", "mscale",
                                   "mscale_all_dim", "truncate")),
    "longrope": (("short_factor", "long_factor", "factor", ORIGINAL_LENGTH), ("attention_factor",)),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", ORIGINAL_LENGTH), ()),
    "proportional": ((), ("factor",)),
}  # fmt: skip


def read_config(config: Any, *, layer_type: str | None = None, shipped: bool = False) -> dict:
    """The arguments of :class:`rope_lib.module.RotaryEmbedding` that a configuration describes.

    Args, Raises: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`.
    """
    require_instance("shipped", shipped, bool)
    config = config_of_text(config)
    model = _model(config)
    config = without_nulls(config, model)
    parameters = collect(config, model, layer_type)
    kind = _kind(parameters, model)
    head_dim = _head_dim(parameters, config, model, layer_type)
    rotary_dim = _rotary_dim(parameters, config, head_dim, model, kind)
    family = model.family
    if shipped and family.shipped is None:
        raise ValueError(
            f"shipped must be False for {family.name}, whose rounding is not reproduced"
        )
    pairing, output = family.pairing, family.output_pairing
    if parameters.get("rope_interleave") is False:
        pairing, output = output, None
    return {
        "head_dim": head_dim,
        "pairing": pairing,
        "base": _base(parameters, config, model),
        "rotary_dim": rotary_dim,
        "rotated": family.rotated,
        "scaling": _scaling(parameters, config, kind),
        "axes": _axes(parameters, model, rotary_dim),
        "clockwise": family.clockwise,
        "output_pairing": output,
        "precision": family.shipped if shipped else EXACT,
        "signed": family.signed,
    }


def _model(config: dict) -> Model:
    kind = require_instance("model_type", config.get("model_type"), str | None)
    two_streams = "position_encoding_2d"
    if kind == "chatglm" and require_instance(two_streams, config.get(two_streams, False), bool):
        kind = "chatglm-6b"
    if kind not in MODELS:
        raise ValueError(_unknown_type(kind, config))
    model = MODELS[kind]
    for key, (needed, default) in model.needs.items():
        value = config.get(key)
        value = default if value is None else value
        if value != needed or isinstance(value, bool) != isinstance(needed, bool):
            raise ValueError(f"{key} must be {needed!r} for {kind} to be read, got {value!r}")
    return model


def _unknown_type(kind: str | None, config: Mapping) -> str:
    """What to say of a model type that is not known: the nearest names, and known parts."""
    near = difflib.get_close_matches(str(kind), MODELS, n=5) or sorted(MODELS)
    parts = [
        name for name, part in config.items()
        if isinstance(part, Mapping) and ("text_config" in part or part.get("model_type") in MODELS)
    ]  # fmt: skip
    advice = f"give its {' or '.join(parts)}" if parts else "build a RotaryEmbedding by hand"
    return f"model_type {kind!r} is not known; known are {', '.join(near)}. Otherwise {advice}"


def _kind(parameters: Parameters, model: Model) -> str:
    """The type of scaling, once all keys beside it are known to belong to it."""
    kind = parameters.get("rope_type", "default")
    if kind == "yarn" and "long_factor" in parameters:  # what early Phi-3 called its LongRoPE
        kind = "longrope"
    if kind == "dynamic" and "alpha" in parameters and "alpha" in model.keys:  # HunYuan
        kind = "dynamic with alpha"
    if kind not in _TYPES:
        raise ValueError(f"rope_type must be one of {', '.join(_TYPES)}, got {kind!r}")
    if model.kinds is not None and kind not in model.kinds:
        raise ValueError(f"rope_type must be one of {model.kinds} for this model, got {kind!r}")
    allowed = {*_ALWAYS, *_TYPES[kind][0], *_TYPES[kind][1]}
    unknown = sorted(set(parameters) - allowed - OUTSIDE - {ORIGINAL_LENGTH})
    if unknown:
        raise ValueError(
            f"rope parameters of type {kind!r} have {unknown[0]!r} = {parameters[unknown[0]]!r}; "
            f"allowed are {', '.join(sorted(allowed))}"
        )
    return kind


def _base(parameters: Parameters, config: dict, model: Model) -> float:
    base = require_positive("rope_theta", parameters.get("rope_theta", model.base))
    others = config.get("layer_rope_theta", ())
    for other in require_instance("layer_rope_theta", others, list | tuple):
        if other and other != base:  # a zero marks a layer that does not turn
            raise ValueError(f"layer_rope_theta has {other}, but rope_theta is {base}")
    return base


def _head_dim(parameters: Parameters, config: dict, model: Model, layer_type: str | None) -> int:
    """The width of a head, or of the part of it that is made for turning."""
    layer = _layer_head_dim(config, layer_type)
    for width in (layer, parameters.get("head_dim"), config.get(model.width), model.head_dim):
        if width is not None:
            return require_count(model.width, width)
    if model.width != "head_dim":
        raise ValueError(f"config must have {model.width!r}")
    whole, heads = (require_count(key, _needed(config, key)) for key in model.per_head)
    width, rest = divmod(whole, heads)
    if rest:
        whole_key, heads_key = model.per_head
        raise ValueError(f"{heads_key} must divide {whole_key} = {whole}, got {heads}")
    return width


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
    kinds = _needed(config, "layer_types")
    widths = {own.get(i) for i, kind in enumerate(kinds) if layer_type in (None, kind)}
    if len(widths) > 1:
        raise ValueError(f"per_layer_config gives layers of type {layer_type!r} several head_dim")
    return widths.pop() if widths else None


def _rotary_dim(
    parameters: Parameters, config: dict, head_dim: int, model: Model, kind: str
) -> int:
    """How many numbers of a head are turned."""
    name = "partial_rotary_factor"
    share = require_fraction(name, parameters.get(name, model.fraction))
    if kind == "proportional":  # all pairs count, though some stand still
        return head_dim
    if "rotary_dim" in parameters:
        rotary_dim = require_even("rotary_dim", parameters["rotary_dim"])
        allowed = {rotary_dim / head_dim}
    elif model.width == "qk_rope_head_dim":  # this part of a head is there to be turned
        rotary_dim = head_dim
        still = config.get("qk_nope_head_dim")
        whole = head_dim + (0 if still is None else require_count("qk_nope_head_dim", still))
        allowed = {1.0, head_dim / whole}
    else:
        rotary_dim = int(head_dim * share)
        allowed = {share} if model.partial else {model.fraction}
    if name in parameters and not any(abs(share - each) * head_dim < 1 for each in allowed):
        raise ValueError(
            f"{name} must be {' or '.join(f'{each:g}' for each in sorted(allowed))}, as the rest "
            f"of the config (such as rotary_dim) and the code of {config['model_type']} have it; "
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
            f"what is turned must be a multiple of {least}, and no wider than a head; got "
            f"{rotary_dim} of {head_dim}, from {', '.join(sorted(keys))}"
        )


def _scaling(parameters: Parameters, config: dict, kind: str) -> Any:
    """The value of :mod:`rope_lib.scaling`, its errors told with the type they belong to."""
    try:
        return _MAKERS[kind](_with_lengths(parameters, config, kind))
    except (TypeError, ValueError) as error:
        raise type(error)(f"rope parameters of type {kind!r}: {error}") from error


def _dynamic(given: Mapping) -> scaling.DynamicNTK:
    return scaling.DynamicNTK(_needed(given, "factor"), _needed(given, "max_position_embeddings"))


def _from_keys(maker: type) -> Callable[[Mapping], Any]:
    """A maker that takes the keys of its type; ``original_length`` has a longer name there."""

    def make(given: Mapping) -> Any:
        needed, optional = _TYPES[given.get("rope_type")]
        values = {key: _needed(given, key) for key in needed}
        values |= {key: given[key] for key in optional if key in given}
        if ORIGINAL_LENGTH in values:
            values["original_length"] = values.pop(ORIGINAL_LENGTH)
        return maker(**values)

    return make


_MAKERS = {
    "default": lambda given: None,
    "axial": lambda given: None,
    "linear": _from_keys(scaling.Linear),
    "dynamic": _dynamic,
    "dynamic with alpha": lambda given: scaling.NTK(given["alpha"]),
    "yarn": _from_keys(scaling.YaRN),
    "longrope": _from_keys(scaling.LongRoPE),
    "llama3": _from_keys(scaling.Llama3),
    "proportional": lambda given: scaling.Proportional(
        given.get("partial_rotary_factor", 1.0), given.get("factor", 1.0)
    ),
}


def _with_lengths(parameters: Parameters, config: dict, kind: str) -> dict:
    """The parameters, with what the configuration's lengths say and imply."""
    if kind in ("dynamic", "yarn", "longrope", "llama3"):
        longest = config.get("max_position_embeddings")
        parameters.agree("max_position_embeddings", longest, "max_position_embeddings")
    longest = parameters.get("max_position_embeddings")
    given = {**parameters, "rope_type": kind}
    if kind in ("yarn", "longrope", "llama3"):
        given.setdefault(ORIGINAL_LENGTH, longest)
    if kind in ("yarn", "longrope") and "factor" not in given and longest:
        given["factor"] = longest / given[ORIGINAL_LENGTH]
    if kind == "yarn":  # where a zero stands for the default
        given = {key: value for key, value in given.items()
                 if value != 0 or key not in ("beta_fast", "beta_slow")}  # fmt: skip
    return given


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


def _needed(values: Mapping, key: str) -> Any:
    if values.get(key) is None:
        raise ValueError(f"config must have {key!r}, needed by the rest of it")
    return values[key]
