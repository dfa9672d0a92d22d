"""Which scaling rope parameters describe: their type, the keys that belong to it, its value."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .. import scaling
from .opening import Opened
from .schema import ORIGINAL_LENGTH, OUTSIDE, Parameters
from .stray import look_alike

# Keys of rope parameters: allowed with any type, and with each type (needed ones first).
_ALWAYS = {"rope_type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved",
           "max_position_embeddings"}  # fmt: skip
_TYPES = {
    "default": ((), ()),
    "axial": ((), ()),
    "linear": (("factor",), ()),
    "dynamic": (("factor",), ()),
    "yarn": (("factor", ORIGINAL_LENGTH), ("attention_factor", "beta_fast", "beta_slow", "mscale",
                                   "mscale_all_dim", "truncate")),
    "longrope": (("short_factor", "long_factor", "factor", ORIGINAL_LENGTH), ("attention_factor",)),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", ORIGINAL_LENGTH), ()),
    "proportional": ((), ("factor",)),
    # HunYuan's, which the configuration calls dynamic
    "alpha": (("alpha",), ("factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")),
}  # fmt: skip
_IN_ANY_TYPE = {key for needed, more in _TYPES.values() for key in (*needed, *more)}
# What others read beside transformers, and published files have.
_KNOWN_STRAYS = {
    "attn_factor": "vLLM and llama.cpp multiply the amplitude by it, transformers does not read it",
    "extrapolation_factor": "vLLM reads it, transformers does not",
    "finetuned": "it says that the model was trained with the scaling, and changes nothing",
}


def kind_of(parameters: Parameters, opened: Opened) -> str:
    """The type of scaling, once all keys beside it are known to belong to it."""
    model = opened.model
    kind = parameters.get("rope_type", "default")
    if kind == "yarn" and "long_factor" in parameters:  # what early Phi-3 called its LongRoPE
        kind = "longrope"
    own = model.kinds or tuple(each for each in _TYPES if each not in ("axial", "alpha"))
    if kind not in own:
        raise ValueError(f"rope_type must be one of {own} for {opened.kind}, got {kind!r}")
    if kind == "dynamic" and "alpha" in parameters and "alpha" in model.keys:  # HunYuan
        kind = "alpha"
    allowed = {
        *_ALWAYS,
        *_TYPES[kind][0],
        *_TYPES[kind][1],
        ORIGINAL_LENGTH,
        *OUTSIDE,
        *model.extra,
    }
    for key in sorted(set(parameters) - allowed):
        _refuse_or_tell(key, parameters, kind, opened)
    return kind


def _refuse_or_tell(key: str, parameters: Parameters, kind: str, opened: Opened) -> None:
    """What to do with a key that rope parameters of this type do not have."""
    value = parameters[key]
    told = f"rope parameters of type {kind!r} have {key!r} = {shortened(value)}"
    own = {*_TYPES[kind][0], *_TYPES[kind][1], *_ALWAYS}
    if key in _KNOWN_STRAYS:
        opened.notes.append(f"{told}: {_KNOWN_STRAYS[key]}")
    elif key in _IN_ANY_TYPE and not (key in ("factor", "attention_factor") and value == 1):
        hint = "; rope_type is missing" if "rope_type" not in parameters else ""
        raise ValueError(f"{told}, which belongs to another type{hint}")
    elif key not in _IN_ANY_TYPE and (meant := look_alike(key, own | _IN_ANY_TYPE)):
        raise ValueError(f"{told}: is {meant!r} meant?")
    elif re.search(r"scaling_beta$", key) and value:
        raise ValueError(f"{told}, which has no meaning for {opened.kind}")
    elif key not in _IN_ANY_TYPE and value:
        opened.notes.append(f"{told}, which is not read")


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def scaling_of(parameters: Parameters, config: dict, kind: str) -> Any:
    """The value of :mod:`rope_lib.scaling`, its errors told with the type they belong to."""
    try:
        return _MAKERS[kind](_with_lengths(parameters, config, kind))
    except (TypeError, ValueError) as error:
        raise type(error)(f"rope parameters of type {kind!r}: {error}") from error


def _longrope(given: Mapping) -> scaling.LongRoPE:
    """LongRoPE; PhiMoE names its amplitude, once for short and once for long texts."""
    short, long = given.get("short_mscale"), given.get("long_mscale")
    if short != long:
        raise ValueError(f"long_mscale must be short_mscale = {short}, got {long}")
    if long is not None:
        given = {**given, "attention_factor": given.get("attention_factor", long)}
    return _from_keys(scaling.LongRoPE)(given)


def _dynamic(given: Mapping) -> scaling.DynamicNTK:
    longest, original = given.get("max_position_embeddings"), given.get(ORIGINAL_LENGTH)
    if original not in (None, longest):
        raise ValueError(
            f"original_max_position_embeddings must be max_position_embeddings = {longest}, from "
            f"which on the base grows, or be left out; got {original}"
        )
    return scaling.DynamicNTK(needed(given, "factor"), needed(given, "max_position_embeddings"))


def _from_keys(maker: type) -> Callable[[Mapping], Any]:
    """A maker that takes the keys of its type; ``original_length`` has a longer name there."""

    def make(given: Mapping) -> Any:
        required, optional = _TYPES[given.get("rope_type")]
        values = {key: needed(given, key) for key in required}
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
    "yarn": _from_keys(scaling.YaRN),
    "longrope": _longrope,
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


def needed(values: Mapping, key: str) -> Any:
    if values.get(key) is None:
        raise ValueError(f"config must have {key!r}, needed by the rest of it")
    return values[key]
