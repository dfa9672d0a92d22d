"""The library stands in wings: no import turns back, and the core can be read in one sitting."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rope_lib

FOLDER = Path(rope_lib.__file__).parent
FILES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts): path
    for path in sorted(FOLDER.rglob("*.py"))
}
CORE = sorted(FOLDER.glob("*.py"))
# What joins the rotation with its wings.
TOP = {"rope_lib.module", "rope_lib.__init__", "rope_lib.__main__"}
# What the files of each wing may import besides their own: the core without its top, or all of it.
WINGS = {
    "eager": "core", "models": "core", "kernels": "core", "hf": "library", "course": "all",
}  # fmt: skip
DEPENDENCIES = {
    "core": {"torch"},
    "eager": {"torch"},
    "models": {"torch"},
    "kernels": {"torch", "triton"},
    "hf": {"torch"},
    "course": {"torch", "numpy", "matplotlib", "matplotlib_inline", "IPython"},
}
OF_THEIR_OWN = {
    "rope_lib.models.drawing": {"matplotlib"},  # imported when a figure is asked for
}


def wing_of(module):
    name = module.split(".")[1]
    return name if name in WINGS else "core"


def imported_by(module):
    """The absolute names of all that a module imports, wherever it does so."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*up, *filter(None, [node.module])])
            found |= {
                full if (full := f"{source}.{alias.name}") in FILES else source
                for alias in node.names
            }
    return found


def files_imported_by(module):
    names = imported_by(module)
    return {file for file in FILES if file.removesuffix(".__init__") in names} - {module}


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_from_its_own_wing_and_from_the_core_only(module):
    wing = wing_of(module)
    if module in TOP or WINGS.get(wing) in ("all", "library"):
        return
    for other in files_imported_by(module):
        own = wing_of(other) == wing
        # Eager PyTorch's fast ways stand between the definition and the functions that use it.
        below = wing_of(other) in ("core", "eager") and other not in TOP
        assert own or below, f"{module} imports {other}"


def test_the_library_knows_nothing_of_the_course():
    for module in FILES:
        if wing_of(module) != "course":
            assert not {f for f in files_imported_by(module) if wing_of(f) == "course"}, module


def test_no_imports_go_round_in_a_circle():
    graph = {module: files_imported_by(module) - {"rope_lib.__init__"} for module in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_the_core_can_be_read_in_one_sitting():
    assert sum(len(path.read_text("utf-8").splitlines()) for path in CORE) <= 2200


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_nothing_but_its_wing_s_own_dependencies(module):
    """So that the library alone needs torch and numpy, and what else a wing needs is its own."""
    allowed = DEPENDENCIES[wing_of(module)] | {"rope_lib"} | set(sys.stdlib_module_names)
    allowed |= OF_THEIR_OWN.get(module, set())
    tops = {name.split(".")[0] for name in imported_by(module)}
    assert tops - {""} <= allowed, tops - allowed


def test_every_public_name_is_there():
    assert all(hasattr(rope_lib, name) for name in rope_lib.__all__)
    assert set(rope_lib.__all__) <= set(dir(rope_lib))


def test_importing_the_library_imports_no_wing_that_nobody_asked_for():
    """Neither matplotlib nor triton, which take a while and are not there on every system."""
    unwanted = "{'triton', 'matplotlib', 'transformers'}"
    code = f"import sys, rope_lib; assert not {unwanted} & {{*sys.modules}}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
