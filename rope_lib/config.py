"""Reading the rotation out of a model's configuration.

Configurations come in two forms. The old one keeps ``rope_theta`` at the top and a dictionary
``rope_scaling`` beside it; the new one keeps everything in ``rope_parameters``, once, or once for
each type of layer. Both are read into one flat dictionary in the new form. Every key that seems to
be about rotation must be known, and where two keys speak of the same thing they must agree.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import axes, scaling
from .checks import (
    require_count,
    require_even,
    require_factor,
    require_fraction,
    require_instance,
    require_positive,
)
from .families import MODELS, Model
from .rotation import EXACT

# Keys of a configuration that speak of rotation, and those that only seem to.
_ABOUT_ROTATION = re.compile(r"rope|rot[ao]|rot_|thet|teta|freq|yarn|ntk|mscale|partial")
_STANDARD = {"rope_theta", "partial_rotary_factor", "rope_scaling", "rope_parameters"}
_NO_ROTATION = {
    "no_rope_layers", "no_rope_layer_interval", "layer_rope_theta", "memory_attention_rope_dropout",
    "rope_deltas", "qk_rope_head_dim",
}  # fmt: skip

# Keys of rope parameters: allowed with any type, and with each type (needed ones first).
_ALWAYS = {"rope_type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved",
           "max_position_embeddings", "llama_4_scaling_beta"}  # fmt: skip
# Keys that stand outside of rope parameters only, and are read as if they stood within.
_OUTSIDE = {"head_dim", "rotary_dim", "rope_interleave"}
_LENGTH = "original_max_position_embeddings"
_TYPES = {
    "default": ((), ()),
    "axial": ((), ()),
    "linear": (("factor",), ()),
    "dynamic": (("factor",), ()),
    "dynamic with alpha": (("alpha",), ("factor", "beta_fast", "beta_slow", "mscale",
                                        "mscale_all_dim")),
    "yarn": (("factor", _LENGTH), ("attention_factor", "beta_fast", "beta_slow", "mscale",
                                   "mscale_all_dim", "truncate")),
    "longrope": (("short_factor", "long_factor", "factor", _LENGTH), ("attention_factor",)),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", _LENGTH), ()),
    "proportional": ((), ("factor",)),
}  # fmt: skip
_TOWERS = ("axial", "axial, columns first", "alternating", "alternating ladders", "blocks")
_AXIAL = (*_TOWERS, "alternating in place")
_OLD_NAMES = {"su": "longrope", "mrope": "default"}


def _each(check: Callable) -> Callable:
    """The same check for every number of a list, which :class:`_Parameters` keeps as a tuple."""

    def check_each(name: str, values: tuple) -> None:
        for value in require_instance(name, values, tuple):
            check(name, value)

    return check_each


def _require_flag(name: str, value: bool) -> bool:
    return require_instance(name, value, bool)


# What a value must be wherever it comes from, so that an error names the place.
_CHECKS: dict[str, Callable] = {
    "rope_type": lambda name, value: require_instance(name, value, str),
    "rope_theta": require_positive,
    "partial_rotary_factor": require_fraction,
    "rotary_dim": require_even,
    "head_dim": require_count,
    "max_position_embeddings": require_count,
    _LENGTH: require_count,
    "factor": require_positive,
    "alpha": require_factor,
    "short_factor": _each(require_positive),
    "long_factor": _each(require_positive),
    "mrope_section": _each(require_count),
    "mrope_interleaved": _require_flag,
    "rope_interleave": _require_flag,
}


def read_config(config: Any, *, layer_type: str | None = None, shipped: bool = False) -> dict:
    """The arguments of :class:`rope_lib.rotary.RotaryEmbedding` that a configuration describes.

    Args, Raises: as in :meth:`rope_lib.rotary.RotaryEmbedding.from_config`.
    """
    require_instance("shipped", shipped, bool)
    config = _as_dict(config)
    model = _model(config)
    _refuse_unknown_keys(config, model)
    parameters = _Parameters()
    _collect(parameters, config, model, layer_type)
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


class _Parameters(dict):
    """Rope parameters on their way into one flat dictionary; no key may be set to two values."""

    def __init__(self):
        super().__init__()
        self.places: dict[str, str] = {}

    def agree(self, key: str, value: Any, source: str) -> None:
        """Set ``key`` to ``value``, as ``source`` says, unless another source says otherwise."""
        if value is None:
            return
        value = tuple(value) if isinstance(value, list) else value
        _CHECKS.get(key, lambda name, value: value)(source, value)
        if key in self and self[key] != value:
            other = self.places.get(key, "its default")
            raise ValueError(f"{source} says {key} = {value!r}, but {other} says {self[key]!r}")
        self[key] = value
        self.places[key] = source

    def agree_all(self, values: Mapping, source: str) -> None:
        """The same for a whole dictionary, whose ``type`` is the old name of ``rope_type``."""
        for key, value in require_instance(source, values, Mapping).items():
            place = f"{source}[{key!r}]"
            if key in _OUTSIDE:
                raise ValueError(f"{place} = {value!r} has no meaning there")
            if key in ("type", "rope_type") and value is not None:
                key, value = "rope_type", _OLD_NAMES.get(_CHECKS["rope_type"](place, value), value)
            self.agree(key, value, place)


def _as_dict(config: Any, name: str = "config") -> dict:
    """The configuration of the part that reads text, without empty keys that mean a default."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(f"{name} must be a dictionary or have to_dict(), got {config!r}")
    if config.get("text_config") is not None:
        text = _as_dict(config["text_config"], "text_config")
        for key in _keys_about_rotation(config) - _NO_ROTATION:
            if config[key] is not None and config[key] != text.get(key):
                raise ValueError(
                    f"config has {key} = {config[key]!r}, but its text_config {text.get(key)!r}; "
                    "give the part that you mean"
                )
        return text
    return {k: value for k, value in config.items() if value is not None or k == "rotary_dim"}


def _keys_about_rotation(config: Mapping) -> set:
    return {key for key in config if _ABOUT_ROTATION.search(str(key))}


def _model(config: dict) -> Model:
    kind = require_instance("model_type", config.get("model_type"), str | None)
    if kind == "chatglm" and _require_flag(
        "position_encoding_2d", config.get("position_encoding_2d", False)
    ):
        kind = "chatglm-6b"
    if kind not in MODELS:
        raise ValueError(
            f"model_type {kind!r} is not known; known are {', '.join(sorted(MODELS))}. Build a "
            "RotaryEmbedding from its own arguments instead"
        )
    model = MODELS[kind]
    for key, (needed, default) in model.needs.items():
        value = config.get(key, default)
        if value != needed or isinstance(value, bool) != isinstance(needed, bool):
            raise ValueError(f"{key} must be {needed!r} for {kind} to be read, got {value!r}")
    return model


def _refuse_unknown_keys(config: dict, model: Model) -> None:
    known = _STANDARD | _NO_ROTATION | set(model.keys) | set(model.needs)
    unknown = sorted(_keys_about_rotation(config) - known)
    if unknown:
        raise ValueError(
            f"config has {unknown[0]!r} = {config[unknown[0]]!r}, which is not known for "
            f"{config['model_type']}"
        )


def _collect(parameters: _Parameters, config: dict, model: Model, layer_type: str | None) -> None:
    """Bring together what the configuration says in all its places, then the defaults."""
    new = config.get("rope_parameters", {})
    nested = _is_nested(new)
    kinds = _layer_types(config, model, new if nested else {})
    if layer_type not in kinds:
        raise ValueError(f"layer_type must be one of {kinds}, got {layer_type!r}")
    if (model.layers and new and not nested) or (nested and layer_type not in new):
        raise ValueError(f"rope_parameters must hold a dictionary for each of {kinds}, got {new}")
    new = new[layer_type] if nested else new
    default = model.layers.get(layer_type, {})
    if new is None or (default is None and not new):
        raise ValueError(f"layers of type {layer_type!r} do not turn in this model")
    parameters.agree_all(new, "rope_parameters")
    for key, value in config.items():
        _agree_with_key(parameters, key, value, model, layer_type)
    if nested:
        _refuse_gaps(parameters, default, layer_type)
    silent = not new and "rope_scaling" not in config
    for key, value in {**default, **(model.parameters if silent else {})}.items():
        if key == "attention_factor" and parameters.get("rope_type") != "yarn":
            continue
        if not new or key == "head_dim":
            parameters.setdefault(key, value)


def _refuse_gaps(parameters: _Parameters, default: Mapping, layer_type: str | None) -> None:
    """Models fill in what a layer's dictionary leaves out each in a way of its own: not guessed."""
    same_type = parameters.get("rope_type", "default") == default.get("rope_type", "default")
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in default and key not in parameters and (same_type or key == "rope_theta"):
            raise ValueError(f"rope_parameters[{layer_type!r}] must have {key!r}")


def _is_nested(new: Any) -> bool:
    """Whether ``rope_parameters`` holds a dictionary, or None, for each type of layer."""
    values = list(new.values()) if isinstance(new, Mapping) else []
    layers = [value for value in values if value is not None]
    return bool(layers) and all(isinstance(value, Mapping) for value in layers)


def _layer_types(config: dict, model: Model, nested: Mapping) -> list:
    """What ``layer_type`` may be: one of several, or nothing where all layers are alike."""
    named = require_instance("layer_types", config.get("layer_types", ()), list | tuple)
    for name in named:
        require_instance("layer_types", name, str)
    stray = sorted(set(nested) - set(model.layers or named or nested))
    if stray:
        raise ValueError(f"rope_parameters has {stray[0]!r}, which is no type of layer here")
    if model.layers or nested:
        return sorted({*model.layers, *nested})
    return [None, *dict.fromkeys(named)]


def _agree_with_key(
    parameters: _Parameters, key: str, value: Any, model: Model, layer_type: str | None
) -> None:
    """Take in one key from the top of the configuration, if it means anything for this layer."""
    if key not in model.keys:
        if model.layers and key in ("rope_theta", "rope_scaling"):
            raise ValueError(f"{key} = {value!r} does not say for which type of layers it is")
        if key == "rope_scaling":
            parameters.agree_all(value, key)
        elif key in ("rope_theta", "partial_rotary_factor", _LENGTH):
            parameters.agree(key, value, key)
        return
    for meaning in model.keys[key].split():
        layer, _, name = meaning.rpartition(".")
        if key == "rope_scaling" and name == layer_type:
            parameters.agree_all(value, key)
        elif key != "rope_scaling" and layer in ("", layer_type):
            parameters.agree(name, value, key)


def _kind(parameters: _Parameters, model: Model) -> str:
    """The type of scaling, once all keys beside it are known to belong to it."""
    kind = parameters.get("rope_type", "default")
    if kind == "yarn" and "long_factor" in parameters:  # what early Phi-3 called its LongRoPE
        kind = "longrope"
    if kind == "dynamic" and "alpha" in parameters and "alpha" in model.keys:  # HunYuan
        kind = "dynamic with alpha"
    if kind not in _TYPES:
        raise ValueError(f"rope_type must be one of {', '.join(_TYPES)}, got {kind!r}")
    if model.family.axes in _TOWERS and kind not in ("default", "axial"):
        raise ValueError(f"rope_type must be 'default' or 'axial' for this model, got {kind!r}")
    allowed = {*_ALWAYS, *_TYPES[kind][0], *_TYPES[kind][1]}
    unknown = sorted(set(parameters) - allowed - _OUTSIDE - {_LENGTH})
    if unknown:
        raise ValueError(
            f"rope parameters of type {kind!r} have {unknown[0]!r} = {parameters[unknown[0]]!r}; "
            f"allowed are {', '.join(sorted(allowed))}"
        )
    return kind


def _base(parameters: _Parameters, config: dict, model: Model) -> float:
    base = require_positive("rope_theta", parameters.get("rope_theta", model.base))
    others = config.get("layer_rope_theta", ())
    for other in require_instance("layer_rope_theta", others, list | tuple):
        if other and other != base:  # a zero marks a layer that does not turn
            raise ValueError(f"layer_rope_theta has {other}, but rope_theta is {base}")
    return base


def _head_dim(parameters: _Parameters, config: dict, model: Model, layer_type: str | None) -> int:
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
    parameters: _Parameters, config: dict, head_dim: int, model: Model, kind: str
) -> int:
    """How many numbers of a head are turned."""
    if "rotary_dim" in model.keys and config.get("rotary_dim", 1) is None:
        raise ValueError("rotary_dim must be a number for this model type, got None")
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
            f"of the config (such as rotary_dim) and the code of {config['model_type']} have it; got {share}"
        )
    _require_turnable(rotary_dim, head_dim, model)
    return rotary_dim


def _require_turnable(rotary_dim: int, head_dim: int, model: Model) -> None:
    """Refuse a width that pairs, or axes with equal shares of them, cannot be made of."""
    least = 4 if model.family.axes in _AXIAL else 2
    if not 0 < rotary_dim <= head_dim or rotary_dim % least:
        keys = {model.width, *model.per_head, *model.keys, "partial_rotary_factor", "rotary_dim"}
        raise ValueError(
            f"what is turned must be a multiple of {least}, and no wider than a head; got "
            f"{rotary_dim} of {head_dim}, from {', '.join(sorted(keys))}"
        )


def _scaling(parameters: _Parameters, config: dict, kind: str) -> Any:
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
        if _LENGTH in values:
            values["original_length"] = values.pop(_LENGTH)
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


def _with_lengths(parameters: _Parameters, config: dict, kind: str) -> dict:
    """The parameters, with what the configuration's lengths say and imply."""
    if kind in ("dynamic", "yarn", "longrope", "llama3"):
        longest = config.get("max_position_embeddings")
        parameters.agree("max_position_embeddings", longest, "max_position_embeddings")
    longest = parameters.get("max_position_embeddings")
    given = {**parameters, "rope_type": kind}
    if kind in ("yarn", "longrope", "llama3"):
        given.setdefault(_LENGTH, longest)
    if kind in ("yarn", "longrope") and "factor" not in given and longest:
        given["factor"] = longest / given[_LENGTH]
    if kind == "yarn":  # where a zero stands for the default
        given = {key: value for key, value in given.items()
                 if value != 0 or key not in ("beta_fast", "beta_slow")}  # fmt: skip
    return given


def _axes(parameters: _Parameters, model: Model, rotary_dim: int) -> axes.Axes | None:
    kind = model.family.axes
    interleaved = kind == "interleaved sections"
    if parameters.get("mrope_interleaved", interleaved) != interleaved:
        raise ValueError(f"mrope_interleaved must be {interleaved} for this model type")
    if kind in (None, *_AXIAL):
        if "mrope_section" in parameters:
            raise ValueError("mrope_section has no meaning for this model type")
        return None if kind is None else axes.SHARED_OUT[kind](rotary_dim)
    sizes = parameters.get("mrope_section", model.sections)
    if len(sizes) != len(model.sections) or 2 * sum(sizes) != rotary_dim:
        raise ValueError(
            f"mrope_section must share out {rotary_dim // 2} pairs among {len(model.sections)} "
            f"axes, got {sizes}"
        )
    try:
        return axes.SHARED_OUT[kind](sizes)
    except ValueError as error:
        raise ValueError(f"mrope_section: {error}") from error


def _needed(values: Mapping, key: str) -> Any:
    if values.get(key) is None:
        raise ValueError(f"config must have {key!r}, needed by the rest of it")
    return values[key]
