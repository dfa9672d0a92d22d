"""The runtime in which `make test` runs every notebook has what Colab has, and nothing else."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from bare_runtime import ROOT, allowed
from test_nbval_guards import failed_cells, run_nbval

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def test_the_runtime_has_what_the_library_needs_and_no_more():
    assert {"torch", "numpy", "matplotlib", "ipykernel", "ipython", "rope-lib"} <= allowed()
    assert not {"transformers", "tqdm", "nbformat", "pytest"} & allowed()


def test_what_a_notebook_must_not_do_fails(bare_kernel, tmp_path):
    """No other package, no file of the repository, and no file that is left lying about."""
    fine = [
        "from importlib.util import find_spec\nassert find_spec('numpy') and find_spec('torch')",
        "import rope_lib.course.stored\n"
        f"assert {bare_kernel.env['PYTHONPATH']!r} in rope_lib.__file__",
        "assert find_spec('transformers') is None",
        "open('a file', 'w').close()\nimport os\nos.remove('a file')",
    ]
    wrong = {
        "import transformers": "ModuleNotFoundError: import of transformers halted",
        "import nbformat": "ModuleNotFoundError: import of nbformat halted",
        "import conftest": "ModuleNotFoundError: No module named 'conftest'",
        "open('one.ipynb')": "FileNotFoundError",
        "# NBVAL_IGNORE_OUTPUT\nopen('a file', 'w')": "AssertionError: left lying about: a file",
    }
    notebook = new_notebook(cells=[new_code_cell(source) for source in [*fine, *wrong]])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    done = run_nbval(tmp_path)
    assert failed_cells(done) == {"one": [4, 5, 6, 7, 8]}, done.stdout
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)  # without colours
    assert [words for words in wrong.values() if words not in said] == [], said


# Colab has Triton, as a part of its PyTorch; a PyTorch for processors only has none.
KERNELS = re.compile(r"import triton|rope_lib\.kernels")
WITH_KERNELS = [path for path in NOTEBOOKS if KERNELS.search(path.read_text(encoding="utf-8"))]


@pytest.mark.usefixtures("bare_kernel")
@pytest.mark.parametrize("path", WITH_KERNELS, ids=lambda path: path.stem)
def test_a_chapter_on_kernels_runs_without_triton(path):
    notebook = nbformat.read(path, as_version=4)
    with_kernels_of_its_own = "import triton" in nbformat.writes(notebook)
    NotebookClient(notebook, kernel_name="bare_without_triton", timeout=300).execute()
    assert with_kernels_of_its_own == ("there is no Triton here" in shown_by(notebook))


def shown_by(notebook):
    return str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
