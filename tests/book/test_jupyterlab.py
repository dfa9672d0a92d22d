"""A reader opens chapter 3 in JupyterLab, runs it all, and moves its figures."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from built_site import ROOT
from rope_lib.course import interactive

CHAPTER = "03_turn_two_dimensions.ipynb"
# Every cell is in the page, also those that are not on the screen.
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that serves a copy of the notebooks, as a fresh user has it."""
    home = tmp_path_factory.mktemp("home")
    notebooks = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks)
    settings = home / "settings" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}), encoding="utf-8")
    log = (home / "log.txt").open("w")
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--ServerApp.port=0",
               f"--ServerApp.root_dir={notebooks}", "--LabApp.news_url=None",
               "--LabApp.extension_manager=readonly",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env=os.environ | {
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "IPYTHONDIR": str(home / "ipython"),
        },
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield address_of(server, home)
    finally:
        server.terminate()
        server.wait(timeout=30)


def address_of(server, home):
    for _ in range(600):
        files = list((home / "runtime").glob("jpserver-*.json"))
        if files:
            url = json.loads(files[0].read_text(encoding="utf-8"))["url"]
            try:
                urllib.request.urlopen(f"{url}api", timeout=5)
                return url
            except OSError:
                pass
        assert server.poll() is None, (home / "log.txt").read_text()
        time.sleep(0.2)
    pytest.fail("JupyterLab did not start: " + (home / "log.txt").read_text()[-2000:])


@pytest.fixture(scope="module")
def chapter(browser, lab):
    """The chapter, open, with all of its cells run from the menu."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(120_000)  # milliseconds; the machine may be busy
    page = context.new_page()
    page.elsewhere = []

    def only_here(route):
        if route.request.url.startswith(lab):
            return route.continue_()
        page.elsewhere.append(route.request.url)
        return route.abort()

    context.route(re.compile(r"^https?:"), only_here)
    # Before its kernel speaks, JupyterLab forgets what it is asked to run.
    with page.expect_websocket(lambda socket: "/channels" in socket.url) as kernel:
        page.goto(f"{lab}lab/tree/{CHAPTER}?reset")
    kernel.value.wait_for_event("framereceived")
    page.wait_for_selector(".jp-Notebook-cell .jp-OutputArea-output")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    cells = json.loads((ROOT / "notebooks" / CHAPTER).read_text(encoding="utf-8"))["cells"]
    page.codes = sum(cell["cell_type"] == "code" for cell in cells)
    page.wait_for_selector("rope-clock [aria-live]")
    page.wait_for_function(
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
        ".every(prompt => /\\d/.test(prompt.textContent))"
    )
    yield page
    context.close()


def test_every_cell_runs_in_order_and_none_complains(chapter):
    prompts = chapter.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
    assert [int(re.search(r"\d+", prompt)[0]) for prompt in prompts] == [
        *range(1, chapter.codes + 1)
    ]
    assert chapter.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert chapter.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    printed = chapter.locator(".jp-OutputArea-output").all_inner_texts()
    assert any("100 random queries, keys and positions; largest difference" in t for t in printed)
    assert chapter.locator(".jp-RenderedSVG svg, .jp-RenderedSVG img").count() >= 3


def test_the_clock_follows_keyboard_and_mouse_and_leaves_the_notebook_alone(chapter):
    clock = chapter.locator("rope-clock").first
    live = clock.locator("[aria-live=polite]")
    inputs = {name: clock.locator(f"input[name={name}]") for name in ("m", "n")}
    m, n = (int(each.input_value()) for each in inputs.values())
    theta = math.radians(15)
    assert live.inner_text() == interactive.clock(theta=theta, m=m, n=n).readout
    inputs["m"].focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        chapter.keyboard.press(key)
    assert live.inner_text() == interactive.clock(theta=theta, m=m + 1, n=n).readout
    box = inputs["n"].bounding_box()
    chapter.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    assert live.inner_text() == interactive.clock(theta=theta, m=m + 1, n=0).readout
    clock.locator("button.reset").click()
    assert live.inner_text() == interactive.clock(theta=theta, m=m, n=n).readout
    inputs["m"].focus()
    chapter.keyboard.press("a")  # in command mode this would insert a cell
    assert chapter.locator(".jp-CodeCell").count() == chapter.codes
    assert chapter.elsewhere == []
