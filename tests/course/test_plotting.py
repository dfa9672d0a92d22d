"""The figure style: fixed sizes and colours, and the same bytes every time."""

import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from rope_lib.course import plotting

pytestmark = pytest.mark.usefixtures("book_style")


def svg(fig) -> str:
    file = io.StringIO()
    fig.savefig(file, format="svg", metadata=plotting._NO_METADATA)
    return file.getvalue()


def draw():
    fig, ax = plotting.figure("square")
    plotting.draw_clock(ax)
    plotting.draw_hand(ax, 0.7, label="$q$")
    return fig


@pytest.mark.parametrize("size", plotting.SIZES)
def test_a_figure_has_the_size_of_its_name(size):
    fig, ax = plotting.figure(size)
    assert tuple(fig.get_size_inches()) == plotting.SIZES[size]
    assert isinstance(ax, matplotlib.axes.Axes)
    width, height = (72 * inches for inches in plotting.SIZES[size])
    assert f'viewBox="0 0 {width:g} {height:g}"' in svg(fig)


def test_panels_share_the_figure():
    fig, axes = plotting.figure("wide", 1, 2, sharey=True)
    assert axes.shape == (2,)
    assert axes[0].get_shared_y_axes().joined(*axes)
    assert tuple(fig.get_size_inches()) == plotting.SIZES["wide"]


def test_an_unknown_size_is_named():
    with pytest.raises(ValueError, match=r"size must be one of 'wide', .*, got 'huge'"):
        plotting.figure("huge")


def test_the_same_figure_gives_the_same_bytes():
    assert svg(draw()) == svg(draw())


def test_a_figure_says_neither_when_nor_by_what_it_was_made():
    text = svg(draw())
    assert "<metadata>" not in text
    assert matplotlib.__version__ not in text


def test_the_background_is_opaque_and_letters_are_text_in_fonts_of_every_system():
    text = svg(draw())
    assert "fill: #ffffff" in text
    assert ">q</tspan>" in text
    _, ax = plotting.figure()
    ax.set(xlabel="distance, tokens")
    (style,) = re.findall(r'<text style="([^"]*)"[^>]*>distance, tokens<', svg(ax.figure))
    assert all(f"'{font}'" in style for font in plotting.FONTS[:-1])
    assert "sans-serif" in style


def test_labels_stand_at_the_ends_of_their_lines_and_apart():
    fig, ax = plotting.figure()
    ends = {"rises": 1.0, "as well": 1.0, "falls": -1.0}
    for label, end in ends.items():
        ax.plot([0, 1], [0, end], label=label)
    ax.plot([0, 1], [0, 0.5], label="_unnamed")
    plotting.label_lines(ax)
    fig.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert boxes.keys() == ends.keys()
    assert boxes["falls"].y1 < boxes["rises"].y0
    assert boxes["rises"].y1 <= boxes["as well"].y0
    right = ax.transData.transform((1, 0))[0]
    assert all(right < box.x0 < right + 10 for box in boxes.values())
    assert [text.get_color() for text in ax.texts] == [
        plotting.INKS["green"], plotting.INKS["blue"], plotting.INKS["vermillion"],
    ]  # fmt: skip


def test_lines_take_the_book_s_colors_in_order():
    _, ax = plotting.figure()
    drawn = [ax.plot([0, 1])[0].get_color() for _ in plotting.COLORS]
    assert drawn == list(plotting.COLORS.values())


@pytest.mark.parametrize("angle", [0.0, 0.5 * np.pi, np.pi, 4.0])
def test_a_hand_points_counter_clockwise_from_the_x_axis(angle):
    _, ax = plotting.figure("square")
    plotting.draw_clock(ax)
    plotting.draw_hand(ax, angle, length=0.8, color="green", label="$k$")
    hand, label = ax.texts
    assert np.allclose(np.hypot(*label.get_position()), 0.95)  # beyond the tip
    assert label.get_color() == plotting.INKS["green"]
    assert np.allclose(hand.xy, (0.8 * np.cos(angle), 0.8 * np.sin(angle)))
    assert np.allclose(np.arctan2(*label.get_position()[::-1]) % (2 * np.pi), angle)
    assert label.get_text() == "$k$"
    assert ax.get_aspect() == 1.0
    assert not ax.axison
    face = ax.lines[0].get_xydata()
    assert np.allclose(face[0], face[-1])
    assert np.allclose([face.min(axis=0), face.max(axis=0)], [[-1, -1], [1, 1]])


@pytest.mark.parametrize(("angle", "end"), [(np.pi / 2, (0, 2)), (np.pi, (-2, 0)), (99.0, (2, 0))])
def test_an_arc_begins_at_the_x_axis_and_ends_at_its_angle(angle, end):
    _, ax = plotting.figure("square")
    plotting.draw_arc(ax, 2.0, angle, color="black", linewidth=3)
    points = ax.lines[0].get_xydata()
    assert np.allclose(points[0], (2, 0))
    assert np.allclose(points[-1], end)
    assert np.allclose(np.hypot(*points.T), 2)


def test_an_unknown_color_of_a_hand_is_named():
    _, ax = plotting.figure("square")
    with pytest.raises(ValueError, match=r"color must be one of 'blue', .*, got 'red'"):
        plotting.draw_hand(ax, 0.0, color="red")


def test_in_ipython_figures_are_svg_cut_at_their_size():
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
from rope_lib.course import plotting
plotting.use_style()
fig, ax = plotting.figure("wide")
ax.set_ylabel("$s$")
print(shell.display_formatter.format(fig, include=["image/svg+xml", "image/png"])[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "image/png" not in done.stdout
    assert 'viewBox="0 0 417.6 230.4"' in done.stdout
    assert "<metadata>" not in done.stdout


def test_without_ipython_the_style_is_still_set():
    code = """
import sys
sys.modules["IPython"] = sys.modules["matplotlib_inline"] = None
from rope_lib.course import plotting
plotting.use_style()
import matplotlib
assert matplotlib.rcParams["svg.hashsalt"] == "rope_lib"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def contrast_with_white(color: str) -> float:
    """The ratio of luminances of WCAG 2."""
    channels = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


@pytest.mark.parametrize("name", plotting.COLORS)
def test_words_in_a_colour_can_be_read_on_white(name):
    assert contrast_with_white(plotting.ink(name)) >= 4.5
    assert plotting.ink(plotting.COLORS[name].lower()) == plotting.INKS[name]


def test_a_colour_that_is_not_the_books_stays():
    assert plotting.ink("black") == "black"
