"""The picture of an explanation; the only file of this wing that wants matplotlib."""

from typing import Any


def draw_wavelengths(explanation: Any) -> Any:
    """The wavelength of each pair, one line for each kind of layer, and the trained lengths.

    Args:
        explanation: an :class:`rope_lib.models.explain.Explanation`.

    Returns:
        A matplotlib ``Figure``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no layer rotates.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a figure needs matplotlib: pip install matplotlib") from error
    turning = [kind for kind in explanation.kinds if kind.turns]
    if not turning:
        raise ValueError("nothing to draw: no layer of this configuration rotates")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for kind in turning:
        label = f"{kind.name}: base {kind.base:,.0f}"
        label += f", {kind.rope_type}" if kind.scaling else ""
        (line,) = axes.plot(range(len(kind.wavelengths)), kind.wavelengths, ".-", label=label)
        if kind.scaling:
            axes.plot(range(len(kind.wavelengths)), kind.trained_wavelengths, ":",
                      color=line.get_color(), label="the same before its scaling")  # fmt: skip
    lengths = sorted({kind.trained_length for kind in turning if kind.trained_length})
    for length in lengths:
        axes.axhline(length, color="0.5", linestyle="--", linewidth=1)
        axes.annotate(f"trained length, {length:,} tokens", (0, length), xytext=(2, 3),
                      textcoords="offset points", color="0.35")  # fmt: skip
    axes.set(yscale="log", xlabel="pair i", ylabel="tokens for one turn",
             title=f"{explanation.model_type}: the wavelength of each pair")  # fmt: skip
    axes.legend(loc="lower right", frameon=False)
    return figure
