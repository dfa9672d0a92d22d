"""From what people hold to one configuration: a file, an object, one part of a larger model.

Then, what model type it is of; and for models without rotary embedding, that they have none.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from ..checks import require_instance
from .conventions import MODELS
from .defaults import SIZES
from .family import Model
from .remote import ALIASES, LIFTED, NOT_READ
from .schema import differing_keys
from .unrotated import why_unrotated

#: Where a larger model keeps the part that reads text.
PARTS = ("text_config", "language_config", "llm_config", "thinker_config")
#: The model type of a text part that does not say it, by that of the whole.
_UNTYPED = {
    "kimi_k25": "deepseek_v3",
    "llava": "llama",
    "llava_next": "llama",
}


@dataclass
class Opened:
    """A configuration, its model type and the conventions of that, and what there is to tell.

    ``notes`` are what its owner should know of, ``assumed`` what the file leaves to defaults.
    """

    config: dict
    kind: str
    model: Model
    notes: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def open_config(config: Any, like: str | None = None) -> Opened:
    """The part of ``config`` that reads text, with the conventions of its model type.

    Raises:
        TypeError, ValueError: no configuration, an unknown model type, a model without rotary
            embedding.
    """
    whole = as_dictionary(config)
    text, parents = _text_part(whole)
    kind = _kind(text, parents, like)
    notes = []
    if kind in LIFTED:
        kind, text, notes = LIFTED[kind](text)
    model = _model(kind, text)
    missing = {}
    if parents and text.get("head_dim", model.head_dim) is None:
        missing = {key: size for key, size in _default_sizes(kind, model) if key not in text}
    assumed = [f"{key} is not in the file; {kind} takes {missing[key]}" for key in missing]
    return Opened({**text, **missing}, kind, model, notes, assumed)


def as_dictionary(config: Any, name: str = "config") -> dict:
    """A mapping, an object with ``to_dict()``, or the path of a JSON file, as a dictionary."""
    if isinstance(config, str | PathLike) and name == "config":
        return _of_file(Path(config))
    if hasattr(config, "to_dict") and not isinstance(config, type):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(
            f"{name} must be a dictionary, the path of a JSON file or have to_dict(), "
            f"got {str(config)[:60]!r} ({type(config).__name__})"
        )
    return dict(config)


def _of_file(path: Path) -> dict:
    path = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"config must be a dictionary or a path: there is no {path}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"config {path} cannot be read as JSON: {str(error)[:100]}") from error
    return dict(require_instance("config", config, Mapping))


def _text_part(config: dict) -> tuple[dict, list]:
    """The part that reads text, and the model types of the parts around it."""
    parents = []
    while part := next((key for key in PARTS if config.get(key) is not None), None):
        text = as_dictionary(config[part], part)
        for key in differing_keys(config, text):
            raise ValueError(
                f"config has {key} = {config[key]!r}, but its {part} {text.get(key)!r}; "
                "give the part that you mean"
            )
        parents.append(config.get("model_type"))
        config = text
    return config, parents


def _kind(config: Mapping, parents: list, like: str | None) -> str:
    """The model type by which a configuration is read."""
    if require_instance("like", like, str | None) is not None:
        if like not in MODELS:
            raise ValueError(
                f"like must be a known model type, such as {_near(like)}; got {like!r}"
            )
        return like
    kind = require_instance("model_type", config.get("model_type"), str | None)
    if not kind and parents and config:
        kind = _UNTYPED.get(parents[-1], f"{parents[-1]}_text")
    kind = ALIASES.get(kind, kind)
    two_streams = "position_encoding_2d"
    if kind == "chatglm" and require_instance(two_streams, config.get(two_streams, False), bool):
        kind = "chatglm-6b"
    if kind in MODELS or kind in LIFTED:
        return kind
    if f"{kind}_text" in MODELS:  # a larger model, its text part written flat
        return f"{kind}_text"
    raise ValueError(_unknown(kind, config))


def _unknown(kind: str | None, config: Mapping) -> str:
    if kind in NOT_READ:
        return f"model_type {kind!r} {NOT_READ[kind]}"
    why = why_unrotated(kind)
    if why:
        return f"model_type {kind!r} has no rotary embedding to be read: {why}"
    if not kind:
        return _untyped(config)
    parts = [
        name for name, part in config.items()
        if isinstance(part, Mapping) and ({*PARTS} & {*part} or part.get("model_type") in MODELS)
    ][:3]  # fmt: skip
    advice = (
        f"give its {' or '.join(parts)}" if parts else "say whose code it has with like='llama'"
    )
    return f"model_type {kind[:60]!r} is not known; known are {_near(kind)}. Otherwise {advice}"


def _untyped(config: Mapping) -> str:
    if "axes_dims_rope" in config:
        return (
            "config has no model_type; its axes_dims_rope is RotaryEmbedding("
            f"axes=axial({config['axes_dims_rope']})), interleaved"
        )
    if "n_heads" in config and "dim" in config:
        return (
            "config has no model_type: it looks like a params.json, as Meta and Mistral write. "
            "Take the config.json, or say head_dim, base and pairing='interleaved' yourself"
        )
    return "config must have 'model_type'; or say whose code it has, such as like='llama'"


def _near(kind: str) -> str:
    near = difflib.get_close_matches(kind.lower(), MODELS, n=4, cutoff=0.5)
    return ", ".join(near or ["llama", "mistral", "qwen2", "gemma3_text"])


def _model(kind: str, config: Mapping) -> Model:
    model = MODELS[kind]
    for key, (needed, default) in model.needs.items():
        value = config.get(key)
        value = default if value is None else value
        if value != needed or isinstance(value, bool) != isinstance(needed, bool):
            raise ValueError(f"{key} must be {needed!r} for {kind} to be read, got {value!r}")
    return model


def _default_sizes(kind: str, model: Model) -> list[tuple[str, int]]:
    """What a text part may leave out: a file that transformers wrote has no defaults in it."""
    sizes = SIZES.get(kind)
    return [] if sizes is None else list(zip(model.per_head, sizes, strict=True))
