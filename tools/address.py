"""The repository's address: read it, set it everywhere, compare it.

It is written in one place, `repository.url` of `_config.yml`. Files that must repeat it
(the first cell of every notebook, the clone line of the README, ...) are stamped from there:

    python tools/address.py                                   prints the address
    python tools/address.py https://github.com/you/name       sets it and stamps every copy
    python tools/address.py --check you/name                  fails if it is another one

Only the standard library is used, so it runs before anything is installed.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9](?:-?[A-Za-z0-9])*)/([A-Za-z0-9._-]+)")
IN_CONFIG = re.compile(
    r"^repository:[^\n]*\n(?:[ \t][^\n]*\n|[ \t]*\n|#[^\n]*\n)*?[ \t]+url:[ \t]*[\"']?([^\s\"'#]+)",
    re.MULTILINE,
)
STAMPED_SUFFIXES = {".cff", ".html", ".ipynb", ".md", ".po", ".toml", ".yml"}
SKIPPED_FOLDERS = {"_build", "build", "node_modules", "__pycache__", "tests"}
SETUP_CELL = """\
# On Colab: install the library that the chapters share. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet --no-deps "rope_lib @ git+{url}\""""


def repository_url(root: Path = ROOT) -> str:
    """The address of the repository, as `_config.yml` says it."""
    found = IN_CONFIG.search((root / "_config.yml").read_text(encoding="utf-8"))
    if not found:
        raise ValueError("_config.yml: there is no `url:` under `repository:`")
    return found.group(1)


def setup_cell_source(url: str) -> str:
    """The source of every notebook's first cell."""
    return SETUP_CELL.format(url=url)


def checked(url: str) -> str:
    """`url` without a closing slash or `.git`; ValueError unless https://github.com/owner/name."""
    url = url.strip().rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(url):
        raise ValueError(f"the address must look like https://github.com/owner/name, not {url!r}")
    return url


def pages_url(url: str) -> str:
    """Where GitHub Pages serves the site of the repository at `url`."""
    owner, name = url.split("/")[-2:]
    host = f"https://{owner}.github.io"
    return host if name.lower() == f"{owner}.github.io".lower() else f"{host}/{name}"


def stamped_files(root: Path = ROOT) -> Iterator[Path]:
    """Every text file that may repeat the address; `_config.yml` comes last."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and f[0] != ".")
        paths = (Path(folder, name) for name in sorted(names) if name != "_config.yml")
        yield from (path for path in paths if path.suffix in STAMPED_SUFFIXES)
    yield root / "_config.yml"


def stamp_text(text: str, old: str, new: str) -> str:
    """`text` with the old address, and the old site's, replaced by the new ones."""
    for before, after in ((old, new), (pages_url(old), pages_url(new))):
        text = re.sub(re.escape(before) + r"(?![A-Za-z0-9_-])", lambda _, after=after: after, text)
    return text


def stamp_notebook(text: str, url: str, name: str) -> str:
    """The notebook's JSON with the set-up cell for `url` as its first cell."""
    notebook = json.loads(text)
    cells = notebook.get("cells") or [{}]
    source = "".join(cells[0].get("source", ""))
    if source == setup_cell_source(url):
        return text
    if not source.startswith("# On Colab:"):
        raise ValueError(f"{name}: the first cell is not the set-up cell for Colab")
    cells[0]["source"] = setup_cell_source(url).splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def set_address(url: str, root: Path = ROOT) -> list[Path]:
    """Write `url` into `_config.yml` and every copy; return the files that changed."""
    old, new = repository_url(root), checked(url)
    changes = {}
    for path in stamped_files(root):
        before = path.read_text(encoding="utf-8")
        after = stamp_text(before, old, new)
        if path.suffix == ".ipynb":
            after = stamp_notebook(after, new, str(path.relative_to(root)))
        if after != before:
            changes[path] = after
    for path, text in changes.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(changes)


def check(name: str, root: Path = ROOT) -> None:
    """ValueError unless the address is that of the GitHub repository `owner/name`."""
    url, wanted = repository_url(root), f"https://github.com/{name}"
    if url.lower() != wanted.lower():
        raise ValueError(
            f"_config.yml names {url}, but this repository is {wanted}: "
            f"run `make address URL={wanted}` and commit the result"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="read, set or compare the repository's address")
    parser.add_argument("url", nargs="?", help="https://github.com/owner/name: set this address")
    parser.add_argument("--check", metavar="OWNER/NAME", help="fail if the address is another one")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            check(arguments.check)
        for path in set_address(arguments.url) if arguments.url else ():
            print(f"changed {path.relative_to(ROOT)}")
        print(repository_url())
    except (OSError, ValueError) as problem:
        sys.exit(f"address: {problem}")


if __name__ == "__main__":
    main()
