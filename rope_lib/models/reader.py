"""Reading the rotation out of a model's configuration, for one kind of layer.

``opening`` finds the part that is meant and its conventions, ``schema`` brings the rope parameters
together, and ``arguments`` makes of them what :class:`rope_lib.module.RotaryEmbedding` takes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import require_choice, require_count, require_instance
from .arguments import arguments_of, precision_of
from .layers import Layer, layer_at
from .opening import Opened, open_config
from .scalings import kind_of, shortened
from .schema import beside_layers, collect, is_nested, turns, unknown_keys, without_nulls
from .scores import ScoreFactors, factors_of
from .stray import contradicts, is_claim

ROLES = ("attention", "indexer", "output")
LONGEST_MESSAGE = 300  # characters


@dataclass(frozen=True)
class Reading:
    """What a configuration says about one kind of layer.

    Args:
        arguments: those of :class:`rope_lib.module.RotaryEmbedding`; None where nothing rotates.
        kind: the type of scaling, ``"default"`` for none.
        scores: what scores are multiplied by beside the rotation.
        notes: what there is to tell about keys that are not read, or are read otherwise.
        opened: the configuration and its model type.
    """

    arguments: dict | None
    kind: str
    scores: ScoreFactors
    notes: tuple[str, ...]
    opened: Opened


def read_config(config: Any, **how: Any) -> dict | None:
    """The arguments of :class:`rope_lib.module.RotaryEmbedding` that a configuration describes.

    Returns:
        A dictionary, or None for a layer that does not rotate.

    Args, Raises: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`. What is passed over is
    told by a ``UserWarning``.

    Example:
        >>> config = {"model_type": "gptj", "n_embd": 4096, "n_head": 16}
        >>> arguments = read_config(config | {"rotary_dim": 64})
        >>> arguments["pairing"], arguments["head_dim"], arguments["rotary_dim"]
        ('interleaved', 256, 64)
    """
    reading = read(config, **how)
    for note in reading.notes:
        warnings.warn(note, stacklevel=3)
    return reading.arguments


def score_factors(config: Any, **how: Any) -> ScoreFactors:
    """What a model multiplies its scores by, beside the rotation and ``1 / sqrt(head_dim)``.

    Args, Raises: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`.

    Example:
        >>> scaling = {"rope_type": "yarn", "factor": 40, "mscale": 1.0}
        >>> scaling |= {"mscale_all_dim": 1.0, "original_max_position_embeddings": 4096}
        >>> config = {"model_type": "deepseek_v3", "qk_rope_head_dim": 64}
        >>> factors = score_factors(config | {"rope_scaling": scaling})
        >>> round(factors.constant, 4)
        1.8739
    """
    return read(config, **how).scores


def read(
    config: Any,
    *,
    layer_type: str | None = None,
    layer: int | None = None,
    role: str = "attention",
    like: str | None = None,
    shipped: bool = False,
) -> Reading:
    """All that a configuration says about one kind of layer.

    Args, Raises: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`.
    """
    try:
        return _read(config, layer_type, layer, role, like, shipped)
    except (TypeError, ValueError) as error:  # values are repeated, and some are long
        text = within_length(str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def within_length(text: str) -> str:
    """A message of at most 300 characters, cut in the middle, where long values are."""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:190]} ... {text[-100:]}"


def _read(
    config: Any, layer_type: str | None, layer: int | None, role: str, like: str | None,
    shipped: bool,
) -> Reading:  # fmt: skip
    require_instance("shipped", shipped, bool)
    require_choice("role", role, ROLES)
    opened = open_config(config, like)
    opened.config = without_nulls(opened.config, opened.model)
    unknown = unknown_keys(opened.config, opened.model)
    this = _layer(opened, layer_type, layer)
    if not this.turns and this.kind not in opened.model.layers:
        scores = factors_of(opened.model.scores, {}, opened.config, turns=False)
        return Reading(None, "none", scores, tuple(opened.notes), opened)
    parameters = collect(opened.config, opened.model, this.kind)
    kind = kind_of(parameters, opened)
    for key, value in beside_layers(opened.config).items():
        opened.notes.append(f"rope_parameters[{key!r}] = {shortened(value)} is not read")
    scores = factors_of(opened.model.scores, parameters, opened.config, this.turns)
    if not this.turns:
        return Reading(None, "none", scores, tuple(opened.notes), opened)
    arguments = arguments_of(parameters, opened, this, kind, shipped)
    _judge(unknown, opened, {**arguments, "kind": kind})
    arguments = _in_role(role, arguments, opened, shipped)
    return Reading(arguments, kind, scores, tuple(opened.notes), opened)


def _layer(opened: Opened, layer_type: str | None, layer: int | None) -> Layer:
    """Which parameters are meant, by type or by index, and whether there is anything to rotate."""
    config, model = opened.config, opened.model
    nested = is_nested(config.get("rope_parameters"))
    if layer is None:
        kind = (
            layer_type if isinstance(layer_type, list) else model.labels.get(layer_type, layer_type)
        )
        alike = not (model.layers or nested)
        answer = turns(config, model, kind)
        return Layer(None if alike else kind, answer)
    if layer_type is not None:
        raise ValueError(f"layer_type must be left out where layer is given, got {layer_type!r}")
    this = layer_at(config, model, layer)
    kind = model.labels.get(this.kind, this.kind) if model.layers or nested else None
    answer = this.turns and (kind is None or turns(config, model, kind))
    return Layer(kind, answer, this.base)


def _in_role(role: str, arguments: dict, opened: Opened, shipped: bool) -> dict:
    """The same for another part of the model than its queries and keys."""
    config, model = opened.config, opened.model
    if role == "attention":
        return arguments
    if role == "output" and model.turns_values:
        return {**arguments, "clockwise": not arguments["clockwise"]}
    if role == "indexer" and model.indexer is not None:
        family = model.indexer
        if config.get("indexer_rope_interleave") is False:
            raise ValueError("indexer_rope_interleave must be True for this model type, got False")
        return {
            **arguments,
            "head_dim": require_count("index_head_dim", config.get("index_head_dim", 128)),
            "pairing": family.pairing,
            "output_pairing": family.output_pairing,
            "precision": precision_of(family, shipped),
        }
    has = [name for name, there in (("indexer", model.indexer), ("output", model.turns_values))
           if there]  # fmt: skip
    raise ValueError(f"role must be one of {['attention', *has]} for {opened.kind}, got {role!r}")


def _judge(unknown: list[str], opened: Opened, arguments: Mapping) -> None:
    """Look at the keys that are not read: contradictions are refused, the rest is told."""
    for key in unknown:
        value = opened.config[key]
        wrong = contradicts(key, value, arguments)
        if wrong:
            raise ValueError(f"config has {key!r} = {shortened(value)}, which {wrong}")
        if not is_claim(key) and value:
            opened.notes.append(f"{key!r} = {shortened(value)} is not read for {opened.kind}")
