"""What chapters 7, 7b and 7c read from stored runs of experiments, and draw.

In each run of ``experiments/real_length.py`` SmolLM2-135M read a passage after more and more text,
in many ways. A *case* names one of them: the part of the run (``"ways"``, ``"pairs"``, ``"moved
away"``), the way and the length. The small models are those of ``experiments/length_controls.py``.
"""

import functools
import math
from collections.abc import Mapping
from statistics import fmean, stdev

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..frequencies import inverse_frequencies
from . import plotting, results
from .plotting import COLORS

WIDTH, BASE, TRAINED = 64, 1e5, 8192  # of SmolLM2-135M: head dimension, base, trained length
SHOWN_PAIRS = (30, 28, 26, 24, 22, 20)  # slow ones, from the innermost ring outwards


@functools.cache
def _stored() -> list[dict]:
    return results.load("real_length")["runs"]


def answers(part: str, way: str, length: str) -> list[dict]:
    """What was measured at each of the passages when it was read in one way."""
    return [run[part][way][length] | {"window": run["window"]} for run in _stored()]


def mean_loss(part: str, way: str, length: str) -> float:
    """The mean loss over the passages, in nats per token."""
    return fmean(answer["loss"] for answer in answers(part, way, length))


def gap(part: str, way: str, length: str, comparisons: int = 1) -> tuple[float, float, float]:
    """Loss above that of plain RoPE after 2,048 tokens: mean and ends of the 95 % interval.

    Args:
        part, way, length: the case.
        comparisons: how many such intervals are to hold together; see :func:`.results.interval`.
    """
    pairs = results.paired(
        answers(part, way, length), answers("ways", "plain", "2048"), by=("window",)
    )
    return pairs.mean, *results.interval(pairs, comparisons=comparisons)


def rise(part: str, way: str, length: str, comparisons: int = 1) -> str:
    """:func:`gap` in words, such as ``"+0.12 (+0.04 to +0.19)"``."""
    return _in_words(gap(part, way, length, comparisons))


def _in_words(found: tuple[float, float, float]) -> str:
    ends = (f"{round(x, 2) + 0.0:+.2f}" for x in found)
    return "{} ({} to {})".format(*ends).replace("-", "−")


def small_rise(encoding: str, way: str, length: str) -> str:
    """The rise of the loss of small models, trained at 256 bytes, in words as :func:`rise`.

    Args:
        encoding: ``"rope"``, or ``"rope_frozen"``, trained without the rotation of its slow pairs.
        way: how it is read.
        length: bytes that are read; the rise is above the plain reading of 256.
    """
    runs = results.load("length_controls")["runs"]

    def losses(way: str, length: str) -> list[dict]:
        found = results.select(runs, encoding=encoding, way=way)
        return [{"seed": run["seed"], "loss": run["losses"][length]} for run in found]

    pairs = results.paired(losses(way, length), losses("plain", "256"))
    return _in_words((pairs.mean, *results.interval(pairs)))


def distances() -> list[int]:
    """How many tokens before the passage numbers were planted, the nearest first."""
    return sorted(_stored()[0]["distances"])


def digit_losses(way: str, length: str) -> list[tuple[float, float, float]]:
    """Loss on a planted number for each distance: mean and 95 % interval, in nats per digit."""
    losses = [answer["digit_loss"] for answer in answers("ways", way, length)]
    found = []
    for each in zip(*losses, strict=True):
        mean = results.Difference(fmean(each), stdev(each), len(each))
        found.append((mean.mean, *results.interval(mean)))
    return found


def draw_gaps(
    cases: Mapping[str, tuple[str, str]],
    lengths: tuple[str, ...],
    *,
    comparisons: int = 1,
    size: str = "wide",
) -> Figure:
    """Mean and interval (:func:`gap`) of each case as a dot and a line, a panel for each length.

    Args:
        cases: label of a row to part and way.
        lengths: of the text before the passage.
        comparisons: how many intervals of a panel are to hold together.
        size: a name in ``plotting.SIZES``.
    """
    fig, axes = plotting.figure(size, 1, len(lengths), sharex=True, sharey=True)
    for ax, length in zip(axes, lengths, strict=True):
        ax.axvline(0, color=COLORS["grey"], linewidth=1)
        for row, case in enumerate(cases.values()):
            mean, low, high = gap(*case, length, comparisons)
            ax.plot([low, high], [row, row], color=COLORS["blue"])
            ax.plot(mean, row, "o", color=COLORS["blue"], markersize=5, zorder=4)
            label = {"textcoords": "offset points", "ha": "right" if mean > 1 else "left"}
            text = f"{round(mean, 2) + 0.0:.2f}".replace("-", "−")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the line hides a minus
            ax.annotate(
                text, (mean, row), (7 if mean > 1 else 2, 5), fontsize=10, bbox=box, **label
            )
        ax.set(xlim=(-0.12, 9), title=f"{int(length):,}")
        ax.set_xscale("symlog", linthresh=0.1)
        ax.set_xticks([0, 0.1, 1, 5], ["0", "0.1", "1", "5"])
        ax.minorticks_off()
    axes[0].set_yticks(range(len(cases)), cases)
    axes[0].set_ylim(len(cases) - 0.5, -0.75)
    fig.supxlabel("rise of the loss (nats per token)", fontsize=11.5)
    return fig


def draw_rings(panels: Mapping[str, tuple[object, int]]) -> Figure:
    """Angles of six slow pairs, one ring each: thin as in training, broad as in a longer text.

    Args:
        panels: title to a scaling and the length of the text.
    """
    plain = inverse_frequencies(WIDTH, BASE)
    fig, axes = plotting.figure("wide", 1, len(panels))
    for ax, (title, (scaling, length)) in zip(axes, panels.items(), strict=True):
        scaled = scaling.inverse_frequencies(WIDTH, BASE)
        for radius, pair in enumerate(SHOWN_PAIRS, start=4):
            arcs = (
                (math.tau, "#E3E3E3", 7),
                (length * float(scaled[pair]), COLORS["orange"], 7),
                (TRAINED * float(plain[pair]), COLORS["blue"], 3),
            )
            for angle, color, width in arcs:
                plotting.draw_arc(ax, radius, angle, color=color, linewidth=width)
        ax.text(0, 0, f"pair\n{SHOWN_PAIRS[0]}", ha="center", va="center")
        ax.text(9.6, 0, f" {SHOWN_PAIRS[-1]}", va="center")
        ax.set(xlim=(-10, 12), ylim=(-10, 10), aspect="equal")
        ax.set_title(title, loc="center", pad=2)
        ax.axis("off")
    styles = ((COLORS["blue"], 3), (COLORS["orange"], 7))
    lines = [Line2D([], [], color=color, linewidth=width) for color, width in styles]
    names = (f"seen in training ({TRAINED:,})", "reached in the longer text")
    fig.legend(lines, names, loc="outside lower center", ncols=2)
    return fig
