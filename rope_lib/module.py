"""RoPE as a module that a model holds."""

import copy
import functools
from numbers import Integral
from typing import Any

import torch
from torch import nn

from .arithmetic import is_plain, is_watched
from .axes import Axes
from .checks import (
    LAYOUTS,
    PAIRINGS,
    refuse_foreign,
    require_a_position_each,
    require_choice,
    require_count,
    require_float_tensor,
    require_instance,
    require_positions,
    require_positive,
    require_rotary_dim,
    require_tensor,
    seen_ends,
)
from .eager.few import Factors, factors_of
from .frequencies import float64_device, inverse_frequencies
from .functional import (
    EXACT,
    Precision,
    for_heads,
    heads_back,
    heads_first,
    rotate,
    tables_at,
)
from .kernels import BACKENDS, onnx, rotate_qk
from .layout import to_half, to_interleaved
from .models.reader import read_config
from .positions import sequence_positions
from .scaling import Scaling


class RotaryEmbedding(nn.Module):
    """Rotate queries and keys by their positions.

    The module holds a few numbers and no tensor. Nothing can be cast, cached or saved by accident:
    ``.to(torch.bfloat16)`` leaves the angles exact and ``state_dict()`` is empty.

    Args:
        head_dim: width of a head; even unless ``rotary_dim`` says which part is rotated.
        pairing: ``"interleaved"`` or ``"half"``. There is no default: shipped models disagree.
        base: see :func:`rope_lib.frequencies.inverse_frequencies`.
        rotary_dim: rotate only so many elements of a head, pass the rest through.
        rotated: whether those are the ``"first"`` or the ``"last"`` of the head.
        scaling: a value of :mod:`rope_lib.scaling`, for longer contexts.
        axes: a value of :mod:`rope_lib.axes`, for positions with more than one axis.
        clockwise: rotate the other way.
        output_pairing: order of the rotated elements, where it is not that of the input.
        precision: where to round; the default rounds once.
        signed: allow negative positions, in a text a mistake.
        layout: the order of the dimensions of queries and keys: ``"bhsd"`` (batch, heads, seq,
            head_dim), ``"bshd"``, ``"sbhd"`` or ``"thd"``; see :func:`rope_lib.functional.rotate`.
        backend: see :func:`rope_lib.kernels.rotate_qk`; None chooses by device. ``"onnx"`` is for
            ``torch.onnx.export(..., dynamo=True, opset_version=23)``: the graph has ONNX's own
            RotaryEmbedding and no float64, for integer positions below 1,048,576.

    Raises:
        TypeError, ValueError: an odd or too large width, a base that is not above 0, an unknown
            pairing, axes that share out another number of pairs; an argument of other libraries.

    Example:
        >>> rope = RotaryEmbedding(head_dim=4, pairing="half", base=100.0)
        >>> q = torch.tensor([[1.0, 0.0, 0.0, 1.0]] * 2)  # two tokens of two pairs
        >>> rope(q, None, torch.arange(2))[0]
        tensor([[ 1.0000,  0.0000,  0.0000,  1.0000],
                [ 0.5403, -0.0998,  0.8415,  0.9950]])
    """

    def __init__(
        self,
        head_dim: int | None = None,
        pairing: str | None = None,
        *,
        base: float = 10_000.0,
        rotary_dim: int | None = None,
        rotated: str = "first",
        scaling: Scaling | None = None,
        axes: Axes | None = None,
        clockwise: bool = False,
        output_pairing: str | None = None,
        precision: Precision = EXACT,
        signed: bool = False,
        layout: str = "bhsd",
        backend: str | None = None,
        **foreign: Any,
    ):
        super().__init__()
        refuse_foreign("RotaryEmbedding", foreign)
        if head_dim is None or pairing is None:
            raise TypeError("RotaryEmbedding needs head_dim, and pairing='interleaved' or 'half'")
        self.rotary_dim = require_rotary_dim(head_dim, rotary_dim)
        self.head_dim = int(head_dim)
        self.base = require_positive("base", base)
        self.pairing = require_choice("pairing", pairing, PAIRINGS)
        output_pairing = pairing if output_pairing is None else output_pairing
        self.output_pairing = require_choice("output_pairing", output_pairing, PAIRINGS)
        self.rotated = require_choice("rotated", rotated, ("first", "last"))
        if isinstance(scaling, dict) or isinstance(axes, list):
            raise TypeError(
                "scaling must be a value such as YaRN(4.0, 32_768), axes one such as axial([16, 48]"
                "); RotaryEmbedding.from_config reads them from a configuration"
            )
        self.scaling = require_instance("scaling", scaling, Scaling | None)
        self.axes = require_instance("axes", axes, Axes | None)
        self.precision = require_instance("precision", precision, Precision)
        self.clockwise = require_instance("clockwise", clockwise, bool)
        self.signed = require_instance("signed", signed, bool)
        self.layout = require_choice("layout", layout, LAYOUTS)
        self.backend = require_choice("backend", backend, (*BACKENDS, "onnx"))
        self.length: int | None = None  # of the longest text, where for_length has given it
        self._last: tuple | None = None
        if axes is not None and 2 * len(axes.axis) != self.rotary_dim:
            raise ValueError(
                f"axes must share out {self.rotary_dim // 2} pairs, half of rotary_dim, "
                f"got {len(axes.axis)}"
            )
        self._keep_constants(self.for_length(1))  # raises if frequencies cannot fit

    @classmethod
    def from_config(
        cls, config: Any, *, layout: str = "bhsd", backend: str | None = None, **how: Any
    ) -> "RotaryEmbedding | None":
        """The rotation that a model's configuration describes; None for layers that do not rotate.

        Args:
            config: a dictionary as in ``config.json``, the path of one, or an object with
                ``to_dict()``; keys in their old form (``rope_theta``, ``rope_scaling``) or under
                ``rope_parameters``. What is passed over is told by a warning.
            layer: the index of a layer, where a model does not rotate all alike.
            layer_type: or the type of its layers, such as ``"sliding_attention"``.
            role: ``"attention"``; or ``"indexer"`` for DeepSeek's, ``"output"`` to rotate back what
                DeepSeek-V4's attention gives.
            like: a model type whose code it has, where its own is not known.
            shipped: round where the model's released code rounds, bit for bit, instead of once.
            layout, backend: as in :class:`RotaryEmbedding`.

        Raises:
            TypeError, ValueError: an unknown model type, a model without rotary embedding,
                misspelt keys, keys that contradict each other, values that are not allowed.

        Example:
            >>> config = {"model_type": "llama", "rope_theta": 500_000.0}
            >>> config |= {"hidden_size": 4096, "num_attention_heads": 32}
            >>> RotaryEmbedding.from_config(config)
            RotaryEmbedding(128, pairing='half', base=500000, rotary_dim=128)
        """
        unknown = set(how) - {"layer", "layer_type", "role", "like", "shipped"}
        refuse_foreign("RotaryEmbedding.from_config", {name: how[name] for name in unknown})
        arguments = read_config(config, **how)
        return None if arguments is None else cls(**arguments, layout=layout, backend=backend)

    def forward(
        self,
        q: torch.Tensor | None,
        k: torch.Tensor | None,
        positions: torch.Tensor | int | None = None,
        key_positions: torch.Tensor | int | None = None,
        **foreign: Any,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Rotated copies of ``q`` and ``k``.

        Args:
            q: ``(..., q_heads, seq, head_dim)``, or in the order of ``layout``; None to rotate keys
                alone.
            k: ``(..., kv_heads, seq, head_dim)``; fewer heads than ``q`` are fine, and so is None.
            positions: tokens, ``(seq,)`` or ``(batch, seq)``; or as many dimensions as
                ``(batch, heads, seq)``, where one number stands for every row. With ``axes``, one
                such tensor for each axis, stacked in front. An integer is the position of the
                first token; it fits any ``seq``, so tensors in another order than ``layout`` says
                are rotated along the wrong dimension, without an error.
            key_positions: where keys have positions of their own, those; as ``positions``.

        Returns:
            ``q, k``, new tensors of their own shapes and dtypes; None in the place of None.

        Raises:
            TypeError, ValueError: widths, lengths or devices that do not fit; negative positions
                unless ``signed``; a scaling that depends on a length not yet given.
        """
        factors = None if foreign or key_positions is not None else self._kept(positions)
        few = None if factors is None else self._turn_few(q, k, factors)
        if few is not None:
            return few
        refuse_foreign("RotaryEmbedding", foreign)
        if key_positions is not None:
            turned_q, _ = self.forward(q, None, positions)
            return turned_q, self.forward(None, k, key_positions)[1]
        given = [(name, x) for name, x in (("q", q), ("k", k)) if x is not None]
        if not given:
            raise TypeError("q or k must be a tensor, got None twice")
        views = [(name, self._heads_first(name, x)) for name, x in given]
        if not isinstance(positions, torch.Tensor):
            positions = self._from_offset(positions, [view for _, view in views])
        self._require_positions(positions)
        rows = positions if self.axes is None else positions[0]
        for name, view in views:
            require_a_position_each(name, view, rows)
        dtype = functools.reduce(torch.promote_types, (x.dtype for _, x in given))
        if self.precision.wide_tables:
            dtype = torch.promote_types(dtype, torch.float32)
        cos, sin = self._tables(require_positions("positions", positions), dtype)
        self._keep(positions, cos, sin)
        if self.layout != "bhsd" and cos.ndim == views[0][1].ndim:
            cos, sin = heads_back(cos, self.layout), heads_back(sin, self.layout)
        return self.rotate(q, k, cos, sin)

    def rotate(
        self,
        q: torch.Tensor | None,
        k: torch.Tensor | None,
        cos: torch.Tensor,
        sin: torch.Tensor,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """:meth:`forward` with ready tables, so that all layers of a model can share them.

        Args:
            q, k: as in :meth:`forward`.
            cos, sin: from :meth:`tables`, in float32 or wider unless ``precision`` has others.

        Returns:
            ``q, k``, new tensors; by a fused kernel where ``backend`` and the device allow it.

        Raises:
            TypeError, ValueError: widths, lengths or devices that do not fit.
        """
        factors = factors_of(cos, sin)
        few = None if factors is None else self._turn_few(q, k, factors)
        if few is not None:
            return few
        for name, x in (("q", q), ("k", k)):
            if x is not None:
                self._require_heads(name, x)
        if require_float_tensor("cos", cos).shape[-1] != self.rotary_dim // 2:
            raise ValueError(
                f"cos must hold {self.rotary_dim // 2} numbers for a token, half of rotary_dim, "
                f"got shape {tuple(cos.shape)}"
            )
        whole = self.rotary_dim == self.head_dim
        if self._constants is not None and onnx.is_exporting() and self._exports(cos):
            return onnx.rotate_qk(q, k, cos, sin, self.pairing, self.clockwise)
        if self._is_usual:
            return rotate_qk(
                q, k, cos, sin, pairing=self.pairing, rotated=None if whole else self.rotated,
                inverse=self.clockwise, layout=self.layout,
                backend=None if self.backend == "onnx" else self.backend,
            )  # fmt: skip
        return tuple(None if x is None else self._rotate(x, cos, sin) for x in (q, k))

    def tables(
        self, positions: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines for ``positions``, ``(*positions.shape, rotary_dim / 2)`` each.

        With ``axes``, the dimension of the axes is gone from the result.

        Raises:
            TypeError, ValueError: as in :func:`rope_lib.functional.rotation_tables`; positions
                below 0, in a model a mistake, unless ``signed``. (To rotate back, use
                ``rotate(..., inverse=True)``.)
        """
        self._require_positions(positions)
        return self._tables(require_positions("positions", positions), dtype)

    def _tables(
        self, positions: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device = float64_device(positions.device)
        axis = None if self.axes is None else torch.tensor(self.axes.axis, device=device)
        if self._constants is not None and onnx.is_exporting():
            tables = onnx.look_up(self._constants, positions, axis)
            return tuple((self.amplitude * table).to(dtype) for table in tables)
        usable = onnx.is_exporting() or (is_plain(positions) and not is_watched())
        is_ready = usable and device.type == "cpu" and self._ready_for == self._settings()
        inv_freq = self._ready if is_ready else self._inverse_frequencies(device)
        return tables_at(positions, inv_freq, dtype, axis, self.precision.angles, self.amplitude)

    @property
    def amplitude(self) -> float:
        """The number that cosines and sines are multiplied by; 1 unless the scaling has another."""
        scaling = self._fixed_scaling()
        return 1.0 if scaling is None else scaling.amplitude

    def for_length(self, tokens: int) -> "RotaryEmbedding":
        """A copy for texts of at most ``tokens`` tokens, cache and all that is still to come.

        Needed where the scaling depends on the length (dynamic NTK, LongRoPE): every query and key
        of one text must be rotated by the same frequencies. The copy refuses positions beyond. For
        other scalings it is a plain copy. Call it outside of compiled code.

        Example:
            >>> rope = RotaryEmbedding(64, "half", scaling=DynamicNTK(2.0, 4096))
            >>> rope.for_length(8192).length
            8192
        """
        require_count("tokens", tokens)
        fixed = copy.deepcopy(self)
        if hasattr(self.scaling, "at_length"):
            fixed.length = int(tokens)
            fixed._keep_constants(fixed)
        return fixed

    def rerotate(
        self,
        k: torch.Tensor,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        *,
        to: "RotaryEmbedding | None" = None,
    ) -> torch.Tensor:
        """Cached keys, rotated from one set of positions to another.

        After old tokens have left a cache, the rest can be moved up; and where a text outgrows the
        length that its frequencies were made for, the cache can be moved to new ones. Each move
        rounds. In 16 bits, 1,000 moves by one token leave an error of 0.4 where one leaves 0.003:
        keep the keys as they were rotated first, and move those, from their first positions.

        Args:
            k: keys that this module rotated by ``old_positions``, ``(..., seq, head_dim)``.
            old_positions, new_positions: as in :meth:`forward`.
            to: the module whose frequencies the result is for; this one by default.

        Returns:
            A new tensor, ``k`` as ``to`` would have rotated it at ``new_positions``, rounded twice.

        Raises:
            TypeError, ValueError: as in :meth:`forward`; a ``to`` that pairs other numbers.

        Example:
            >>> rope, k = RotaryEmbedding(64, "half"), torch.randn(1, 2, 10, 64)
            >>> _, cached = rope(None, k, 0)
            >>> moved = rope.rerotate(cached, torch.arange(10), torch.arange(10) + 5)
            >>> torch.testing.assert_close(moved, rope(None, k, 5)[1])
        """
        to = self if to is None else require_instance("to", to, RotaryEmbedding)
        if self._shape() != to._shape():
            raise ValueError(f"to must rotate the same pairs, {self._shape()}, got {to._shape()}")
        view = self._heads_first("k", k)
        for rope, positions in ((self, old_positions), (to, new_positions)):
            rope._require_positions(positions)
            require_a_position_each("k", view, positions if rope.axes is None else positions[0])
        work = float64_device(k.device)
        old_cos, old_sin = self.tables(old_positions.to(work), torch.float64)
        new_cos, new_sin = to.tables(new_positions.to(work), torch.float64)
        grown = self.amplitude**2  # the product of two tables; what is wanted is their ratio
        cos = (new_cos * old_cos + new_sin * old_sin) / grown
        sin = (new_sin * old_cos - new_cos * old_sin) / grown
        wide = torch.promote_types(k.dtype, torch.float32)
        tables = cos.to(k.device, wide), sin.to(k.device, wide)
        return heads_back(self._rotate_view(view, *tables, self.output_pairing), self.layout)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_last": None}

    def _keep(self, positions: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
        """Remember the last step, since the next layer asks for the same positions."""
        factors = factors_of(cos, sin)
        if factors is not None and is_plain(positions):
            self._last = positions.clone(), self._settings(), factors

    def _kept(self, positions: Any) -> Factors | None:
        """The factors of the last step, if the numbers of the positions are those of now."""
        if self._last is None or type(positions) is not torch.Tensor or not is_plain(positions):
            return None
        known, settings, factors = self._last
        same = positions.dtype is known.dtype and positions.is_cpu and torch.equal(positions, known)
        return factors if same and settings == self._settings() else None

    def _settings(self) -> tuple:
        """What tables depend on, beside positions."""
        return (self.base, self.scaling, self.length, self.rotary_dim, self.axes, self.precision,
                self.signed)  # fmt: skip

    def _turn_few(self, q: Any, k: Any, factors: Factors) -> tuple | None:
        """:meth:`Factors.turn_all`, where this module does nothing else."""
        usual = self._is_usual and self.layout == "bhsd" and not self.clockwise
        if not usual or self.backend is not None or 2 * factors.pairs != self.rotary_dim:
            return None
        part = None if self.rotary_dim == self.head_dim else self.rotated
        return factors.turn_all((q, k), self.pairing, part, self.head_dim)

    def _keep_constants(self, fixed: "RotaryEmbedding") -> None:
        """What an exported graph has as constants; its runtime has powers of its own."""
        self._ready_for = fixed._settings()
        self._ready = fixed._inverse_frequencies(torch.device("cpu"))
        self._constants = onnx.tables_to_look_up(self._ready) if self.backend == "onnx" else None

    def _fixed_scaling(self) -> Scaling | None:
        """The scaling, at the length that was given where it depends on one."""
        if not hasattr(self.scaling, "at_length"):
            return self.scaling
        if self.length is None:
            raise ValueError(
                f"{type(self.scaling).__name__} depends on the length of the text: call "
                "for_length(tokens) with the longest length that the cache will reach"
            )
        return self.scaling.at_length(self.length)

    def _inverse_frequencies(self, device: torch.device) -> torch.Tensor:
        """Radians per token of each pair, ``(rotary_dim / 2,)``."""
        width = self.rotary_dim if self.axes is None else self.axes.width
        scaling = self._fixed_scaling()
        frequencies = inverse_frequencies if scaling is None else scaling.inverse_frequencies
        ladder = frequencies(width, self.base, dtype=self.precision.angles, device=device)
        if self.axes is None:
            return ladder
        return ladder[torch.tensor(self.axes.step, device=device)]

    @property
    def _is_usual(self) -> bool:
        """Whether heads are rotated as a kernel rotates them."""
        blocks = 1 if self.axes is None else self.axes.blocks
        same = self.pairing == self.output_pairing
        return blocks == 1 and same and (self.precision is EXACT or self.precision == EXACT)

    def _exports(self, cos: torch.Tensor) -> bool:
        """Whether ONNX's own operator does it."""
        first = self.rotary_dim == self.head_dim or self.rotated == "first"
        return self._is_usual and first and self.layout == "bhsd" and cos.ndim in (2, 3)

    def _rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        view, cos, sin = heads_first("x", x, self.layout, cos, sin)
        return heads_back(self._rotate_view(view, cos, sin, self.pairing), self.layout)

    def _rotate_view(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, pairing: str
    ) -> torch.Tensor:
        """What no kernel does: axes in blocks, another order at the end, released rounding."""
        start = self.head_dim - self.rotary_dim if self.rotated == "last" else 0
        end = start + self.rotary_dim
        part, cos, sin = x[..., start:end], for_heads(cos, x), for_heads(sin, x)
        if self.axes is not None and self.axes.blocks > 1:
            part, cos, sin = (
                _in_blocks(each, self.axes.blocks, x.ndim) for each in (part, cos, sin)
            )
        turned = rotate(
            part, cos, sin, pairing=pairing, inverse=self.clockwise, precision=self.precision
        )
        if pairing != self.output_pairing:
            turned = to_half(turned) if self.output_pairing == "half" else to_interleaved(turned)
        turned = turned.reshape(x[..., start:end].shape)
        if self.rotary_dim == self.head_dim:
            return turned
        return torch.cat((x[..., :start], turned, x[..., end:]), dim=-1)

    def _heads_first(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A view of heads as ``(..., seq, head_dim)``."""
        self._require_heads(name, x)
        return heads_first(name, x, self.layout)[0]

    def _from_offset(self, offset: int, views: list[torch.Tensor]) -> torch.Tensor:
        """Positions from a first one on."""
        lengths = {view.shape[-2] for view in views}
        if len(lengths) > 1:
            raise ValueError(
                f"q has {views[0].shape[-2]} tokens and k {views[1].shape[-2]}: an integer for "
                "positions serves both only where they are equal; give key_positions"
            )
        if isinstance(offset, bool) or not isinstance(offset, Integral):
            kind = type(offset).__name__
            raise TypeError(f"positions must be a torch.Tensor or an integer, got {kind}")
        positions = sequence_positions(*lengths, start=offset, device=views[0].device)
        return positions if self.axes is None else positions.expand(self.axes.count, -1)

    def _require_heads(self, name: str, x: torch.Tensor) -> None:
        require_float_tensor(name, x, dims=2)
        if x.shape[-1] != self.head_dim:
            raise ValueError(
                f"{name} must have head_dim = {self.head_dim} as its last dimension, "
                f"got shape {tuple(x.shape)}"
            )

    def _require_positions(self, positions: torch.Tensor) -> None:
        require_tensor("positions", positions)
        axes = self.axes
        if axes is not None and (positions.ndim < 1 or positions.shape[0] != axes.count):
            raise ValueError(
                f"positions must have the {axes.count} axes as their first dimension, "
                f"got shape {tuple(positions.shape)}"
            )
        limit = int(2 / torch.finfo(self.precision.angles).eps)  # beyond, neighbours are one number
        why = f"angles in {self.precision.angles} cannot tell larger ones apart"
        if self.length is not None and self.length < limit:
            limit, why = self.length, "for_length gave that length"
        low, high = seen_ends(positions)
        if not self.signed and low < 0:
            raise ValueError(f"positions must not be negative, got {low}")
        if max(-low, high) >= limit:
            raise ValueError(
                f"positions must be below {limit}, since {why}; got {max(-low, high):.0f}"
            )

    def _shape(self) -> tuple:
        """What decides which numbers of a turned head form a pair."""
        blocks = 1 if self.axes is None else self.axes.blocks
        return (self.head_dim, self.rotary_dim, self.rotated, self.output_pairing, self.clockwise,
                blocks)  # fmt: skip

    def extra_repr(self) -> str:
        words = [f"{self.head_dim}, pairing={self.pairing!r}, base={self.base:.15g}",
                 f"rotary_dim={self.rotary_dim}"]  # fmt: skip
        usual = {"rotated": "first", "scaling": None, "axes": None, "clockwise": False,
                 "output_pairing": self.pairing, "precision": EXACT, "signed": False,
                 "layout": "bhsd", "backend": None, "length": None}  # fmt: skip
        words += [f"{k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join(words)


def _in_blocks(x: torch.Tensor, blocks: int, dims: int) -> torch.Tensor:
    """The last dimension cut into blocks, with as many dimensions in front as a head has."""
    x = x.reshape((1,) * (dims - x.ndim) + tuple(x.shape))
    return x.unflatten(-1, (blocks, -1))
