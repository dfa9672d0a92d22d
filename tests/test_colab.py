"""What a Colab runtime meets first: the set-up cell, and a library installed from the repository.

How every notebook runs there, test_bare_runtime.py says."""

import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell

from address import repository_url, setup_cell_source
from bare_runtime import make_wheel

ROOT = Path(__file__).resolve().parent.parent
RESULTS = {"stored": "experiments", "measured": "benchmarks"}


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


def test_an_installed_library_is_whole(tmp_path):
    packed = set(zipfile.ZipFile(make_wheel(tmp_path)).namelist())
    library = {path for path in (ROOT / "rope_lib").rglob("*.*") if "__pycache__" not in path.parts}
    results = {
        f"rope_lib/{copy}/{path.name}"
        for copy, scripts in RESULTS.items()
        for path in (ROOT / scripts / "results").glob("*.json")
    }
    assert {name.split("/")[1] for name in results} == set(RESULTS)
    wanted = {path.relative_to(ROOT).as_posix() for path in library if path.is_file()} | results
    assert not wanted - packed
