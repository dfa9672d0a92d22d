"""Exchanging the rotary embedding modules of a transformers model, and putting them back."""

import copy
import inspect
import re
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from ..checks import require_instance
from ..frequencies import float64_device
from ..module import RotaryEmbedding
from .tables import HFRotaryEmbedding

_NAME = re.compile("(^|[^p])(rotary|rope)", re.IGNORECASE)  # not: property
_LONGEST_REASON = 170  # characters, beside the name of a submodule
_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


def patch(model: _AnyModule, *, shipped: bool = False, tokens: int | None = None) -> _AnyModule:
    """Let the library make the tables of a transformers model.

    Every rotary embedding module is exchanged for a
    :class:`rope_lib.hf.tables.HFRotaryEmbedding`, once its tables have been compared with the
    module's own. Weights, state dict and files stay what they are.

    Args:
        model: of transformers, or a part of one; changed in place.
        shipped: keep the bits of the released code, frequencies and tables; logits do not change,
            unless the model's own frequencies were cast to 16 bits, which is told by a warning.
            The default forms angles in float64 and rounds tables once.
        tokens: as in :class:`rope_lib.hf.tables.HFRotaryEmbedding`.

    Returns:
        ``model`` itself. :func:`unpatch` undoes the change; a deep copy can be undone as well.

    Raises:
        TypeError, ValueError: a model without rotary embedding modules, or already patched, or with
            one that is not known, which is named. The model is then as it was.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 9}
        >>> config = LlamaConfig(num_attention_heads=2, num_hidden_layers=1, **sizes)
        >>> model = LlamaForCausalLM(config)
        >>> patch(model).model.rotary_emb
        HFRotaryEmbedding('llama', shipped=False)
        >>> unpatch(model).model.rotary_emb
        LlamaRotaryEmbedding()
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
    _tell_of_cast(path, module)
    for layer_type, kind in made._kinds.items():
        kind.go_on_from(module, layer_type)
        for buffer in module.buffers():  # before a compiler looks
            kind.at(float64_device(buffer.device))
    for name, buffer in module.named_buffers():
        if name not in module._non_persistent_buffers_set:  # ESM-2 saves its frequencies
            made.register_buffer(name, buffer)
    made._replaced = (module,)  # in a tuple, it is no submodule
    return made.train(module.training)


def _tell_of_cast(path: str, module: nn.Module) -> None:
    """A model that was cast as a whole has frequencies of 16 bits, which nobody had in training."""
    cast = {buffer.dtype for buffer in module.buffers() if buffer.is_floating_point()}
    if cast & {torch.float16, torch.bfloat16}:
        warnings.warn(
            f"{path}: the model's own frequencies were cast to 16 bits, so its results change with "
            "exact ones; load it with dtype= instead of casting it",
            stacklevel=4,
        )


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
        raise ValueError(
            "its tables are not those that follow from its config (was the model cast to 16 bits "
            "and back? load it with dtype= instead)"
        )


def _as_tuple(tables: Any) -> tuple[torch.Tensor, ...]:
    return tables if isinstance(tables, tuple) else (tables,)
