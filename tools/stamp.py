"""Write a copy of the book that knows its own address.

    python tools/stamp.py --into FOLDER
    python tools/stamp.py --into FOLDER --repository you/name --site https://example.org/book

The tree itself names no address, so that a fork has none to edit: where a page, a notebook or the
configuration needs one, it says that this copy is not published. This command copies the tree and
replaces those places, as stamps.toml says. The address is that of the clone's remote `origin`,
unless it is given; the site is where GitHub Pages serves that repository, unless it is given.

Only the standard library and git are used, so it runs before anything is installed.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
STAMPS = Path(__file__).with_name("stamps.toml")
OWNER, NAME = r"[A-Za-z0-9](?:-?[A-Za-z0-9])*", r"[A-Za-z0-9._-]+"
REMOTE = re.compile(rf"(?:https://|ssh://git@|git@)github\.com[/:]({OWNER}/{NAME}?)(?:\.git)?/?")
SITE = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~-]+)*")
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
COLAB_BRANCH = "colab"  # where the deployment pushes the stamped notebooks
LEFT_OUT = ("_build", "build", "runs", "__pycache__", "*.egg-info")
KEPT = (".ci", ".devcontainer", ".gitattributes", ".github", ".gitignore", ".zenodo.json")

UNPUBLISHED_CELL = """\
# Published copies of this notebook install the shared library on Colab.
from importlib.util import find_spec

if find_spec("rope_lib") is None:
    raise ModuleNotFoundError(
        "rope_lib is not installed, and this copy of the notebook is not "
        "published: open it with the Colab button of the published book, "
        "or `pip install` the folder that it came in."
    )"""
PUBLISHED_CELL = """\
# On Colab: install the shared library. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet --no-deps {requirement}"""


class StampError(Exception):
    """An address that is none, or a file that does not say what it should; the message names it."""


@dataclass(frozen=True)
class Address:
    """Where a copy is published: `owner/name` on GitHub, its commit and branch, and its site.

    `released` is the version of rope_lib on PyPI that has the library of this commit, if any.
    """

    repository: str
    site: str
    commit: str
    branch: str = "main"
    released: str | None = None

    def __post_init__(self):
        checked("the repository", self.repository, rf"{OWNER}/{NAME}", "owner/name")
        checked("the site", self.site, SITE.pattern, "https://example.org/book")
        checked("the commit", self.commit, r"[0-9a-f]{40}", "40 hexadecimal digits")
        checked("the branch", self.branch, r"[A-Za-z0-9._/-]+", "a branch's name")

    @property
    def url(self) -> str:
        return f"https://github.com/{self.repository}"

    @property
    def requirement(self) -> str:
        """What pip is asked for on Colab."""
        if self.released:
            return f"rope_lib=={self.released}"
        return f'"rope_lib @ git+{self.url}@{self.commit}"'

    def words(self) -> dict[str, str]:
        name = self.repository.partition("/")[2]
        return {"url": self.url, "site": self.site, "name": name, "branch": self.branch,
                "colab": COLAB_BRANCH}  # fmt: skip


def checked(what: str, value: str, pattern: str, allowed: str) -> None:
    if not re.fullmatch(pattern, value) or value.endswith(".git"):
        raise StampError(f"{what} is {value!r}; it must look like {allowed}")


# ---------------------------------------------------------------- the address


def repository_of(remote: str) -> str:
    """`owner/name` of a remote's address.

    Raises:
        StampError: it is not on GitHub.
    """
    found = REMOTE.fullmatch(remote)
    if not found:
        raise StampError(f"the remote origin is {remote!r}, not on GitHub; say --repository")
    return found[1]


def pages_url(repository: str) -> str:
    """Where GitHub Pages serves the site of a repository that has no domain of its own."""
    owner, name = repository.lower().split("/")
    host = f"{owner}.github.io"
    return f"https://{host}" if name == host else f"https://{host}/{repository.split('/')[1]}"


def git(root: Path, *arguments: str) -> str:
    """What git answers; StampError with git's own words if it cannot."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise StampError("git is not installed; say --repository and --commit") from None
    if done.returncode:
        words = f"git {' '.join(arguments)}: {done.stderr.strip()}"
        raise StampError(f"{words} (or say --repository and --commit)")
    return done.stdout.strip()


def released_version(root: Path) -> str | None:
    """The package's version, if its tag stands here and the library has not changed since."""
    (version,) = VERSION.findall((root / "rope_lib/__init__.py").read_text(encoding="utf-8"))
    tag, packed = f"v{version}", ("rope_lib", "experiments/results", "benchmarks/results")
    try:
        same = not git(root, "diff", "--name-only", tag, "HEAD", "--", *packed)
    except StampError:
        return None  # there is no such tag
    return version if same else None


# ---------------------------------------------------------------- the copy


def left_out(folder: str, names: list[str]) -> set[str]:
    """Names that a copy does not take along: git's own, environments, caches and what was built."""
    hidden = {name for name in names if name.startswith(".") and name not in KEPT}
    return hidden | shutil.ignore_patterns(*LEFT_OUT)(folder, names)


def read_stamps() -> dict[str, list[tuple[str, str]]]:
    """For each file, the texts to be replaced and those that replace them."""
    stamps = defaultdict(list)
    for entry in tomllib.loads(STAMPS.read_text(encoding="utf-8"))["stamp"]:
        stamps[entry["file"]].append((entry["here"], entry["there"]))
    return stamps


def stamped(name: str, text: str, address: Address) -> str:
    """The text of the file `name` with each of its places replaced."""
    for here, there in read_stamps()[name]:
        if text.count(here) != 1:
            raise StampError(f"{name} says this {text.count(here)} times, not once: {here!r}")
        text = text.replace(here, Template(there).substitute(address.words()))
    return text


def stamped_notebook(name: str, text: str, address: Address) -> str:
    """A notebook's JSON, whose first cell installs the library on Colab."""
    notebook = json.loads(text)
    cell = notebook["cells"][0]
    if "".join(cell["source"]) != UNPUBLISHED_CELL:
        raise StampError(f"{name}: the first cell is not the set-up cell; `make refresh`")
    source = PUBLISHED_CELL.format(requirement=address.requirement)
    cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def rewrite(path: Path, root: Path, stamp: Callable, address: Address) -> None:
    name = path.relative_to(root).as_posix()
    text = stamp(name, path.read_text(encoding="utf-8"), address)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_copy(root: Path, target: Path, address: Address) -> None:
    """Copy the tree at `root` to the new folder `target`, with the address in it.

    Raises:
        StampError: the folder is not empty, or a file does not say what it should.
    """
    if target.exists() and any(target.iterdir()):
        raise StampError(f"{target} is not empty")
    if target.is_relative_to(root) and not target.is_relative_to(root / "_build"):
        raise StampError(f"{target} lies in the tree that is copied")
    shutil.copytree(root, target, ignore=left_out, dirs_exist_ok=True)
    for name in read_stamps():
        rewrite(target / name, target, stamped, address)
    for path in sorted((target / "notebooks").rglob("*.ipynb")):
        rewrite(path, target, stamped_notebook, address)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, required=True, help="the folder of the copy, new")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="default: that of origin")
    parser.add_argument("--site", metavar="URL", help="default: where GitHub Pages serves it")
    parser.add_argument("--commit", metavar="SHA", help="what Colab installs; default: HEAD")
    parser.add_argument("--branch", default="main", help="the branch that people edit")
    parser.add_argument("--released", action="store_true",
                        help="rope_lib is on PyPI: install that where it is the same")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        repository = options.repository or repository_of(git(ROOT, "remote", "get-url", "origin"))
        address = Address(
            repository=repository,
            site=(options.site or pages_url(repository)).rstrip("/"),
            commit=options.commit or git(ROOT, "rev-parse", "HEAD"),
            branch=options.branch,
            released=released_version(ROOT) if options.released else None,
        )
        write_copy(ROOT, options.into.resolve(), address)
    except (OSError, StampError) as problem:
        print(f"stamp: {problem}", file=sys.stderr)
        return 1
    print(f"{options.into}: {address.url}, {address.site}, {address.requirement}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
