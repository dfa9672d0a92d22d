"""What a Colab runtime meets: the set-up cell, a library installed from the repository, and every
notebook."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from address import repository_url, setup_cell_source

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def installed():
    """A shell whose ``%pip`` only writes down what it was asked for."""
    shell, asked = InteractiveShell(), []
    shell.register_magic_function(asked.append, magic_kind="line", magic_name="pip")
    shell.asked = asked
    yield shell
    shell.clear_instance()


def test_on_colab_the_first_cell_installs_the_library(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    url = repository_url()
    installed.run_cell(setup_cell_source(url)).raise_error()
    assert installed.asked == [f'install --quiet --no-deps "rope_lib @ git+{url}"']


def test_elsewhere_the_first_cell_does_nothing(installed):
    installed.run_cell(setup_cell_source(repository_url())).raise_error()
    assert installed.asked == []


# Every notebook, in a runtime that has rope_lib's own dependencies and IPython, and nothing else


def needed_by(*names):
    """The distributions that these need, and those that they need, and so on."""
    found, todo = set(), list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or [])
            todo += [
                r.name for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})
            ]
    return found


OURS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = needed_by("ipython", *(Requirement(one).name for one in OURS["dependencies"]))
NOTEBOOKS = ROOT / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("*.ipynb"))
ANSWERS = sorted(NOTEBOOKS.glob("solutions/*.ipynb"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def run_as_on_colab(unpacked, tmp_path_factory):
    """`run_as_on_colab(folder, notebook, ...)` gives the exit status and what was printed."""
    log = tmp_path_factory.mktemp("log") / "printed"
    command = [sys.executable, ROOT / "tests/colab_runtime.py", unpacked, json.dumps([*RUNTIME])]
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*map(str, command)], env=os.environ | inline, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as runtimes:  # fmt: skip

        def run(*paths):
            folder, *notebooks = map(str, paths)
            log.unlink(missing_ok=True)
            print(json.dumps([folder, str(log), *notebooks]), file=runtimes.stdin, flush=True)
            return int(runtimes.stdout.readline()), log.read_text(encoding="utf-8")

        yield run
        runtimes.stdin.close()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_on_colab(chapter, run_as_on_colab, tmp_path):
    status, printed = run_as_on_colab(tmp_path, chapter)
    assert status == 0, printed[-3000:]
    assert not list(tmp_path.iterdir())  # nothing is left lying about


def test_the_answers_run_on_colab(run_as_on_colab, tmp_path):
    """One after the other in one runtime, each with nothing of the one before."""
    status, printed = run_as_on_colab(tmp_path, *ANSWERS)
    assert status == 0, printed[-3000:]


def test_a_runtime_has_nothing_else(run_as_on_colab, tmp_path):
    assert {"torch", "numpy", "matplotlib", "ipython"} <= RUNTIME
    assert not {"transformers", "tqdm", "triton", "nbformat"} & RUNTIME
    for source, missing in (("import nbformat", "nbformat"), ("import rope_lib", "rope_lib")):
        cell = {"cell_type": "code", "source": [source]}
        (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
        status, printed = run_as_on_colab(tmp_path, tmp_path / "one.ipynb")
        assert f"No module named '{missing}'" in printed
        assert status != 0
