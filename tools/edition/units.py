"""What is translated at once: a Markdown cell, a section of a page, a caption, a word of a figure.

A unit has a context, which finds it again when its text has changed: the id of its cell, or the
anchor of its section. Words of figures and tables have the context ``words``: there the text is
its own name, and the same word of two figures of a chapter is translated once.
"""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat

WORDS, PROMPTS = "words", "prompts"
HEADING = re.compile(r"(#{1,4}) +(.+?)\s*$")
FENCE = re.compile(r"\s*(`{3,}|~{3,}|:{3,})")
LETTERS = re.compile(r"[A-Za-z]{2}")
SVG_WORD = re.compile(r"(<text\b[^>]*>)([^<]+)(</text>)")
TABLE_WORD = re.compile(r"(<t[hd]\b[^>]*>|<p>)((?:(?!</t[hd]>|</p>).)+)(</t[hd]>|</p>)", re.DOTALL)
CODE = re.compile(r"<code>.*?</code>", re.DOTALL)

Translate = Callable[[str, str], str]  # context and text to the translated text


@dataclass(frozen=True)
class Unit:
    """A text to be translated, and where it stands."""

    context: str
    source: str


def units_of(path: Path) -> list[Unit]:
    """All units of a notebook or page, each once, in reading order."""
    found: dict[Unit, None] = {}

    def collect(context: str, source: str) -> str:
        if source.strip():
            found[Unit(context, source)] = None
        return source

    translated(path, collect)
    return list(found)


def units_of_page(text: str) -> list[Unit]:
    """All units of a page of Markdown."""
    found = [Unit(context, source.strip("\n")) for context, source in sections_of(text)]
    return [unit for unit in found if unit.source.strip()]


def translated(path: Path, translate: Translate, *, outputs: bool = True) -> str:
    """The text of the file with each unit replaced by what ``translate`` makes of it.

    Args:
        outputs: whether the words in stored figures and tables are replaced as well.
    """
    if path.suffix == ".ipynb":
        return _notebook(path, translate, outputs)
    return translated_page(path.read_text(encoding="utf-8"), translate)


def translated_page(text: str, translate: Translate) -> str:
    """A page of Markdown with each section replaced by what ``translate`` makes of it."""
    return "".join(
        translate(context, source.strip("\n")) + "\n" * _blank(source)
        for context, source in sections_of(text)
    )


# ---------------------------------------------------------------- pages


def slug(heading: str) -> str:
    """The anchor of a heading, as MyST makes it from the heading's text without markup."""
    plain = re.sub(r"`([^`]*)`", r"\1", heading)
    plain = re.sub(r"\$[^$]*\$|[*_]|\[([^]]*)\]\([^)]*\)", r"\1", plain)
    return re.sub(r"[^\w\u4e00-\u9fff\- ]", "", plain.strip().lower().replace(" ", "-"))


def sections_of(text: str) -> list[tuple[str, str]]:
    """A page cut before each heading up to the third level, and before each entry of a glossary.

    Returns:
        Pairs of a context and the text of a section with its blank lines; joined they are the page.
    """
    parts: list[tuple[str, list[str]]] = []
    context, fences, glossary, blank = "top", [], False, True
    for line in text.splitlines(keepends=True):
        heading = HEADING.match(line)
        if not fences and heading and len(heading[1]) <= 3:
            context = slug(heading[2])
            parts.append((context, []))
        elif glossary and blank and line.strip() and not line.startswith((" ", "`")):
            parts.append((f"term {line.strip()}", []))
        if not parts:
            parts.append((context, []))
        parts[-1][1].append(line)
        glossary = _follow(line, fences) if FENCE.match(line) else glossary
        blank = not line.strip() or "{glossary}" in line
    named = _without_twins([name for name, _ in parts])
    return [(name, "".join(lines)) for name, (_, lines) in zip(named, parts, strict=True)]


def _follow(line: str, fences: list[str]) -> bool:
    """Open or close a fence; whether the line opens a glossary."""
    mark = FENCE.match(line)[1]
    if fences and line.strip() == mark and mark.startswith(fences[-1]):
        fences.pop()
    else:
        fences.append(mark)
    return "{glossary}" in line


def _without_twins(names: list[str]) -> list[str]:
    return [
        name if name not in names[:i] else f"{name} {names[:i].count(name) + 1}"
        for i, name in enumerate(names)
    ]


def _blank(source: str) -> int:
    """How many line breaks end a section."""
    return len(source) - len(source.rstrip("\n"))


# ---------------------------------------------------------------- notebooks


def _notebook(path: Path, translate: Translate, outputs: bool) -> str:
    notebook = copy.deepcopy(nbformat.read(path, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = translate(cell.id, cell.source)
        else:
            _metadata(cell, translate)
            if outputs:
                _outputs(cell, translate)
    return nbformat.writes(notebook) + "\n"


def _metadata(cell: nbformat.NotebookNode, translate: Translate) -> None:
    """Alternative text, caption and the names of what is folded."""
    shown = cell.metadata.get("mystnb", {})
    for part, key in (("image", "alt"), ("figure", "caption")):
        if key in shown.get(part, {}):
            shown[part][key] = translate(f"{cell.id} {key}", shown[part][key])
    for key in ("code_prompt_show", "code_prompt_hide"):
        if key in shown:
            shown[key] = translate(PROMPTS, shown[key])


def _outputs(cell: nbformat.NotebookNode, translate: Translate) -> None:
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            data["image/svg+xml"] = SVG_WORD.sub(_replacer(translate), data["image/svg+xml"])
        if data.get("text/html", "").startswith("<table"):
            data["text/html"] = TABLE_WORD.sub(_replacer(translate), data["text/html"])


def _replacer(translate: Translate) -> Callable[[re.Match], str]:
    """Replace what stands between two tags, if it has words and not only names of code."""

    def replace(match: re.Match) -> str:
        before, text, after = match.groups()
        return before + translate(WORDS, text) + after if has_words(text) else match[0]

    return replace


def has_words(text: str) -> bool:
    """Whether there is something to translate besides code, tags and characters by name."""
    return bool(LETTERS.search(re.sub(r"<[^>]+>|&#?\w+;", "", CODE.sub("", text))))
