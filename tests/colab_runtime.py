"""Run notebooks as Colab runtimes would: `python colab_runtime.py WHEEL ALLOWED`.

Each line of the input is a JSON list: a working folder, a file for what is printed, notebooks. They
run in a runtime of their own, a copy of this process; the answer is its exit status.

There is IPython and what ALLOWED names (a JSON list of distributions), and nothing else: other
packages that happen to be installed cannot be imported. There is no rope_lib either, until the
first cell asks for it; then it is the unpacked WHEEL.
"""

import json
import os
import sys
import traceback
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

from IPython.core.interactiveshell import InteractiveShell


class OnlyThese:
    """Asks the other finders, but not for what a runtime would not have."""

    def __init__(self, allowed):
        self.allowed = set(allowed)
        self.finders = list(sys.meta_path)
        self.packages = {
            package: {owner.lower().replace("_", "-") for owner in owners}
            for package, owners in packages_distributions().items()
        }

    def find_spec(self, name, path=None, target=None):
        owners = self.packages.get(name)
        if owners and not owners & self.allowed:
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next(filter(None, found), None)

    def find_distributions(self, context):
        return PathFinder.find_distributions(context)


def main(wheel, allowed):
    only = OnlyThese(json.loads(allowed))
    sys.meta_path[:] = [only]
    sys.modules["google.colab"] = ModuleType("google.colab")
    # Slow to import, and the same for all: the copies have them already.
    import matplotlib.pyplot  # noqa: F401
    import torch  # noqa: F401

    for line in sys.stdin:
        folder, log, *notebooks = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run_apart(wheel, only, folder, log, notebooks))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run_apart(wheel, only, folder, log, notebooks):
    """What a copy of this process does; 0 if no cell raises."""
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        run(wheel, only, notebooks)
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run(wheel, only, notebooks):
    shell = InteractiveShell.instance()

    def install(line):
        assert "rope_lib @ git+https://github.com/" in line, line
        only.allowed.add("rope-lib")
        sys.path.insert(0, wheel)

    shell.register_magic_function(install, magic_kind="line", magic_name="pip")
    for notebook in notebooks:
        shell.reset()
        for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                shell.run_cell("".join(cell["source"])).raise_error()
    assert sys.modules["rope_lib"].__file__.startswith(wheel), sys.modules["rope_lib"].__file__


if __name__ == "__main__":
    main(*sys.argv[1:])
