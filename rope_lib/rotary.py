"""RoPE as a module that a model holds."""

import torch
from torch import nn

from .checks import (
    PAIRINGS,
    fits_rows,
    require_choice,
    require_float_tensor,
    require_positive,
    require_rotary_dim,
    require_same_device,
    require_tensor,
    seen_any,
)
from .frequencies import _float64_device, inverse_frequencies
from .rotation import rotate, rotation_tables


class RotaryEmbedding(nn.Module):
    """Turn queries and keys by their positions.

    The module holds four numbers and no tensor. Nothing can be cast, cached or saved by accident:
    ``.to(torch.bfloat16)`` leaves the angles exact and ``state_dict()`` is empty.

    Args:
        head_dim: width of a head; even unless ``rotary_dim`` says which part is turned.
        pairing: ``"interleaved"`` or ``"half"``. There is no default: shipped models disagree.
        base: see :func:`rope_lib.frequencies.inverse_frequencies`.
        rotary_dim: turn only the first ``rotary_dim`` numbers of a head, pass the rest through.

    Raises:
        TypeError, ValueError: an odd or too large width, a base that is not above 0, an unknown
            pairing.
    """

    def __init__(
        self,
        head_dim: int,
        *,
        pairing: str,
        base: float = 10_000.0,
        rotary_dim: int | None = None,
    ):
        super().__init__()
        self.rotary_dim = require_rotary_dim(head_dim, rotary_dim)
        self.head_dim = int(head_dim)
        self.base = require_positive("base", base)
        self.pairing = require_choice("pairing", pairing, PAIRINGS)

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotated copies of ``q`` and ``k``.

        Args:
            q: ``(..., q_heads, seq, head_dim)``.
            k: ``(..., kv_heads, seq, head_dim)``; fewer heads than ``q`` are fine.
            positions: tokens, ``(seq,)``, or as many dimensions as ``q`` without the last, for
                example ``(batch, 1, seq)``; one number stands for every row. Never negative.

        Returns:
            ``q, k``, new tensors of their own shapes and dtypes.

        Raises:
            TypeError, ValueError: widths, lengths or devices that do not fit; negative positions.
        """
        require_tensor("positions", positions)
        for name, x in (("q", q), ("k", k)):
            require_float_tensor(name, x, dims=2)
            if x.shape[-1] != self.head_dim:
                raise ValueError(
                    f"{name} must have head_dim = {self.head_dim} as its last dimension, "
                    f"got shape {tuple(x.shape)}"
                )
            _require_a_position_each(name, x, positions)
        wide = torch.promote_types(torch.promote_types(q.dtype, k.dtype), torch.float32)
        cos, sin = self.tables(positions, dtype=wide)
        return self._rotate(q, cos, sin), self._rotate(k, cos, sin)

    def tables(
        self, positions: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines for ``positions``, ``(*positions.shape, rotary_dim / 2)`` each.

        Raises:
            TypeError, ValueError: as in :func:`rope_lib.rotation.rotation_tables`; positions below
                0, in a model a mistake. (To turn back, use ``rotate(..., inverse=True)``.)
        """
        require_tensor("positions", positions)
        if seen_any(positions, lambda numbers: numbers < 0):
            raise ValueError(f"positions must not be negative, got {positions.min().item()}")
        device = _float64_device(positions.device)
        inv_freq = inverse_frequencies(self.rotary_dim, self.base, device=device)
        return rotation_tables(positions, inv_freq, dtype)

    def _rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        if self.rotary_dim == self.head_dim:
            return rotate(x, cos, sin, pairing=self.pairing)
        turned = rotate(x[..., : self.rotary_dim], cos, sin, pairing=self.pairing)
        return torch.cat((turned, x[..., self.rotary_dim :]), dim=-1)

    def extra_repr(self) -> str:
        return (
            f"{self.head_dim}, pairing={self.pairing!r}, base={self.base:.15g}, "
            f"rotary_dim={self.rotary_dim}"
        )


def _require_a_position_each(name: str, x: torch.Tensor, positions: torch.Tensor) -> None:
    require_same_device("positions", positions, name, x)
    if not fits_rows(tuple(positions.shape), tuple(x.shape[:-1])):
        raise ValueError(
            f"positions must have shape ({x.shape[-2]},), or {x.ndim - 1} dimensions such as "
            f"positions[:, None, :] for rows of their own, to fit {name} of shape "
            f"{tuple(x.shape)}; got {tuple(positions.shape)}"
        )
