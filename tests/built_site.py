"""The site as it is published, built once, served to this machine, and opened in a browser."""

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin

import pytest
import yaml
from bs4 import BeautifulSoup
from filelock import FileLock

import stamp
import translate

ROOT = Path(__file__).resolve().parent.parent
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
ADDRESS = stamp.Address(
    repository="some-body/turned-book",
    site="https://some-body.github.io/turned-book",
    commit="0123456789" * 4,
)


def pages_in_toc():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [toc["root"]]

    def collect(entries):
        for entry in entries:
            found.append(entry["file"])
            collect(entry.get("sections", []))

    for part in toc["parts"]:
        collect(part["chapters"])
    return found


PAGES = pages_in_toc()


def build_book(source, output, *options):
    """Build as `make book` does, into `output`/_build/html; returns the status and the log."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    settings = ["--path-output", output, "--all", "-W", "--keep-going", "-n", *options]
    done = subprocess.run([*command, source, *settings], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site, which all workers of a run share.

    The variable BUILT_SITE names a site that was built before, to be tested as it is.
    """
    if "BUILT_SITE" in os.environ:
        return Path(os.environ["BUILT_SITE"]).resolve(strict=True)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    out, done = folder / "site/_build/html", folder / "site-is-built"
    with FileLock(folder / "site.lock"):
        if not done.exists():
            stamp.write_copy(ROOT, folder / "published", ADDRESS)
            translate.write("zh", folder / "zh", outputs=True, root=folder / "published")
            for source, target in (("published", "site"), ("zh", "site-zh")):
                status, log = build_book(folder / source, folder / target)
                assert status == 0, log
            shutil.move(folder / "site-zh/_build/html", out / "zh")
            done.touch()
    return out


@functools.cache
def parsed(path):
    """A page of the site; nobody changes it."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address(site):
    """The site, served from this machine to this machine."""
    handler = functools.partial(QuietHandler, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def visit(browser, shared_context, address):
    """`visit(name, **settings)` opens a page and notes in `page.faults` what it does wrong.

    With `shared`, other tests of the file may use its context, too. `before(page)` is called when
    the page is still blank.
    """
    pages, contexts = [], []

    def open_page(name, before=lambda page: None, shared=False, **settings):
        settings = {"viewport": DESK, **settings}
        context = shared_context(**settings) if shared else browser.new_context(**settings)
        page = context.new_page()
        pages.append(page) if shared else contexts.append(context)
        page.set_default_timeout(120_000)  # milliseconds; the machine may be busy
        page.faults = faults = []
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda m: m.type == "error" and faults.append(f"console: {m.text}"))

        def only_here(route):
            if route.request.url.startswith(address):
                return route.continue_()
            faults.append(f"asks another host: {route.request.url}")
            return route.abort()

        page.route(re.compile(r"^(https?|wss?):"), only_here)
        before(page)
        page.goto(urljoin(address, name), wait_until="load")
        return page

    yield open_page
    for page in pages:
        page.evaluate("localStorage.clear()")
        page.close()
    for context in contexts:
        context.close()
