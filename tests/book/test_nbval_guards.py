"""The comparison that ``make test`` rests on: one changed digit in an output is seen by nbval.

nbval is run as ``make test`` runs it, strictly, with its kernel and with ``nbval_sanitize.cfg``, on
copies of notebooks in which one thing was changed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import refresh
import tolerances
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


def run_nbval(folder: Path) -> subprocess.CompletedProcess:
    """Run all notebooks in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no",
               "-p", "tolerances", "--nbval", "--nbval-kernel-name=bare",
               "--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"),
               f"--rootdir={folder}", "."]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}  # where tolerances.py is
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def failed_cells(done: subprocess.CompletedProcess) -> dict[str, list[int]]:
    """For each notebook, numbers of the code cells that nbval found to differ."""
    failed: dict[str, list[int]] = {}
    for name, cell in re.findall(r"^FAILED (\w+)\.ipynb::Cell (\d+)", done.stdout, re.M):
        failed.setdefault(name, []).append(int(cell))
    return failed


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> NotebookNode:
    path = tmp_path_factory.mktemp("executed") / "small.ipynb"
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    refresh.refresh(path)
    return nbformat.read(path, as_version=4)


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


CHANGES = {
    "a_curve_moved_and_no_number": ([CURVE], []),
    "digits_in_print_value_viewbox_and_html": (DIGITS, [1, 2, 3, 4]),
    "an_integer_and_a_viewbox_within_html": (WHOLE, [1, 4]),
}


def with_another_digit(path: Path) -> tuple[NotebookNode, int]:
    """A real notebook with the first digit that it prints changed, and the number of its cell."""
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
    return notebook, number


def test_nbval_sees_what_changed(executed, tmp_path):
    """In a small notebook with outputs of every kind, and in the lightest one of the book."""
    lightest = min(refresh.all_notebooks(), key=lambda path: path.stat().st_size)
    real, number = with_another_digit(lightest)
    nbformat.write(real, tmp_path / "of_the_book.ipynb")
    for name, (changes, _) in CHANGES.items():
        notebook = executed
        for old, new in changes:
            notebook = change(notebook, old, new)
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    done = run_nbval(tmp_path)
    expected = {name: cells for name, (_, cells) in CHANGES.items() if cells}
    assert failed_cells(done) == expected | {"of_the_book": [number]}, done.stdout
    cells = [cell.cell_type for notebook in (real, *[executed] * 3) for cell in notebook.cells]
    assert f"7 failed, {cells.count('code') - 7} passed in " in done.stdout, done.stdout


# Numbers that may move, where their cell says so

STORED = """loss 1.8043 ± 0.021, 45.2 % of 1,024 bytes
  -3.5e-05   2.0"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("1.8043", "1.8097", True),  # by 0.3 %
        ("1.8043", "1.8300", False),  # by 1.4 %
        ("45.2", "45.5", True),
        ("-3.5e-05", "-3.53e-05", True),
        ("-3.5e-05", "3.5e-05", False),
        ("1,024", "1,025", False),  # counted, not measured
        ("1.8043", "2", False),
        ("1.8043", "nan", False),
        ("loss", "losses", False),
        ("\n  -3.5e-05   2.0", "", False),
        ("  -3.5e-05   2.0", " -3.51e-05 2.0", True),  # lined up otherwise
    ],
)
def test_a_number_may_move_as_far_as_is_said(old, new, same):
    moved = STORED.replace(old, new)
    assert moved != STORED
    settled = tolerances.settle(moved, STORED, relative=0.01)
    assert (settled == STORED) is same
    assert tolerances.settle(moved, STORED) != STORED or same  # without one only spaces move


def test_tolerances_add_up_and_reach_into_tables():
    assert tolerances.settle("0.110", "0.100", absolute=0.005, relative=0.05) == "0.100"
    assert tolerances.settle("0.111", "0.100", absolute=0.005, relative=0.05) == "0.111"
    new = {"data": {"text/html": "<td>1.02</td>"}, "output_type": "display_data"}
    old = {"data": {"text/html": "<td>1.01</td>"}, "output_type": "display_data"}
    assert tolerances.settled(new, old, {"absolute": 0.02}) == old


@pytest.mark.parametrize("wrong", [{}, {"absolute": 0}, {"relative": -1}, {"exact": 1}])
def test_a_tolerance_that_says_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="must have 'absolute' or 'relative' above 0"):
        tolerances.require_tolerance(wrong)


def test_nbval_heeds_the_tolerance_of_a_cell(executed, tmp_path):
    """A loose cell passes with another digit, fails further off; its neighbour stays exact."""
    setup, loose, exact, *_ = executed.cells
    cells = [setup]
    for number, (old, new) in enumerate([
        ("0.4321", "0.4322"),  # 1: near enough
        ("0.4321", "0.5321"),  # 2: too far
        ("score", "scores"),  # 3: another word
        ("tokens 17", "tokens 18"),  # 4: counted
    ]):  # fmt: skip
        (changed,) = change(new_notebook(cells=[loose]), old, new).cells
        changed.metadata["tolerance"] = {"relative": 0.01}
        changed.id = f"loose-{number}"
        cells.append(changed)
    cells += change(new_notebook(cells=[exact]), "0.25", "0.26").cells
    nbformat.write(new_notebook(cells=cells, metadata=executed.metadata), tmp_path / "one.ipynb")
    done = run_nbval(tmp_path)
    assert failed_cells(done) == {"one": [2, 3, 4, 5]}, done.stdout
