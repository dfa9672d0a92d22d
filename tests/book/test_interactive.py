"""The figures that move: what Python writes, and what a real browser makes of it."""

import html
import json
import math
import re
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from rope_lib.course import interactive, reference
from rope_lib.course.elements import clock, hands
from rope_lib.course.elements.figure import fixed

TURNS = [
    {},
    {"query": (0.3, 0.4), "key": (-1.0, 0.5), "theta": 1.0, "m": 0, "n": 30},
    {"query": (3, 4), "key": (4, 3), "theta": math.radians(15), "m": 7, "n": 7},
]


def expected(figure, m: int, n: int, shift: int = 0) -> str:
    """The reading, computed with the slow specification. One pair turns by 1 radian a position."""
    config = figure.config
    turned = [
        reference.rotation_matrix((position + shift) * config["theta"], 2, pairing="interleaved")
        @ np.array(config[name])
        for name, position in (("query", m), ("key", n))
    ]
    score = float(turned[0] @ turned[1])
    lengths = math.hypot(*config["query"]) * math.hypot(*config["key"])
    angle = math.degrees(math.acos(max(-1.0, min(1.0, score / lengths))))
    return (
        f"m = {m + shift}, n = {n + shift}, m - n = {m - n}; "
        f"angle between the hands {half_up(angle, 1)}°, score q·k = {half_up(score, 3)}"
    ).replace("-", "\u2212")


def half_up(number: float, digits: int) -> str:
    text = str(Decimal(number).quantize(Decimal(f"1e-{digits}"), ROUND_HALF_UP))
    return text.lstrip("-") if float(text) == 0 else text


# ---------------------------------------------------------------- what Python writes


@pytest.mark.parametrize("turn", TURNS)
def test_the_first_reading_is_the_reference(turn):
    figure = interactive.clock(**turn)
    reading = expected(figure, figure.config["m"], figure.config["n"])
    assert figure.readout == reading
    assert f"<p>{reading}</p>" in figure._repr_html_()
    assert repr(figure) == f"<clock: {reading}>"


@pytest.mark.parametrize("turn", TURNS)
def test_the_output_is_small_and_the_same_every_time(turn):
    output = interactive.clock(**turn)._repr_html_()
    assert output == interactive.clock(**turn)._repr_html_()
    assert len(output.encode()) <= 10_000
    assert "http" not in re.sub(r"xmlns='[^']*'", "", output)


def test_words_can_be_replaced_and_are_escaped():
    words = {"m": '<b>"m"</b>', "readout": "{score} & {angle}"}
    figure = interactive.clock(words=words)
    output = figure._repr_html_()
    assert "<b>&quot;" not in output
    assert "<p>0.866 &amp; 30.0</p>" in output
    config = json.loads(html.unescape(re.search('data-config="([^"]*)"', output)[1]))
    assert config["words"] == clock.WORDS | words


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [(0.0625, 3, "0.063"), (-0.0625, 3, "\u22120.063"), (-0.0001, 3, "0.000"), (-2, 0, "\u22122")],
)
def test_numbers_are_rounded_as_a_browser_rounds(number, digits, text):
    assert fixed(number, digits) == text


@pytest.mark.parametrize(
    ("error", "argument", "value"),
    [
        (TypeError, "query", 3),
        (TypeError, "query", "ab"),
        (TypeError, "key", (1, None)),
        (ValueError, "key", (0, 0)),
        (ValueError, "key", (math.nan, 1)),
        (ValueError, "query", (1, 2, 3)),
        (ValueError, "query", (math.inf, 1)),
        (ValueError, "theta", 0),
        (ValueError, "theta", math.nan),
        (TypeError, "theta", "15"),
        (TypeError, "m", 1.5),
        (TypeError, "m", True),
        (ValueError, "m", 31),
        (ValueError, "n", -1),
        (ValueError, "positions", 0),
        (TypeError, "shifts", 2.0),
        (TypeError, "words", "m"),
        (ValueError, "words", {"M": "m"}),
        (TypeError, "words", {"m": 1}),
    ],
)
def test_a_wrong_argument_is_named(error, argument, value):
    with pytest.raises(error, match=f"^{argument}"):
        interactive.clock(**{argument: value})


# ---------------------------------------------------------------- what a browser makes of it


def slider(page, name, which=0):
    return page.locator("rope-clock").nth(which).locator(f"input[name={name}]")


def positions(page, which=0):
    return [int(slider(page, name, which).input_value()) for name in ("m", "n", "shift")]


def reading(page, which=0):
    return page.locator("rope-clock").nth(which).locator("[aria-live=polite]").inner_text()


@pytest.mark.parametrize("turn", TURNS)
def test_the_live_figure_starts_as_the_still_one(show, turn):
    figure = interactive.clock(**turn)
    page = show(figure)
    assert reading(page) == figure.readout
    drawn = page.locator("rope-clock path.q, rope-clock path.k").evaluate_all(
        "paths => paths.map(path => path.getAttribute('d'))"
    )
    still = re.findall("d='(M0 0L[^']*)'", figure.picture)
    coordinates = [list(map(float, re.findall(r"-?[\d.]+", path))) for path in drawn + still]
    np.testing.assert_allclose(coordinates[:2], coordinates[2:], atol=0.11)


@pytest.mark.parametrize("turn", TURNS)
def test_every_slider_moves_by_keyboard(show, turn):
    figure = interactive.clock(**turn)
    page = show(figure)
    for name in ("m", "n", "shift"):
        assert page.locator(f"rope-clock input[name={name}]").count() == 1
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "PageUp"):
            before = positions(page)
            slider(page, name).press(key)
            assert reading(page) == expected(figure, *positions(page))
        assert positions(page) != before


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_every_slider_moves_by_mouse_and_by_finger(show, touch):
    figure = interactive.clock(**TURNS[1])
    page = show(figure, has_touch=touch)
    for name in ("m", "n", "shift"):
        for part in (0.9, 0.3, 0.6):  # a click on the thumb itself would not move it
            box, before = slider(page, name).bounding_box(), positions(page)
            assert box["height"] >= 24
            point = box["x"] + part * box["width"], box["y"] + box["height"] / 2
            page.touchscreen.tap(*point) if touch else page.mouse.click(*point)
            assert positions(page) != before
            assert reading(page) == expected(figure, *positions(page))


def test_shifting_both_changes_neither_angle_nor_score(show):
    page = show(interactive.clock(query=(0.3, 0.4), key=(1, 0.5), theta=1.0))
    before = reading(page).split(";")[1]
    for key in ("ArrowRight", "End", "PageDown"):
        slider(page, "shift").press(key)
        assert positions(page)[2] > 0
        assert reading(page).split(";")[1] == before


def test_the_labels_name_the_sliders_and_the_picture(show):
    page = show(interactive.clock())
    for name in ("m", "n", "shift"):
        assert page.get_by_label(clock.WORDS[name]).get_attribute("name") == name
    assert page.get_by_role("img", name=clock.WORDS["picture"]).count() == 1


def test_two_on_one_page_do_not_disturb_each_other(show):
    figures = interactive.clock(), interactive.clock(theta=1.0, m=4)
    page = show(*figures)
    slider(page, "m", which=1).press("End")
    assert reading(page, 0) == figures[0].readout
    assert reading(page, 1) == expected(figures[1], 30, 5)


def test_a_notebook_around_it_gets_neither_focus_nor_arrow_keys(show):
    """JupyterLab moves the focus to the cell and uses the arrow keys to walk through cells."""
    cell = """<script>
    for (const type of ["mousedown", "focusin"])
      document.addEventListener(type, () => setTimeout(() => document.activeElement.blur()));
    document.addEventListener("keydown", (event) => event.preventDefault());
    </script>"""
    figure = interactive.clock()
    page = show(figure, body=cell)
    slider(page, "m").click()
    page.wait_for_timeout(100)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert reading(page) == expected(figure, 1, 5)


def test_words_are_text_and_not_markup(show):
    page = show(interactive.clock(words={"shift": "<i>x</i>", "readout": "<u>{score}</u>"}))
    assert page.get_by_label("<i>x</i>").count() == 1
    assert reading(page) == "<u>0.866</u>"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_hands_stand_out_from_the_page(show, scheme):
    colors = "<style>body{background:#fff;color:#222}</style>"
    if scheme == "dark":
        colors = "<style>body{background:#121212;color:#ced6dd}</style>"
    page = show(interactive.clock(), body=colors)
    paper = 1.0 if scheme == "light" else luminance([0x12 / 255] * 3)
    for name in ("q", "k"):
        text = page.locator(f"rope-clock path.{name}").evaluate("e => getComputedStyle(e).stroke")
        numbers = [float(number) for number in re.findall(r"[\d.]+", text)[:3]]
        scale = 1 if text.startswith("color(srgb") else 255
        bright, dim = sorted([paper, luminance([c / scale for c in numbers])], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, text)


def luminance(rgb: list[float]) -> float:
    """WCAG's relative luminance of an sRGB colour, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_without_scripts_a_picture_and_the_numbers_remain(show):
    figure = interactive.clock()
    page = show(figure, java_script_enabled=False)
    assert page.get_by_text(figure.readout).is_visible()
    picture = page.get_by_role("img", name=clock.WORDS["picture"])
    assert picture.bounding_box()["width"] == 320


# ---------------------------------------------------------------- a whole head of hands


def expected_hands(pairs: int, distance: int, base: int) -> str:
    """Counted from the definition of the frequencies."""
    angles = [distance * base ** (-i / pairs) for i in range(pairs)]
    gone = sum(angle >= 2 * math.pi for angle in angles)
    still = sum(angle < math.radians(5) for angle in angles)
    return (
        f"distance {distance:,}, base {base:,}: {gone} hands have gone round at least once, "
        f"{pairs - gone - still} tell it, {still} have hardly moved"
    )


HEADS = [{}, {"pairs": 5, "distance": 1000, "base": 500_000}, {"pairs": 32, "distance": 100_000}]


@pytest.mark.parametrize("head", HEADS)
def test_the_first_reading_of_the_hands_is_the_reference(head):
    figure = interactive.hands(**head)
    known = {"pairs": 8, "distance": 1, "base": 10_000} | head
    assert figure.readout == expected_hands(**known)
    output = figure._repr_html_()
    assert output == interactive.hands(**head)._repr_html_()
    assert len(output.encode()) <= 18_000
    assert output.count("http") == output.count("xmlns='http")


@pytest.mark.parametrize("head", HEADS[:2])
def test_the_hands_follow_keyboard_mouse_and_finger(show, head):
    figure = interactive.hands(**head)
    pairs = figure.config["pairs"]
    for touch in (False, True):
        page = show(figure, has_touch=touch)
        live = page.locator("rope-hands [aria-live=polite]")
        assert live.inner_text() == figure.readout
        inputs = {n: page.locator(f"rope-hands input[name={n}]") for n in ("distance", "base")}

        def now(inputs=inputs):
            known = {"distance": hands.DISTANCES, "base": hands.BASES}
            return {name: known[name][int(each.input_value())] for name, each in inputs.items()}

        for each in inputs.values():
            box = each.bounding_box()
            assert box["height"] >= 24
            for part in (0.9, 0.1, 0.5):
                point = box["x"] + part * box["width"], box["y"] + box["height"] / 2
                before = now()
                page.touchscreen.tap(*point) if touch else page.mouse.click(*point)
                assert now() != before
                assert live.inner_text() == expected_hands(pairs, **now())
            for key in ("Home", "ArrowRight", "ArrowRight", "End"):
                each.press(key)
                assert live.inner_text() == expected_hands(pairs, **now())
        assert page.locator("rope-hands g").count() == pairs


def test_the_hands_have_names_and_a_still_picture(show):
    figure, words = interactive.hands(), hands.WORDS
    page = show(figure)
    for name in ("distance", "base"):
        assert page.get_by_label(words[name]).get_attribute("name") == name
    assert page.get_by_role("img", name=words["picture"]).count() == 1
    still = show(figure, java_script_enabled=False)
    assert still.get_by_text(figure.readout).is_visible()
    assert still.get_by_role("img", name=words["picture"]).bounding_box()["width"] > 300


def test_words_of_the_hands_are_text_and_not_markup(show):
    page = show(interactive.hands(words={"tells": "<i>x</i> & y", "base": "<b>z</b>"}))
    assert page.locator("rope-hands text").first.text_content() == "<i>x</i> & y"
    assert page.get_by_label("<b>z</b>").count() == 1


def test_both_figures_on_one_page_share_what_they_can(show):
    page = show(interactive.clock(), interactive.hands())
    page.locator("rope-hands input[name=distance]").press("End")
    assert reading(page) == interactive.clock().readout
    live = page.locator("rope-hands [aria-live=polite]").inner_text()
    assert live == expected_hands(8, hands.DISTANCES[-1], 10_000)


@pytest.mark.parametrize(
    ("error", "argument", "value"),
    [
        (ValueError, "pairs", 33), (ValueError, "pairs", 0), (TypeError, "pairs", 2.5),
        (ValueError, "distance", 3), (ValueError, "base", 12), (TypeError, "words", 3),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_the_hands_is_named(error, argument, value):
    with pytest.raises(error, match=f"^{argument}"):
        interactive.hands(**{argument: value})
