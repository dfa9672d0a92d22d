"""The figures that move: what Python writes, and what a real browser makes of it."""

import html
import json
import math
import re
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import unquote

import numpy as np
import pytest

from rope_lib import inverse_frequencies
from rope_lib.course import interactive, reference
from rope_lib.course.elements import clock, hands
from rope_lib.course.elements.figure import fixed, short

TURNS = [
    {},
    {"query": (0.3, 0.4), "key": (-1.0, 0.5), "theta": 1.0, "m": 30, "n": 0},
    {"query": (3, 4), "key": (4, 3), "theta": math.radians(15), "m": 7, "n": 7},
    {"query": (3, 1), "key": (1, 3), "theta": math.radians(15), "m": 2, "n": 11},
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
        f"m = {m + shift}, n = {n + shift}, distance m - n = {m - n}; "
        f"angle between the hands {half_up(angle, 1)}°, score {half_up(score, 3)}"
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
    assert len(output.encode()) <= 20_000
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


def test_three_digits_that_count_are_written_as_the_browser_writes_them(show):
    numbers = [1.0, 0.316227766, 0.0316227766, 0.001, 0.00099951, 3.1622776e-4, 1.65e-7, 9.995]
    numbers += [6.2831853, 99.95, 628.3185, 1986.918, 99_950.0, 999_499.0, 999_500.0, 6.28e7]
    page = show(interactive.clock())
    written = page.evaluate("numbers => numbers.map(RopeFigure.short)", numbers)
    assert [short(number) for number in numbers] == written
    assert written[:6] == ["1", "0.316", "0.0316", "0.001", "0.001", "3.16×10⁻⁴"]
    assert written[-2:] == ["1×10⁶", "6.28×10⁷"]


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
        (ValueError, "n", 31),
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
    # Each hand twice: faint where it starts, and as it is turned.
    hands = "rope-clock path.{0}.first, rope-clock path.{0}.hand"
    drawn = [page.locator(hands.format(name)).evaluate_all(
        "paths => paths.map(path => path.getAttribute('d'))") for name in "qk"]  # fmt: skip
    still = re.findall("d='(M0 0L[^']*)'", figure.picture)
    assert len(still) == 4
    coordinates = [
        list(map(float, re.findall(r"-?[\d.]+", path))) for path in (*drawn[0], *drawn[1], *still)
    ]
    np.testing.assert_allclose(coordinates[:4], coordinates[4:], atol=0.11)


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


def test_a_slider_leaves_the_others_and_a_query_may_stand_before_its_key(show):
    figure = interactive.clock(m=7, n=4)
    page = show(figure)
    moves = [("m", "Home", [0, 4, 0]), ("n", "ArrowRight", [0, 5, 0])]
    moves += [("m", "ArrowRight", [1, 5, 0]), ("n", "End", [1, 30, 0])]
    for name, key, wanted in moves:
        slider(page, name).press(key)
        assert positions(page) == wanted
        assert reading(page) == expected(figure, *wanted)


@pytest.mark.parametrize("turn", TURNS)
def test_the_dot_stands_on_the_curve_at_the_distance(show, turn):
    """The dot is the score on an axis from minus to plus the product of the lengths."""
    figure = interactive.clock(**turn)
    page = show(figure)
    most = math.hypot(*figure.config["query"]) * math.hypot(*figure.config["key"])
    for key in ("Home", "ArrowRight", "ArrowRight"):
        slider(page, "n").press(key)
        m, n, _ = positions(page)
        dot = page.locator("rope-clock circle.score")
        x, y = (float(dot.get_attribute(each)) for each in ("cx", "cy"))
        path = page.locator("rope-clock path.score").get_attribute("d")
        curve = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), dtype=float)
        assert y == pytest.approx(np.interp(x, *curve.T), abs=1.0)
        left, right = curve[[0, -1], 0]
        assert (x - left) / (right - left) == pytest.approx((m - n + 30) / 60, abs=0.002)
        (zero,) = page.locator("rope-clock text", has_text=re.compile("^0$")).evaluate_all(
            "all => all.filter(each => each.matches('.end'))"
            ".map(each => each.y.baseVal[0].value)")  # fmt: skip
        half = (curve[:, 1].max() - curve[:, 1].min()) / 2
        score = float(re.search(r"score (\S+)", reading(page))[1].replace("\u2212", "-"))
        assert (zero - 4 - y) / half == pytest.approx(score / most, abs=0.03)


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
    assert reading(page, 1) == expected(figures[1], 30, 3)


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
    assert reading(page) == expected(figure, 1, 3)


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
        hand = page.locator(f"rope-clock path.{name}.hand")
        text = hand.evaluate("e => getComputedStyle(e).stroke")
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
    assert 373 < picture.bounding_box()["width"] <= 374  # all there is between the page's margins


# ---------------------------------------------------------------- a whole head of hands


def expected_hands(pairs: int, distance: int, base: int, precision: int) -> str:
    """Counted from the definition of the frequencies: a candidate fits a hand if it is that "
    "near."""
    thetas = [base ** (-i / pairs) for i in range(pairs)]
    near = math.radians(precision)
    gone = sum(distance * theta >= 2 * math.pi for theta in thetas)
    still = sum(distance * theta < near for theta in thetas)
    every = np.arange(1, 100_001)
    off = [(((every - distance) * t + math.pi) % (2 * math.pi)) - math.pi for t in thetas]
    fits = np.abs(off) <= near
    left = every[fits.all(axis=0)]
    which = ", ".join(f"{each:,}" for each in left[:4]) + (", …" if len(left) > 4 else "")
    return (
        f"distance {distance:,}, base {base:,}, angles equal within ±{precision}°. Pairs that have "
        f"completed a full turn (dashed): {gone}, in their first turn (solid): "
        f"{pairs - gone - still}, hardly rotated (grey): {still}. "
        f"The best pair alone leaves {fits.sum(axis=1).min():,} of 100,000 distances possible; "
        f"all together leave {len(left):,}:\u00a0{which}"
    )


HEADS = [
    {},
    {"pairs": 3, "distance": 1000, "base": 500_000, "precision": 30},
    {"pairs": 32, "distance": 100_000, "precision": 60},
]


@pytest.mark.parametrize("head", HEADS)
def test_the_first_reading_of_the_hands_is_the_reference(head):
    figure = interactive.hands(**head)
    known = {"pairs": 8, "distance": 50, "base": 10_000, "precision": 15} | head
    assert figure.readout == expected_hands(**known)
    output = figure._repr_html_()
    assert output == interactive.hands(**head)._repr_html_()
    assert len(output.encode()) <= 37_000
    assert output.count("http") == output.count("xmlns='http")


@pytest.mark.parametrize("head", HEADS[:2])
def test_the_hands_follow_keyboard_mouse_and_finger(show, head):
    figure = interactive.hands(**head)
    pairs = figure.config["pairs"]
    for touch in (False, True):
        page = show(figure, has_touch=touch)
        live = page.locator("rope-hands [aria-live=polite]")
        assert live.inner_text() == figure.readout
        controls = ("distance", "base", "precision")
        inputs = {n: page.locator(f"rope-hands input[name={n}]") for n in controls}

        def now(inputs=inputs):
            known = dict(zip(inputs, (hands.DISTANCES, hands.BASES, hands.PRECISIONS), strict=True))
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
        assert page.locator("rope-hands .near").count() == pairs


def test_the_hands_have_names_and_a_still_picture(show):
    figure, words = interactive.hands(), hands.WORDS
    page = show(figure)
    for name in ("distance", "base", "precision"):
        assert page.get_by_label(words[name], exact=True).get_attribute("name") == name
    assert page.get_by_role("img", name=words["picture"]).count() == 1
    still = show(figure, java_script_enabled=False)
    assert still.get_by_text(figure.readout).is_visible()
    assert still.get_by_role("img", name=words["picture"]).bounding_box()["width"] > 300


def test_words_of_the_hands_are_text_and_not_markup(show):
    page = show(interactive.hands(words={"together": "<i>x</i> & y", "base": "<b>z</b>"}))
    assert "<i>x</i> & y" in page.locator("rope-hands text").all_text_contents()
    assert page.get_by_label("<b>z</b>").count() == 1


def test_both_figures_on_one_page_share_what_they_can(show):
    page = show(interactive.clock(), interactive.hands())
    page.locator("rope-hands input[name=distance]").press("End")
    assert reading(page) == interactive.clock().readout
    live = page.locator("rope-hands [aria-live=polite]").inner_text()
    assert live == expected_hands(8, hands.DISTANCES[-1], 10_000, 15)


def test_all_pairs_together_leave_one_distance_where_each_leaves_thousands():
    thetas = inverse_frequencies(16).numpy()
    alone, left = hands.fitting(thetas, 50, math.radians(15))
    assert min(alone) > 8000
    assert left == [50]
    assert hands.fitting(thetas[:3], 50, math.radians(15))[1][:3] != [50]  # fewer leave more


def test_each_dial_says_which_pair_it_is_how_fast_and_how_long(show):
    page = show(interactive.hands(4, base=500_000))
    texts = page.locator("rope-hands text").all_text_contents()
    for i in range(4):
        theta = 500_000 ** (-i / 4)
        said = [texts.index(f"i = {i}") + 1, texts.index(f"i = {i}") + 2]
        for place, name, wanted in zip(said, "θλ", (theta, 2 * math.pi / theta), strict=True):
            assert texts[place].startswith(f"{name} ")
            number = texts[place][2:].replace(",", "").replace("×10", "e")
            number = number.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
            assert float(number) == pytest.approx(wanted, rel=0.005)
    still = show(interactive.hands(4, base=500_000), java_script_enabled=False)
    source = still.get_by_role("img").get_attribute("src")
    written = re.findall(">([^<]+)</text>", unquote(source))
    assert set(written) == set(texts)


@pytest.mark.parametrize(
    ("error", "argument", "value"),
    [
        (ValueError, "pairs", 33), (ValueError, "pairs", 0), (TypeError, "pairs", 2.5),
        (ValueError, "distance", 3), (ValueError, "base", 12), (ValueError, "precision", 4),
        (TypeError, "words", 3),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_the_hands_is_named(error, argument, value):
    with pytest.raises(error, match=f"^{argument}"):
        interactive.hands(**{argument: value})
