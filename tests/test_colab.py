"""What a Colab runtime meets: the set-up cell, and a library installed from the repository."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell

from address import repository_url, setup_cell_source

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
    """An editable installation would hide a file that pip leaves out."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "runs")
    for folder in ("rope_lib", "experiments", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    build = "from setuptools import build_meta; build_meta.build_wheel('wheel')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    library = {path.relative_to(tmp_path) for path in (tmp_path / "rope_lib").rglob("*.*")}
    results = {
        f"rope_lib/{copy}/{path.name}"
        for copy, scripts in RESULTS.items()
        for path in (ROOT / scripts / "results").glob("*.json")
    }
    assert {name.split("/")[1] for name in results} == set(RESULTS)
    wanted = {path.as_posix() for path in library if (tmp_path / path).is_file()} | results
    assert not wanted - packed
