"""tools/environment.sh, in a small project of its own: what it makes, mends and says.

No network: pip finds small wheels in a folder. The environment that runs this is not touched.
"""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "environment.sh"
PYTHON = getattr(sys, "_base_executable", None) or sys.executable
TOO_OLD = "sys.version_info = (3, 8, 18, 'final', 0)"
TOO_NEW = "sys.version_info = (3, 14, 0, 'final', 0)"
WITHOUT_VENV = "sys.modules['ensurepip'] = None"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", "")


class Project:
    """A folder with the script and a requirement; a PATH of its own; a folder of wheels."""

    def __init__(self, root: Path):
        self.root, self.path, self.wheels = root / "a project", root / "bin", root / "wheels"
        for folder in (self.root / "tools", self.path, self.wheels):
            folder.mkdir(parents=True)
        shutil.copy(SCRIPT, self.root / "tools")
        for tool in ("sh", "cat", "cksum", "dirname", "mkdir", "rm"):
            (self.path / tool).symlink_to(shutil.which(tool))
        self.write("requirements.txt", "tiny>=1\n")
        self.write("constraints.txt", "tiny==1.0\n")
        self.write("pyproject.toml", "")
        for name, version in (("setuptools", "99.0"), ("tiny", "1.0"), ("tiny", "2.0")):
            make_wheel(self.wheels, name, version)

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def add_python(self, name: str, pretence: str = "") -> None:
        """Put an interpreter called `name` on the PATH, perhaps one that pretends something."""
        command = f'{shlex.quote(PYTHON)} "$@"'
        if pretence:
            code = f"import sys; {pretence}; exec(sys.argv[1])"
            command = f'{shlex.quote(PYTHON)} -c "{code}" "$2"'
        (self.path / name).write_text(f"#!{shutil.which('sh')}\nexec {command}\n")
        (self.path / name).chmod(0o755)

    def run(self, **settings: str) -> subprocess.CompletedProcess:
        pip = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }
        variables = {"PATH": str(self.path), "HOME": str(self.root), **pip, **settings}
        command = [str(self.path / "sh"), "tools/environment.sh"]
        return subprocess.run(
            command, cwd=self.root, env=variables, capture_output=True, text=True, timeout=300
        )

    def installed(self) -> str:
        """The version of `tiny` in the environment."""
        python = self.root / ".venv" / "bin" / "python"
        code = "import tiny; print(tiny.version)"
        return subprocess.check_output([python, "-c", code], text=True).strip()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose environment has been made once; each test leaves it in order."""
    project = Project(tmp_path_factory.mktemp("made"))
    project.add_python("python3")
    answer = project.run()
    assert answer.returncode == 0, answer.stderr
    assert "making .venv with Python 3." in answer.stdout
    assert "installing" in answer.stdout
    assert project.installed() == "1.0"
    return project


def assert_one_line(answer: subprocess.CompletedProcess, *words: str) -> None:
    lines = answer.stderr.splitlines()
    assert answer.returncode != 0
    assert len(lines) == 1, answer.stderr
    assert lines[0].startswith("environment: ")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize(("pretence", "version"), [(TOO_OLD, "3.8"), (TOO_NEW, "3.14")])
def test_python_too_old_or_too_new(project, pretence, version):
    project.add_python("python3", pretence)
    assert_one_line(project.run(), f"python3 is Python {version}", "3.11 to 3.13")
    assert not (project.root / ".venv").exists()


def test_no_python(project):
    assert_one_line(project.run(), "python3.11", "install Python 3.11 to 3.13")


def test_named_python_does_not_run(project):
    project.add_python("python3")
    assert_one_line(project.run(PYTHON="/nowhere/python"), "/nowhere/python")


def test_venv_is_missing(project):
    project.add_python("python3", WITHOUT_VENV)
    version = f"python3.{sys.version_info.minor}-venv"
    assert_one_line(project.run(), "python3 lacks venv", version)


def test_a_later_candidate_is_taken_and_an_index_that_comes_back(project):
    project.add_python("python3", TOO_OLD)
    project.add_python("python3.12", WITHOUT_VENV)
    project.add_python("python3.11")
    away = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    answer = project.run(**away)
    assert "making .venv with Python 3." in answer.stdout
    assert_one_line(answer, "index cannot be reached")
    answer = project.run()
    assert answer.returncode == 0, answer.stderr
    assert "making" not in answer.stdout, "what was made before the index was missed is kept"
    assert project.installed() == "1.0"


def test_a_package_that_does_not_exist(made):
    made.write("requirements.txt", "tiny>=3\n")
    answer = made.run()
    assert answer.returncode != 0
    assert "pip could not install everything" in answer.stderr.splitlines()[-1]
    assert made.installed() == "1.0"
    made.write("requirements.txt", "tiny>=1\n")
    answer = made.run()
    assert answer.returncode == 0, answer.stderr
    assert "making" not in answer.stdout


def test_up_to_date_does_nothing(made):
    before = {p: p.stat().st_mtime_ns for p in (made.root / ".venv").rglob("*")}
    answer = made.run(PIP_FIND_LINKS="")  # whatever asked pip for anything would fail
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    after = {p: p.stat().st_mtime_ns for p in (made.root / ".venv").rglob("*")}
    assert {p: t for p, t in after.items() if "__pycache__" not in p.parts} == {
        p: t for p, t in before.items() if "__pycache__" not in p.parts
    }


def test_a_change_is_installed_in_place(made):
    made.write("requirements.txt", "tiny>=2\n")
    answer = made.run(CONSTRAINTS="")
    assert answer.returncode == 0, answer.stderr
    assert "making" not in answer.stdout
    assert made.installed() == "2.0"
    made.write("requirements.txt", "tiny>=1\n")
    assert made.run().returncode == 0
    assert made.installed() == "1.0", "the constraints count again"


def test_an_unreachable_index_leaves_what_is_there(made):
    made.write("pyproject.toml", "# changed\n")
    assert_one_line(made.run(PIP_FIND_LINKS=""), "index cannot be reached")
    assert made.installed() == "1.0"
    assert "making" not in made.run().stdout


def pretend_old(python: Path) -> None:
    """Leave an environment whose pip works and whose Python says that it is 3.8."""
    code = f"import sys; {TOO_OLD}; exec(sys.argv[1])"
    real = f"exec -a {shlex.quote(str(python))} {shlex.quote(str(python.resolve()))}"
    lines = [
        f"#!{shutil.which('bash') or shutil.which('sh')}",
        '[ "$1" = -V ] && echo "Python 3.8.18" && exit',
        f'[ "$1" = -c ] && {real} -c "{code}" "$2"',
        f'{real} "$@"',
    ]
    python.unlink()
    python.write_text("\n".join(lines) + "\n")
    python.chmod(0o755)


@pytest.mark.parametrize("harm", ["interrupted", "dead link", "too old"])
def test_a_half_made_environment_is_mended(made, harm):
    python = made.root / ".venv" / "bin" / "python"
    if harm == "interrupted":
        (made.root / ".venv" / "unfinished").touch()
        shutil.rmtree(next((made.root / ".venv").glob("lib/python*/site-packages/pip")))
    elif harm == "too old":
        pretend_old(python)
    else:
        python.unlink()
        python.symlink_to("/nowhere/python")
    answer = made.run()
    assert answer.returncode == 0, answer.stderr
    assert "making .venv" in answer.stdout
    assert made.installed() == "1.0"
    assert made.run().stdout == ""
