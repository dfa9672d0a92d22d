"""rope_lib as it is published: an sdist and a wheel, built without a network from a copy."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = (".*", "_build", "build", "dist", "*.egg-info", "__pycache__", "runs")


def build(kind: str, source: Path) -> Path:
    """The file that setuptools makes of `source`; `kind` is "sdist" or "wheel"."""
    code = f"from setuptools import build_meta as b; print(b.build_{kind}('dist'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return source / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """Built from a copy of the whole repository, so that it could hold too much."""
    copy = tmp_path_factory.mktemp("sdist") / "tree"
    return build("sdist", shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT)))


def make_wheel(folder: Path) -> Path:
    """What pip would install. An editable installation would hide a file that pip leaves out."""
    copy = shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    return build("wheel", copy)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_of_the_sdist(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source)
