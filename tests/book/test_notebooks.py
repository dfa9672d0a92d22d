"""Every committed notebook keeps every rule of ``notebook_rules``; and each rule can go red."""

from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import notebook_rules as rules
import refresh
from notebook_rules import CHAPTERS, EVERYWHERE, ROOT, Page

CHAPTER_FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTION_FILES = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
APPLIED = [(path, rule) for path in CHAPTER_FILES for rule in EVERYWHERE + CHAPTERS]
APPLIED += [(path, rule) for path in SOLUTION_FILES for rule in EVERYWHERE]


@pytest.mark.parametrize(
    ("path", "rule"),
    APPLIED,
    ids=[f"{path.relative_to(ROOT / 'notebooks')}-{rule.__name__}" for path, rule in APPLIED],
)
def test_the_notebook_keeps_the_rule(path, rule):
    breaches = list(rule(Page.read(path)))
    assert not breaches, "\n".join(breaches)


def test_each_chapter_has_its_worked_answers_and_no_other():
    assert CHAPTER_FILES
    assert [path.name for path in CHAPTER_FILES] == [path.name for path in SOLUTION_FILES]


# ---------------------------------------------------------------- a page without a fault

SVG = """<svg width="417.6pt" height="230.4pt" viewBox="0 0 417.6 230.4">
<path d="M 0 0"/><text>distance</text></svg>
"""
MINUTES = "*About 25 minutes.*"
FIGURE = {
    "image": {"alt": "A circle with one arrow that points up."},
    "figure": {"caption": "The hand at noon.", "name": "fig-03-noon"},
}
QUIZ = "## Quiz\n" + "".join(
    f"\n**{number}. Which way?**\n\n"
    "<details><summary>Left</summary>\n\n**Right.** A turn is counter-clockwise.\n\n</details>\n\n"
    "<details><summary>Right</summary>\n\n**No.** That would be a clock's.\n\n</details>\n"
    for number in (1, 2, 3)
)
HINT = "Text.\n\n<details><summary>Hint</summary>\n\nTurn it.\n\n</details>"


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def code(source: str, *outputs: NotebookNode, **metadata) -> NotebookNode:
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def numbered(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of these cells, with ids and execution counts as after a run."""
    count = 0
    for position, cell in enumerate(cells):
        cell.id = f"cell-{position}" if position else refresh.SETUP_ID
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
    return refresh.normalise(new_notebook(cells=cells))


def setup_cell() -> NotebookNode:
    source = refresh.UNPUBLISHED_CELL
    return code(source, tags=["remove-cell"])


def exercise(number: int, result: str) -> list[NotebookNode]:
    heading = new_markdown_cell(f"### Exercise {number} · Turn back\n\n{HINT}")
    return [heading, code("check(turn, slow_turn, cases)", stream(result))]


def good_chapter() -> NotebookNode:
    cells = [
        setup_cell(),
        new_markdown_cell(f"# 3 · Turn in two dimensions\n\n{MINUTES}\n\nHello $x$."),
    ]
    cells.append(code("print(0.25, 1234, 1.5e-07, '2.13.0')", stream("0.25 1234 1.5e-07 2.13.0\n")))
    picture = new_output("display_data", {"image/svg+xml": SVG, "text/plain": "<Figure>"})
    cells.append(code("ax.plot(x)\nplt.show()", picture, mystnb=FIGURE))
    cells.append(code("# NBVAL_IGNORE_OUTPUT\nprint(perf_counter())", stream("0.123456789\n")))
    for heading in rules.PARTS:
        cells.append(new_markdown_cell(QUIZ if heading == "Quiz" else f"## {heading}"))
        if heading == "Exercises":
            for number in (1, 2, 3):
                cells += exercise(number, "Not written yet. …\n")
        else:
            cells.append(code("assert 1 == 1"))
    return numbered(cells)


def good_answers() -> NotebookNode:
    cells = [setup_cell(), new_markdown_cell("# Answers to chapter 3")]
    for number in (1, 2, 3):
        cells += exercise(number, "Right: agrees with the slow version on 50 random cases.\n")
    return numbered(cells)


def page_of(notebook: NotebookNode, answers: NotebookNode | None = None) -> Page:
    return Page("03_turn_two_dimensions", refresh.dump(notebook), answers or good_answers())


def test_a_faultless_page_keeps_every_rule():
    page = page_of(good_chapter())
    breaches = [breach for rule in EVERYWHERE + CHAPTERS for breach in rule(page)]
    assert breaches == []


# ---------------------------------------------------------------- one fault at a time

PRINTING, DRAWING, TIMING, PLAIN = 2, 3, 4, 6  # places in the faultless chapter


def put(place: int, **changes) -> Callable:
    """A fault: these attributes of the cell at this place are changed."""
    return lambda notebook: notebook.cells[place].update(nbformat.from_dict(changes))


def figure_with(alt: str = "", caption: str = "", name: str = "fig-03-noon") -> Callable:
    mystnb = {"image": {"alt": alt}, "figure": {"caption": caption, "name": name}}
    return put(DRAWING, metadata={"mystnb": mystnb})


def drawing(*contents: str, kind: str = "image/svg+xml") -> Callable:
    outputs = [new_output("display_data", {kind: content}) for content in contents]
    return put(DRAWING, outputs=outputs)


def prints(text: str) -> Callable:
    return put(PRINTING, outputs=[stream(text)])


def says(text: str) -> Callable:
    return put(1, source=f"# 3 · Turn\n\n{MINUTES}\n\n{text}")


def without(start: str) -> Callable:
    """A fault: all cells that begin so are gone."""

    def fault(notebook):
        notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith(start)]

    return fault


def quiz(old: str, new: str) -> Callable:
    """A fault: the first such words of the quiz are others."""

    def fault(notebook):
        cell = next(cell for cell in notebook.cells if rules.is_quiz(cell))
        assert old in cell.source
        cell.source = cell.source.replace(old, new, 1)

    return fault


def many_more(cell: NotebookNode) -> Callable:
    return lambda notebook: notebook.cells.extend([cell] * 40)


FAULTS = {
    "is_executed_in_order": [
        put(PRINTING, execution_count=None),
        put(PRINTING, execution_count=7),
        lambda notebook: notebook.cells.insert(2, notebook.cells.pop(3)),
        lambda notebook: [
            cell.update(execution_count=None, outputs=[])
            for cell in notebook.cells
            if cell.cell_type == "code"
        ],
    ],
    "is_quiet": [
        put(PRINTING, outputs=[stream("UserWarning\n", "stderr")]),
        put(PRINTING, outputs=[new_output("error", ename="E", evalue="", traceback=[])]),
    ],
    "has_its_outputs": [
        put(PRINTING, outputs=[]),
        put(DRAWING, outputs=[]),
        put(TIMING, outputs=[]),
        put(PLAIN, source="a = 1\na"),
        put(PLAIN, source="a == 1, 2"),
        put(PLAIN, source="for a in x:\n    print(a)"),
        put(PLAIN, source="%timeit -q f()\nprint(a)"),
    ],
    "has_unique_ids": [put(PRINTING, id="cell-3")],
    "is_in_normal_form": [
        put(0, source="import sys"),
        put(0, source=setup_cell().source.replace("rope_lib", "another")),
        put(0, metadata={}),
        put(PRINTING, metadata={"execution": {"iopub.execute_input": "2024-01-01T00:00:00Z"}}),
        put(PRINTING, metadata={"collapsed": False}),
        put(PRINTING, source=""),
        put(PRINTING, outputs=[stream("a"), stream("b")]),
        lambda notebook: notebook.metadata.kernelspec.update(name="conda-env"),
        lambda notebook: notebook.metadata.language_info.update(version="3.12.1"),
        lambda notebook: notebook.metadata.update(widgets={}),
        drawing(SVG.replace("0 0", "0.123456 0")),
    ],
    "has_no_trailing_semicolon": [
        put(PRINTING, source="ax.plot(x);"),
        put(PRINTING, source="ax.plot(x);  # no output\n"),
    ],
    "has_no_forbidden_code": [
        put(PRINTING, source=source)
        for source in (
            "!ls",
            "%matplotlib inline",
            "if a:\n    !curl x",
            "from urllib.request import urlopen",
            "import requests",
            "model = AutoModel.from_pretrained('x')",
            "from tqdm.auto import tqdm",
            "fig.tight_layout()",
            "plt.subplots(1, 2)",
            "fig.savefig(f, bbox_inches='tight')",
            "plotting.figure('wide', figsize=(9, 9))",
        )
    ],
    "has_plain_markdown": [
        says("```{note}\nHello\n```"),
        says(":::{tip}\n:::"),
        says("as in {cite}`su2021`"),
        says("{cite:t}`su2021`"),
        says("(target)=\n"),
        says("$$\\begin{align}a\\end{align}$$"),
        says("\\begin{equation*}a\\end{equation*}"),
        says("![A picture of a clock](clock.png)"),
        says('<img src="clock.png">'),
        says("<script>alert(1)</script>"),
    ],
    "has_described_figures": [
        put(DRAWING, metadata={}),
        figure_with(alt="", caption="The hand at noon."),
        figure_with(alt="output", caption="The hand at noon."),
        figure_with(alt="a_very_long_file_name_of_a_figure.svg", caption="The hand at noon."),
        figure_with(alt="A circle with one arrow that points up."),
        figure_with(alt="The hand points up at noon.", caption="The hand points up at noon."),
        figure_with(alt="A circle with one arrow.", caption="The hand.", name=""),
        drawing(SVG, SVG),
    ],
    "has_figures_of_known_size": [
        drawing(SVG.replace('"417.6pt"', '"418pt"')),
        drawing(SVG.replace('height="230.4pt"', "")),
        drawing("iVBORw0KGgo=", kind="image/png"),
    ],
    "has_figures_that_speak": [
        drawing(SVG.replace("distance", "$s$")),
        drawing(SVG.replace("<path", '<path id="DejaVuSans-61" d=""/><path')),
    ],
    "is_light": [
        drawing(SVG.replace("M 0 0", "M 0 0" * 15_000)),
        prints("line\n" * 30_000),
        says("word " * 110_000),
    ],
    "hides_only_what_a_machine_decides": [
        put(TIMING, source="# NBVAL_IGNORE_OUTPUT\nprint(score)"),
        put(TIMING, source="# NBVAL_IGNORE_OUTPUT\nprint(score)  # a matter of time"),
        put(PRINTING, source="# NBVAL_SKIP\nprint(time())"),
        put(PRINTING, source="# NBVAL_RAISES_EXCEPTION\nprint(time())"),
        put(PRINTING, metadata={"tags": ["nbval-ignore-output"]}),
        put(PRINTING, metadata={"tags": ["raises-exception"]}),
    ],
    "prints_at_most_four_digits": [
        prints("0.12345\n"),
        prints("12345.6\n"),
        prints("x=-3.14159, y\n"),
        prints("[1.2345e-05]\n"),
        prints("tensor([0.1235, 0.70711])\n"),
        put(
            PRINTING,
            outputs=[new_output("execute_result", {"text/plain": "0.3333333333"})],
        ),
    ],
    "names_no_machine": [
        prints("saved in /home/ann/x.json\n"),
        prints("in /tmp/ipykernel_17/1.py\n"),
        put(PRINTING, source="open('/Users/ann/x')"),
        put(1, source="# 3 · Turn\n\nRun it in /home/somebody/book."),
        put(PRINTING, outputs=[new_output("display_data", {"text/html": "<b>/home/ann/x</b>"})]),
    ],
    "has_short_cells": [put(PRINTING, source="a = 1\n" * 25 + "a")],
    "has_its_title": [
        put(1, source="# 4 · Turn"),
        put(1, source="# Turn in two dimensions"),
        put(1, source="Text"),
        says("# 3 · Again"),
    ],
    "has_its_parts_in_order": [
        without("## Takeaways"),
        without("## Exercises"),
        says("## See it"),
        put(5, source="## In code"),
        lambda notebook: notebook.cells.insert(-2, notebook.cells.pop(5)),
        lambda notebook: notebook.cells.append(new_markdown_cell("## Afterwards")),
    ],
    "says_how_long_it_takes": [
        put(1, source="# 3 · Turn in two dimensions\n\nHello."),
        put(1, source="# 3 · Turn in two dimensions\n\n*Some minutes.*"),
    ],
    "has_the_right_length": [
        lambda notebook: notebook.cells.__delitem__(slice(9, None)),
        many_more(new_markdown_cell("Text")),
        many_more(code("a = 1\n" * 7)),
        says("word " * 2_701),
    ],
    "has_a_quiz": [
        without("## Quiz"),
        quiz("**2. Which way?**", "**3. Which way?**"),
        quiz("**1. Which way?**\n", ""),
        quiz("**Right.** A turn is counter-clockwise.", "**No.** A turn is counter-clockwise."),
        quiz("**No.** That would be a clock's.", "**Right.** That would be a clock's."),
        quiz("**No.** That would be a clock's.", "That would be a clock's."),
        quiz("That would be a clock's.", "No."),
        quiz("<summary>Left</summary>", "<summary>$\\theta$</summary>"),
        quiz("That would be", "That would be " + "very " * 350),
    ],
    "has_exercises_with_answers": [
        without("### Exercise 3"),
        without("### Exercise"),
        lambda notebook: [
            cell.update(source=cell.source.replace("Exercise 2", "Exercise 4"))
            for cell in notebook.cells
        ],
        lambda notebook: [
            cell.update(source=cell.source.replace("details", "div")) for cell in notebook.cells
        ],
        lambda notebook: [
            cell.update(source=cell.source.replace("Exercise 3 · Turn", "Exercise 3 · Spin"))
            for cell in notebook.cells
        ],
        lambda notebook: [
            cell.update(outputs=[stream("Right: already\n")])
            for cell in notebook.cells
            if cell.source.startswith("check(")
        ],
    ],
}
FAULTY = [(name, number) for name, faults in FAULTS.items() for number in range(len(faults))]


@pytest.mark.parametrize(("name", "number"), FAULTY)
def test_a_fault_is_seen(name, number):
    notebook = good_chapter()
    FAULTS[name][number](notebook)
    page = Page("03_turn_two_dimensions", nbformat.v4.writes_json(notebook) + "\n", good_answers())
    assert list(getattr(rules, name)(page))


def test_every_rule_has_been_seen_red():
    assert list(FAULTS) == [rule.__name__ for rule in EVERYWHERE + CHAPTERS]


@pytest.mark.parametrize("spoil", ["none", "wrong", "extra"])
def test_a_missing_or_wrong_answer_is_seen(spoil):
    page = page_of(good_chapter())
    answers = good_answers()
    if spoil == "wrong":
        answers.cells[-1].outputs = [stream("Not yet: in case 1, …\n")]
    if spoil == "extra":
        answers.cells += exercise(4, "Right: …\n")
    page = Page(page.name, page.text, None if spoil == "none" else answers)
    assert list(rules.has_exercises_with_answers(page))


@pytest.mark.parametrize("text", [" {}", "\n"])
def test_another_layout_of_the_same_notebook_is_seen(text):
    page = page_of(good_chapter())
    spoiled = Page(page.name, page.text + text if text.isspace() else page.text.replace("{}", text))
    assert list(rules.is_in_normal_form(spoiled))


@pytest.mark.parametrize(
    "text",
    ["```python\n# 3 · no title\n```", "a `{name}` in code", "![not", "> **Note.** Hello"],
)
def test_ordinary_markdown_is_not_refused(text):
    notebook = good_chapter()
    if text != "![not":
        says(text)(notebook)
    page = page_of(notebook)
    assert not [*rules.has_plain_markdown(page), *rules.has_its_title(page)]


@pytest.mark.parametrize(
    "text",
    ["0.1235", "1234.0", "12345", "1,707", "0.0001234", "1.234e-10", "2.13.0", "0.5000", "v1.23456",
     "1.000000", "32.5 12.6"],
)  # fmt: skip
def test_ordinary_numbers_are_not_refused(text):
    notebook = good_chapter()
    prints(f"{text}\n")(notebook)
    assert not list(rules.prints_at_most_four_digits(page_of(notebook)))


@pytest.mark.parametrize(
    "source",
    ["x = 1", "plotting.use_style()", "def f():\n    print(1)", "if a:\n    print(1)", '"""text"""',
     "f = lambda: print(1)", "assert a", "import torch"],
)  # fmt: skip
def test_a_silent_cell_needs_no_output(source):
    assert not rules.must_show(source)
