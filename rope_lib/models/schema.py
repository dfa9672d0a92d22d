"""A configuration's rope parameters, brought together in one flat dictionary.

Configurations come in two forms. The old one keeps ``rope_theta`` at the top and a dictionary
``rope_scaling`` beside it; the new one keeps everything in ``rope_parameters``, once, or once for
each type of layer. Both are read into one flat dictionary in the new form. Where two keys speak of
the same thing they must agree.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from ..checks import (
    require_count,
    require_even,
    require_factor,
    require_fraction,
    require_instance,
    require_positive,
    require_real,
)
from .family import Model
from .layers import NO_ATTENTION, kinds_of_layers, turns_of_type
from .stray import is_claim, look_alike

# Keys of a configuration that speak of rotation, and those that only seem to.
_ABOUT_ROTATION = re.compile(r"rope|rot[ao]|rot_|thet|teta|freq|yarn|ntk|mscale|partial")
_STANDARD = {"rope_theta", "partial_rotary_factor", "rope_scaling", "rope_parameters"}
_NO_ROTATION = {
    "no_rope_layers", "no_rope_layer_interval", "layer_rope_theta", "memory_attention_rope_dropout",
    "rope_deltas", "qk_rope_head_dim", "moe_layer_freq", "frequency_penalty",
    "indexer_rope_interleave",
}  # fmt: skip

#: Keys that stand outside of rope parameters only, and are read as if they stood within.
OUTSIDE = {"head_dim", "rotary_dim", "rope_interleave"}
#: What configurations call the length that a model was trained on, in tokens.
ORIGINAL_LENGTH = "original_max_position_embeddings"
_AT_THE_TOP = ("rope_theta", "partial_rotary_factor", ORIGINAL_LENGTH)
_MISSPELT = ("theta", "rotary_dim", "rotary_pct")
_SECTIONS = ("mrope_section", "mrope_interleaved")
_OLD_NAMES = {"su": "longrope", "mrope": "default", "deepseek_yarn": "yarn",
              "telechat3-yarn": "yarn", "none": "default"}  # fmt: skip


def _each(check: Callable) -> Callable:
    """The same check for every number of a list, which :class:`Parameters` keeps as a tuple."""

    def check_each(name: str, values: tuple) -> None:
        for value in require_instance(name, values, tuple):
            check(name, value)

    return check_each


def _require_flag(name: str, value: bool) -> None:
    require_instance(name, value, bool)


def _not_negative(name: str, value: float) -> None:
    if require_real(name, value) != 0:
        require_positive(name, value)


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
    "short_mscale": require_positive,
    "long_mscale": require_positive,
    "mrope_section": _each(require_count),
    "mrope_interleaved": _require_flag,
    "rope_interleave": _require_flag,
    "llama_4_scaling_beta": _not_negative,
}
_WHOLE = {"rotary_dim", "head_dim", "max_position_embeddings", ORIGINAL_LENGTH}


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
        value = whole(value) if key in _WHOLE else value
        _CHECKS.get(key, lambda name, value: value)(source, value)
        if key in self and self[key] != value:
            other = self.places.get(key, "its default")
            raise ValueError(f"{source} says {key} = {value!r}, but {other} says {self[key]!r}")
        self[key] = value
        self.places[key] = source

    def agree_all(self, values: Mapping, source: str) -> None:
        """The same for a whole dictionary, whose ``type`` is the old name of ``rope_type``."""
        if values == "":  # what some tools write for null
            return
        for key, value in require_instance(source, values, Mapping).items():
            place = f"{source}[{key!r}]"
            if key in OUTSIDE:
                raise ValueError(f"{place} = {value!r} has no meaning there")
            if key in ("type", "rope_type") and value is not None:
                key, value = "rope_type", _OLD_NAMES.get(_CHECKS["rope_type"](place, value), value)
            self.agree(key, value, place)


def whole(value: Any) -> Any:
    """A count that was written with a decimal point, as an integer; anything else as it is."""
    is_float = isinstance(value, Real) and isinstance(value, float)
    return int(value) if is_float and value.is_integer() else value


def differing_keys(config: Mapping, part: Mapping) -> Iterable[str]:
    """Keys about rotation that a larger model and its part give different values."""
    for key in sorted(keys_about_rotation(config) - _NO_ROTATION):
        if config[key] not in (None, False) and config[key] != part.get(key):
            yield key


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
    keep = ("sliding_window",)  # whose null says that there is none
    return {key: value for key, value in config.items() if value is not None or key in keep}


def beside_layers(config: Mapping) -> dict:
    """What ``rope_parameters`` has beside the dictionaries of its layers; it is not read."""
    new = config.get("rope_parameters")
    nested = by_layer(new)
    return {key: value for key, value in new.items() if key not in nested} if nested else {}


def keys_about_rotation(config: Mapping) -> set:
    return {key for key in config if _ABOUT_ROTATION.search(str(key))}


def unknown_keys(config: Mapping, model: Model) -> list[str]:
    """Keys that seem to be about rotation and are not read.

    Raises:
        ValueError: one of them is but a misspelling of a key that is.
    """
    known = _STANDARD | _NO_ROTATION | set(model.keys) | set(model.needs)
    known |= set(_SECTIONS) if model.sections else set()
    unknown = sorted(keys_about_rotation(config) - known)
    for key in unknown:
        meant = None if is_claim(key) else look_alike(key, {*_STANDARD, *model.keys, *_MISSPELT})
        if meant:
            raise ValueError(f"config has {key!r} = {config[key]!r}: is {meant!r} meant?")
    return unknown


def collect(config: dict, model: Model, layer_type: str | None) -> Parameters:
    """What a configuration says about one type of layer, in all its places; then the defaults.

    Raises:
        TypeError, ValueError: values that are not allowed or contradict each other, a
            ``layer_type`` that the model does not have.
    """
    parameters = Parameters()
    own, default = _of_layer(config, model, layer_type), model.layers.get(layer_type) or {}
    parameters.agree_all(own, "rope_parameters")
    for key in config:
        _agree_with_key(parameters, key, config, model, layer_type)
    if is_nested(config.get("rope_parameters")):
        _refuse_gaps(parameters, default, layer_type)
    elif own and "rope_theta" not in parameters and "rope_theta" not in model.needs:
        raise ValueError("rope_parameters must have 'rope_theta', the base; model types differ")
    _fill(parameters, {k: value for k, value in default.items() if not own or k == "head_dim"})
    if not own and not config.get("rope_scaling"):
        _fill(parameters, model.parameters)
    return parameters


def _fill(parameters: Parameters, default: Mapping) -> None:
    """Add what is missing. DeepSeek-V4's attention factor belongs to YaRN alone."""
    for key, value in default.items():
        if key != "attention_factor" or parameters.get("rope_type") == "yarn":
            parameters.setdefault(key, value)


def _of_layer(config: dict, model: Model, layer_type: str | None) -> Mapping:
    """The ``rope_parameters`` for one type of layer, as they stand."""
    new = config.get("rope_parameters", {})
    nested = by_layer(new)
    if (model.layers and new and not nested) or (nested and layer_type not in nested):
        kinds, keys = layer_types(config, model), list(new)[:6] if isinstance(new, Mapping) else new
        raise ValueError(f"rope_parameters must hold a dictionary for each of {kinds}, got {keys}")
    own = nested[layer_type] if nested else new
    return {} if own is None else own


def turns(config: dict, model: Model, layer_type: str | None) -> bool:
    """Whether layers of a type rotate at all.

    Raises:
        ValueError: some of them do, or the model has no such layers.
    """
    kinds = layer_types(config, model)
    if layer_type not in kinds:
        hint = "; or ask by layer=" if layer_type is None else ""
        raise ValueError(f"layer_type must be one of {kinds}, got {layer_type!r}{hint}")
    if layer_type is None:
        return True
    nested = by_layer(config.get("rope_parameters"))
    if layer_type in nested:
        return nested[layer_type] is not None
    if model.layers.get(layer_type, {}) is None:
        return False
    return turns_of_type(config, model, layer_type)


def _refuse_gaps(parameters: Parameters, default: Mapping, layer_type: str | None) -> None:
    """Models fill in what a layer's dictionary leaves out each in a way of its own: not guessed."""
    same_type = parameters.get("rope_type", "default") == default.get("rope_type", "default")
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in default and key not in parameters and (same_type or key == "rope_theta"):
            raise ValueError(f"rope_parameters[{layer_type!r}] must have {key!r}")


def is_nested(new: Any) -> bool:
    """Whether ``rope_parameters`` holds a dictionary for each type of layer."""
    return bool(by_layer(new))


def by_layer(new: Any) -> Mapping:
    """The dictionaries of the types of layers, None for one that does not rotate; or nothing."""
    values = new if isinstance(new, Mapping) else {}
    if not any(isinstance(value, Mapping) for value in values.values()):
        return {}
    return {key: own for key, own in values.items() if own is None or isinstance(own, Mapping)}


def layer_types(config: dict, model: Model) -> list:
    """What ``layer_type`` may be: one of several, or nothing where all layers are alike."""
    nested = by_layer(config.get("rope_parameters"))
    named = require_instance("layer_types", config.get("layer_types", ()), list | tuple)
    for name in named:
        require_instance("layer_types", name, str)
    stray = sorted(set(nested) - set(model.layers or named or nested))
    if stray:
        raise ValueError(f"rope_parameters has {stray[0]!r}, which is no type of layer here")
    if model.layers or nested:
        return sorted({*model.layers, *nested})
    alike = [*(named or ("full_attention", "sliding_attention"))]
    if model.kind_of_layer is not None and not named:
        alike += kinds_of_layers(config, model)
    return [None, *(name for name in dict.fromkeys(alike) if name not in NO_ATTENTION)]


def _agree_with_key(
    parameters: Parameters, key: str, config: Mapping, model: Model, layer_type: str | None
) -> None:
    """Take in one key from the top of the configuration, if it means anything for this layer."""
    value = config[key]
    if key not in model.keys:
        if key == "rope_theta" and "rope_theta" in model.keys.values():
            own = next(name for name, meaning in model.keys.items() if meaning == key)
            if own not in config:
                raise ValueError(f"rope_theta = {value!r} is called {own!r} in this model type")
        if model.layers and key in ("rope_theta", "rope_scaling"):
            raise ValueError(f"{key} = {value!r} does not say for which type of layers it is")
        if key == "rope_scaling":
            parameters.agree_all(value, key)
        elif key == "partial_rotary_factor" and is_nested(config.get("rope_parameters")):
            parameters.setdefault(key, require_fraction(key, value))  # layers have their own
        elif key in _AT_THE_TOP or (model.sections and key in _SECTIONS):
            parameters.agree(key, value, key)
        return
    for meaning in model.keys[key].split():
        layer, _, name = meaning.rpartition(".")
        if key == "rope_scaling" and name == layer_type:
            parameters.agree_all(value, key)
        elif key != "rope_scaling" and layer in ("", layer_type):
            parameters.agree(name, value, key)
