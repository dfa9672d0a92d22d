"""What other sites see of a page, and what every chapter offers to its readers."""

import re
import sys
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image

import share
from built_site import ADDRESS, PAGES, ROOT, parsed

sys.path.append(str(ROOT / "book" / "_ext"))
import lighten

HOME, REPOSITORY = ADDRESS.site, ADDRESS.url
DRAWINGS = share.drawings()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/") and "solutions" not in page]


def head_of(site, name):
    soup = parsed(site / f"{name}.html")
    found = {tag.get("property") or tag.get("name"): tag.get("content") for tag in soup("meta")}
    return soup, found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is(site, name):
    soup, tags = head_of(site, name)
    assert 40 <= len(tags["description"]) <= 170
    assert tags["og:description"] == tags["description"]
    assert tags["og:title"] in soup.title.text
    assert tags["og:url"] == f"{HOME}/{name}.html"
    picture = site / tags["og:image"].removeprefix(f"{HOME}/")
    assert Image.open(picture).size == (1200, 630)
    assert picture.stat().st_size < 100_000


def test_no_two_chapters_say_the_same(site):
    said = [head_of(site, name)[1] for name in CHAPTERS]
    for tag in ("description", "og:image"):
        assert len({each[tag] for each in said}) == len(CHAPTERS)


@pytest.mark.parametrize("page", DRAWINGS)
def test_a_picture_is_up_to_date(page):
    remembered = share.drawn_from(share.picture_file(page))
    assert remembered == share.digest(DRAWINGS[page]), "run `make share`"


def test_the_chinese_pictures_are_up_to_date(tmp_path):
    for page, drawing in share.chinese(tmp_path / "zh").items():
        remembered = share.drawn_from(share.picture_file(page, "zh"))
        assert remembered == share.digest(drawing), f"{page}: run `make share`"


def test_a_changed_figure_is_seen(tmp_path):
    drawing = DRAWINGS["book/intro"]
    assert share.digest(drawing) != share.digest(drawing.replace("RoPE", "Rope"))
    assert share.drawn_from(tmp_path / "none.png") is None


def test_the_map_of_the_site_names_every_page(site):
    places = {each.text for each in ElementTree.parse(site / "sitemap.xml").iter() if each.text}
    assert {f"{HOME}/{name}.html" for name in PAGES} <= places
    assert f"Sitemap: {HOME}/sitemap.xml" in (site / "robots.txt").read_text()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_can_be_opened_edited_loaded_and_reported(site, name):
    soup, _ = head_of(site, name)
    links = {unquote(link["href"]) for link in soup("a", href=True)}
    opened = (
        f"https://colab.research.google.com/github/{ADDRESS.repository}/blob/colab/{name}.ipynb"
    )
    assert opened in links
    assert f"{REPOSITORY}/edit/main/{name}.ipynb" in links
    assert any(link.startswith(f"{REPOSITORY}/issues/new") and name in link for link in links)
    loads = [link for link in links if link.endswith(f"{name.rpartition('/')[2]}.ipynb")]
    assert any((site / "notebooks" / link).is_file() for link in loads if "//" not in link)


# The style sheet

RULES = """
.used, .unused { color: red }
.unused:hover, #gone > p { color: blue }
p:not(.unused) { margin: 0 }
@media print { .unused { top: 0 } .used::after { content: ".unused" } }
@media screen { .unused { top: 0 } }
@font-face { font-family: x; src: url(x.woff2) }
a[href$=".unused"] { top: 1px }
"""


def test_only_rules_that_cannot_apply_are_left_out():
    kept = lighten.used(lighten.tinycss2.parse_stylesheet(RULES, True, True), {"used"})
    assert re.sub(r"\s+", " ", kept) == (
        ".used{ color: red }p:not(.unused){ margin: 0 }"
        '@media print {.used::after{ content: ".unused" }}'
        "@font-face { font-family: x; src: url(x.woff2) }"
        'a[href$=".unused"]{ top: 1px }'
    )


def test_a_sheet_keeps_its_addresses_and_what_it_imports(tmp_path):
    folder = tmp_path / "_static" / "styles"
    folder.mkdir(parents=True)
    (folder / "a.css").write_text('@import "../b.css"; a { src: url("../x.png") url(data:1) }')
    (tmp_path / "_static" / "b.css").write_text("b { src: url(y.png) }")
    text = lighten.read_sheet(tmp_path, "_static/styles/a.css")
    assert text == "b { src: url(y.png) } a { src: url(x.png) url(data:1) }"


def test_every_page_has_one_style_sheet_and_only_the_search_searches(site):
    for name in [*PAGES, "search"]:
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', text)
        assert (site / name).parent.joinpath(sheet).resolve().is_file()
        assert ("searchindex.js" in text) == (name == "search")
        for picture in re.findall(r"<img [^>]*_images/[^>]*>", text):
            assert re.search(r'loading="lazy" width="\d+" height="\d+"', picture), picture


def test_the_theme_no_longer_measures_every_box(site):
    """A new theme may write that line otherwise; then `lighten.MEASURED` has to follow."""
    script = (site / "_static/scripts/pydata-sphinx-theme.js").read_text(encoding="utf-8")
    assert 'querySelectorAll(["none"].join' in script


# Everything that is not a formula or a piece of code, and how the browser draws it.
LOOK = """() => {
  const names = [...getComputedStyle(document.body)].filter((name) => !name.startsWith("--"));
  return [...document.querySelectorAll("body, body *")]
    .filter((each) => !each.closest(".katex, pre"))
    .map((each) => {
      const style = getComputedStyle(each);
      const values = names.map((name) => `${name}: ${style.getPropertyValue(name)}`);
      return `${each.tagName} ${values.join("; ")}`;
    });
}"""
STILL = "* { transition: none !important; animation: none !important }"


def settled_look(page):
    """How the page is drawn once its fonts are there and its scripts have stopped changing it."""
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content=STILL)
    page.evaluate("document.fonts.ready")
    look, before = page.evaluate(LOOK), None
    while look != before:
        page.wait_for_timeout(500)  # milliseconds
        look, before = page.evaluate(LOOK), look
    return look


@pytest.mark.parametrize("name", ["book/intro", "search", "notebooks/06_test_decay"])
def test_a_page_looks_as_with_the_whole_style_sheets(site, visit, name):
    (sheet,) = re.findall(r"_static/(site[^\"]+)", (site / f"{name}.html").read_text("utf-8"))
    (parts,) = re.findall(r"\A/\* Of (.*?) \*/", (site / "_static" / sheet).read_text("utf-8"))
    whole = "".join(lighten.read_sheet(site, part) for part in parts.split())
    looks = []

    def dress(page):
        page.route(f"**/{sheet}", lambda route: route.fulfill(body=whole, content_type="text/css"))

    for before in (lambda page: None, dress):
        page = visit(f"{name}.html", before=before, reduced_motion="reduce")
        looks.append(settled_look(page))
    ours, theirs = looks
    assert len(ours) == len(theirs)
    changed = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    assert not changed, changed[0]
