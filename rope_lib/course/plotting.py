"""One figure style for every chapter: few sizes, few colours, and the same bytes on every run."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008): its colours stay apart for colour-blind readers.
COLORS = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "grey": "#6E6E6E",
}

# Small letters need more contrast than lines: the same hues, at least 4.5 to 1 on white (WCAG).
INKS = {
    "blue": "#0072B2",
    "vermillion": "#C24E00",
    "green": "#007A59",
    "purple": "#A8447F",
    "orange": "#8A5E00",
    "sky": "#1C78AD",
    "grey": "#6E6E6E",
}

# For values with a sign, symmetric about zero: the orange and the blue of the figures that move.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", [COLORS["vermillion"], "white", COLORS["blue"]]
)

# Width and height in inches: narrow enough that letters can still be read on a phone. Equal sizes
# make equal text, and a changed size is easy to test for.
SIZES = {
    "wide": (5.8, 3.2),
    "tall": (5.8, 5.2),
    "square": (4.2, 4.2),
}

# Words stay text in the SVG, so a reader can search them and a screen reader can read them. They
# are measured in DejaVu Sans, which comes with matplotlib; the others are about as wide.
FONTS = ["DejaVu Sans", "Verdana", "Bitstream Vera Sans", "Noto Sans", "Segoe UI", "sans-serif"]

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["grey"],
    "axes.grid": True,
    "axes.labelsize": 11.5,
    "axes.prop_cycle": f"cycler(color={list(COLORS.values())})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",  # opaque, so that a dark page does not swallow black text
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "font.size": 11.5,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "image.cmap": "viridis",
    "legend.fontsize": 11,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "mathtext.fontset": "dejavusans",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "rope_lib",  # fixed, or every run would name its clip paths anew
    "xtick.color": COLORS["grey"],
    "xtick.labelcolor": "black",
    "xtick.labelsize": 10.5,
    "ytick.color": COLORS["grey"],
    "ytick.labelcolor": "black",
    "ytick.labelsize": 10.5,
}

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def use_style() -> None:
    """Set the book's style for all later figures; in a notebook, show figures as SVG.

    The SVG carries no date and no version, and is cut exactly at the figure's size, so that it
    changes only when the figure does. Outside IPython only the style is set.
    """
    matplotlib.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg", bbox_inches=None, metadata=_NO_METADATA)


def figure(
    size: str = "wide", rows: int = 1, columns: int = 1, **subplots_arguments
) -> tuple[Figure, Axes | np.ndarray]:
    """A new figure of one of the book's sizes, and its axes.

    Args:
        size: a name in ``SIZES``: the whole figure's size, however many panels it has.
        rows, columns: panels. One panel gives one ``Axes``, more give an array of them.
        **subplots_arguments: passed on to ``matplotlib.pyplot.subplots`` (``sharex``, ...).

    Raises:
        ValueError: ``size`` is not in ``SIZES``.
    """
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(map(repr, SIZES))}, got {size!r}")
    return plt.subplots(rows, columns, figsize=SIZES[size], **subplots_arguments)


def label_lines(ax: Axes, *, gap: float = 4.0) -> None:
    """Write each line's label at its right end, in the line's hue, in place of a legend.

    Labels that would lie on each other are moved apart, in the order of their lines' ends. Call it
    last, when the scales and limits of ``ax`` are set.

    Args:
        ax: lines without a label, or with one that begins with an underscore, are passed over.
        gap: from the end of a line to its label, in points.
    """
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    ends = [line.get_xydata()[-1] for line in lines]
    heights = [ax.transData.transform(end)[1] for end in ends]
    size = matplotlib.rcParams["legend.fontsize"]
    apart = 1.15 * size * ax.figure.dpi / 72
    for number, height in spread(heights, apart):
        line, end = lines[number], ends[number]
        moved = (height - heights[number]) * 72 / ax.figure.dpi
        ax.annotate(
            line.get_label(), end, (gap, moved), textcoords="offset points", va="center",
            color=ink(line.get_color()), fontsize=size, annotation_clip=False,
        )  # fmt: skip


def ink(color: str) -> str:
    """The colour for words about what is drawn in ``color``; one not of the book is unchanged."""
    named = {code.upper(): INKS[name] for name, code in COLORS.items()}
    return named.get(str(color).upper(), INKS.get(color, color))


def spread(heights: list[float], apart: float) -> list[tuple[int, float]]:
    """From the lowest up: each number in the list and its height, raised where it is too close."""
    placed, last = [], -np.inf
    for number in np.argsort(heights, kind="stable"):
        last = max(heights[number], last + apart)
        placed.append((int(number), last))
    return placed


def draw_clock(ax: Axes) -> None:
    """Turn ``ax`` into a clock face: the unit circle, equal scales, no frame."""
    turn = np.linspace(0.0, 2.0 * np.pi, 181)
    ax.plot(np.cos(turn), np.sin(turn), color=COLORS["grey"], linewidth=1.0, zorder=1)
    ax.plot([0.0], [0.0], "o", color=COLORS["grey"], markersize=3, zorder=1)
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    ax.axis("off")


def draw_arc(ax: Axes, radius: float, angle: float, *, color: str, linewidth: float) -> None:
    """Draw an arc around the origin, from the x axis counter-clockwise, at most once round.

    Args:
        ax: with equal scales.
        angle: in radians.
        color: any that matplotlib knows.
        linewidth: in points.
    """
    turns = np.linspace(0.0, min(angle, 2.0 * np.pi), 2 + int(min(angle, 6.3) * 8))
    x, y = radius * np.cos(turns), radius * np.sin(turns)
    ax.plot(x, y, color=color, linewidth=linewidth, solid_capstyle="butt")


def draw_hand(
    ax: Axes, angle: float, *, color: str = "blue", label: str = "", length: float = 1.0
) -> None:
    """Draw one hand on a clock face.

    Args:
        ax: usually one that ``draw_clock`` has prepared.
        angle: in radians, counter-clockwise from the positive x axis.
        color: a name in ``COLORS``.
        label: set just beyond the tip, usually a symbol such as ``"$q$"``.
        length: of the hand; the clock's radius is 1.

    Raises:
        ValueError: ``color`` is not in ``COLORS``.
    """
    if color not in COLORS:
        raise ValueError(f"color must be one of {', '.join(map(repr, COLORS))}, got {color!r}")
    direction = np.array([np.cos(angle), np.sin(angle)])
    arrow = {"arrowstyle": "-|>", "color": COLORS[color], "linewidth": 2.0, "shrinkA": 0.0,
             "shrinkB": 0.0}  # fmt: skip
    ax.annotate("", xy=tuple(length * direction), xytext=(0.0, 0.0), arrowprops=arrow)
    x, y = (length + 0.15) * direction
    ax.text(x, y, label, color=INKS[color], ha="center", va="center")
