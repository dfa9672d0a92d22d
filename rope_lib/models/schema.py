"""A configuration's rope parameters, brought together in one flat dictionary.

Configurations come in two forms. The old one keeps ``rope_theta`` at the top and a dictionary
``rope_scaling`` beside it; the new one keeps everything in ``rope_parameters``, once, or once for
each type of layer. Both are read into one flat dictionary in the new form. Every key that seems to
be about rotation must be known, and where two keys speak of the same thing they must agree.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..checks import (
    require_count,
    require_even,
    require_factor,
    require_fraction,
    require_instance,
    require_positive,
)
from .conventions import Model

# Keys of a configuration that speak of rotation, and those that only seem to.
_ABOUT_ROTATION = re.compile(r"rope|rot[ao]|rot_|thet|teta|freq|yarn|ntk|mscale|partial")
_STANDARD = {"rope_theta", "partial_rotary_factor", "rope_scaling", "rope_parameters"}
_NO_ROTATION = {
    "no_rope_layers", "no_rope_layer_interval", "layer_rope_theta", "memory_attention_rope_dropout",
    "rope_deltas", "qk_rope_head_dim", "moe_layer_freq", "frequency_penalty",
}  # fmt: skip

#: Keys that stand outside of rope parameters only, and are read as if they stood within.
OUTSIDE = {"head_dim", "rotary_dim", "rope_interleave"}
#: What configurations call the length that a model was trained on, in tokens.
ORIGINAL_LENGTH = "original_max_position_embeddings"
# Types of layers that have no queries and keys.
_NO_ATTENTION = {"conv", "linear_attention", "mamba", "recurrent", "moe"}
_OLD_NAMES = {"su": "longrope", "mrope": "default"}


def _each(check: Callable) -> Callable:
    """The same check for every number of a list, which :class:`Parameters` keeps as a tuple."""

    def check_each(name: str, values: tuple) -> None:
        for value in require_instance(name, values, tuple):
            check(name, value)

    return check_each


def _require_flag(name: str, value: bool) -> None:
    require_instance(name, value, bool)


# What a value must be wherever it comes from, so that an error names the place.
_CHECKS: dict[str, Callable] = {
    "rope_type": lambda name, value: require_instance(name, value, str),
    "rope_theta": require_positive,
    "partial_rotary_factor": require_fraction,
    "rotary_dim": require_even,
    "head_dim": require_count,
    "max_position_embeddings": require_count,
    ORIGINAL_LENGTH: require_count,
    "factor": require_positive,
    "alpha": require_factor,
    "short_factor": _each(require_positive),
    "long_factor": _each(require_positive),
    "mrope_section": _each(require_count),
    "mrope_interleaved": _require_flag,
    "rope_interleave": _require_flag,
}


class Parameters(dict):
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
            if key in OUTSIDE:
                raise ValueError(f"{place} = {value!r} has no meaning there")
            if key in ("type", "rope_type") and value is not None:
                key, value = "rope_type", _OLD_NAMES.get(_CHECKS["rope_type"](place, value), value)
            self.agree(key, value, place)


def config_of_text(config: Any, name: str = "config") -> dict:
    """The configuration of the part that reads text, as a dictionary."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(f"{name} must be a dictionary or have to_dict(), got {config!r}")
    if config.get("text_config") is not None:
        text = config_of_text(config["text_config"], "text_config")
        for key in _keys_about_rotation(config) - _NO_ROTATION:
            if config[key] is not None and config[key] != text.get(key):
                raise ValueError(
                    f"config has {key} = {config[key]!r}, but its text_config {text.get(key)!r}; "
                    "give the part that you mean"
                )
        return text
    return dict(config)


def without_nulls(config: dict, model: Model) -> dict:
    """The configuration without empty keys. They stand for defaults.

    Raises:
        ValueError: a key is empty, and models read that otherwise than a key that is missing.
    """
    meant = {key for key, meaning in model.keys.items() if meaning} - _STANDARD
    meant |= {"head_dim"} if model.head_dim is not None else set()
    meant |= {"partial_rotary_factor"} if model.fraction != 1 else set()
    for key in sorted(meant & set(config)):
        if config[key] is None:
            raise ValueError(f"{key} must be given or left out for this model type, got None")
    return {key: value for key, value in config.items() if value is not None}


def _keys_about_rotation(config: Mapping) -> set:
    return {key for key in config if _ABOUT_ROTATION.search(str(key))}


def collect(config: dict, model: Model, layer_type: str | None) -> Parameters:
    """What a configuration says about one type of layer, in all its places; then the defaults.

    Raises:
        TypeError, ValueError: a key about rotation that is not known, values that are not allowed
            or contradict each other, a ``layer_type`` that the model does not have or not turn.
    """
    _refuse_unknown_keys(config, model)
    parameters = Parameters()
    own, default = _of_layer(config, model, layer_type), model.layers.get(layer_type) or {}
    parameters.agree_all(own, "rope_parameters")
    for key, value in config.items():
        _agree_with_key(parameters, key, value, model, layer_type)
    if _is_nested(config.get("rope_parameters")):
        _refuse_gaps(parameters, default, layer_type)
    _fill(parameters, {k: value for k, value in default.items() if not own or k == "head_dim"})
    if not own and "rope_scaling" not in config:
        _fill(parameters, model.parameters)
    return parameters


def _fill(parameters: Parameters, default: Mapping) -> None:
    """Add what is missing. DeepSeek-V4's attention factor belongs to YaRN alone."""
    for key, value in default.items():
        if key != "attention_factor" or parameters.get("rope_type") == "yarn":
            parameters.setdefault(key, value)


def _refuse_unknown_keys(config: dict, model: Model) -> None:
    known = _STANDARD | _NO_ROTATION | set(model.keys) | set(model.needs)
    unknown = sorted(_keys_about_rotation(config) - known)
    unknown = [key for key in unknown if not _is_harmless(key, config[key], model)]
    for key in _keys_about_rotation(config.get("attn_config", {})):
        if config["attn_config"][key] is not None:  # DBRX: read by some versions, not by others
            raise ValueError(f"attn_config has {key!r}, which is not read here")
    if unknown:
        raise ValueError(
            f"config has {unknown[0]!r} = {config[unknown[0]]!r}, which is not known for "
            f"{config['model_type']}"
        )


def _is_harmless(key: str, value: Any, model: Model) -> bool:
    """Whether a key that is unknown here says no more than what holds anyway."""
    return {
        "use_mrope": value is False,
        "rope_interleaved": value is (model.family.pairing == "interleaved"),
        "rotary_interleaved": value is (model.family.pairing == "interleaved"),
        "rotary_pct": value == 1 == model.fraction,
        "rotary_percent": value == 1 == model.fraction,
        "rotary_scaling_factor": value == 1,
    }.get(key, False)


def _of_layer(config: dict, model: Model, layer_type: str | None) -> Mapping:
    """The ``rope_parameters`` for one type of layer, as they stand."""
    new = config.get("rope_parameters", {})
    nested = _is_nested(new)
    kinds = _layer_types(config, model, new if nested else {})
    if layer_type in model.still:
        raise ValueError(
            f"layers of type {layer_type!r} do not turn in {config['model_type']}, unless it has "
            "no sliding layers at all: then leave layer_type out"
        )
    if layer_type not in kinds:
        raise ValueError(f"layer_type must be one of {kinds}, got {layer_type!r}")
    if (model.layers and new and not nested) or (nested and layer_type not in new):
        raise ValueError(f"rope_parameters must hold a dictionary for each of {kinds}, got {new}")
    own = new[layer_type] if nested else new
    if own is None or (not own and model.layers.get(layer_type, {}) is None):
        raise ValueError(f"layers of type {layer_type!r} do not turn in this model")
    return own


def _refuse_gaps(parameters: Parameters, default: Mapping, layer_type: str | None) -> None:
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
    alike = named or ("full_attention", "sliding_attention")
    return [None, *(name for name in dict.fromkeys(alike) if name not in _NO_ATTENTION)]


def _agree_with_key(
    parameters: Parameters, key: str, value: Any, model: Model, layer_type: str | None
) -> None:
    """Take in one key from the top of the configuration, if it means anything for this layer."""
    if key not in model.keys:
        if key == "rope_theta" and "rope_theta" in model.keys.values():
            own = next(name for name, meaning in model.keys.items() if meaning == key)
            raise ValueError(f"rope_theta = {value!r} is called {own!r} in this model type")
        if model.layers and key in ("rope_theta", "rope_scaling"):
            raise ValueError(f"{key} = {value!r} does not say for which type of layers it is")
        if key == "rope_scaling":
            parameters.agree_all(value, key)
        elif key in ("rope_theta", "partial_rotary_factor", ORIGINAL_LENGTH):
            parameters.agree(key, value, key)
        return
    for meaning in model.keys[key].split():
        layer, _, name = meaning.rpartition(".")
        if key == "rope_scaling" and name == layer_type:
            parameters.agree_all(value, key)
        elif key != "rope_scaling" and layer in ("", layer_type):
            parameters.agree(name, value, key)
