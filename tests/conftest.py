"""Settings that every test shares."""

import base64
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from jupyter_client.kernelspec import KernelSpecManager

import tolerances
from bare_runtime import make_kernels
from built_package import sdist, wheel, wheel_of_the_sdist  # noqa: F401  fixtures for all tests
from built_site import address, site, visit  # noqa: F401  fixtures for all tests
from pdf import find_browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# The machine may be busy: no test is judged by the clock. Examples are the same on every run.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")


def pytest_configure(config):
    # Makes the font cache on a fresh machine: a notebook would announce it on stderr.
    import matplotlib.font_manager  # noqa: F401

    if config.getoption("nbval_kernel_name", None) == "bare" and not hasattr(config, "workerinput"):
        offer_bare_kernels(config)  # once: the workers inherit JUPYTER_PATH
    if config.getoption("numprocesses", None):
        return  # this process only hands out tests
    import torch

    # Without a GPU, kernels run in Triton's interpreter, to be chosen before they are defined.
    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")


def offer_bare_kernels(config):
    """Make the kernels of bare_runtime.py and let Jupyter find them, until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="bare-runtime-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    make_kernels(folder)
    known = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *([known] if known else [])])


@pytest.fixture(scope="session")
def bare_kernel(request):
    """The kernelspec `bare`: that of `make test`, or a new one where it has made none."""
    kernels = KernelSpecManager()
    if "bare" not in kernels.find_kernel_specs():
        offer_bare_kernels(request.config)
        kernels = KernelSpecManager()  # reads JUPYTER_PATH anew
    return kernels.get_kernel_spec("bare")


LIBRARY = {"rotation", "models", "course"}


def place_of(item):
    """Workers take whole files, in this order.

    The slowest file builds the site, while others need none; those of the library are short, so
    they even out the end.
    """
    if item.path.name == "test_access.py":
        return 0
    folder = item.path.parent.name
    return 3 if folder in LIBRARY else 2 if folder == "book" else 1


def pytest_collection_modifyitems(items):
    items.sort(key=place_of)
    tolerances.pytest_collection_modifyitems(items)


@pytest.fixture(scope="session")
def no_browser():
    """Call it with the reason: skips the test, or fails it where REQUIRE_BROWSER=1."""

    def give_up(reason):
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
        pytest.skip(f"not tested here: {reason}")

    return give_up


@pytest.fixture(scope="module")
def fonts():
    """What the browser's environment gets in addition; in test_fonts.py, a choice of fonts."""
    return {}


@pytest.fixture(scope="module")  # Playwright runs once at a time, and tools/pdf.py uses it, too
def browser(no_browser, fonts):
    """A headless Chromium from the PATH or the variable CHROMIUM."""
    path = find_browser()
    if path is None:
        no_browser("no Chromium on the PATH or in CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        no_browser("the package playwright is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=FLAGS, env=os.environ | fonts
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def shared_context(browser):
    """`shared_context(**settings)`: one for all tests of a file whose pages leave nothing behind.

    To make one for each page costs a third of a second.
    """
    made = {}

    def of(**settings):
        key = repr(sorted(settings.items()))
        if key not in made:
            made[key] = browser.new_context(**settings)
        return made[key]

    return of


@pytest.fixture
def show(shared_context):
    """Open figures on a page of their own; at the end, no complaint and no request was made."""
    complaints, pages = [], []

    def open_page(*figures, width=390, body="", **options):
        page = shared_context(viewport={"width": width, "height": 900}, **options).new_page()
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url[:60])
                if not request.url.startswith("data:") else None)  # fmt: skip
        outputs = "".join(f"<div>{figure._repr_html_()}</div>" for figure in figures)
        text = f"<!doctype html><html lang=en><meta charset=utf-8>{body}{outputs}".encode()
        page.goto("data:text/html;base64," + base64.b64encode(text).decode())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
