"""The tables of a transformers model, in its own shapes and dtypes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..checks import (
    require_choice,
    require_count,
    require_float_tensor,
    require_instance,
    require_tensor,
    seen_any,
)
from ..frequencies import float64_device
from ..functional import rotation_tables
from ..models.conventions import MODELS
from ..models.family import Model
from ..models.opening import open_config
from ..module import RotaryEmbedding
from ..scaling import DynamicNTK, LongRoPE

# How released code writes a pair's number into its tables, where it is not doubled: (t, t).
_ONCE = {"gpt_oss", "openai_privacy_filter", "deepseek_v4"}
_COMPLEX = {"deepseek_v2", "llama4_text"}
_WITH_BATCH = {"sam3_vit_model"}  # of positions without one
_REPEATED = {"blt_patcher", "blt_local_encoder", "blt_local_decoder", "blt_global_transformer"}
_REPEATED_FAMILIES = {"Cohere", "GLM-4V", "ERNIE 4.5 VL", "SAM 3 and Llama 4, vision tower",
                      "Inkling, vision tower"}  # fmt: skip


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

    Example:
        >>> config = {"model_type": "llama", "hidden_size": 4096}
        >>> made = HFRotaryEmbedding(config | {"num_attention_heads": 32})
        >>> cos, sin = made(torch.zeros(1), torch.arange(4)[None])
        >>> cos.shape
        torch.Size([1, 4, 128])
    """

    def __init__(
        self, config: Any, device: Any = None, *, shipped: bool = False, tokens: int | None = None
    ):
        super().__init__()
        self.config = config
        self.shipped = require_instance("shipped", shipped, bool)
        self.tokens = None if tokens is None else require_count("tokens", tokens)
        self.model_type = open_config(config).kind
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


def _layer_types(config: Any) -> tuple[str, ...]:
    """The kinds of layers that turn, where they differ, and that the model has."""
    opened = open_config(config)
    given = opened.config.get("rope_parameters") or {}
    if not any(isinstance(value, Mapping) for value in given.values()):
        given = opened.model.layers
    names = tuple(name for name, value in given.items() if value is not None)
    layers = opened.config.get("layer_types") or ()  # a small Gemma 3 may have sliding ones only
    return tuple(name for name in names if name in layers) or names
