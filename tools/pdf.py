"""Print the book, built as one page, to a PDF with tags and an outline.

    make pdf            writes _build/rope-book.pdf

Chromium prints it, as a reader's browser would: CHROMIUM=/path names one that is not on the PATH.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# The first is Debian's Chromium without its own window, which a test pays for with each page.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
            "google-chrome-stable", "chrome")  # fmt: skip
FOOTER = """<div style="width: 100%; text-align: center; font: 8px sans-serif">
<span class="pageNumber"></span></div>"""


def find_browser() -> str | None:
    """A Chromium or Chrome that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(page_file: Path, target: Path) -> None:
    """Write the PDF, whole or not at all.

    Raises:
        SystemExit: there is no browser to print with.
    """
    browser_path = find_browser()
    if browser_path is None:
        raise SystemExit("pdf: no Chromium or Chrome on PATH; install one, or CHROMIUM=/path/to/it")
    part = target.with_suffix(".part.pdf")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        page = browser.new_page(color_scheme="light")
        page.goto(page_file.resolve().as_uri(), wait_until="load", timeout=120_000)
        # Paper cannot be clicked: hints and folded cells are shown.
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        page.pdf(
            path=part, format="A4", scale=0.8, tagged=True, outline=True, print_background=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
            margin={"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
        )  # fmt: skip
        browser.close()
    part.replace(target)


if __name__ == "__main__":
    print_page(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size / 2**20:.1f} MiB")
