"""Draw the pictures that messengers show of a page: its title, its sentence and one of its figures.

    make share          writes book/_static/share/*.png, 1200 × 630

A picture remembers what it was drawn from, so that a test can tell when it is out of date.
"""

import base64
import hashlib
import html
import io
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import yaml
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, sync_playwright

import translate
from pdf import find_browser

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "book" / "_ext"))
import sharing  # noqa: E402

SIZE = {"width": 1200, "height": 630}
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; width: 1200px; height: 630px; background: #fff; color: #22272e; display: grid;
  grid-template: 1fr auto / 400px 1fr; gap: 0 40px; box-sizing: border-box; padding: 56px;
  border-left: 16px solid #0072b2; font: 26px/1.4 "DejaVu Sans", "Noto Sans CJK SC", sans-serif }}
h1 {{ font-size: 46px; line-height: 1.15; margin: 0 0 24px; letter-spacing: -.01em }}
p {{ margin: 0 }} small {{ color: #56606b; font-size: 24px; align-self: end; grid-row: 2 }}
img {{ width: 100%; height: 518px; object-fit: contain; grid-row: 1 / 3; grid-column: 2 }}
</style><div><h1>{title}</h1><p>{description}</p></div><small>{site}</small>
<img src="data:image/svg+xml;base64,{figure}">"""


def cells_of(tree: Path, chapter: str) -> list:
    return nbformat.read(tree / "notebooks" / f"{chapter}.ipynb", as_version=4).cells


def figure(tree: Path, page: str, name: str) -> str:
    """The SVG of a figure, by its name in the page's chapter or as ``chapter#cell``."""
    if "#" in name:
        chapter, _, cell_id = name.partition("#")
        cell = next(cell for cell in cells_of(tree, chapter) if cell.id == cell_id)
        shown = next(out.data["text/html"] for out in cell.outputs if "data" in out)
        return unquote(re.search(r'src="data:image/svg\+xml,([^"]*)"', shown)[1])
    for cell in cells_of(tree, page.rpartition("/")[2]):
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            return next(out.data["image/svg+xml"] for out in cell.outputs if "data" in out)
    raise SystemExit(f"share: {page} has no figure {name}")


def site_title(tree: Path) -> str:
    return yaml.safe_load((tree / "_config.yml").read_text(encoding="utf-8"))["title"]


def title_of(tree: Path, page: str) -> str:
    if page == "book/intro":
        return site_title(tree)
    text = "\n".join(cell.source for cell in cells_of(tree, page.rpartition("/")[2]))
    return re.search(r"^# \w+ · (.+)$", text, re.MULTILINE)[1]


def drawings(tree: Path = ROOT) -> dict[str, str]:
    """The page, as HTML, behind each picture of the book, or of the sources of an edition."""
    pages = {
        page: entry
        for page, entry in sharing.read(tree / "book")["pages"].items()
        if "figure" in entry
    }
    return {
        page: PAGE.format(
            site=html.escape(site_title(tree)),
            title=html.escape(title_of(tree, page)),
            description=html.escape(entry["description"]),
            figure=base64.b64encode(figure(tree, page, entry["figure"]).encode()).decode(),
        )
        for page, entry in pages.items()
    }


def digest(drawing: str) -> str:
    return hashlib.sha256(drawing.encode()).hexdigest()[:16]


def picture_file(page: str, language: str = "en") -> Path:
    name = sharing.picture_of(page)
    if language == "en":
        return ROOT / "book" / name
    return ROOT / "book" / "locale" / language / "share" / Path(name).name


def chinese(folder: Path) -> dict[str, str]:
    """The pages behind the pictures of the Chinese edition, whose sources go into the folder."""
    translate.write("zh", folder, outputs=True)
    return drawings(folder)


def drawn_from(path: Path) -> str | None:
    """The digest that a picture remembers; None where there is no picture."""
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return picture.text.get("drawn from")


def save(shot: bytes, path: Path, remembered: str) -> None:
    """Few colours are enough for lines on white, and make a third of the bytes."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(128)
    note = PngImagePlugin.PngInfo()
    note.add_text("drawn from", remembered)
    path.parent.mkdir(exist_ok=True)
    picture.save(path, optimize=True, pnginfo=note)


def main() -> None:
    path = find_browser()
    if path is None:
        raise SystemExit(
            "share: no Chromium or Chrome on PATH; install one, or CHROMIUM=/path/to/it"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport=SIZE)
        for language, drawn in (("en", drawings()), ("zh", chinese(ROOT / "_build" / "zh"))):
            for page, drawing in drawn.items():
                draw(tab, drawing, picture_file(page, language))
        browser.close()


def draw(tab: Page, drawing: str, target: Path) -> None:
    """Store the picture of the drawing, if it is not there yet."""
    if drawn_from(target) == digest(drawing):
        return
    tab.set_content(drawing, wait_until="load")
    save(tab.screenshot(), target, digest(drawing))
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
