"""What a Colab runtime meets: the set-up cell, and a library installed from the repository."""

import json
import re
import sys
from pathlib import Path, PurePath
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell

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


def test_an_installed_library_is_whole():
    """An editable installation would hide a file that pip leaves out."""
    listed = re.search(
        r"^rope_lib = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    patterns = [*json.loads(listed[1]), "*.py"]
    library = ROOT / "rope_lib"
    for path in library.rglob("*"):
        if path.is_file() and path.parent.name != "__pycache__":
            name = path.relative_to(library).as_posix()
            assert any(PurePath(name).match(pattern) for pattern in patterns), name
            assert path.suffix != ".py" or path.parent == library, f"{name}: no such package"
