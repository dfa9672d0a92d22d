"""A rotation as ONNX has it: the operator ``RotaryEmbedding`` of opset 23, and no float64.

What runs an exported model is mostly a device without float64. The tables are therefore looked up:
a position is ``STEP * far + near``, two small tables hold the exact cosines and sines of both
parts, rounded once to float32, and the sum of two angles is one complex product.
"""

import torch

STEP = 1024  # rows of each table: positions reach STEP ** 2, a little more than a million


def is_exporting() -> bool:
    """Whether ``torch.onnx.export`` is tracing, in its present form."""
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()


def tables_to_look_up(inv_freq: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Cosines and sines of both parts of a position: four float32 tables ``(STEP, pairs)``."""
    steps = torch.arange(STEP, dtype=torch.float64)[:, None]
    near, far = steps * inv_freq.double(), steps * (STEP * inv_freq.double())
    return tuple(table.float() for table in (near.cos(), near.sin(), far.cos(), far.sin()))


def look_up(
    tables: tuple[torch.Tensor, ...], positions: torch.Tensor, axis: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for integers from 0 to ``STEP ** 2 - 1``, float32, off by 3e-7 at most.

    Args:
        tables: from :func:`tables_to_look_up`; constants of the exported graph.
        positions: ``(*rows)``; with ``axis``, ``(axes, *rows)``.
        axis: ``(pairs,)``, which axis rotates each pair.

    Returns:
        ``cos, sin``, each ``(*rows, pairs)``.
    """
    far = (positions.float() * (1 / STEP)).floor().long()  # exact: a power of two
    parts = positions - STEP * far, far
    if axis is None:
        rows = [(part,) for part in parts]
    else:
        pairs = torch.arange(len(axis))
        rows = [(part[axis].movedim(0, -1), pairs) for part in parts]
    (cos_near, sin_near), (cos_far, sin_far) = (
        (tables[2 * i][row], tables[2 * i + 1][row]) for i, row in enumerate(rows)
    )
    cos = cos_far * cos_near - sin_far * sin_near
    return cos, sin_far * cos_near + cos_far * sin_near


def rotate_qk(
    q: torch.Tensor | None, k: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor,
    pairing: str, inverse: bool,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:  # fmt: skip
    """:func:`rope_lib.kernels.rotate_qk`, one operator each."""
    how = {"pairing": pairing, "inverse": inverse}
    return tuple(None if x is None else rotate(x, cos, sin, **how) for x in (q, k))


def rotate(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, pairing: str, inverse: bool
) -> torch.Tensor:
    """:func:`rope_lib.functional.rotate` of ``(batch, heads, seq, head_dim)``, as one operator.

    The first ``2 * cos.shape[-1]`` elements of a head are rotated, shorter floats in float32,
    since the operator wants tables of the same dtype and would round them.
    """
    width = 2 * cos.shape[-1]
    shape = (x.shape[0], x.shape[2], cos.shape[-1])
    cos, sin = cos.expand(shape), (-sin if inverse else sin).expand(shape)
    turned = torch.onnx.ops.rotary_embedding(
        x.to(cos.dtype), cos, sin,
        interleaved=pairing == "interleaved",
        rotary_embedding_dim=0 if width == x.shape[-1] else width,
    )  # fmt: skip
    return turned.to(x.dtype)
