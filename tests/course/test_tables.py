"""Tables: numbers written as numbers, words as words, and nothing of a cell lost or run as HTML."""

import numpy as np
import pytest
from bs4 import BeautifulSoup

from rope_lib.course.tables import Table

HEADINGS = ("way", "tokens", "loss, nats")
ROWS = [("plain", 8192, 3.456), ("YaRN <2>", 16_384, np.float64(-0.001)), ("none", None, None)]


def cells(table, tag):
    return [cell.text for cell in BeautifulSoup(table._repr_html_(), "html.parser")(tag)]


def test_html_holds_every_cell_once():
    table = Table(HEADINGS, ROWS)
    assert cells(table, "th") == list(HEADINGS)
    assert cells(table, "td") == [
        "plain", "8,192", "3.46", "YaRN <2>", "16,384", "0.00", "none", "", "",
    ]  # fmt: skip


def test_an_empty_heading_is_no_heading():
    assert cells(Table(("", "loss"), [("plain", 1.0)]), "th") == ["loss"]


def test_numbers_stand_at_the_right_and_words_at_the_left():
    page = BeautifulSoup(Table(HEADINGS, ROWS)._repr_html_(), "html.parser")
    sides = [cell["style"].split()[-1] for cell in page.find_all("tr")[1]("td")]
    assert sides == ["left", "right", "right"]


@pytest.mark.parametrize(
    ("texts", "side"),
    [
        (("15°", "−0.26", ".5"), "right"),
        (("below 1e-12", "4.06", ""), "right"),
        (("2.82 to 3.53", "15.1%"), "right"),
        (("15°", "none"), "left"),
        (("below the band", "8"), "left"),
        (("Llama 2", "SmolLM2"), "left"),
    ],
)
def test_text_that_begins_with_numbers_stands_at_the_right(texts, side):
    page = BeautifulSoup(Table(["x"], [[x] for x in texts])._repr_html_(), "html.parser")
    assert {cell["style"].split()[-1] for cell in page("td")} == {side}


def test_a_terminal_gets_lines_of_the_same_cells():
    lines = repr(Table(HEADINGS, ROWS, notes="Three.")).splitlines()
    assert lines[0].split() == ["way", "tokens", "loss,", "nats"]
    assert lines[1].split() == ["plain", "8,192", "3.46"]
    assert lines[-1] == "Three."
    assert len({line.index(end) + len(end) for line, end in zip(
        lines[:3], ("nats", "3.46", "0.00"), strict=True)}) == 1  # fmt: skip


def test_digits_by_column_and_a_real_minus():
    table = Table(("a", "b"), [(-1.25, -1_000)], digits=(1, 0))
    assert cells(table, "td") == ["−1.2", "−1,000"]


@pytest.mark.parametrize("rows", [[(1,)], [(1, 2), (1, 2, 3)]])
def test_a_row_of_another_length_is_refused(rows):
    with pytest.raises(ValueError, match="a row must have 2 cells"):
        Table(("a", "b"), rows)


def test_digits_for_other_columns_are_refused():
    with pytest.raises(ValueError, match="digits must hold 2 numbers, got 3"):
        Table(("a", "b"), [], digits=(1, 2, 3))


def test_a_power_of_ten_is_not_broken_in_a_browser():
    table = Table(("difference",), [("below 1e-12",)])
    assert "below\xa01e\u201112<" in table._repr_html_()
    assert "below 1e-12" in repr(table)  # what is copied from a terminal can be read back


def test_an_interval_is_not_broken_on_a_page():
    table = Table(["m − n", "rise"], [["4", "+0.12 (+0.04 to +0.19)"], ["5", "below 2"]])
    assert cells(table, "td") == ["4", "+0.12 (+0.04\xa0to\xa0+0.19)", "5", "below\xa02"]
    assert "(+0.04 to +0.19)" in repr(table)
