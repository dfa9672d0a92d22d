"""Write the index of exercises, book/exercises.md, from the headings of the chapters."""

import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "exercises.md"
HEADING = re.compile(r"^### Exercise (\d+) · (.+) \((easy|medium|hard)\)$", re.MULTILINE)
LEVELS = ("easy", "medium", "hard")
FRONT = """# Exercises

<!-- Written by tools/exercises.py from the headings of the chapters: edit those. -->

{count} exercises, {easy} of them easy, {medium} medium and {hard} hard. Each is a function to fill
in and a checker that tries it on cases of its own, says what is wrong, and takes every right way.
Each has a hint that stays folded, and a worked answer on a page of its own. Do them in the
notebook: the rocket at the top of a chapter opens it on Colab, and
[Run the book](run.md) says how at home.

*Easy* is a few lines after reading. *Medium* needs an idea of your own. *Hard* may take an evening.
Every chapter ends with three quiz questions: no code, and each wrong answer says what is wrong.

"""
TOP = "| Chapter | Easy | Medium | Hard | Quiz | Answers |\n|---|---|---|---|---|---|\n"


def exercises_of(source: str) -> list[tuple[str, str, str]]:
    """Number, title and level of each exercise of a chapter's text."""
    return HEADING.findall(source)


def slug(heading: str) -> str:
    """The name by which MyST and GitHub know a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def chapter_row(path: Path) -> tuple[str, dict[str, int]]:
    """A chapter's line of the table, and how many exercises of each level it has."""
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", source, re.MULTILINE)[1]
    columns, counts = {level: [] for level in LEVELS}, dict.fromkeys(LEVELS, 0)
    for number, name, level in exercises_of(source):
        anchor = slug(f"exercise {number} · {name} ({level})")
        columns[level].append(f"[{name}](../notebooks/{path.name}#{anchor})")
        counts[level] += 1
    entries = [f"[{title}](../notebooks/{path.name})", *map("<br>".join, columns.values()),
               f"[three](../notebooks/{path.name}#quiz)",
               f"[worked](../notebooks/solutions/{path.name})"]  # fmt: skip
    return "| " + " | ".join(entries) + " |\n", counts


def render() -> str:
    rows, total = "", dict.fromkeys(LEVELS, 0)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        row, counts = chapter_row(path)
        rows += row
        total = {level: total[level] + counts[level] for level in LEVELS}
    return FRONT.format(count=sum(total.values()), **total) + TOP + rows


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
