"""What chapters 7, 7b and 7c read from stored runs of experiments, and draw.

In each run of ``experiments/real_length.py`` SmolLM2-135M read a passage after more and more text,
in many ways. A *case* names one of them: the part of the run (``"ways"``, ``"pairs"``, ``"moved
away"``), the way and the length. The small models are those of ``experiments/length_controls.py``.
"""

import functools
import math
from collections.abc import Mapping
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..frequencies import inverse_frequencies
from . import plotting, results
from .plotting import COLORS

WIDTH, BASE, TRAINED = 64, 1e5, 8192  # of SmolLM2-135M: head dimension, base, trained length
FIRST_FAR = 2  # of the distances of planted numbers: from 3,000 tokens on, beyond every window
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
    pairs = results.paired(
        _small_losses(encoding, way, length), _small_losses(encoding, "plain", "256")
    )
    return _in_words((pairs.mean, *results.interval(pairs)))


def _small_losses(encoding: str, way: str, length: str) -> list[dict]:
    runs = results.load("length_controls")["runs"]
    found = results.select(runs, encoding=encoding, way=way)
    return [{"seed": run["seed"], "loss": run["losses"][length]} for run in found]


def small_beyond_sum(length: str) -> tuple[list[float], str]:
    """What unseen angles and aliases cost a small model together, beyond the sum of both alone.

    With both it is read plainly, with unseen angles alone if its fast pairs are clamped, with
    aliases alone if its slow ones are, and with neither if all are.

    Returns:
        The cost in each training, and its mean with interval in words as :func:`rise`.
    """
    names = ("plain", "fast_pairs_clamped", "slow_pairs_clamped", "clamped")
    losses = [
        {run["seed"]: run["loss"] for run in _small_losses("rope", name, length)} for name in names
    ]
    both, unseen, aliases, neither = losses
    extra = [both[n] - unseen[n] - aliases[n] + neither[n] for n in sorted(both)]
    cost = results.Difference.of(extra)
    return extra, _in_words((cost.mean, *results.interval(cost)))


def distances() -> list[int]:
    """How many tokens before the passage numbers were planted, the nearest first."""
    return sorted(_stored()[0]["distances"])


def digit_losses(way: str, length: str, part: str = "ways") -> list[tuple[float, float, float]]:
    """Loss on a planted number for each distance: mean and 95 % interval, in nats per digit."""
    losses = [answer["digit_loss"] for answer in answers(part, way, length)]
    found = []
    for each in zip(*losses, strict=True):
        loss = results.Difference.of(each)
        found.append((loss.mean, *results.interval(loss)))
    return found


def numbers_found(part: str, way: str, length: str) -> list[int]:
    """How many of the planted numbers were found, for each distance within the text."""
    return [sum(each) for each in zip(*_found(part, way, length), strict=True)]


def found_more(
    case: tuple[str, str, str], other: tuple[str, str, str], comparisons: int = 1
) -> tuple[float, float, float]:
    """Of all numbers 3,000 or more tokens back, how many more were found: mean and 95 % interval.

    The differences are paired by passage; the mean is their sum over the passages.
    """
    runs = [
        [{"window": n, "far": sum(row[FIRST_FAR:])} for n, row in enumerate(_found(*which))]
        for which in (case, other)
    ]
    pairs = results.paired(*runs, by=("window",), of="far")
    return results.of_sum(pairs, comparisons)


def digits_more(
    case: tuple[str, str, str], other: tuple[str, str, str], comparisons: int = 4
) -> list[str]:
    """How much more a digit costs 3,000 or more tokens back, paired by passage, as :func:`rise`."""
    both = [
        [answer["digit_loss"][FIRST_FAR:] for answer in answers(*which)] for which in (case, other)
    ]
    found = []
    for ours, theirs in zip(*(zip(*each, strict=True) for each in both), strict=True):
        more = [mine - other for mine, other in zip(ours, theirs, strict=True)]
        gain = results.Difference.of(more)
        found.append(_in_words((gain.mean, *results.interval(gain, comparisons=comparisons))))
    return found


def _found(part: str, way: str, length: str) -> list[list[int]]:
    return [answer["found"] for answer in answers(part, way, length)]


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
        _draw_gaps(ax, [gap(*case, length, comparisons) for case in cases.values()])
        ax.set_title(f"{int(length):,} tokens")
    axes[0].set_yticks(range(len(cases)), cases)
    axes[0].set_ylim(len(cases) - 0.5, -0.75)
    fig.supxlabel("rise of the loss (nats per token)", fontsize=11.5)
    return fig


def _draw_gaps(ax: Axes, gaps: list[tuple[float, float, float]]) -> None:
    """Each gap as a dot with its interval, in rows from above; linear up to 0.1."""
    ax.axvline(0, color=COLORS["grey"], linewidth=1)
    for row, (mean, low, high) in enumerate(gaps):
        ax.plot([low, high], [row, row], color=COLORS["blue"])
        ax.plot(mean, row, "o", color=COLORS["blue"], markersize=5, zorder=4)
        label = {"textcoords": "offset points", "ha": "right" if mean > 1 else "left"}
        text = f"{round(mean, 2) + 0.0:.2f}".replace("-", "−")
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the line hides a minus
        ax.annotate(text, (mean, row), (7 if mean > 1 else 2, 5), fontsize=10, bbox=box, **label)
    ax.set(xlim=(-0.12, 9))
    ax.set_xscale("symlog", linthresh=0.1)
    ax.set_xticks([0, 0.1, 1, 5], ["0", "0.1", "1", "5"])
    ax.minorticks_off()


def draw_recall(cases: Mapping[str, tuple[str, str]]) -> Figure:
    """Loss beside recall after 32,768 tokens: three panels, a row for each case.

    The rise of the loss with its interval, and how many planted numbers were found, each with its
    interval over the passages: of those 3,000 and 6,000 tokens back, within the trained length, and
    of those 12,000 and 28,000 back.
    """
    fig, axes = plotting.figure("tall", 1, 3, sharey=True)
    length, of = "32768", 2 * len(_stored())
    _draw_gaps(axes[0], [gap(*case, length, len(cases)) for case in cases.values()])
    axes[0].set_title("Rise of\nthe loss")
    rows = [[each[FIRST_FAR:] for each in _found(*case, length)] for case in cases.values()]
    for ax, part, title in (
        (axes[1], slice(0, 2), "3,000 and\n6,000 back"),
        (axes[2], slice(2, 4), "12,000 and\n28,000 back"),
    ):
        for row, passages in enumerate(rows):
            counts = [sum(each[part]) for each in passages]
            ends = results.interval(results.Difference.of(counts))
            low, high = (len(counts) * end for end in ends)
            ax.barh(row, sum(counts), height=0.6, color=COLORS["orange"])
            ax.plot([max(low, 0), high], [row, row], color="black", linewidth=1)
            ax.text(max(high, 0) + 0.6, row, sum(counts), va="center", fontsize=10)
        ax.set(xlim=(0, 32), title=title)
        ax.set_xticks([0, 10, 20, 30])
        ax.set_axisbelow(True)
    axes[0].set_xlabel("nats per token")
    axes[1].set_xlabel(f"numbers found, of {of} each", x=1.05)
    axes[0].set_yticks(range(len(cases)), cases)
    axes[0].set_ylim(len(cases) - 0.5, -0.75)
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
