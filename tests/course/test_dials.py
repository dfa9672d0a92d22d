"""Drawings of pairs on dials: what they return and write is what the rotation gives."""

import math

import numpy as np
import pytest
from matplotlib.patches import Rectangle, Wedge

from rope_lib.course import dials, plotting, reference

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture
def ax():
    return plotting.figure("square")[1]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def arrows(ax):
    """Where the arrows of a dial end, as complex numbers."""
    return [complex(*text.xy) for text in ax.texts if getattr(text, "arrow_patch", None)]


def test_a_share_is_that_of_the_reference(ax):
    query, key = np.array([0.9, 0.3]), np.array([-0.4, 0.8])
    turned = reference.scores([key, query], [key, query], [7, 12], pairing="interleaved")
    share = dials.draw_dial(ax, query, key, (12.0, 7.0))
    assert share == pytest.approx(np.array(turned)[1, 0])


def test_a_turn_is_counter_clockwise_and_the_longer_hand_reaches_the_rim(ax):
    dials.draw_dial(ax, (2.0, 0.0), (0.0, 1.0), (math.pi / 2, math.pi / 2))
    assert arrows(ax) == pytest.approx([1j, -0.5])
    thin = [line.get_xydata()[-1] for line in ax.lines[-2:]]
    np.testing.assert_allclose(thin, [[1.0, 0.0], [0.0, 0.5]])


def test_dials_share_a_scale(ax):
    dials.draw_dial(ax, (1.0, 0.0), (0.0, 1.0), longest=4.0)
    assert [abs(end) for end in arrows(ax)] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("turns", [(0.0, 0.0), (3.0, 3.0), (-1.0, 5.0)])
def test_letters_of_close_hands_keep_apart(ax, turns):
    dials.draw_dial(ax, (1.0, 0.05), (1.0, 0.0), turns)
    q, k = (
        next(complex(*text.get_position()) for text in ax.texts if text.get_text() == name)
        for name in ("$q$", "$k$")
    )
    assert abs(q - k) > 0.25


@pytest.mark.parametrize(
    ("query", "key", "angle"),
    [(1, 1j, -90), (1j, 1, 90), (-1, 1, 180), (1 + 1j, 1, 45), (1, -1 + 0.1j, -174.3)],
)
def test_an_angle_goes_from_the_key_to_the_query(query, key, angle):
    assert math.degrees(dials.signed_angle(query, key)) == pytest.approx(angle, abs=0.05)


@pytest.mark.parametrize(("query", "key"), [((0.0, 1.0), (1.0, 0.0)), ((1.0, 0.0), (0.0, 1.0))])
def test_a_wedge_lies_between_the_hands_and_says_how_wide_it_is(ax, query, key):
    dials.draw_dial(ax, query, key, wedge=True)
    (wedge,) = [patch for patch in ax.patches if isinstance(patch, Wedge)]
    assert (wedge.theta1, wedge.theta2) == pytest.approx((0.0, 90.0))
    assert "90°" in texts(ax)


def test_vectors_are_written_and_framed_in_pairs(ax):
    dials.draw_vectors(ax, {"q": [0.1, -0.25, 3.0, 0.0], "k": [1.0, 2.0, 3.0, 4.0]})
    assert texts(ax)[:5] == ["$q$", "0.1", "−0.2", "3.0", "0.0"]
    assert len([patch for patch in ax.patches if isinstance(patch, Rectangle)]) == 4


def test_a_head_is_the_sum_of_its_dials():
    fig, _ = plotting.figure("tall")
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(2, 6))
    frequencies = [10_000 ** (-i / 3) for i in range(3)]
    drawn = dials.draw_head(fig, query, key, frequencies, 9, 4)
    scores = reference.scores(
        np.stack([key, query]), np.stack([key, query]), [4, 9], pairing="interleaved"
    )
    assert sum(drawn) == pytest.approx(scores[1, 0])
    (sentence,) = [ax.get_title("left") for ax in fig.axes if "score" in ax.get_title("left")]
    assert sentence.endswith(f"the score, {sum(drawn):.2f}".replace("-", "−"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda ax: dials.draw_dial(ax, (1.0, 0.0, 0.0), (1.0, 0.0)), "query must be two numbers"),
        (lambda ax: dials.draw_dial(ax, (1.0, 0.0), (0.0, 0.0)), "key must have a length above 0"),
        (lambda ax: dials.draw_dial(ax, (3, 4), (1, 0), longest=4.0), "longest must be at least 5"),
        (lambda ax: dials.draw_vectors(ax, {}), "one even length"),
        (lambda ax: dials.draw_vectors(ax, {"q": [1.0, 2.0, 3.0]}), "one even length"),
        (lambda ax: dials.draw_vectors(ax, {"q": [1, 2], "k": [1, 2, 3, 4]}), "one even length"),
        (lambda ax: dials.draw_head(ax.figure, [1, 2], [1, 2], [1, 0.1], 1, 0), "two numbers for"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named(ax, call, said):
    with pytest.raises(ValueError, match=said):
        call(ax)
