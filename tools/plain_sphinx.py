"""Build the book with Sphinx and without Jupyter Book: python tools/plain_sphinx.py _build/plain

The site is then in _build/plain/html. Version 1 of Jupyter Book is in maintenance and holds Sphinx
at version 7; a weekly job builds with the newest Sphinx, to see coming what will break. Options are
read from _config.yml; the test of this file compares them with those that Jupyter Book makes of it.
"""

import sys
from pathlib import Path

import yaml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parent.parent


def options(config: str) -> dict:
    """What Sphinx is told, from the text of _config.yml, which is what Jupyter Book is told."""
    book = yaml.safe_load(config)
    own, html = book["sphinx"]["config"], book["html"]
    return own | {
        "extensions": [name for name in own["extensions"] if name != "jupyter_book"],
        "html_title": book["title"],
        "author": book["author"],
        "copyright": book["copyright"],
        "exclude_patterns": book["exclude_patterns"],
        "external_toc_path": "_toc.yml",
        "external_toc_exclude_missing": book["only_build_toc_files"],
        "nb_execution_mode": book["execute"]["execute_notebooks"],
        "myst_enable_extensions": book["parse"]["myst_enable_extensions"],
        "bibtex_bibfiles": book["bibtex_bibfiles"],
        "html_theme": "sphinx_book_theme",
        "html_baseurl": html["baseurl"],
        "html_logo": book["logo"],
        "html_favicon": html["favicon"],
        "html_sourcelink_suffix": "",
        "html_theme_options": {
            "home_page_in_toc": html["home_page_in_navbar"],
            **own["html_theme_options"],
            **published(book),
        },
    }


def published(book: dict) -> dict:
    """What the theme is told of the book's address, in a copy that has one (tools/stamp.py)."""
    buttons = {key: value for key, value in book["html"].items() if key.endswith("_button")}
    names = {"url": "repository_url", "branch": "repository_branch"}
    told = {names[key]: value for key, value in book["repository"].items()}
    return told | {key: book[key] for key in ("launch_buttons",) if key in book} | buttons


def build(folder: Path) -> int:
    """Sphinx's exit status; a warning or a reference that leads nowhere is an error."""
    sys.path.insert(0, str(ROOT / "book/_ext"))
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    with docutils_namespace():
        app = Sphinx(
            srcdir=ROOT, confdir=None, outdir=folder / "html", doctreedir=folder / "doctrees",
            buildername="html", confoverrides=options(config) | {"nitpicky": True}, freshenv=True,
            warningiserror=True, keep_going=True,
        )  # fmt: skip
        app.build(force_all=True)
    return app.statuscode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
