"""Models of Hugging Face's transformers, turned by this library.

    from rope_lib.hf import patch, unpatch

    patch(model)  # exact tables: angles in float64, rounded once
    unpatch(model)  # the model's own modules again

A transformers model makes its tables in one small module, ``rotary_emb``, and hands them to all of
its layers. :class:`HFRotaryEmbedding` stands in for that module, and :func:`patch` exchanges it
throughout a model. The layers turn queries and keys as before; so bfloat16 tables stay bfloat16,
and what changes is the error of the angle: in float32 it grows with the position. transformers
itself is not imported, and nothing is written to a model's files.
"""

import copy
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from .checks import (
    require_choice,
    require_count,
    require_float_tensor,
    require_instance,
    require_tensor,
    seen_any,
)
from .frequencies import float64_device
from .functional import rotate, rotation_tables
from .models.conventions import MODELS, Model
from .models.schema import config_of_text
from .module import RotaryEmbedding
from .scaling import DynamicNTK, LongRoPE

# How released code writes a pair's number into its tables, where it is not doubled: (t, t).
_ONCE = {"gpt_oss", "openai_privacy_filter", "deepseek_v4"}
_COMPLEX = {"deepseek_v2", "llama4_text"}
_WITH_BATCH = {"sam3_vit_model"}  # of positions without one
_REPEATED = {"blt_patcher", "blt_local_encoder", "blt_local_decoder", "blt_global_transformer"}
_REPEATED_FAMILIES = {"Cohere", "GLM-4V", "ERNIE 4.5 VL", "SAM 3 and Llama 4, vision tower",
                      "Inkling, vision tower"}  # fmt: skip
_NAME = re.compile("(^|[^p])(rotary|rope)", re.IGNORECASE)  # not: property
_LONGEST_REASON = 170  # characters, beside the name of a submodule
_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


class HFRotaryEmbedding(nn.Module):
    """The tables of a transformers model, in its own shapes and dtypes.

    Its frequencies are neither parameters nor buffers: ``state_dict()`` is empty, and
    ``.to(torch.bfloat16)`` leaves them alone.

    Args:
        config: as in :meth:`rope_lib.module.RotaryEmbedding.from_config`; of the part of a model
            that the tables are for, such as ``config.text_config``.
        device: taken for the sake of the signature, and without effect: tables are made where the
            positions are.
        shipped: make the very bits of the released code, instead of rounding once.
        tokens: the longest text, cache and all that is still to come. Dynamic NTK and LongRoPE
            need it, since all keys of a cache must be turned by the same frequencies. Without it
            they are refused, but for ``shipped``, where frequencies then change with each call's
            positions as in the released code, and a cache may mix them. Other scalings are the
            same at every length.

    Raises:
        TypeError, ValueError: as in ``from_config``; a scaling that needs ``tokens``.
    """

    def __init__(
        self, config: Any, device: Any = None, *, shipped: bool = False, tokens: int | None = None
    ):
        super().__init__()
        self.config = config
        self.shipped = require_instance("shipped", shipped, bool)
        self.tokens = None if tokens is None else require_count("tokens", tokens)
        self.model_type = config_of_text(config).get("model_type")
        self.layer_types = _layer_types(config)
        self._kinds = {name: self._kind(name) for name in self.layer_types or (None,)}
        self._model: Model = MODELS[self.model_type]
        self._is_tower = "axial" in (self._model.kinds or ())
        self._wide = self._model.family.shipped is None or self._model.family.shipped.wide_tables

    def _kind(self, layer_type: str | None) -> "_Kind":
        rope = RotaryEmbedding.from_config(self.config, layer_type=layer_type, shipped=self.shipped)
        return _Kind(rope, self.tokens)

    @torch.no_grad()
    def forward(
        self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None
    ) -> Any:
        """What the module of the model returns.

        Args:
            x: gives the dtype and the device; its numbers are not read.
            position_ids: ``(batch, seq)``; with several axes ``(axes, batch, seq)`` for text, and
                for the patches of a vision tower ``(seq, axes)`` or ``(batch, seq, axes)``.
            layer_type: which kind of layer, where the model turns them differently.

        Returns:
            ``cos, sin``, ``(batch, seq, rotary_dim)`` each, in the dtype of the model's own tables;
            ``rotary_dim / 2`` wide for gpt-oss and DeepSeek-V4; one complex table
            ``(batch, seq, rotary_dim / 2)`` for Llama 4 and DeepSeek-V2.

        Raises:
            TypeError, ValueError: not tensors; an unknown ``layer_type``, or one missing; positions
                from ``tokens`` on, seen on the CPU only.
        """
        kind = self._kinds[self._known(layer_type)]
        require_float_tensor("x", x)
        positions = require_tensor("position_ids", position_ids).to(x.device)
        positions = self._axes_first(positions, kind.rope)
        kind.require_short_enough(positions)
        inv_freq, axis = kind.placed(positions)
        if self.model_type in _COMPLEX:
            return self._complex(positions, inv_freq, kind.amplitude)
        tables = rotation_tables(
            positions,
            inv_freq,
            torch.float32 if self._wide else x.dtype,
            axis=axis,
            angles=kind.rope.precision.angles,
            amplitude=kind.amplitude,
        )
        blocks = 1 if kind.rope.axes is None else kind.rope.axes.blocks
        return tuple(self._written(table, blocks) for table in tables)

    def _known(self, layer_type: str | None) -> str | None:
        if self.layer_types:
            return require_choice("layer_type", layer_type, self.layer_types)
        return None  # all layers turn alike, whatever they are called

    def _axes_first(self, positions: torch.Tensor, rope: RotaryEmbedding) -> torch.Tensor:
        if rope.axes is None:
            return positions
        count, shape = rope.axes.count, tuple(positions.shape)
        if self._is_tower:
            if not shape or shape[-1] != count:
                raise ValueError(f"position_ids must have {count} axes last, got shape {shape}")
            return positions.movedim(-1, 0)
        if len(shape) > 3 or len(shape) < 2 or (len(shape) == 3 and shape[0] not in (1, count)):
            raise ValueError(
                f"position_ids must be ({count}, batch, seq) or (batch, seq), got shape {shape}"
            )
        return positions.expand(count, *positions.shape[-2:])

    def _complex(
        self, positions: torch.Tensor, inv_freq: torch.Tensor, amplitude: float
    ) -> torch.Tensor:
        if self.shipped:  # torch.polar does not round as torch.cos and torch.sin do
            angles = positions[..., None].to(inv_freq.dtype) * inv_freq
            return torch.polar(torch.ones_like(angles), angles) * amplitude
        return torch.complex(*rotation_tables(positions, inv_freq, amplitude=amplitude))

    def _written(self, table: torch.Tensor, blocks: int) -> torch.Tensor:
        """A table of half width, in the width of the model's."""
        if self.model_type in _ONCE:
            return table
        if self.model_type in _WITH_BATCH:
            table = table[None]
        if self.model_type in _REPEATED or self._model.family.name in _REPEATED_FAMILIES:
            return table.repeat_interleave(2, dim=-1)
        if blocks > 1:
            parts = table.unflatten(-1, (blocks, -1))
            return torch.cat((parts, parts), dim=-1).flatten(-2)
        return torch.cat((table, table), dim=-1)

    def extra_repr(self) -> str:
        tokens = "" if self.tokens is None else f", tokens={self.tokens}"
        return f"{self.model_type!r}, shipped={self.shipped}{tokens}"


class _Kind:
    """The frequencies of one kind of layer: a tensor each, and how they follow the length.

    Tensors are kept out of the module's buffers, so that nothing casts them. As in the released
    code they are computed on the CPU, whose powers are not those of a GPU to the last bit.
    """

    def __init__(self, rope: RotaryEmbedding, tokens: int | None):
        self.rope, self.tokens = rope, None
        varies = isinstance(rope.scaling, DynamicNTK | LongRoPE)
        if varies and tokens is None and rope.precision.angles == torch.float64:
            raise ValueError(
                f"{type(rope.scaling).__name__} depends on the length of the text: give tokens=, "
                "the longest that the cache will reach, or shipped=True, where it changes midway"
            )
        self.follows = varies and tokens is None
        short = rope.for_length(rope.scaling.original_length if self.follows else tokens or 1)
        self.amplitude = short.amplitude
        cpu = torch.device("cpu")
        self.axis = None if rope.axes is None else torch.tensor(rope.axes.axis, device=cpu)
        self.short = short._inverse_frequencies(cpu)
        self.placed_on = {cpu: (self.short, self.axis)}
        if varies and tokens is not None:
            self.tokens = tokens
        if self.follows:
            self.original = self.longest = rope.scaling.original_length
            longer = rope.for_length(self.original + 1)
            self.long = self.grown = longer._inverse_frequencies(cpu)

    def go_on_from(self, module: nn.Module, layer_type: str | None) -> None:
        """Where dynamic NTK has grown already, take over how far."""
        if self.follows and isinstance(self.rope.scaling, DynamicNTK):
            name = "max_seq_len_cached"
            name = name if layer_type is None else f"{layer_type}_{name}"
            length = torch.as_tensor(getattr(module, name, self.original))
            if length.device.type != "meta" and length > self.original:
                self._grown(length, self.short)

    def require_short_enough(self, positions: torch.Tensor) -> None:
        if self.tokens is not None and seen_any(positions, lambda numbers: numbers >= self.tokens):
            raise ValueError(
                f"position_ids must be below tokens = {self.tokens}, got {positions.max().item()}"
            )

    def placed(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Frequencies and axes where the positions are."""
        device = float64_device(positions.device)
        short, axis = self.at(device)
        if not self.follows:
            return short, axis
        length = positions.max() + 1
        if isinstance(self.rope.scaling, DynamicNTK):
            return self._grown(length, short), axis
        return torch.where(length > self.original, self.long.to(device), short), axis

    def at(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Frequencies without growth, and axes: copied to a device once."""
        if device in self.placed_on:
            return self.placed_on[device]
        there = self.short.to(device), None if self.axis is None else self.axis.to(device)
        if not torch.compiler.is_compiling() and type(there[0]) is torch.Tensor:  # and no fake one
            self.placed_on[device] = there
        return there

    def _grown(self, length: torch.Tensor, short: torch.Tensor) -> torch.Tensor:
        """Dynamic NTK as released: it grows with the longest text so far.

        A text below the original length sets it back; one of exactly that length does not.
        """
        if length > self.longest:
            self.longest, self.grown = int(length), self._of_larger_base(length)
        elif length < self.original:
            self.longest = self.original
        return short if self.longest == self.original else self.grown.to(short.device)

    def _of_larger_base(self, length: torch.Tensor) -> torch.Tensor:
        """The formula of :class:`rope_lib.scaling.DynamicNTK`, all of it in float32."""
        rope, factor = self.rope, self.rope.scaling.factor
        width = rope.rotary_dim if rope.axes is None else rope.axes.width
        times = factor * length / self.original - (factor - 1)
        base = rope.base * times ** (width / (width - 2))
        powers = torch.arange(0, width, 2, device=length.device).float() / width
        ladder = 1.0 / base**powers
        if rope.axes is None:
            return ladder
        return ladder[torch.tensor(rope.axes.step, device=length.device)]


def patch(model: _AnyModule, *, shipped: bool = False, tokens: int | None = None) -> _AnyModule:
    """Let the library make the tables of a transformers model.

    Every rotary embedding module is exchanged for an :class:`HFRotaryEmbedding`, once its tables
    have been compared with the module's own. Weights, state dict and files stay what they are.

    Args:
        model: of transformers, or a part of one; changed in place.
        shipped: keep the bits of the released code, frequencies and tables; logits do not change.
            The default forms angles in float64 and rounds tables once.
        tokens: as in :class:`HFRotaryEmbedding`.

    Returns:
        ``model`` itself. :func:`unpatch` undoes the change; a deep copy can be undone as well.

    Raises:
        TypeError, ValueError: a model without rotary embedding modules, or already patched, or with
            one that is not known, which is named. The model is then as it was.
    """
    require_instance("model", model, nn.Module)
    places = list(_places(model))
    for path, _, _, module in places:
        if isinstance(module, HFRotaryEmbedding):
            raise ValueError(f"model is patched already, at {path}: call unpatch(model) first")
    if not places:
        kind = getattr(getattr(model, "config", None), "model_type", None)
        raise ValueError(
            f"model ({type(model).__name__}, model_type {kind!r}) has no rotary embedding module: "
            "it does not turn, or does so within its attention"
        )
    standing_in = {}
    for path, _, _, module in places:
        if module not in standing_in:
            standing_in[module] = _stand_in(path, module, shipped, tokens)
    for _, parent, name, module in places:
        parent._modules[name] = standing_in[module]
    return model


def unpatch(model: _AnyModule) -> _AnyModule:
    """Put back the very modules that :func:`patch` took out.

    Args:
        model: what ``patch`` was given, a deep copy of it, or a part; changed in place.

    Returns:
        ``model`` itself.

    Raises:
        TypeError, ValueError: no module, or one that is not patched.
    """
    require_instance("model", model, nn.Module)
    places = [place for place in _places(model) if isinstance(place[3], HFRotaryEmbedding)]
    places = [place for place in places if hasattr(place[3], "_replaced")]
    if not places:
        raise ValueError(f"model ({type(model).__name__}) is not patched")
    real = any(weight.device.type != "meta" for weight in model.parameters())
    for path, _, _, module in places:
        if real and any(buffer.device.type == "meta" for buffer in module._replaced[0].buffers()):
            raise ValueError(
                f"{path} was taken out on the meta device, and its own frequencies were never "
                "made: load the model again"
            )
    for _, parent, name, module in places:
        (original,) = module._replaced
        original._buffers.update(module._buffers)  # wherever the model has been moved since
        parent._modules[name] = original.train(module.training)
    return model


def apply_rotary_transformers(
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    unsqueeze_dim: int = 1,
    *,
    pairing: str = "half",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turned ``q`` and ``k``, by tables of full width, with one rounding at the end.

    The signature is the one that Hugging Face's kernels share with transformers' functions.

    Args:
        q, k: ``(batch, heads, seq, head_dim)``, or ``(batch, seq, heads, head_dim)`` with
            ``unsqueeze_dim=2``; fewer heads in ``k`` are fine.
        cos, sin: ``(batch, seq, width)``, each number twice. Where ``width`` is less than
            ``head_dim``, the first numbers of a head are turned and the rest passed through.
        unsqueeze_dim: 1 or 2, where the tables lack the dimension of the heads.
        pairing: which numbers form a pair, in heads and tables alike. By this convention they are
            ``"half"``; tables of ``"interleaved"`` pairs have each number twice side by side.

    Raises:
        TypeError, ValueError: shapes or devices that do not fit; tables that do not have each
            number twice in the way of ``pairing``.
    """
    if unsqueeze_dim not in (1, 2):
        raise ValueError(f"unsqueeze_dim must be 1 or 2, got {unsqueeze_dim!r}")
    layout = "bhsd" if unsqueeze_dim == 1 else "bshd"
    require_choice("pairing", pairing, ("half", "interleaved"))
    halves = [_half(name, table, pairing) for name, table in (("cos", cos), ("sin", sin))]
    half_cos, half_sin = (table.unsqueeze(unsqueeze_dim) for table in halves)
    turned = (
        rotate(x, half_cos, half_sin, pairing=pairing, layout=layout,
               rotated=None if cos.shape[-1] == x.shape[-1] else "first")
        for x in (q, k)
    )  # fmt: skip
    return tuple(turned)


def _half(name: str, table: torch.Tensor, pairing: str) -> torch.Tensor:
    if require_float_tensor(name, table).ndim != 3 or table.shape[-1] % 2:
        raise ValueError(f"{name} must be (batch, seq, even width), got {tuple(table.shape)}")
    half = table.shape[-1] // 2
    first, second = table[..., :half], table[..., half:]
    if pairing == "interleaved":
        first, second = table[..., ::2], table[..., 1::2]
    if seen_any(table, lambda _: first != second):
        way = "in its two halves" if pairing == "half" else "side by side"
        raise ValueError(f"{name} must have each number twice {way} for pairing={pairing!r}")
    return first


def _layer_types(config: Any) -> tuple[str, ...]:
    """The kinds of layers that turn, where they differ."""
    config = config_of_text(config)
    given = config.get("rope_parameters") or {}
    if not any(isinstance(value, Mapping) for value in given.values()):
        model = MODELS.get(config.get("model_type"))
        given = model.layers if model else {}
    return tuple(name for name, value in given.items() if value is not None)


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Module]]:
    """Path, parent, name and module of each rotary embedding; shared ones at each place."""
    for above, parent in model.named_modules():
        for name, module in parent.named_children():
            says_so = _NAME.search(type(module).__name__) or _NAME.search(name)
            if says_so and not [*module.children(), *module.parameters()]:
                yield f"{above}.{name}".lstrip("."), parent, name, module


def _stand_in(path: str, module: nn.Module, shipped: bool, tokens: int | None) -> HFRotaryEmbedding:
    """What takes the place of ``module``, and keeps it out of sight of ``state_dict``."""
    try:
        names = [*inspect.signature(type(module).forward).parameters][1:]
        if names not in (["x", "position_ids"], ["x", "position_ids", "layer_type"]):
            raise ValueError(f"its forward takes {', '.join(names)}, not x and position_ids")
        if not hasattr(module, "config"):
            raise ValueError("it has no config")
        made = HFRotaryEmbedding(module.config, shipped=shipped, tokens=tokens)
        _require_alike(made, module)
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        reason = textwrap.shorten(str(error), _LONGEST_REASON)
        name = type(module).__name__
        raise ValueError(f"{path} ({name}) cannot be exchanged: {reason}") from error
    for layer_type, kind in made._kinds.items():
        kind.go_on_from(module, layer_type)
        for buffer in module.buffers():  # before a compiler looks
            kind.at(float64_device(buffer.device))
    for name, buffer in module.named_buffers():
        if name not in module._non_persistent_buffers_set:  # ESM-2 saves its frequencies
            made.register_buffer(name, buffer)
    made._replaced = (module,)  # in a tuple, it is no submodule
    return made.train(module.training)


def _require_alike(made: HFRotaryEmbedding, module: nn.Module) -> None:
    """Raise unless both make the same tables, as near as the module's dtype can tell."""
    if made.tokens is not None:  # the module knows of no fixed length
        made = HFRotaryEmbedding(made.config, shipped=True)
    made, own = copy.deepcopy(made), copy.deepcopy(module)  # some change with what they are given
    buffer = next(module.buffers(), torch.zeros(1))
    eps = torch.finfo(buffer.dtype).eps
    furthest = 2401 if eps < 1e-6 else 7
    x = torch.zeros(1, device=buffer.device)
    for layer_type, kind in made._kinds.items():
        more = {} if layer_type is None else {"layer_type": layer_type}
        for largest in (1, furthest):  # short first, where a longer text has left its mark
            positions = _trial(largest, made, kind.rope, buffer.device)
            ours, theirs = (_as_tuple(each(x, positions, **more)) for each in (made, own))
            for a, b in zip(ours, theirs, strict=True):
                _require_near(a, b, 4 * eps * (furthest + 1) * kind.amplitude)


def _trial(
    largest: int, made: HFRotaryEmbedding, rope: RotaryEmbedding, device: torch.device
) -> torch.Tensor:
    """Eight positions, in the form that a model has them in; axes in several orders."""
    positions = (torch.linspace(0, 1, 8, device=device) ** 2 * largest).long()[None]
    if rope.axes is None:
        return positions
    positions = torch.stack([positions.roll(n, -1) for n in range(rope.axes.count)])
    if not made._is_tower:
        return positions
    positions = positions.movedim(0, -1)
    return positions if rope.axes.blocks > 1 else positions[0]


def _require_near(ours: torch.Tensor, theirs: torch.Tensor, slack: float) -> None:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        raise ValueError(
            f"its tables are {tuple(theirs.shape)} {theirs.dtype}, "
            f"from its config follow {tuple(ours.shape)} {ours.dtype}"
        )
    if theirs.device.type != "meta" and (ours - theirs).abs().max() > slack:
        raise ValueError("its tables are not those that follow from its config")


def _as_tuple(tables: Any) -> tuple[torch.Tensor, ...]:
    return tables if isinstance(tables, tuple) else (tables,)
