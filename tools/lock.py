"""Write constraints.txt: one exact set of packages for every Python that the book supports.

    make lock                                   with python3.11 ... python3.13 on the PATH
    python tools/lock.py python3.11 python3.12  with these interpreters only

pip resolves requirements.txt for each interpreter without installing anything. Where the answers
differ, a line carries the Python versions that it is for.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.13.0"  # moved by hand: it must have a small CPU build where the tests run
OWN = {"rope-lib"}
WITH_TORCH = ("nvidia-", "cuda-", "triton")  # torch itself asks for exactly one version of these
HEADER = """\
# The exact set that the tests last ran with; requirements.txt says what each package is for.
# Do not edit: `make lock` writes it, with python3.11 ... python3.13 on the PATH.
"""


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """The Python version of `python` and what pip would install for it: {name: version}."""
    print(f"lock: resolving for {python} ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report, pin = Path(folder, "report.json"), Path(folder, "pin.txt")
        pin.write_text(f"torch=={TORCH}\n")
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        files = ["-r", "requirements.txt", "-c", str(pin)]
        pip = [sys.executable, "-m", "pip", "--python", python]
        subprocess.run([*pip, "install", *options, *files], cwd=ROOT, check=True)
        answer = json.loads(report.read_text())
    found = (item["metadata"] for item in answer["install"])
    versions = {normal(each["name"]): each["version"].split("+")[0] for each in found}
    kept = {n: v for n, v in versions.items() if n not in OWN and not n.startswith(WITH_TORCH)}
    return answer["environment"]["python_version"], kept


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraint_lines(sets: dict[str, dict[str, str]]) -> list[str]:
    """One line per package and version, with a marker unless it is the same for all."""
    lines = []
    for name in sorted(set().union(*sets.values())):
        groups: dict[str, list[str]] = {}
        for python, versions in sets.items():
            if name in versions:
                groups.setdefault(versions[name], []).append(python)
        for version, pythons in groups.items():
            suffix = f" ; {marker(pythons, list(sets))}" if len(groups) > 1 else ""
            lines.append(f"{name}=={version}{suffix}")
    return lines


def marker(pythons: list[str], known: list[str]) -> str:
    """The environment marker for `pythons`, some of the `known` versions in rising order."""
    if len(pythons) > 1 and pythons == known[known.index(pythons[0]) :]:
        return f'python_version >= "{pythons[0]}"'
    return " or ".join(f'python_version == "{python}"' for python in pythons)


def main() -> None:
    pythons = sys.argv[1:] or [f"python3.{minor}" for minor in (11, 12, 13)]
    sets = dict(resolve(python) for python in pythons)
    lines = constraint_lines(sets)
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"lock: constraints.txt holds {len(lines)} lines for Python {', '.join(sets)}")


if __name__ == "__main__":
    main()
