"""The library's modules stand in floors, and its front page says which."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rope_lib

FOLDER = Path(rope_lib.__file__).parent
FILES = {path.stem: [path] for path in FOLDER.glob("*.py") if path.stem != "__init__"}
PACKAGES = ("kernels", "elements")  # each is one floor
FILES |= {name: sorted((FOLDER / name).glob("*.py")) for name in PACKAGES}
MODULES = sorted(FILES)


def floors() -> dict[str, int]:
    """The floor of each module, by the rows of the table in the package's docstring."""
    table = rope_lib.__doc__.split("====  ")[1].splitlines()
    rows = [re.findall(r"``(\w+)``", line) for line in table]
    return {name: floor for floor, row in enumerate(rows) for name in row}


def nodes(module: str) -> list[ast.AST]:
    trees = [ast.parse(path.read_text("utf-8")) for path in FILES[module]]
    return [node for tree in trees for node in ast.walk(tree)]


def imported_by(module: str) -> set[str]:
    """The modules of the library that a module imports, wherever it does so."""
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and module in PACKAGES:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= (
                {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
            )
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            found |= {name.split(".")[1] for name in names if name.startswith("rope_lib.")}
    return found


def test_every_module_has_a_floor():
    assert sorted(floors()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_floors_below(module):
    known = floors()
    assert all(known[other] < known[module] for other in imported_by(module))


def test_the_library_imports_nothing_but_its_own_dependencies():
    """A Colab runtime installs rope_lib with --no-deps: torch, numpy and matplotlib are there."""
    allowed = {"torch", "numpy", "matplotlib", "matplotlib_inline", "rope_lib", "IPython"}
    standard = sys.stdlib_module_names
    for module in MODULES:
        may = allowed | {"triton"} if module == "kernels" else allowed
        for node in nodes(module):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            tops = {name.split(".")[0] for name in names}
            assert tops <= may | standard, (module, tops)


def test_triton_is_imported_only_where_a_kernel_is_about_to_run():
    """It is not there on every system, and takes a while to import."""
    code = "import sys, rope_lib.rotary, rope_lib.kernels; assert 'triton' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
