"""The runtime in which `make test` runs every notebook: what Colab has, and nothing else.

There is Python, ipykernel, what rope_lib depends on, Triton (which is a part of PyTorch for GPUs),
and rope_lib as pip would install it. Other packages that happen to be installed are refused.
"""

import json
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from built_package import make_wheel

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path(__file__).with_name("bare_kernel.py")


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


def allowed():
    """The distributions of the runtime."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    dependencies = project["dependencies"] + project["optional-dependencies"]["course"]
    return {"rope-lib"} | needed_by("ipykernel", *(Requirement(one).name for one in dependencies))


def refused(distributions):
    """The installed packages that belong to none of these distributions."""
    owners = metadata.packages_distributions().items()
    return [name for name, who in owners if not distributions & {canonicalize_name(w) for w in who}]


def make_kernels(folder):
    """Write two kernelspecs, `bare` and `bare_without_triton`, to be found by JUPYTER_PATH."""
    (folder / "source").mkdir()
    (folder / "work").mkdir()
    zipfile.ZipFile(make_wheel(folder / "source")).extractall(folder / "installed")
    write_kernel(folder, "bare", allowed() | {"triton"})
    write_kernel(folder, "bare_without_triton", allowed() - {"triton"})


def write_kernel(folder, name, distributions):
    kernel = folder / "kernels" / name
    kernel.mkdir(parents=True)
    names = kernel / "refused.json"
    names.write_text(json.dumps(refused(distributions)), encoding="utf-8")
    # -P: the folder of the script is no place to import from
    command = [sys.executable, "-P", SCRIPT, names, folder / "work", "-f", "{connection_file}"]
    spec = {
        "argv": [*map(str, command)],
        "display_name": name,
        "language": "python",
        "env": {"PYTHONPATH": str(folder / "installed")},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
