"""The sources of an edition: the tree of the book with its pages and notebooks translated.

Code cells and their outputs are those of the original, character for character, except that on the
site the words of stored figures and tables are translated. A heading keeps its anchor (see
``book/_ext/anchors.py``), so that every link of the original works.
"""

import json
import shutil
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from . import site
from .published import restamped, stamps_of, unstamped
from .units import Unit, translated, translated_page, units_of, units_of_page

MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin)

Words = dict[Unit, str]


def write(
    root: Path, folder: Path, language: str, words: dict[Path, Words], *, outputs: bool
) -> None:
    """Write the edition into ``folder``, which is made anew.

    Args:
        words: the translations of each notebook and page, and under ``Path("site")`` those of the
            site; what is not in them stays as it is.
        outputs: whether words in stored figures and tables are translated: on a site they are; in
            notebooks to be run they are not, since running them draws the original words.
    """
    shutil.rmtree(folder, ignore_errors=True)
    left_out = shutil.ignore_patterns("__pycache__", "locale", "*.pyc")
    shutil.copytree(root / "book", folder / "book", ignore=left_out)
    pictures = root / "book/locale" / language / "share"
    if pictures.is_dir():
        shutil.copytree(pictures, folder / "book/_static/share", dirs_exist_ok=True)
    anchors = {}
    for source in words:
        if source == Path("site"):
            continue
        text = _in_language(root, source, language, words[source], outputs)
        (folder / source).parent.mkdir(parents=True, exist_ok=True)
        (folder / source).write_text(text, encoding="utf-8")
        units = _units(root, source)
        anchors[source.with_suffix("").as_posix()] = original_headings(units, words[source])
    _write(folder / "anchors.json", json.dumps(anchors, ensure_ascii=False, indent=1))
    said = words[Path("site")]
    _write(folder / "_config.yml", site.config_in(root, language, said))
    _write(folder / "_toc.yml", site.toc_in(root, said))
    _write(folder / "book/sharing.toml", site.sharing_in(root, said))


def _in_language(root: Path, source: Path, language: str, words: Words, outputs: bool) -> str:
    if source.suffix == ".ipynb":
        return translated(root / source, _lookup(words), outputs=outputs)
    stamps = stamps_of(root, source)
    text, address = unstamped((root / source).read_text(encoding="utf-8"), stamps)
    return restamped(translated_page(text, _lookup(words)), stamps, language, address)


def _units(root: Path, source: Path) -> list[Unit]:
    """The units of the original; of a published page those that it has in the tree."""
    if source.suffix == ".ipynb":
        return units_of(root / source)
    text = (root / source).read_text(encoding="utf-8")
    return units_of_page(unstamped(text, stamps_of(root, source))[0])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _lookup(words: Words):
    def translate(context: str, source: str) -> str:
        return words.get(Unit(context, source), source)

    return translate


def original_headings(units: list[Unit], words: Words) -> dict[str, str]:
    """For each heading of the translation the original one, both as MyST reads them."""
    found = {}
    for unit in units:
        before, after = titles(unit.source), titles(words.get(unit, unit.source))
        found |= dict(zip(after, before, strict=False))
    return found


def titles(text: str) -> list[str]:
    """The headings of Markdown, as the text from which MyST makes an anchor."""
    tokens = MARKDOWN.parse(text)
    return [
        "".join(each.content for each in inline.children if each.type in ("text", "code_inline"))
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open"
    ]
