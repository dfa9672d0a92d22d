"""What a configuration means, in numbers: every kind of layer, and what there is to beware of."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from ..frequencies import inverse_frequencies, wavelengths
from .layers import all_layers
from .opening import Opened, as_dictionary, open_config
from .reader import Reading, read, within_length
from .schema import is_nested, whole, without_nulls
from .scores import ScoreFactors
from .wording import sentences

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length",
            "model_max_length", "max_sequence_length", "max_trained_positions")  # fmt: skip


@dataclass(frozen=True)
class KindOfLayer:
    """One kind of layer; lengths and wavelengths are in tokens, widths in elements of a head.

    Args:
        name: the type of these layers, or ``"all layers"``.
        layers: their indices, where the file says how many layers there are.
        turns: whether they rotate at all; if not, only ``scores`` means anything.
        pairing, head_dim, rotary_dim, rotated, base, clockwise, output_pairing: as in
            :class:`rope_lib.module.RotaryEmbedding`.
        rope_type: the type of scaling, ``"default"`` for none.
        scaling: its value, a :mod:`rope_lib.scaling`; None for none.
        beside: elements of a head beside those, in latent attention.
        axes: how many axes a position has.
        axis_pairs: how many pairs each of them rotates, where there are several.
        amplitude: what cosines and sines are multiplied by; scores by its square.
        trained_length: the length that the frequencies were trained for, None if not said.
        served_length: the length that the file says it serves, scaling included.
        trained_wavelengths: tokens for a full turn of each pair without the scaling.
        wavelengths: the same with it, at ``served_length``; infinite without rotation.
        unfinished: how many pairs never completed a full turn within the trained length.
        unchanged_length: the longest text that the scaling leaves alone; 0 where it changes all.
        slowed: for each pair, how many times slower the scaling makes it, at ``served_length``.
        scores: what scores are multiplied by beside the rotation.
    """

    name: str
    layers: tuple[int, ...]
    turns: bool
    scores: ScoreFactors
    pairing: str | None = None
    head_dim: int | None = None
    rotary_dim: int | None = None
    rotated: str | None = None
    base: float | None = None
    clockwise: bool = False
    output_pairing: str | None = None
    rope_type: str = "none"
    scaling: Any = None
    beside: int = 0
    axes: int = 1
    axis_pairs: tuple[int, ...] = ()
    amplitude: float = 1.0
    trained_length: int | None = None
    served_length: int | None = None
    trained_wavelengths: tuple[float, ...] = ()
    wavelengths: tuple[float, ...] = ()
    unfinished: int | None = None
    unchanged_length: int | None = None
    slowed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What a configuration means: ``print`` it, take its parts, or draw it.

    Args:
        model_type: by which it was read; None if it has none that is known.
        kinds: one for each kind of layer.
        problems: why it, or a kind of layer, cannot be read: contradictions, misspelt keys.
        notes: stray keys, and what other code reads otherwise.
        assumed: what the file leaves to the defaults of its model type.
    """

    model_type: str | None
    kinds: tuple[KindOfLayer, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(sentences(self))

    def as_dict(self) -> dict:
        """The same as a dictionary of plain values, for JSON; infinite wavelengths are None."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    def figure(self) -> Any:
        """A matplotlib figure: the wavelength of each pair, beside the trained length.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from .drawing import draw_wavelengths  # matplotlib is no dependency of the library

        return draw_wavelengths(self)


def explain(config: Any, *, like: str | None = None) -> Explanation:
    """What each kind of layer of a model does, from its configuration.

    What cannot be read is told in ``problems``, so that the rest can be seen. Print the result:
    ``print(explain("config.json"))``.

    Args:
        config: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`.
        like: a model type whose code it has, where its own is not known.

    Raises:
        TypeError: no configuration at all.

    Example:
        >>> config = {"model_type": "llama", "rope_theta": 500_000.0}
        >>> config |= {"hidden_size": 4096, "num_attention_heads": 32}
        >>> config |= {"max_position_embeddings": 8192}
        >>> print(explain(config))
        model type llama
        <BLANKLINE>
        all layers
          all 128 elements of a head are rotated, 64 pairs
          pairing half: elements (i, i + 64) form a pair
          base 500,000: a full turn takes 6.28 to 2,559,196 tokens
          29 of 64 pairs never complete a full turn within the trained length of 8,192 tokens
        >>> explain(config).kinds[0].unfinished  # each of these as a number
        29
    """
    try:
        opened = open_config(config, like)
        opened.config = without_nulls(opened.config, opened.model)
    except ValueError as error:  # a TypeError: there is nothing to explain
        return Explanation(None, (), problems=(within_length(str(error)),))
    kinds, problems, notes = [], {}, {}
    try:
        groups = _groups(opened)
    except (TypeError, ValueError) as error:  # what lists layers is wrong: their types are left
        problems[within_length(str(error))] = None
        groups = {(name, (("layer_type", name),)): [] for name in opened.model.layers or (None,)}
    for (name, how), layers in groups.items():
        try:
            reading = read(opened.config, like=opened.kind, **dict(how))
            kind = _kind(name or "all layers", tuple(layers), reading)
        except (TypeError, ValueError) as error:
            problems[str(error)] = None
            continue
        notes |= dict.fromkeys((*opened.notes, *reading.notes))
        kinds.append(kind)
    assumed = (*opened.assumed, *_assumed(opened, kinds))
    for part in _other_parts(config):
        notes[f"{part} is not described here; explain it by itself, with like="] = None
    return Explanation(opened.kind, _joined(kinds), tuple(problems), tuple(notes), assumed)


def _other_parts(config: Any) -> list[str]:
    """Towers of a larger model, which may rotate, too."""
    whole_model = as_dictionary(config)
    return [part for part in ("vision_config", "audio_config") if whole_model.get(part)]


def _groups(opened: Opened) -> dict[tuple, list[int]]:
    """How to ask for each kind of layer, and its layers, in their order."""
    config, model = opened.config, opened.model
    layers = all_layers(config, model)
    new = config.get("rope_parameters")
    if len(layers) == 1 and (model.layers or is_nested(new)):  # as many as nobody says
        names = {**model.layers, **(new if is_nested(new) else {})}
        return {(name, (("layer_type", name),)): [] for name in names}
    if len(layers) == 1:
        return {("all layers", ()): []}
    groups: dict[tuple, list[int]] = {}
    first: dict[tuple, int] = {}
    for index, layer in enumerate(layers):
        key = (layer.kind, layer.turns, layer.base)
        at = first.setdefault(key, index)
        groups.setdefault((layer.kind or "all layers", (("layer", at),)), []).append(index)
    return groups


def _joined(kinds: list[KindOfLayer]) -> tuple[KindOfLayer, ...]:
    """Kinds that rotate alike as one: models have types of layers that differ in other things."""
    groups: dict[tuple, list[KindOfLayer]] = {}
    for kind in kinds:
        same = tuple(getattr(kind, each.name) for each in fields(kind)[2:])
        groups.setdefault(same, []).append(kind)
    joined = []
    for alike in groups.values():
        layers = sorted(index for kind in alike for index in kind.layers)
        names = dict.fromkeys(kind.name for kind in alike)
        name = "all layers" if len(groups) == 1 and len(alike) > 1 else " and ".join(names)
        values = {each.name: getattr(alike[0], each.name) for each in fields(alike[0])[2:]}
        joined.append(KindOfLayer(name, tuple(layers), **values))
    return tuple(joined)


def _kind(name: str, layers: tuple, reading: Reading) -> KindOfLayer:
    if reading.arguments is None:
        return KindOfLayer(name, layers, False, reading.scores)
    given = reading.arguments
    served = _length(reading.opened.config)
    trained = getattr(given["scaling"], "original_length", None) or served
    plain = _wavelengths({**given, "scaling": None}, trained)
    found = _wavelengths(given, max(trained or 1, served or 1))
    return KindOfLayer(
        name, layers, True, reading.scores,
        **{key: given[key] for key in ("pairing", "head_dim", "rotary_dim", "rotated", "base",
                                       "clockwise", "output_pairing", "scaling")},
        rope_type=reading.kind,
        beside=_beside(reading.opened),
        axes=1 if given["axes"] is None else given["axes"].count,
        axis_pairs=_shares(given["axes"]),
        amplitude=_at(given["scaling"], served or trained).amplitude if given["scaling"] else 1.0,
        trained_length=trained,
        served_length=served,
        trained_wavelengths=tuple(plain.tolist()),
        wavelengths=tuple(found.tolist()),
        unfinished=None if trained is None else int((plain > trained).sum()),
        unchanged_length=_unchanged(given, trained, served, plain),
        slowed=tuple((found / plain).tolist()),
    )  # fmt: skip


def _beside(opened: Opened) -> int:
    latent = opened.model.width == "qk_rope_head_dim"
    return opened.config.get("qk_nope_head_dim") or 0 if latent else 0


def _shares(axes: Any) -> tuple[int, ...]:
    if axes is None or axes.count == 1:
        return ()
    return tuple(axes.axis.count(axis) for axis in range(axes.count))


def _unchanged(
    given: Mapping, trained: int | None, served: int | None, plain: torch.Tensor
) -> int | None:
    """The longest text that a scaling leaves alone; those that depend on a length may have one."""
    scaling = given["scaling"]
    if scaling is None:
        return served
    same = torch.equal(_wavelengths(given, trained), plain) and _at(scaling, trained).amplitude == 1
    if not same:
        return 0
    return trained if hasattr(scaling, "at_length") else served


def _wavelengths(given: Mapping, length: int | None) -> torch.Tensor:
    """Of each pair, at a length of the text."""
    axes, scaling = given["axes"], given["scaling"]
    width = given["rotary_dim"] if axes is None else axes.width
    ladder = inverse_frequencies if scaling is None else _at(scaling, length).inverse_frequencies
    found = wavelengths(ladder(width, given["base"]))
    return found if axes is None else found[list(axes.step)]


def _at(scaling: Any, length: int | None) -> Any:
    return scaling.at_length(length or 1) if hasattr(scaling, "at_length") else scaling


def _length(config: Mapping) -> int | None:
    found = (whole(config[key]) for key in _LENGTHS if config.get(key))
    return next((each for each in found if isinstance(each, int) and each > 0), None)


def _assumed(opened: Opened, kinds: list[KindOfLayer]) -> list[str]:
    """What the file leaves to defaults."""
    config, model = opened.config, opened.model
    inner = [config.get(key) or {} for key in ("rope_parameters", "rope_scaling")]
    said = any("theta" in str(key) or "base" in str(key) for key in config)
    said |= any("rope_theta" in str(each) for each in inner)
    told = []
    if not said and any(kind.turns for kind in kinds):
        bases = ", ".join(dict.fromkeys(f"{kind.base:,.0f}" for kind in kinds if kind.turns))
        told.append(f"no base is in the file; {opened.kind} takes {bases}")
    if _length(config) is None:
        told.append("no trained length is in the file")
    if model.width not in config and model.head_dim and "head_dim" not in config:
        told.append(f"no width of a head is in the file; {opened.kind} takes {model.head_dim}")
    return told


def _plain(value: Any) -> Any:
    """A value that JSON knows."""
    if isinstance(value, float):
        return value if abs(value) != float("inf") else None
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        name = (
            {} if isinstance(value, KindOfLayer | ScoreFactors) else {"name": type(value).__name__}
        )
        return name | {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return value
