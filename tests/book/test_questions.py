"""The page of questions: short answers, each beside a cell whose output shows it."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "questions.md"
COUNT = 25
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")  # words, address


def parts():
    """Heading and answer of each question, in the order of the page."""
    found = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(found[1::2], found[2::2], strict=True))


def words(answer):
    """The answer as it is read: links by their words, without formulas, code and sources."""
    plain = re.sub(r"\{cite:\w\}`[^`]+`|`[^`]+`|\$[^$]+\$", "…", answer)
    return LINK.sub(r"\1", plain)


@cache
def printed(notebook):
    """What each cell of a notebook shows, by the cell's id; a picture counts as its type."""
    cells = json.loads((PAGE.parent / notebook).read_text(encoding="utf-8"))["cells"]
    shown = {}
    for cell in cells:
        outputs = [output.get("text") or output["data"] for output in cell.get("outputs", [])]
        texts = [each.get("text/plain", list(each)) if isinstance(each, dict) else each
                 for each in outputs]  # fmt: skip
        shown[cell["id"]] = "".join(line for text in texts for line in text)
    return shown


def linked(answer):
    """What the cells show that an answer links to; a KeyError names a cell that is not there."""
    addresses = [address.split("#cell-") for _, address in LINK.findall(answer)]
    return [printed(*where)[cell] for *where, cell in addresses if where]


def test_there_are_exactly_so_many_in_order():
    numbers = [re.match(r"(\d+)\. .+\?$", heading) for heading, _ in parts()]
    assert [int(number[1]) for number in numbers] == list(range(1, COUNT + 1))


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_answer_is_short_and_shown(number):
    answer = parts()[number - 1][1]
    sentences = re.findall(r"[.?!](?=\s|$)", words(answer))
    assert len(sentences) in (2, 3)
    outputs = linked(answer)
    assert outputs, "an answer needs a cell"
    assert all(outputs), "a cell needs an output"
    for figure in re.findall(r"(?<![\w.-])\d[\d,]*\.?\d+", words(answer)):
        pattern = rf"(?<![\d.]){re.escape(figure.replace(',', ''))}(?!\d)"
        assert re.search(pattern, "\n".join(outputs).replace(",", "")), f"no cell shows {figure}"
