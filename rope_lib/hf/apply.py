"""The function that Hugging Face's kernels and transformers' attention share."""

import torch

from ..checks import require_choice, require_float_tensor, seen_any
from ..kernels import rotate_qk


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

    The signature is the one that Hugging Face's kernels share with transformers' functions. On a
    GPU it is one launch (:func:`rope_lib.kernels.rotate_qk`), differentiable, and one operator for
    a compiler.

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

    Example:
        >>> q, k = torch.ones(1, 2, 1, 4), torch.ones(1, 1, 1, 4)
        >>> cos, sin = torch.zeros(1, 1, 4), torch.ones(1, 1, 4)  # a quarter of a turn
        >>> apply_rotary_transformers(q, k, cos, sin)[1]
        tensor([[[[-1., -1.,  1.,  1.]]]])
    """
    if unsqueeze_dim not in (1, 2):
        raise ValueError(f"unsqueeze_dim must be 1 or 2, got {unsqueeze_dim!r}")
    layout = "bhsd" if unsqueeze_dim == 1 else "bshd"
    require_choice("pairing", pairing, ("half", "interleaved"))
    half_cos, half_sin = (_half(name, t, pairing) for name, t in (("cos", cos), ("sin", sin)))
    rotated = None if cos.shape[-1] == require_float_tensor("q", q).shape[-1] else "first"
    return rotate_qk(q, k, half_cos, half_sin, pairing=pairing, rotated=rotated, layout=layout)


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
