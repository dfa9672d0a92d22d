"""In an edition in another language a heading keeps the anchor of the original.

So a link that names a section leads to it in every language. `anchors.json` gives, for each page,
the original heading of each translated one; `tools/translate.py` writes it.
"""

import json
from pathlib import Path

from docutils import nodes
from myst_parser.mdit_to_docutils.base import default_slugify

ORIGINALS: dict[str, dict[str, str]] = {}
PAGE = ""


def setup(app):
    path = Path(app.srcdir, "anchors.json")
    if path.exists():
        ORIGINALS.update(json.loads(path.read_text(encoding="utf-8")))
    app.connect("source-read", remember_page)
    app.connect("doctree-read", name_sections)


def remember_page(app, docname, source):
    global PAGE
    PAGE = docname


def name_sections(app, doctree):
    """Chinese headings have no letters to make an id of: the anchor becomes the first id."""
    if app.env.docname in ORIGINALS:
        for section in doctree.findall(nodes.section):
            if section.get("slug") and section["slug"] not in section["ids"]:
                section["ids"].insert(0, section["slug"])


def slug(title):
    """The anchor of a heading, from the text that MyST finds in it."""
    return default_slugify(ORIGINALS.get(PAGE, {}).get(title, title))
