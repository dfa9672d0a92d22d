"""Run notebooks as Colab runtimes would: `python colab_runtime.py WHEEL ALLOWED NOTEBOOK ...`.

There is IPython and what ALLOWED names (a JSON list of distributions), and nothing else: other
packages that happen to be installed cannot be imported. There is no rope_lib either, until the
first cell asks for it; then it is the unpacked WHEEL. The working folder is the caller's.
"""

import json
import sys
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


def main(wheel, allowed, *notebooks):
    only = OnlyThese(json.loads(allowed))
    sys.meta_path[:] = [only]
    sys.modules["google.colab"] = ModuleType("google.colab")
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
