"""Editions in other languages: say what is missing, bring catalogues up to date, write the sources.

    python tools/translate.py status            what is missing or was translated from another text
    python tools/translate.py update            put every new or changed text into the catalogues
    python tools/translate.py write FOLDER      the sources of the edition's site (make book)
    python tools/translate.py notebooks FOLDER  the same with outputs left as they are (make lab)

The catalogues are PO files in book/locale/LANGUAGE, one for each notebook and page; any PO editor
opens them. `status` ends with 1 if something is left to do.
"""

import argparse
import importlib
import json
import sys
import tomllib
from pathlib import Path

import polib
import yaml

from edition import catalogue, checks, tree
from edition.site import site_units
from edition.units import Unit, units_of
from rope_lib.course.elements.figure import COMMON

ROOT = Path(__file__).resolve().parent.parent
LOCALE, ELEMENT_FOLDER = Path("book", "locale"), Path("rope_lib", "course", "elements")
SITE, ELEMENTS = Path("site"), Path("elements")  # catalogues of what stands in no page


def files(root: Path = ROOT) -> list[Path]:
    """Every notebook and page of the book, in its order, relative to the root."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    pages = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            pages += [chapter["file"], *(each["file"] for each in chapter.get("sections", []))]
    return [next(_existing(root, page)) for page in pages]


def _existing(root: Path, page: str):
    yield from (
        Path(page + suffix) for suffix in (".ipynb", ".md") if (root / (page + suffix)).exists()
    )


def catalogue_of(source: Path, language: str, root: Path = ROOT) -> Path:
    """Where the translations of a notebook or page are kept."""
    return root / LOCALE / language / source.with_suffix(".po")


def sources(root: Path = ROOT) -> dict[Path, list[Unit]]:
    """The units of every notebook and page, of the site, and of the figures that move."""
    found = {SITE: site_units(root), ELEMENTS: element_units(root)}
    return found | {each: units_of(root / each) for each in files(root)}


def element_units(root: Path = ROOT) -> list[Unit]:
    """What the figures that move say."""
    names = sorted(path.stem for path in (root / ELEMENT_FOLDER).glob("*.py"))
    modules = [importlib.import_module(f"rope_lib.course.elements.{name}") for name in names]
    found = {Unit("common", text): None for text in COMMON.values()}
    for name, module in zip(names, modules, strict=True):
        for key, text in getattr(module, "WORDS", {}).items():
            found.setdefault(Unit(f"{name} {key}" if key not in COMMON else "common", text))
    return list(found)


def status(language: str, root: Path = ROOT) -> list[str]:
    """One line for each text without a finished translation, and each that lost something."""
    lines, kept = [], terms(language, root)
    for source, units in sources(root).items():
        stored = catalogue.read(catalogue_of(source, language, root))
        found = catalogue.state(stored, units)
        for kind in ("missing", "stale", "unused"):
            lines += [f"{source}: {kind}: {_short(name)}" for name in getattr(found, kind)]
        for unit, text in catalogue.translations(stored).items():
            lost = checks.differences(unit.source, text, kept)
            lines += [f"{source}: {_short(_name(unit))}: {each}" for each in lost]
    return lines


def terms(language: str, root: Path = ROOT) -> dict[str, list[str]]:
    """The terms that a translation has to keep to, with their forms."""
    path = root / LOCALE / language / "terms.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["kept"]


def _name(unit: Unit) -> str:
    return unit.source if unit.context in catalogue.BY_TEXT else unit.context


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 80 else line[:77] + "…"


def update(language: str, root: Path = ROOT) -> None:
    """Write every catalogue anew: old translations kept, changed texts fuzzy."""
    for source, units in sources(root).items():
        path = catalogue_of(source, language, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = catalogue.update(catalogue.read(path), units)
        made.save(str(path))
        if source == ELEMENTS:
            (root / ELEMENT_FOLDER / f"{language}.json").write_text(spoken(made), encoding="utf-8")


def spoken(made: polib.POFile) -> str:
    """What the package holds of a catalogue of the figures that move: text to translation."""
    words = {unit.source: text for unit, text in catalogue.translations(made).items()}
    return json.dumps(words, ensure_ascii=False, indent=1) + "\n"


def write(language: str, folder: Path, *, outputs: bool, root: Path = ROOT) -> None:
    """Write the sources of an edition; a text without a finished translation stays as it is."""
    words = {
        source: catalogue.translations(catalogue.read(catalogue_of(source, language, root)))
        for source in (SITE, *files(root))
    }
    tree.write(root, folder, language, words, outputs=outputs)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("status", "update", "write", "notebooks"))
    parser.add_argument("folder", nargs="?", type=Path, help="for write and notebooks")
    parser.add_argument("--language", default="zh")
    args = parser.parse_args()
    if args.command == "update":
        update(args.language)
        return 0
    if args.command in ("write", "notebooks"):
        write(args.language, args.folder, outputs=args.command == "write")
        return 0
    lines = status(args.language)
    print("\n".join(lines) or f"{args.language}: everything is translated")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
