"""The comparison that ``make test`` rests on: one changed digit in an output is seen by nbval.

nbval is run as ``make test`` runs it, strictly, with its kernel and with ``nbval_sanitize.cfg``, on
copies of notebooks in which one thing was changed.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import refresh
from notebook_rules import ROOT, is_ignored

pytestmark = pytest.mark.usefixtures("bare_kernel")

PICTURE = '<svg width="9pt" viewBox="0 0 {size} 9"><path d="M {start} 0"/></svg>'
CELLS = [
    "print('score', 0.4321)\nprint('tokens', 17)",
    "0.25",
    f"""from IPython.display import HTML, SVG, display

display(SVG('{PICTURE.format(size=504, start=1.25)}'))""",
    f"HTML('<b>7.5</b> <i>{PICTURE.format(size=390, start=1.25)}</i>')",
    "# NBVAL_IGNORE_OUTPUT\nfrom time import time\n\nprint(time())",
]


def run_nbval(path: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no",
               "--nbval", "--nbval-kernel-name=bare",
               "--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"),
               f"--rootdir={path.parent}", path.name]  # fmt: skip
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=300)


def failed_cells(done: subprocess.CompletedProcess) -> list[int]:
    """Numbers of the code cells that nbval found to differ."""
    return [int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", done.stdout, re.M)]


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> NotebookNode:
    path = tmp_path_factory.mktemp("executed") / "small.ipynb"
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    refresh.refresh(path)
    return nbformat.read(path, as_version=4)


def stored(notebook: NotebookNode, folder: Path) -> Path:
    path = folder / "changed.ipynb"
    nbformat.write(notebook, path)
    return path


def change(notebook: NotebookNode, old: str, new: str) -> NotebookNode:
    """The notebook with one text replaced in its outputs, its sources untouched."""
    changed = nbformat.from_dict(notebook)
    places = [place for cell in changed.cells if cell.cell_type == "code"
              for output in cell.outputs for place in (output, output.get("data", {}))]  # fmt: skip
    held = [(place, key) for place in places for key in place if old in str(place[key])]
    texts = [(place, key) for place, key in held if isinstance(place[key], str)]
    assert texts, f"no output holds {old!r}"
    for place, key in texts:
        place[key] = place[key].replace(old, new, 1)
    return changed


CURVE = ('d="M 1.25 0"', 'd="M 1.26 0"')
DIGITS = [("0.4321", "0.4322"), ("0.25", "0.26"), ("0 0 504 9", "0 0 505 9"), ("7.5", "7.6")]
WHOLE = [("tokens 17", "tokens 18"), ("0 0 390 9", "0 0 391 9")]


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        pytest.param([CURVE], [], id="a curve moved, no number changed"),
        pytest.param(DIGITS, [1, 2, 3, 4], id="digits in print, value, viewBox and HTML"),
        pytest.param(WHOLE, [1, 4], id="an integer, and a viewBox within HTML"),
    ],
)
def test_nbval_sees_what_changed(executed, tmp_path, changes, cells):
    notebook = executed
    for old, new in changes:
        notebook = change(notebook, old, new)
    done = run_nbval(stored(notebook, tmp_path))
    assert failed_cells(done) == cells, done.stdout
    assert done.returncode == (1 if cells else 0), done.stdout


def test_one_digit_of_a_real_notebook_is_seen(tmp_path):
    """The lightest notebook of the book, with the first digit that it prints changed."""
    path = min(refresh.all_notebooks(), key=lambda path: path.stat().st_size)
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number, output = next(
        (number, output)
        for number, cell in enumerate(code)
        for output in cell.outputs
        if re.search(r"\d", output.get("text", "")) and not is_ignored(cell)
    )
    digit = re.search(r"\d", output.text)[0]
    output.text = output.text.replace(digit, str((int(digit) + 1) % 10), 1)
    done = run_nbval(stored(notebook, tmp_path))
    assert failed_cells(done) == [number], done.stdout
