"""The page of questions: short answers, each beside a cell whose output shows it."""

import contextlib
import io
import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from exercises import slug
from rope_lib import RotaryEmbedding

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "questions.md"
COUNT = 42
LONGEST_ANSWER = 160  # words, beside lists, tables and code
LONGEST_SENTENCE = 42
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")  # words, address
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)  # language, text


def split_at(marks, text):
    """Text before the first heading of a level, then each heading with what follows it."""
    before, *found = re.split(rf"^{marks} (.+)$", text, flags=re.MULTILINE)
    return before, list(zip(found[0::2], found[1::2], strict=True))


def themes():
    """The list of themes at the top, then each theme with its questions and answers."""
    top, found = split_at("##", PAGE.read_text(encoding="utf-8"))
    return top, [(theme, split_at("###", inside)[1]) for theme, inside in found]


def parts():
    """Heading and answer of each question, in the order of the page."""
    return [part for _, inside in themes()[1] for part in inside]


def words(answer):
    """The answer as it is read: links by their words, without formulas, code and sources."""
    plain = BLOCK.sub("", answer).replace("**", "")
    plain = re.sub(r"\{cite:\w\}`[^`]+`|`[^`]+`|\$[^$]+\$", "…", plain)
    return re.sub(r"question\s\d+", "…", LINK.sub(r"\1", plain))


def sentences(answer):
    """The words in each sentence of an answer, without its tables and lists."""
    prose = re.sub(r"^\|.*$|^- .*(\n  .*)*", "", words(answer), flags=re.MULTILINE)
    return [len(sentence.split()) for sentence in re.split(r"[.?!:]\)?(?=\s|$)", prose)]


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
    assert COUNT >= 35


def test_the_list_at_the_top_leads_to_every_theme():
    top, found = themes()
    listed = re.findall(r"^- \[(.+)\]\(#(.+)\), (\d+)–(\d+):", top, flags=re.MULTILINE)
    wanted, last = [], 0
    for theme, inside in found:
        wanted.append((theme, slug(theme), str(last + 1), str(last + len(inside))))
        last += len(inside)
    assert listed == wanted
    headings = {slug(heading) for heading, _ in [*found, *parts()]}
    inside = {address[1:] for _, address in LINK.findall(PAGE.read_text(encoding="utf-8"))
              if address.startswith("#")}  # fmt: skip
    assert inside <= headings


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_answer_is_short_and_shown(number):
    answer = parts()[number - 1][1]
    prose = words(answer)
    assert sum(sentences(answer)) <= LONGEST_ANSWER
    assert max(sentences(answer)) <= LONGEST_SENTENCE
    outputs = linked(answer)
    assert outputs, "an answer needs a cell"
    assert all(outputs), "a cell needs an output"
    printed_here = [text for language, text in BLOCK.findall(answer) if language == "text"]
    shown = "\n".join(outputs + printed_here).replace(",", "")
    for figure in re.findall(r"(?<![\w.-])\d[\d,]*\.?\d+", prose):
        pattern = rf"(?<![\d.]){re.escape(figure.replace(',', ''))}(?!\d)"
        assert re.search(pattern, shown), f"no cell shows {figure}"


SNIPPETS = [
    pytest.param(text, number, id=str(number))
    for number, (_, answer) in enumerate(parts(), 1)
    for language, text in BLOCK.findall(answer)
    if language == "python"
]


@pytest.mark.parametrize(("snippet", "number"), SNIPPETS)
def test_a_snippet_prints_what_the_page_says(snippet, number):
    if "transformers" in snippet:
        pytest.importorskip("transformers")
    blocks = BLOCK.findall(parts()[number - 1][1])
    ((_, expected),) = [block for block in blocks if block[0] == "text"]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(snippet, {"__name__": "__main__"})
    assert shown.getvalue() == expected
    assert max(map(len, snippet.splitlines())) <= 80


def test_the_settings_to_paste_are_one_setting():
    """Transformers, vLLM and llama.cpp are told the same, and the library reads it."""
    blocks = dict(block for _, answer in parts() for block in BLOCK.findall(answer))
    config = json.loads(blocks["json"])
    rope = config["rope_parameters"]
    commands = blocks["bash"].replace("\\\n", "").split("llama-server ")
    vllm, llama = map(shlex.split, commands)
    given = json.loads(vllm[vllm.index("--hf-overrides") + 1])
    length = config["max_position_embeddings"]
    assert given == config
    assert int(vllm[vllm.index("--max-model-len") + 1]) == length
    option = dict(zip(llama[0::2], llama[1::2], strict=True))
    assert option["--rope-scaling"] == rope["rope_type"]
    assert int(option["-c"]) == length == rope["factor"] * int(option["--yarn-orig-ctx"])
    assert float(option["--rope-scale"]) == rope["factor"]
    assert int(option["--yarn-orig-ctx"]) == rope["original_max_position_embeddings"]
    model = {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32}
    scaling = RotaryEmbedding.from_config(model | config).scaling
    assert scaling.factor == 4
