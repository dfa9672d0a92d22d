"""The slow specification: RoPE in numpy float64, written as the paper writes it.

One explicit block-diagonal matrix a position, no tables, no tricks. Chapters and tests compare the
rest of the library with this file, so it shares no code with it.
"""

import numpy as np


def pair_indices(head_dim: int, pairing: str) -> list[tuple[int, int]]:
    """Which two numbers of a head turn together, pair by pair.

    Args:
        head_dim: width of a head; even.
        pairing: ``"interleaved"`` for ``(2i, 2i+1)``, ``"half"`` for ``(i, i + head_dim/2)``.

    Raises:
        ValueError: ``head_dim`` is odd or below 2, or the pairing is neither of the two.

    Example:
        >>> pair_indices(6, "interleaved"), pair_indices(6, "half")
        ([(0, 1), (2, 3), (4, 5)], [(0, 3), (1, 4), (2, 5)])
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim must be even and at least 2, got {head_dim}")
    half = head_dim // 2
    if pairing == "interleaved":
        return [(2 * i, 2 * i + 1) for i in range(half)]
    if pairing == "half":
        return [(i, i + half) for i in range(half)]
    raise ValueError(f"pairing must be 'interleaved' or 'half', got {pairing!r}")


def rotation_matrix(
    position: float, head_dim: int, base: float = 10_000.0, *, pairing: str
) -> np.ndarray:
    """The matrix ``R_m`` that turns a column vector counter-clockwise, pair by pair.

    Args:
        position: ``m``, in tokens; any real number.
        head_dim: width of a head; even.
        base: pair ``i`` turns by ``m * base ** (-2 i / head_dim)`` radians; greater than 0.
        pairing: ``"interleaved"`` or ``"half"``.

    Returns:
        Array ``(head_dim, head_dim)``, float64, orthogonal: ``R_m.T @ R_n == R_(n-m)``.

    Raises:
        ValueError: ``base`` is not above 0, or as in :func:`pair_indices`.

    Source: RoFormer (arXiv 2104.09864), equation 15.

    Example:
        >>> rotation_matrix(1, 2, pairing="half").round(4)
        array([[ 0.5403, -0.8415],
               [ 0.8415,  0.5403]])
    """
    position, base = float(position), float(base)  # a numpy float32 would keep everything narrow
    if not (np.isfinite(base) and base > 0):
        raise ValueError(f"base must be finite and greater than 0, got {base}")
    if not np.isfinite(position):
        raise ValueError(f"position must be finite, got {position}")
    matrix = np.zeros((head_dim, head_dim))
    for i, (first, second) in enumerate(pair_indices(head_dim, pairing)):
        angle = position * base ** (-2 * i / head_dim)
        matrix[first, first], matrix[first, second] = np.cos(angle), -np.sin(angle)
        matrix[second, first], matrix[second, second] = np.sin(angle), np.cos(angle)
    return matrix


def rotate(
    x: np.ndarray, positions: np.ndarray, base: float = 10_000.0, *, pairing: str
) -> np.ndarray:
    """Turn each row of ``x`` by the matrix of its own position.

    Args:
        x: array ``(..., seq, head_dim)``.
        positions: array ``(seq,)``, in tokens.
        base, pairing: as in :func:`rotation_matrix`.

    Returns:
        Array of the shape of ``x``, float64.

    Raises:
        TypeError: ``x`` is complex.
        ValueError: ``x`` has no rows, one position a row is missing, or as in
            :func:`rotation_matrix`.
    """
    if np.iscomplexobj(x):
        raise TypeError("x must hold real numbers, got complex ones")
    x, positions = np.asarray(x, dtype=np.float64), np.asarray(positions, dtype=np.float64)
    if x.ndim < 2:
        raise ValueError(f"x must have at least 2 dimensions, got shape {x.shape}")
    if positions.shape != x.shape[-2:-1]:
        raise ValueError(f"positions must hold {x.shape[-2]} numbers, one a row; got {positions}")
    turned = np.empty_like(x)
    for row, position in enumerate(positions):
        matrix = rotation_matrix(position, x.shape[-1], base, pairing=pairing)
        turned[..., row, :] = x[..., row, :] @ matrix.T
    return turned


def scores(
    q: np.ndarray, k: np.ndarray, positions: np.ndarray, base: float = 10_000.0, *, pairing: str
) -> np.ndarray:
    """Unscaled attention scores ``(R_m q_m) . (R_n k_n)`` for all pairs of positions.

    Args:
        q, k: arrays ``(..., seq, head_dim)``.
        positions, base, pairing: as in :func:`rotate`.

    Returns:
        Array ``(..., seq, seq)``, float64: row ``m`` asks, column ``n`` answers.

    Example:
        >>> ones = np.ones((3, 2))
        >>> scores(ones, ones, np.arange(3), pairing="half").round(4)  # by distance
        array([[ 2.    ,  1.0806, -0.8323],
               [ 1.0806,  2.    ,  1.0806],
               [-0.8323,  1.0806,  2.    ]])
    """
    turned_q = rotate(q, positions, base, pairing=pairing)
    turned_k = rotate(k, positions, base, pairing=pairing)
    return turned_q @ np.swapaxes(turned_k, -1, -2)
