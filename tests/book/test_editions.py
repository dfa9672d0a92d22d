"""The site in two languages: each page leads to its other self, and the other one is Chinese."""

import re
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from built_site import ADDRESS, PAGES, PHONE, parsed
from test_access import first_visit

CHINESE = re.compile(r"[\u4e00-\u9fff]")


LINK = re.compile(r'<a class="[^"]*language-link" href="([^"]+)"')
ALTERNATE = re.compile(r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)">')


@pytest.mark.parametrize("name", PAGES)
def test_each_page_leads_to_its_other_self(site, name):
    for folder, code, other in ((site, "en", "zh/"), (site / "zh", "zh-CN", "")):
        path = folder / f"{name}.html"
        text = path.read_text(encoding="utf-8")
        assert f'<html lang="{code}"' in text
        (link,) = LINK.findall(text)
        assert (path.parent / link).resolve() == (site / f"{other}{name}.html").resolve()
        assert dict(ALTERNATE.findall(text)) == {
            "en": f"{ADDRESS.site}/{name}.html",
            "zh-CN": f"{ADDRESS.site}/zh/{name}.html",
            "x-default": f"{ADDRESS.site}/{name}.html",
        }


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_chinese_page_leads_somewhere(site, name):
    path = site / "zh" / f"{name}.html"
    for link in parsed(path).select("article a[href]"):
        address, anchor = urldefrag(link["href"])
        if urlsplit(address).netloc or address.startswith("mailto:"):
            continue
        target = (path.parent / unquote(address)).resolve() if address else path
        assert target.exists(), link["href"]
        if anchor and target.suffix == ".html":
            assert parsed(target).find(id=unquote(anchor)), link["href"]


@pytest.mark.parametrize("name", [name for name in PAGES if "/api/" not in name])
def test_title_headings_and_description_are_chinese(site, name):
    page = parsed(site / "zh" / f"{name}.html")
    for heading in page.select("article h1, article h2"):
        assert CHINESE.search(heading.get_text()) or "API" in heading.get_text(), heading
    assert CHINESE.search(page.find("meta", attrs={"name": "description"})["content"])
    assert CHINESE.search(page.find("meta", property="og:site_name")["content"])


def test_an_anchor_is_the_same_in_both_languages(site):
    for folder in (site, site / "zh"):
        page = parsed(folder / "notebooks/07c_choose_repair.html")
        assert page.find(id="how-do-i-set-yarn")


@pytest.mark.parametrize(
    "name", ["book/intro", "book/glossary", "notebooks/03_turn_two_dimensions"]
)
def test_what_is_only_read_aloud_is_chinese_too(site, name):
    text = (site / "zh" / f"{name}.html").read_text(encoding="utf-8")
    said = set(re.findall(r'(?:aria-label|title|placeholder)="([^"]*)"', text))
    assert {
        words for words in said if re.search("[a-z]{4}", words) and not CHINESE.search(words)
    } == set()


def test_the_maps_of_both_sites_are_named(site):
    named = (site / "robots.txt").read_text()
    assert f"Sitemap: {ADDRESS.site}/sitemap.xml" in named
    assert f"Sitemap: {ADDRESS.site}/zh/sitemap.xml" in named
    assert (
        f"{ADDRESS.site}/zh/notebooks/06_test_decay.html" in (site / "zh/sitemap.xml").read_text()
    )


@pytest.mark.parametrize("words", ["长程衰减", "外推", "线性注意力", "YaRN 因子"])
def test_the_chinese_search_finds(visit, words):
    page = visit(f"zh/search.html?q={words}", shared=True)
    page.wait_for_selector("#search-results li a")
    assert not page.faults


def test_a_figure_that_moves_speaks_the_language_of_its_page(visit):
    said = {}
    for folder in ("", "zh/"):
        page = visit(f"{folder}notebooks/03_turn_two_dimensions.html", locale="zh-CN")
        said[folder] = page.locator("rope-clock .title").first.inner_text()
    assert not CHINESE.search(said[""])
    assert CHINESE.search(said["zh/"])


@pytest.mark.parametrize("name", ["zh/book/intro", "zh/notebooks/09_turn_more_dimensions"])
def test_a_first_visit_of_the_chinese_site_is_light_too(visit, name):
    total, scripts, shift = first_visit(visit, name)
    assert total <= 300_000
    assert scripts <= 60_000
    assert shift < 0.02


@pytest.mark.parametrize("name", [name for name in PAGES if "/api/" not in name][::2])
def test_no_chinese_page_is_wider_than_a_phone(visit, name):
    page = visit(f"zh/{name}.html", shared=True, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not page.faults
