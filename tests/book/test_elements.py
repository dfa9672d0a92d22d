"""Every figure that moves: each control, each reading, in a real browser, beside rope_lib's own."""

import html
import itertools
import math
import re

import numpy as np
import pytest
import torch

from rope_lib import inverse_frequencies, permute_projection
from rope_lib.course import interactive, reference, results
from rope_lib.course.decay import bound_factor
from rope_lib.course.elements import decay, grid, hands, pairings, scalings, word_order
from rope_lib.course.elements.shift import SHIFTS

QUERY, KEY = torch.randn(2, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def choose_word_order(**chosen):
    return interactive.word_order(**chosen)


def choose_decay(key="same", **chosen):
    return interactive.decay(QUERY, KEY, choice=key, **chosen)


# For each element: how Python makes it, and what each of its controls can say.
FIGURES = {
    "clock": (interactive.clock, {"m": range(31), "n": range(31)}),
    "hands": (
        interactive.hands,
        {"distance": hands.DISTANCES, "base": hands.BASES, "precision": hands.PRECISIONS},
    ),
    "word-order": (choose_word_order, {"mode": word_order.MODES}),
    "shift": (interactive.shift, {"shift": range(SHIFTS + 1)}),
    "decay": (
        choose_decay,
        {"key": decay.KEYS, "distance": range(1001), "base": hands.BASES},
    ),
    "scalings": (
        interactive.scalings,
        {"method": scalings.METHODS, "factor": scalings.FACTORS},
    ),
    "heads": (interactive.heads, {"layer": range(30), "head": range(9)}),
    "grid": (
        interactive.grid,
        {"kind": grid.KINDS, "row": range(15), "column": range(15)},
    ),
    "pairings": (
        interactive.pairings,
        {"pairing": pairings.PAIRINGS, "rows": pairings.ROWS, "distance": range(31)},
    ),
}
NAMES = list(FIGURES)


def reading(page, name):
    return page.locator(f"rope-{name} [aria-live=polite]").inner_text()


def chosen(page, name):
    """What the controls of a figure say now, as Python would be told."""
    values = {}
    for control, known in FIGURES[name][1].items():
        said = page.locator(f"rope-{name} [name={control}]").input_value()
        values[control] = said if said in known else known[int(said)]
    return values


def agrees(page, name):
    """The page says what rope_lib computes for the same settings."""
    assert reading(page, name) == FIGURES[name][0](**chosen(page, name)).readout


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_the_same_every_time_and_asks_for_nothing(name):
    make = FIGURES[name][0]
    output = make()._repr_html_()
    assert output == make()._repr_html_()
    assert output.count("http") == output.count("xmlns='http")
    assert len(make().script().encode()) <= 13_500
    stored = sum(len(make().config.get(data, "")) for data in ("rotated", "plain"))
    assert len(output.encode()) - stored <= 24_000


@pytest.mark.parametrize("name", NAMES)
def test_every_control_works_by_keyboard(show, name):
    make, controls = FIGURES[name]
    page = show(make())
    assert reading(page, name) == make().readout
    for control, known in controls.items():
        element = page.locator(f"rope-{name} [name={control}]")
        seen = set()
        slides = element.evaluate("each => each.type") == "range"
        on, back = ("ArrowRight", "ArrowLeft") if slides else ("ArrowDown", "ArrowUp")
        for key in ["Home", *[on] * 4, "End", *[back] * 2]:
            element.press(key)
            seen.add(chosen(page, name)[control])
            agrees(page, name)
        assert len(seen) >= min(len(known), 4), (control, seen)


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
@pytest.mark.parametrize("name", NAMES)
def test_every_slider_works_by_mouse_and_by_finger(show, name, touch):
    page = show(FIGURES[name][0](), has_touch=touch)
    for control in FIGURES[name][1]:
        element = page.locator(f"rope-{name} [name={control}]")
        box = element.bounding_box()
        assert box["height"] >= 24
        if element.evaluate("each => each.type") != "range":
            continue
        for part in (0.93, 0.1, 0.55):
            before = chosen(page, name)[control]
            point = box["x"] + part * box["width"], box["y"] + box["height"] / 2
            page.touchscreen.tap(*point) if touch else page.mouse.click(*point)
            assert chosen(page, name)[control] != before
            agrees(page, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_of_every_menu(show, name):
    make, controls = FIGURES[name]
    page = show(make())
    menus = page.locator(f"rope-{name} select")
    names = menus.evaluate_all("all => all.map(each => each.name)")
    for choice in itertools.product(*(controls[menu] for menu in names)):
        for i, value in enumerate(choice):
            menus.nth(i).select_option(value)
        assert [chosen(page, name)[menu] for menu in names] == list(choice)
        agrees(page, name)


@pytest.mark.parametrize("name", NAMES)
def test_names_for_those_who_do_not_see_it(show, name):
    figure = FIGURES[name][0]()
    words = figure.config["words"]
    page = show(figure)
    assert page.get_by_role("img", name=words["picture"], exact=True).count() == 1
    for control in FIGURES[name][1]:
        labelled = page.get_by_label(words[control], exact=True)
        assert labelled.get_attribute("name") == control
    still = show(figure, java_script_enabled=False)
    assert still.get_by_text(figure.readout).is_visible()
    assert still.get_by_role("img", name=words["picture"]).bounding_box()["width"] >= 300


@pytest.mark.parametrize("name", NAMES)
def test_words_are_text_and_not_markup(show, name):
    make = FIGURES[name][0]
    plain = make().config["words"]
    odd = {key: f"<i>{word}</i> &amp; $& {{x}}" for key, word in plain.items()}
    figure = make(words=odd)
    page = show(figure)
    assert reading(page, name) == figure.readout
    assert page.locator(f"rope-{name} i").count() == 0
    for control in FIGURES[name][1]:
        assert page.get_by_label(odd[control], exact=True).count() == 1


@pytest.mark.parametrize("scripts", [True, False], ids=["live", "still"])
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_asks_a_question_and_explains_its_words(show, name, scripts):
    """The same title, the same words on the picture and the same meanings, with scripts or not."""
    figure = FIGURES[name][0]()
    words = figure.config["words"]
    page = show(figure, java_script_enabled=scripts, width=416)  # the still pictures' own width
    shown = page.locator(f"rope-{name} .frame" if scripts else f"rope-{name}")
    assert words["title"].endswith("?")
    assert shown.get_by_text(words["title"], exact=True).is_visible()
    assert words["means"].split("\n")[0] not in shown.inner_text()
    shown.locator("summary").click()
    for line in words["means"].split("\n"):
        assert line in shown.inner_text()
    # What an axis or a part of the picture is called.
    drawn = page.locator(f"rope-{name} svg text").all_text_contents() if scripts else re.findall(
        ">([^<]+)</text>", html.unescape(figure.picture))  # fmt: skip
    for word in LABELS[name]:
        assert words[word] in drawn, word


# The words that stand on the picture of each figure.
LABELS = {
    "clock": ["q", "k", "distance", "score"],
    "hands": ["pair", "together", "fits", "dense"],
    "word-order": ["query", "key", "output", "same"],
    "shift": ["added", "rotated", "query", "key"],
    "decay": ["score", "bound", "simple", "spread", "tokens", "size"],
    "scalings": ["wavelength", "slower", "seen", "new"],
    "heads": ["layers", "heads", "marks", "weight", "tokens", "first", "turned"],
    "grid": ["rows", "columns", "score", "marks"],
    "pairings": ["places", "score", "trained", "here"],
}


@pytest.mark.parametrize("name", NAMES)
def test_every_word_on_a_figure_can_be_replaced(show, name):
    """A translation leaves no English behind: every word is data."""
    make = FIGURES[name][0]
    words = make().config["words"]
    other = {word: re.sub(r"[A-Za-z]+(?![^{]*})", "x", text) for word, text in words.items()}
    page = show(make(words=other), width=1000)
    page.locator(f"rope-{name} .frame summary").click()
    live = page.locator(f"rope-{name} .frame").inner_text()
    live += " " + " ".join(page.locator(f"rope-{name} svg text").all_text_contents())
    # Symbols, names of repairs and the words to be ordered are what a reader gave.
    left = set(re.findall("[A-Za-z]{2,}", live)) - set(word_order.VECTORS)
    assert left == set()


@pytest.mark.parametrize("name", NAMES)
def test_reset_brings_back_the_first_state(show, name):
    make, controls = FIGURES[name]
    page = show(make(), has_touch=True)
    first = page.locator(f"rope-{name} svg").inner_html()
    button = page.get_by_role("button", name=make().config["words"]["reset"], exact=True)
    assert button.bounding_box()["height"] >= 36
    for go in (button.click, button.tap, lambda: button.press("Enter")):
        for control in controls:
            page.locator(f"rope-{name} [name={control}]").press("End")
        if name == "word-order":
            page.locator("rope-word-order .words button").first.press("ArrowRight")
        assert page.locator(f"rope-{name} svg").inner_html() != first
        go()
        assert page.locator(f"rope-{name} svg").inner_html() == first
        assert reading(page, name) == make().readout
        agrees(page, name)


@pytest.mark.parametrize("name", NAMES)
def test_letters_can_be_read_on_the_smallest_phone_and_nothing_is_wider(show, name):
    page = show(FIGURES[name][0](), width=1280)
    for width in (1280, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(100)  # what watches the width draws anew
        frame = page.locator(f"rope-{name} .frame").bounding_box()
        assert frame["x"] >= 0
        assert frame["x"] + frame["width"] <= width
        assert frame["width"] <= 704  # 44 rem
        sizes = page.locator(f"rope-{name} svg text").evaluate_all(
            "all => all.map(each => parseFloat(getComputedStyle(each).fontSize) * "
            "each.getScreenCTM().a)"
        )
        assert min(sizes) >= (10 if width == 320 else 11.4)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_by_itself(show, name):
    page = show(FIGURES[name][0]())
    moving = "root => root.getAnimations({ subtree: true }).length"
    page.locator(f"rope-{name} [name]").first.press("End")
    assert page.locator(f"rope-{name} .frame").evaluate(moving) == 0


def choose_cell(page, box, place, touch):
    """Tap or click at shares of a box's width and height."""
    point = box["x"] + box["width"] * place[0], box["y"] + box["height"] * place[1]
    page.touchscreen.tap(*point) if touch else page.mouse.click(*point)


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_a_patch_takes_the_query(show, touch):
    page = show(interactive.grid(), has_touch=touch)
    box = page.locator("rope-grid .image").bounding_box()
    for row, column in ((0, 0), (14, 3), (6, 14)):
        choose_cell(page, box, ((column + 0.5) / 15, (row + 0.5) / 15), touch)
        assert chosen(page, "grid") == {"kind": "line", "row": row, "column": column}
        agrees(page, "grid")
    page.mouse.click(box["x"] - 4, box["y"] + 4)  # beside the image
    assert chosen(page, "grid") == {"kind": "line", "row": 6, "column": 14}


def test_all_figures_live_on_one_page(show):
    page = show(*(make() for make, _ in FIGURES.values()))
    for name, (make, controls) in FIGURES.items():
        assert reading(page, name) == make().readout
        page.locator(f"rope-{name} [name={next(iter(controls))}]").press("End")
        agrees(page, name)


def test_keys_stay_inside_but_tab_and_shortcuts_leave(show):
    """JupyterLab would insert a cell for the letter a; a reader still has to get out by Tab."""
    page = show(interactive.scalings(), body="<script>window.keys = []; document.addEventListener("
                "'keydown', event => window.keys.push(event.key))</script>")  # fmt: skip
    menu = page.locator("rope-scalings select")
    for key in ("a", "ArrowDown", "Control+s", "Tab"):
        menu.press(key)
    assert page.evaluate("window.keys") == ["Control", "s", "Tab"]


# ---------------------------------------------------------------- words to drag


def words_of(page):
    return page.locator("rope-word-order .words button").all_inner_texts()


def softmax_attention(order, mode):
    """What each word becomes, written out; the first line of numpy that a textbook would have."""
    x = np.array([word_order.VECTORS[word] for word in order], dtype=float)
    if mode == "positions":
        x += [(math.sin(m), math.cos(m)) for m in range(len(x))]
    shares = np.exp(x @ x.T)
    shares = np.tril(shares) if mode == "mask" else shares
    return shares / shares.sum(axis=1, keepdims=True) @ x


def expected_words(order, mode):
    first = dict(zip(word_order.VECTORS, softmax_attention(word_order.VECTORS, mode), strict=True))
    outputs = softmax_attention(order, mode)
    changed = sum(
        np.abs(row - first[w]).max() > 5e-4 for w, row in zip(order, outputs, strict=True)
    )
    rows = ", ".join(f"{w} ({x:.3f}, {y:.3f})" for w, (x, y) in zip(order, outputs, strict=True))
    said = (
        f"{changed} of {len(order)} outputs differ from those in the original order. "
        f"{' '.join(order)}, with {word_order.WORDS[mode]}: {rows}"
    )
    return said.replace("-0.", "\u22120.")


@pytest.mark.parametrize("mode", word_order.MODES)
def test_words_move_by_arrow_keys(show, mode):
    page = show(interactive.word_order(mode=mode))
    assert reading(page, "word-order") == expected_words(words_of(page), mode)
    seen = set()
    for place, key in ((0, "ArrowRight"), (1, "ArrowRight"), (0, "ArrowLeft"), (1, "ArrowLeft"),
                       (2, "ArrowRight"), (2, "ArrowLeft")):  # fmt: skip
        page.locator("rope-word-order .words button").nth(place).press(key)
        seen.add(tuple(words_of(page)))
        assert reading(page, "word-order") == expected_words(words_of(page), mode)
        focused = page.evaluate("document.activeElement.shadowRoot.activeElement.textContent")
        assert focused in words_of(page)
    assert len(seen) >= 4
    changed = int(re.search(r"(\d) of 3", reading(page, "word-order"))[1])
    assert (changed == 0) == (mode == "none")


def test_a_single_mode_needs_no_menu(show):
    page = show(interactive.word_order(mode="mask", modes=("mask",)))
    assert page.locator("rope-word-order select").count() == 0
    page.locator("rope-word-order .words button").first.press("ArrowRight")
    assert reading(page, "word-order") == expected_words(["likes", "Ming", "Hong"], "mask")
    page = show(interactive.word_order(modes=("none", "mask")))
    assert page.locator("rope-word-order option").count() == 2


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_words_can_be_dragged(show, touch):
    page = show(interactive.word_order(), has_touch=touch)
    buttons = page.locator("rope-word-order .words button")
    first, last = (buttons.nth(i).bounding_box() for i in (0, 2))
    y = first["y"] + first["height"] / 2
    path = [first["x"] + 8 + (last["x"] - first["x"]) * step / 8 for step in range(9)]
    if touch:
        client = page.context.new_cdp_session(page)
        for i, x in enumerate([*path, path[-1]]):
            kind = "touchStart" if i == 0 else "touchEnd" if i == len(path) else "touchMove"
            points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    else:
        page.mouse.move(path[0], y)
        page.mouse.down()
        for x in path:
            page.mouse.move(x, y)
        page.mouse.up()
        page.mouse.move(path[0], y)  # let go: nothing follows any more
    assert words_of(page) == ["likes", "Hong", "Ming"]
    assert reading(page, "word-order") == expected_words(words_of(page), "none")


# ---------------------------------------------------------------- a sentence to shift


def expected_shift(shift):
    """Added and rotated, written out with complex numbers: a word is x + iy, at angle 30° m."""
    words = np.array([complex(*vector) for vector in word_order.VECTORS.values()])

    def scores(first):
        hands = np.exp(1j * math.radians(30) * (first + np.arange(3)))
        added = words + 1j * hands.conj()  # sin + i cos
        return [np.outer(x, x.conj()).real for x in (added, words * hands)]

    def weights(each):
        return np.exp(each) / np.exp(each).sum(axis=1, keepdims=True)

    now, then = scores(shift), scores(0)
    change = [np.abs(weights(a) - weights(b)).max() for a, b in zip(now, then, strict=True)]
    assert change[1] < 1e-12
    moved = (
        f"Largest change of a weight since shift 0, in percentage points: {100 * change[0]:.1f} "
        "(added), 0.0 (rotated)."
    )
    return (
        (
            f"{moved if shift else 'Move the slider to shift the sentence.'} Score of likes at "
            f"{shift + 1} for Ming at {shift}: {now[0][1, 0]:.3f} (added), {now[1][1, 0]:.3f} "
            "(rotated)."
        )
        .replace("-0.000", "0.000")
        .replace("-", "\u2212")
    )


def test_a_shift_changes_what_is_added_and_not_what_is_rotated(show):
    page = show(interactive.shift())
    slider = page.locator("rope-shift input[name=shift]")
    for shift in range(SHIFTS + 1):
        assert reading(page, "shift") == expected_shift(shift)
        was = page.locator("rope-shift .new").count()  # cells of the added table only
        assert (was == 0) == (shift % 12 == 0)
        slider.press("ArrowRight")
    by_hand = [interactive.shift(shift=shift).readout for shift in (0, 1)]
    assert ": 3.366 (added)" in by_hand[0]
    assert ": 4.098 (added)" in by_hand[1]  # as chapter 2 computes with a pencil


# ---------------------------------------------------------------- what the readings must say


def numbers(text):
    return [float(n.replace(",", "")) for n in re.findall(r"[\d,]*\d(?:\.\d+)?", text)]


def test_the_decay_of_the_chapter():
    """The famous numbers: a bound of 32.5 that is reached at distance 0, and falls to 6.5."""
    query = torch.ones(128)
    for distance, wanted in ((0, 32.5), (256, 6.5)):
        figure = interactive.decay(query, query, "even", distance)
        assert f"bound {wanted}," in figure.readout
    assert (
        "score 32.5, bound 32.5, |q| |k| 32.5" in interactive.decay(query, query, "even", 0).readout
    )
    q, k = QUERY.mul(1e4).round().div(1e4), KEY.mul(1e4).round().div(1e4)
    h = (
        torch.view_as_complex(q.unflatten(-1, (-1, 2)))
        * torch.view_as_complex(k.unflatten(-1, (-1, 2))).conj()
    )
    turned = (h * torch.exp(77j * inverse_frequencies(32))).sum().real
    largest = torch.cat((h, torch.zeros(1))).diff().abs().max()
    bound = largest * 16 * bound_factor(inverse_frequencies(32), torch.tensor([77])).item()
    said = interactive.decay(QUERY, KEY, "random", 77).readout.replace("\u2212", "-")
    assert f"score {turned:.1f}, bound {bound:.1f}, " in said


@pytest.mark.parametrize(
    ("method", "reach"),
    [("none", "4,096"), ("linear", "32,768"), ("yarn", "32,768"), ("llama3", "32,768")],
)
def test_how_far_a_repair_reaches(method, reach):
    said = interactive.scalings(method=method, factor=8).readout
    assert f"up to {reach} tokens, none does" in said
    unseen = int(re.search(r"(\d+) pairs reach", said)[1])
    assert unseen == (18 if method == "none" else 0)  # chapter 7 counts 18 for LLaMA 2


def test_ntk_leaves_all_but_the_last_pair_at_unseen_angles():
    said = interactive.scalings(method="ntk", factor=8).readout
    assert "17 pairs reach angles" in said
    assert "1 by the whole factor" in said
    for factor, reach in ((8, "18,696"), (16, "31,014")):  # as chapter 7 says
        assert f"up to {reach} tokens" in interactive.scalings(method="ntk", factor=factor).readout


def test_a_base_so_small_that_every_pair_completes_a_turn():
    assert "up to ∞ tokens" in interactive.scalings(base=100, length=10_000).readout


def test_axial_scores_make_a_cross_and_mixed_ones_a_spot():
    high = {kind: numbers(interactive.grid(kind).readout)[-2] for kind in grid.KINDS}
    assert high["mixed"] < high["axial"]
    # Reading order: at the left edge, what is looked for stands a row higher, at the right edge.
    assert "row 8, column 5" in interactive.grid("line", 5, 7).readout
    assert "row 7, column 14" in interactive.grid("line", 5, 1).readout
    assert "row 8, column 0" in interactive.grid("mixed", 5, 1).readout


def test_the_right_rows_make_the_wrong_pairing_right():
    said = {
        (pairing, rows): interactive.pairings(pairing, rows).readout
        for pairing in pairings.PAIRINGS
        for rows in pairings.ROWS
    }
    same = {key for key, text in said.items() if text.endswith("The same model")}
    assert same == {("interleaved", "stored"), ("half", "permuted")}
    q, k = (np.array([x, x]) for x in (pairings.QUERY, pairings.KEY))
    scores = reference.scores(q, k, [3, 0], pairing="interleaved")
    assert f"{scores[0, 1]:.3f}".replace("-", "\u2212") in said["half", "permuted"]
    assert interactive.pairings("half", distance=0).readout.endswith("The same model")
    rows = permute_projection(torch.arange(8.0), 1, to="half").int().tolist()
    assert "0+1, 2+3, 4+5, 6+7" in said["half", "permuted"]
    assert rows == [0, 2, 4, 6, 1, 3, 5, 7]


# ---------------------------------------------------------------- mistakes

WRONG = [
    (interactive.word_order, TypeError, "vectors", 3),
    (interactive.word_order, ValueError, "vectors", {"a": (1, 2)}),
    (interactive.word_order, ValueError, "vectors", {"a": (1, 2), "b": (1, 2, 3)}),
    (interactive.word_order, ValueError, "vectors", {"a": (1, 2), "b": (1, math.nan)}),
    (interactive.word_order, ValueError, "mode", "positons"),
    (interactive.word_order, ValueError, "modes", ("none", "positons")),
    (interactive.shift, TypeError, "vectors", 3),
    (interactive.shift, ValueError, "shift", 51),
    (interactive.shift, TypeError, "shift", 1.5),
    (interactive.shift, ValueError, "theta", 0),
    (choose_decay, ValueError, "choice", "near"),
    (choose_decay, ValueError, "distance", 1001),
    (choose_decay, TypeError, "distance", 1.5),
    (choose_decay, ValueError, "base", 3),
    (interactive.scalings, ValueError, "head_dim", 258),
    (interactive.scalings, ValueError, "head_dim", 7),
    (interactive.scalings, ValueError, "length", 100),
    (interactive.scalings, ValueError, "factor", 3),
    (interactive.scalings, ValueError, "method", "YaRN"),
    (interactive.grid, ValueError, "kind", "rows"),
    (interactive.grid, ValueError, "row", 15),
    (interactive.grid, TypeError, "column", True),
    (interactive.pairings, ValueError, "pairing", "neighbours"),
    (interactive.pairings, ValueError, "rows", "mixed"),
    (interactive.pairings, ValueError, "distance", -1),
]


@pytest.mark.parametrize(("make", "error", "argument", "value"), WRONG)
def test_a_wrong_argument_is_named(make, error, argument, value):
    name = "key" if argument == "choice" and make is choose_decay else argument
    with pytest.raises(error, match=f"^{argument}"):
        make(**{name: value})


@pytest.mark.parametrize(
    ("error", "argument", "pair"),
    [
        (TypeError, "query", ([1.0, 2.0], KEY)),
        (ValueError, "query", (torch.ones(3), KEY)),
        (ValueError, "query", (torch.ones(2, 4), KEY)),
        (ValueError, "key", (QUERY, KEY[:16])),
        (ValueError, "key", (QUERY, KEY * math.nan)),
        (ValueError, "query", (QUERY * 1000, KEY)),
    ],
)
def test_a_wrong_vector_is_named(error, argument, pair):
    with pytest.raises(error, match=f"^{argument}"):
        interactive.decay(*pair)


# ---------------------------------------------------------------- heads of a real model


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_a_head_is_chosen_on_the_map(show, touch):
    page = show(interactive.heads(), has_touch=touch)
    box = page.locator("rope-heads .map").bounding_box()
    for layer, head in ((0, 2), (29, 8), (11, 1)):
        choose_cell(page, box, ((layer + 0.5) / 30, (head + 0.5) / 9), touch)
        assert chosen(page, "heads") == {"layer": layer, "head": head}
        agrees(page, "heads")
    page.mouse.click(box["x"] - 4, box["y"] + 4)  # beside the map
    assert chosen(page, "heads") == {"layer": 11, "head": 1}


def test_the_map_marks_as_many_heads_as_were_counted(show):
    """Against the stored run itself: heads with more than half of their weight on these tokens."""
    mean = results.load("real_heads")["runs"][0]["mean"]
    expected = {
        kind: sum(share > 0.505 for layer in mean[key] for share in layer)
        for kind, key in (("near", "nearest"), ("first", "first"))
    }
    page = show(interactive.heads())
    for kind, count in expected.items():
        assert page.locator(f"rope-heads svg .{kind}").count() == pytest.approx(count, abs=1)


def test_a_head_that_looks_at_the_token_before():
    mean = results.load("real_heads")["runs"][0]["mean"]
    figure = interactive.heads(16, 0)
    near = sum(mean["weight"][16][0][:4])
    assert f"{round(100 * near)}% of its weight on the nearest 8" in figure.readout
