"""What a Colab runtime meets: a library installed from the repository, and every notebook."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import stamp
from built_site import ADDRESS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = {"stored": "experiments", "measured": "benchmarks"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What pip would install. An editable installation would hide a file that pip leaves out."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "runs")
    for name in ("rope_lib", "experiments", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    build = "from setuptools import build_meta; build_meta.build_wheel('wheel')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (made,) = (folder / "wheel").glob("*.whl")
    return made


def test_an_installed_library_is_whole(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    library = {path for path in (ROOT / "rope_lib").rglob("*.*") if "__pycache__" not in path.parts}
    results = {
        f"rope_lib/{copy}/{path.name}"
        for copy, scripts in RESULTS.items()
        for path in (ROOT / scripts / "results").glob("*.json")
    }
    assert {name.split("/")[1] for name in results} == set(RESULTS)
    wanted = {path.relative_to(ROOT).as_posix() for path in library if path.is_file()} | results
    assert not wanted - packed


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
CHAPTERS = sorted(path.name for path in ROOT.glob("notebooks/*.ipynb"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of the notebooks that Colab opens."""
    folder = tmp_path_factory.mktemp("published")
    stamp.write_copy(ROOT, folder, ADDRESS)
    return folder / "notebooks"


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


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_on_colab(chapter, published, run_as_on_colab, tmp_path):
    status, printed = run_as_on_colab(tmp_path, published / chapter)
    assert status == 0, printed[-3000:]
    assert not list(tmp_path.iterdir())  # nothing is left lying about


def test_the_answers_run_on_colab(published, run_as_on_colab, tmp_path):
    """One after the other in one runtime, each with nothing of the one before."""
    answers = sorted(published.glob("solutions/*.ipynb"))
    status, printed = run_as_on_colab(tmp_path, *answers)
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
