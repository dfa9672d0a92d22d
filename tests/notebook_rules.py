"""The rules that every committed notebook keeps.

A rule takes a page and yields one sentence for each breach; no sentence means that it is kept.
``test_notebooks.py`` applies all rules to all notebooks, and shows that each rule can go red.
"""

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import refresh
from rope_lib.course import plotting

ROOT = Path(__file__).resolve().parent.parent

MAX_FILE, MAX_OUTPUT, MAX_SVG = 500_000, 120_000, 60_000  # characters
MAX_WORDS, MIN_CELLS, MAX_CELLS = 2_700, 15, 66
MAX_CODE_LINES, MAX_MEDIAN_LINES = 25, 6
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
MAX_QUIZ_WORDS = 350
MIN_ALT = 20
# Parts that a chapter may have, in this order; other headings may stand between them.
PARTS = [
    "What you will be able to do",
    "Set-up",
    "By hand",
    "The idea",
    "In code",
    "See it",
    "Break it",
    "In real models",
    "Exercises",
    "Quiz",
    "Takeaways",
    "What is next",
    "References",
]
NEEDED = {"Exercises", "Quiz", "Takeaways", "References"}


@dataclass(frozen=True)
class Page:
    """A notebook with its name, its text as stored and, for a chapter, its worked answers."""

    name: str
    text: str
    answers: NotebookNode | None = None

    @property
    def notebook(self) -> NotebookNode:
        """Read as it is: ``nbformat.reads`` would mend cell ids on the way."""
        return nbformat.v4.reads_json(self.text)

    @classmethod
    def read(cls, path: Path) -> "Page":
        twin = path.parent / "solutions" / path.name
        answers = nbformat.read(twin, as_version=4) if twin.is_file() else None
        return cls(path.stem, path.read_text(encoding="utf-8"), answers)


Rule = Callable[[Page], Iterator[str]]
EVERYWHERE: list[Rule] = []  # rules for chapters and worked answers
CHAPTERS: list[Rule] = []  # rules for chapters only


def everywhere(rule: Rule) -> Rule:
    EVERYWHERE.append(rule)
    return rule


def chapters(rule: Rule) -> Rule:
    CHAPTERS.append(rule)
    return rule


# ---------------------------------------------------------------- looking at cells


def code_cells(page: Page) -> list[NotebookNode]:
    return [cell for cell in page.notebook.cells if cell.cell_type == "code"]


def named(cell: NotebookNode) -> str:
    return f"cell {cell.get('id')} (“{cell.source.partition(chr(10))[0][:50]}”)"


def prose(notebook: NotebookNode) -> list[str]:
    """The Markdown cells without their code blocks, in which # is no heading and ! no image."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [without_code_blocks(text) for text in texts]


def without_code_blocks(text: str) -> str:
    return re.sub(r"^(```+|~~~+)[^{\n]*\n.*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(notebook: NotebookNode, level: int) -> list[str]:
    found = re.compile(rf"^{'#' * level} (.*?)\s*$", re.MULTILINE)
    return [heading for text in prose(notebook) for heading in found.findall(text)]


@dataclass
class Exercise:
    prose: str = ""
    printed: str = ""


def exercises_of(notebook: NotebookNode) -> dict[str, Exercise]:
    """What stands under each heading "Exercise …"; a heading may stand anywhere in a cell."""
    found = {"": Exercise()}
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found[heading].printed += printed(cell)
            continue
        parts = re.split(r"^#{1,3} (.*?)\s*$", without_code_blocks(cell.source), flags=re.MULTILINE)
        found[heading].prose += parts[0]
        for heading, text in zip(parts[1::2], parts[2::2], strict=True):
            found.setdefault(heading, Exercise()).prose += text
    return {name: part for name, part in found.items() if name.startswith("Exercise ")}


def images(cell: NotebookNode) -> list[tuple[str, str]]:
    """Type and content of each image that a cell shows."""
    shown = [output.data for output in cell.outputs if "data" in output]
    return [(kind, data[kind]) for data in shown for kind in data if kind.startswith("image/")]


def printed(cell: NotebookNode) -> str:
    """All that a cell printed or returned as plain text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "")
             for output in cell.outputs]  # fmt: skip
    return "\n".join(texts)


def is_ignored(cell: NotebookNode) -> bool:
    return "NBVAL_IGNORE_OUTPUT" in cell.source


def syntax_tree(source: str) -> ast.Module:
    """The cell as Python, its IPython lines (%magic, !shell) replaced by ``pass``."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))


# ---------------------------------------------------------------- rules for every notebook


@everywhere
def is_executed_in_order(page: Page) -> Iterator[str]:
    """nbval passes a cell that was never run without comparing anything; here it is red."""
    for number, cell in enumerate(code_cells(page), start=1):
        if cell.execution_count != number:
            yield f"{named(cell)} has execution count {cell.execution_count}, expected {number}"


@everywhere
def is_quiet(page: Page) -> Iterator[str]:
    for cell in code_cells(page):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"{named(cell)} shows {output.ename}; catch the error and print it"
            if output.get("name") == "stderr":
                yield f"{named(cell)} wrote to stderr: {output.text.strip()[:80]}"


@everywhere
def has_its_outputs(page: Page) -> Iterator[str]:
    for cell in code_cells(page):
        if must_show(cell.source) and not cell.outputs:
            yield f"{named(cell)} should show something, but its output is missing"


def must_show(source: str) -> bool:
    """Whether a cell surely shows something: it ends in a value, or it prints, draws or checks."""
    body = syntax_tree(source).body
    if body and isinstance(body[-1], ast.Expr):
        value = body[-1].value
        if not isinstance(value, ast.Call | ast.Constant):
            return True
    showing = ("print", "display", "check", "show")
    return any(name.rpartition(".")[2] in showing for node in body for name in calls_in(node))


def calls_in(node: ast.AST) -> Iterator[str]:
    """Names of the functions that a statement surely calls; ``def`` and ``if`` promise nothing."""
    deferred = ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.If | ast.IfExp
    if isinstance(node, deferred):
        return
    if isinstance(node, ast.Call):
        yield ast.unparse(node.func)
    for child in ast.iter_child_nodes(node):
        yield from calls_in(child)


@everywhere
def has_unique_ids(page: Page) -> Iterator[str]:
    seen = [cell.get("id") for cell in page.notebook.cells]
    for name in {name for name in seen if seen.count(name) > 1 or not name}:
        yield f"the cell id {name!r} is missing or used more than once"


@everywhere
def is_in_normal_form(page: Page) -> Iterator[str]:
    """Kernel, set-up cell, no timing metadata, clean outputs, layout of the file."""
    normal = refresh.normalise(page.notebook)
    if refresh.dump(normal) != page.text:
        yield f"{refresh.first_difference(page.notebook, normal)}; run `make refresh`"


@everywhere
def has_no_trailing_semicolon(page: Page) -> Iterator[str]:
    for cell in code_cells(page):
        if re.search(r";[ \t]*(#.*)?\s*\Z", cell.source):
            yield f"{named(cell)} ends with a semicolon; end a figure with plt.show()"


FORBIDDEN_CODE = {
    r"^\s*[!%]": "shell and magic commands are for the set-up cell only",
    r"\b(urllib\.request|urlopen|urlretrieve|requests|httpx|aiohttp|wget|curl)\b": "no downloads",
    r"\b(torch\.hub|huggingface_hub|load_dataset|from_pretrained)\b": "no downloads",
    r"\btqdm\.(auto|notebook)\b": "a notebook's progress bar asks for scripts from elsewhere",
    r"\btight_layout\b|bbox_inches": "plotting.figure already fits everything to a fixed size",
    r"\bfigsize\b|set_size_inches|plt\.(figure|subplots)\(": "use plotting.figure(size)",
}


@everywhere
def has_no_forbidden_code(page: Page) -> Iterator[str]:
    for cell in code_cells(page)[1:]:
        for pattern, reason in FORBIDDEN_CODE.items():
            found = re.search(pattern, cell.source, re.MULTILINE)
            if found:
                yield f"{named(cell)} has {found[0].strip()!r}: {reason}"


FORBIDDEN_MARKDOWN = {
    r"^\s*(```+|~~~+)\{": "MyST directives do not render in Jupyter or Colab",
    r"^\s*:::": "MyST directives do not render in Jupyter or Colab",
    r"(?<![`\w])\{[a-z:+-]+\}`[^`\s]": "MyST roles do not render in Jupyter or Colab",
    r"^\([\w-]+\)=\s*$": "MyST targets do not render in Jupyter or Colab",
    r"\\begin\{(align|gather|equation|eqnarray|multline)\*?\}": "write $$\\begin{aligned}…$$",
    r"!\[|<img\b": "images in Markdown do not travel to Colab; draw them in a code cell",
    r"<script\b|<style\b|<iframe\b": "no scripts or styles in Markdown",
}


@everywhere
def has_plain_markdown(page: Page) -> Iterator[str]:
    for text in prose(page.notebook):
        for pattern, reason in FORBIDDEN_MARKDOWN.items():
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                yield f"{found[0].strip()!r} in “{text[:50]}”: {reason}"


@everywhere
def has_described_figures(page: Page) -> Iterator[str]:
    """Every figure has a text alternative, for those who cannot see it, and a caption."""
    for cell in (cell for cell in code_cells(page) if images(cell)):
        data = cell.metadata.get("mystnb", {})
        alt = data.get("image", {}).get("alt", "").strip()
        figure = data.get("figure", {})
        if len(images(cell)) > 1:
            yield f"{named(cell)} shows several images; give each its own cell, text and caption"
        if len(alt) < MIN_ALT or re.fullmatch(r"\S+\.\w{2,4}", alt):
            yield f"{named(cell)}: image.alt must say in words what is seen, got {alt!r}"
        if not figure.get("caption", "").strip() or figure.get("caption", "").strip() == alt:
            yield f"{named(cell)}: figure.caption must be there and differ from image.alt"
        if not re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")):
            yield f"{named(cell)}: figure.name must look like fig-03-clock"


@everywhere
def has_figures_of_known_size(page: Page) -> Iterator[str]:
    known = [tuple(72 * inches for inches in size) for size in plotting.SIZES.values()]
    for cell in code_cells(page):
        for kind, content in images(cell):
            found = re.search(r'<svg\b[^>]*\swidth="([\d.]+)pt" height="([\d.]+)pt"', content)
            size = tuple(round(float(length), 2) for length in found.groups()) if found else None
            if kind != "image/svg+xml":
                yield f"{named(cell)} shows {kind}, expected SVG; call plotting.use_style()"
            elif size not in [tuple(round(length, 2) for length in one) for one in known]:
                yield f"{named(cell)}: {size} points is none of plotting.SIZES"


@everywhere
def has_figures_that_speak(page: Page) -> Iterator[str]:
    """Words of a figure are text, so that they can be searched, read aloud and translated."""
    for cell in code_cells(page):
        for kind, content in images(cell):
            if kind != "image/svg+xml":
                continue
            words = " ".join(re.findall(r"<(?:text|tspan)\b[^>]*>([^<]+)<", content))
            if re.search(r'<path id="[\w-]*DejaVu', content):
                yield f"{named(cell)}: letters are outlines; call plotting.use_style()"
            elif not re.search(r"[a-z]{3}", words):
                yield f"{named(cell)}: no axis, panel or line has a word"


@everywhere
def is_light(page: Page) -> Iterator[str]:
    if len(page.text) > MAX_FILE:
        yield f"the file has {len(page.text):,} characters, at most {MAX_FILE:,}"
    for cell in code_cells(page):
        weights = [(kind, len(content)) for kind, content in images(cell)]
        weights += [("output", len(str(output))) for output in cell.outputs]
        for kind, weight in weights:
            limit = MAX_SVG if kind == "image/svg+xml" else MAX_OUTPUT
            if weight > limit:
                yield f"{named(cell)}: {kind} of {weight:,} characters, at most {limit:,}"


MACHINE_DEPENDENT = (
    r"\btim(e|es|er|eit|ed|ing|ings)\b|second|perf_counter|Timer|\b[Pp]ath|version|date|platform"
)


@everywhere
def hides_only_what_a_machine_decides(page: Page) -> Iterator[str]:
    """``NBVAL_IGNORE_OUTPUT`` is for times, paths, dates and versions; nothing else escapes."""
    for cell in code_cells(page):
        code = re.sub(r"#.*", "", cell.source)
        if is_ignored(cell) and not re.search(MACHINE_DEPENDENT, code):
            yield f"{named(cell)} is not compared, yet shows no time, path, date or version"
        for word in re.findall(r"NBVAL_(?!IGNORE_OUTPUT\b)\w+|PYTEST_VALIDATE\w+", cell.source):
            yield f"{named(cell)}: {word} is not used here"
        for tag in cell.metadata.get("tags", []):
            if "nbval" in tag or tag in ("raises-exception", "skip-execution"):
                yield f"{named(cell)}: the tag {tag} is not used here"


@everywhere
def prints_at_most_four_digits(page: Page) -> Iterator[str]:
    """More digits differ between processors, and nobody reads them. Integers are exact."""
    for cell in (cell for cell in code_cells(page) if not is_ignored(cell)):
        for number in re.findall(r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?(?![\w.]*\d)", printed(cell)):
            digits = number.partition("e")[0].rstrip("0").replace(".", "").lstrip("0")
            if len(digits) > 4:
                yield f"{named(cell)} printed {number}, more than four significant digits"


@everywhere
def names_no_machine(page: Page) -> Iterator[str]:
    """No path of the machine that ran the notebook, in sources or in outputs."""
    for cell in page.notebook.cells:
        shown = [str(output) for output in cell.get("outputs", []) if not images(cell)]
        for found in re.findall(r"(?:/home|/root|/Users|/tmp)/\S*|[A-Z]:\\Users|ipykernel_\d+",
                                "\n".join([cell.source, *shown])):  # fmt: skip
            yield f"{named(cell)} shows {found[:60]!r}"


@everywhere
def has_short_cells(page: Page) -> Iterator[str]:
    for cell in code_cells(page):
        lines = len(cell.source.splitlines())
        if lines > MAX_CODE_LINES:
            yield f"{named(cell)} has {lines} lines, at most {MAX_CODE_LINES}"


# ---------------------------------------------------------------- rules for chapters


@chapters
def has_its_title(page: Page) -> Iterator[str]:
    titles = headings(page.notebook, 1)
    number = page.name.partition("_")[0].lstrip("0")
    if len(titles) != 1 or not titles[0].startswith(f"{number} · "):
        yield f"there must be one title, “# {number} · …”, found {titles}"


@chapters
def has_its_parts_in_order(page: Page) -> Iterator[str]:
    found = headings(page.notebook, 2)
    known = [heading for heading in found if heading in PARTS]
    if known != [part for part in PARTS if part in found]:
        yield f"the parts must come once each, in the order of PARTS, found {known}"
    if NEEDED - set(found):
        yield f"a chapter must have {sorted(NEEDED - set(found))}"
    if found[-1:] != ["References"]:
        yield f"a chapter ends with its references, found {found[-1:]}"


@chapters
def says_how_long_it_takes(page: Page) -> Iterator[str]:
    texts = [text for text in prose(page.notebook) if text.startswith("# ")]
    if not any(re.search(r"^\*About \d+ minutes", text, re.M) for text in texts):
        yield "under the title must stand *About 25 minutes …*"


def is_quiz(cell: NotebookNode) -> bool:
    return cell.source.startswith("## Quiz\n")


@chapters
def has_the_right_length(page: Page) -> Iterator[str]:
    """The quiz has a length of its own: nobody opens all of its answers.

    Code that the page folds away (how a figure is drawn, say) does not count for the median.
    """
    cells = [cell for cell in page.notebook.cells if not is_quiz(cell)]
    if not MIN_CELLS <= len(cells) <= MAX_CELLS:
        yield f"it has {len(cells)} cells, expected {MIN_CELLS} to {MAX_CELLS}"
    words = sum(count_words(cell.source) for cell in cells if cell.cell_type == "markdown")
    if words > MAX_WORDS:
        yield f"it has {words} words, at most {MAX_WORDS}"
    seen = [cell for cell in code_cells(page) if not HIDDEN & set(cell.metadata.get("tags", []))]
    median = statistics.median(count_code_lines(cell.source) for cell in seen)
    if median > MAX_MEDIAN_LINES:
        yield f"the median code cell has {median:g} lines of code, at most {MAX_MEDIAN_LINES}"


@chapters
def has_a_quiz(page: Page) -> Iterator[str]:
    """Three questions; each has one right answer, and wrong ones that say what is wrong."""
    quizzes = [cell.source for cell in page.notebook.cells if is_quiz(cell)]
    if len(quizzes) != 1:
        yield f"there must be one cell that begins with “## Quiz”, found {len(quizzes)}"
        return
    _, *parts = re.split(r"^\*\*(\d)\. .*\*\*$", quizzes[0], flags=re.MULTILINE)
    if parts[0::2] != ["1", "2", "3"]:
        yield f"the questions must be **1. …**, **2. …** and **3. …**, found {parts[0::2]}"
    for number, answers in zip(parts[0::2], parts[1::2], strict=True):
        said = re.findall(
            r"^<details><summary>(.+)</summary>\n\n\*\*(Right|No)\.\*\* (.+)\n\n</details>$",
            answers, flags=re.MULTILINE,
        )  # fmt: skip
        if len(said) != answers.count("<details>") or not 2 <= len(said) <= 4:
            yield f"question {number} needs two to four answers, each “**No.** …” or “**Right.** …”"
        if [verdict for _, verdict, _ in said].count("Right") != 1:
            yield f"question {number} must have one right answer"
        for answer, _, why in said:
            if count_words(why) < 4:
                yield f"question {number}, “{answer}”: say why"
            if "$" in answer:
                yield f"question {number}: formulas in a summary are not set, found {answer}"
    if count_words(quizzes[0]) > MAX_QUIZ_WORDS:
        yield f"the quiz has {count_words(quizzes[0])} words, at most {MAX_QUIZ_WORDS}"


def count_words(markdown: str) -> int:
    """Words of a Markdown cell; a formula counts as one, tags and addresses as none."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " formula ", markdown, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>|\]\([^)]*\)|https?://\S+", " ", text)
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def count_code_lines(source: str) -> int:
    """Lines that are neither empty nor only a comment."""
    return len(re.findall(r"^\s*[^\s#]", source, re.MULTILINE))


@chapters
def has_exercises_with_answers(page: Page) -> Iterator[str]:
    """Each exercise has a hint and a stub that runs clean; its answer exists and is right."""
    exercises = exercises_of(page.notebook)
    answers = exercises_of(page.answers) if page.answers else {}
    numbers = [heading.split()[1] for heading in exercises]
    if not 2 <= len(exercises) <= 5 or numbers != [str(n + 1) for n in range(len(numbers))]:
        yield f"there must be two to five exercises, “### Exercise 1 · …”, found {numbers}"
    for heading, exercise in exercises.items():
        if not re.search(r"<details>.*<summary>.*</details>", exercise.prose, re.DOTALL):
            yield f"“{heading}” has no hint in <details>"
        if "Not written yet" not in exercise.printed:
            yield f"“{heading}” has no stub whose checker says “Not written yet”"
        if "Right:" not in answers.get(heading, Exercise()).printed:
            yield f"“{heading}” has no answer in solutions/{page.name}.ipynb that is “Right:”"
    for heading in answers.keys() - exercises.keys():
        yield f"“{heading}” is answered in the solutions, but is no exercise of the chapter"
