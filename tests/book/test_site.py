"""The site: built once, read as files, then opened in a real browser.

A browser is looked for on the PATH and in the variable CHROMIUM. Without one the browser tests are
skipped; with REQUIRE_BROWSER=1 they fail instead.
"""

import functools
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import offline
from built_site import PAGES, PHONE, ROOT, build_book, parsed

# A tag and the attribute that makes a browser fetch something.
LOADS = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}


# Building


@functools.cache
def anchors(path):
    return {tag["id"] for tag in parsed(path).find_all(id=True)}


@pytest.fixture
def small_book(tmp_path):
    """`make(text)` writes a one-page book with the real configuration and returns its folder."""

    def make(text):
        source = tmp_path / "small"
        shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("*.md"))
        shutil.copy(ROOT / "_config.yml", source)
        (source / "_toc.yml").write_text("format: jb-book\nroot: page\n", encoding="utf-8")
        (source / "page.md").write_text(text, encoding="utf-8")
        return source

    return make


def test_every_notebook_is_in_the_table_of_contents():
    notebooks = ROOT.glob("notebooks/**/*.ipynb")
    names = {p.relative_to(ROOT).with_suffix("").as_posix() for p in notebooks}
    assert {name for name in names if "/." not in name} <= set(PAGES)


def test_a_formula_that_katex_cannot_set_stops_the_build(small_book, tmp_path):
    source = small_book("# Page\n\nGood: $x^2$. Bad: $\\notamacro{x}$.\n")
    status, log = build_book(source, tmp_path)
    assert status != 0
    assert "page: formula '\\\\notamacro{x}'" in log


def test_vendored_katex_style_is_of_the_version_that_sets_the_formulas():
    from sphinxcontrib import katex

    css = (ROOT / "book/_static/katex/katex.min.css").read_text(encoding="utf-8")
    assert f"KaTeX {katex.katex_version}" in css


# The built files


def is_elsewhere(address):
    return bool(urlsplit(address).netloc)


def loaded_by(page):
    """Every address that the page makes a browser fetch."""
    for tag in page.find_all(list(LOADS)):
        yield tag.get(LOADS[tag.name], "")
        yield from (part.split()[0] for part in tag.get("srcset", "").split(",") if part.strip())
    for link in page.find_all("link", href=True):
        if set(link["rel"]) & {"stylesheet", "preload", "modulepreload", "icon", "preconnect"}:
            yield link["href"]
    for tag in page.find_all(style=True):
        yield from re.findall(r"url\([\"']?([^)\"']+)", tag["style"])
    for style in page.find_all("style"):
        yield from re.findall(r"url\([\"']?([^)\"']+)", style.get_text())


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_only_files_of_the_site(site, name):
    path = site / f"{name}.html"
    for address in filter(None, loaded_by(parsed(path))):
        assert not is_elsewhere(address), address
        if not address.startswith(("data:", "#")):
            assert (path.parent / unquote(urlsplit(address).path)).is_file(), address


def test_styles_load_only_files_of_the_site(site):
    for sheet in site.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        for address in re.findall(r"(?:url\(|@import\s+)[\"']?([^)\"'\s;]+)", text):
            assert not is_elsewhere(address), f"{sheet.name}: {address}"


@pytest.mark.parametrize("name", PAGES)
def test_every_internal_link_and_anchor_resolves(site, name):
    path = site / f"{name}.html"
    for link in parsed(path).find_all("a", href=True):
        address = urlsplit(link["href"])
        if address.scheme or address.netloc:
            continue
        target = (path.parent / unquote(address.path)).resolve() if address.path else path
        assert target.is_file(), link["href"]
        if address.fragment and target.suffix == ".html":
            assert unquote(address.fragment) in anchors(target), f"no anchor for {link['href']}"


@pytest.mark.parametrize("name", PAGES)
def test_no_line_can_begin_with_what_closes_a_short_formula(site, name):
    article = parsed(site / f"{name}.html").find("article")
    for formula in article.select("span.math:not(.bound span)"):
        after = formula.next_sibling
        if isinstance(after, str) and after[:1] in tuple(",.;:!?)"):
            latex = formula.find("annotation").text
            assert len(latex) > 24, f"${latex}${after[:20]}"


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_words(site, name):
    article = parsed(site / f"{name}.html").find("article")
    for image in article.find_all("img"):
        alt = image.get("alt", "").strip()
        file = Path(urlsplit(image["src"]).path)
        assert alt, f"no text alternative: {image['src']}"
        assert file.stem not in alt, f"a file's name is no text alternative: {alt}"
        assert not re.fullmatch(r"\S*(/|\.(svg|png|jpe?g))\S*", alt), alt
    for drawing in article.select("svg[role=img]"):
        label = article.find(id=drawing.get("aria-labelledby", "no such id")) or drawing.title
        words = drawing.get("aria-label") or (label and label.get_text())
        assert words, f"no text alternative: {str(drawing)[:200]}"


@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_what_a_control_shows_is_a_part_of_its_name(site, name):
    """Whoever speaks to a computer says what the control shows (WCAG 2.5.3)."""
    for control in parsed(site / f"{name}.html").select(
        "a[aria-label], button[aria-label], summary[aria-label]"
    ):
        shown = " ".join(control.get_text().split()).casefold()
        assert shown in control["aria-label"].casefold(), control


# The browser


def missing_icons(page):
    """Requests for the theme's whole icon fonts: they answer for what ours do not hold."""
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    return [name for name in loaded if "/webfonts/" in name]


def page_scrolls_sideways(page):
    width, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return width > screen


ROOM = """() => {
    const exercises = document.querySelector(".bd-article > section > section#exercises");
    if (!exercises) return 0;
    const taken = parseFloat(getComputedStyle(exercises).containIntrinsicHeight.split(" ").pop());
    exercises.style.contentVisibility = "visible";
    return taken - exercises.offsetHeight;
}"""


@pytest.mark.parametrize("name", PAGES)
def test_page_in_a_browser(visit, name):
    page = visit(f"{name}.html", shared=True)
    page.wait_for_function("document.fonts.status === 'loaded'")
    assert page.faults == []
    assert not page_scrolls_sideways(page)
    assert missing_icons(page) == []

    page.set_viewport_size(PHONE)
    page.evaluate("new Promise(requestAnimationFrame)")
    assert not page_scrolls_sideways(page)
    assert page.faults == []
    assert page.evaluate(ROOM) >= 0  # else a link at their end is thought to lie on the quiz


def test_light_and_dark_toggle(visit):
    page = visit(f"{PAGES[0]}.html", color_scheme="light")
    seen = {}
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        assert page.locator(".theme-switch:visible").count() == 1
        theme = page.evaluate("document.documentElement.dataset.theme")
        seen[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.wait_for_function("document.fonts.status === 'loaded'")
    assert set(seen) == {"light", "dark"}
    assert seen["light"] != seen["dark"]
    assert missing_icons(page) == []
    assert page.faults == []


def test_the_reader_s_own_colour_scheme_is_kept(visit):
    page = visit(f"{PAGES[0]}.html", color_scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("words", ["half-split", "YaRN", "编码", "时钟"])
def test_search_finds(visit, words):
    page = visit(f"search.html?q={words}")
    page.wait_for_selector("#search-results li a")
    assert page.faults == []


def test_front_page_figure_keeps_the_angle(visit):
    page = visit("book/intro.html", reduced_motion="reduce")
    slider = page.locator("rope-turn input")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.locator("output[name=n]").inner_text() == "7"
    assert page.locator("output[name=m]").inner_text() == "9"
    hands = page.locator("rope-turn g.turning").first.evaluate("hands => hands.style.transform")
    assert hands == "rotate(-120deg)"  # counter-clockwise, as the book's clocks turn
    moved = page.locator("rope-turn g.moving").evaluate("words => words.style.transform")
    assert moved == "translate(68px)"  # four positions
    page.get_by_role("button", name="Reset").click()
    assert page.locator("output[name=n]").inner_text() == "3"
    assert slider.input_value() == "0"
    assert page.faults == []


def test_code_can_be_copied(visit):
    page = visit("book/run.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("div.highlight").first.hover()
    page.locator("button.copybtn").first.click()
    assert "git clone" in page.evaluate("navigator.clipboard.readText()")


def test_the_offline_book_is_searched_from_a_disk(site, browser, tmp_path):
    offline.pack(site, tmp_path / "book.zip")
    shutil.unpack_archive(tmp_path / "book.zip", tmp_path)
    page, faults = browser.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: m.type == "error" and faults.append(m.text))
    for words in ("YaRN", "half-split", "时钟", "长程衰减"):
        search = "zh/search.html" if words == "长程衰减" else "search.html"
        page.goto((tmp_path / "rope-book" / search).as_uri() + f"?q={words}")
        page.wait_for_selector("#search-results li p.context")
        excerpts = page.locator("#search-results li p.context").all_inner_texts()
        assert any(words.lower() in excerpt.lower() for excerpt in excerpts), words
    page.locator("#search-results li a").first.click()
    page.wait_for_selector("article h1")
    assert faults == []
    page.close()
