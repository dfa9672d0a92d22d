"""For everybody and on any line: axe-core finds no fault, and a first visit is light and still.

Axe looks at one page of each kind in light, in dark and on a phone, and at the articles of all
others in light, since what is around them is the same everywhere. The worked answers and the pages
of the API are of one kind each, and one of them stands for all. What a page repeats a thousand
times is looked at once, see `SHORTEN`; contrast, the slowest rule, is measured at one element of
each kind, see `ONE_OF_EACH`.
"""

import gzip
import os
from pathlib import Path

import axe_playwright_python
import pytest

from built_site import DESK, PAGES, PHONE

PINNED = Path(axe_playwright_python.__file__).with_name("axe.min.js")
AXE = Path(os.environ.get("AXE") or PINNED).read_text(encoding="utf-8")
KINDS = [
    "book/intro",
    "book/claims",
    "book/api/kernels",
    "notebooks/06_test_decay",
    "notebooks/solutions/03_turn_two_dimensions",
    "search",
]
OF_ONE_KIND = ("/solutions/", "/api/")
OTHERS = [
    page for page in PAGES if page not in KINDS and not any(kind in page for kind in OF_ONE_KIND)
]
VIEWS = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True},
}


# Formulas are left out: KaTeX writes them all alike, MathML to be read aloud and a picture that is
# hidden from readers. Of coloured words in code, one of each colour stays in each kind of box.
SHORTEN = """() => {
  document.querySelectorAll(".katex").forEach((formula) => formula.replaceWith("x"));
  const seen = new Set();
  for (const word of document.querySelectorAll("pre span, code span, .sig span")) {
    const kind = [word, word.parentElement, word.closest("pre, code, .sig").parentElement]
      .map((each) => each.className).join("|");
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    seen.add(kind);
  }
}"""


# Two elements are of one kind if they, what they are within and all that is within them have the
# same tags, colours and letters.
ONE_OF_EACH = """() => {
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  const looks = (each) => {
    const style = getComputedStyle(each);
    const { color, backgroundColor, backgroundImage, opacity, fontSize, fontWeight } = style;
    return [color, backgroundColor, backgroundImage, opacity, fontSize, fontWeight];
  };
  const own = new Map([...document.body.querySelectorAll("*")].map((each) =>
    [each, [each.tagName, ...looks(each), [...each.childNodes].some(isText)].join(" ")]));
  const inner = (each) => [...new Set([...each.children].map(whole))].join();
  const whole = (each) => `${own.get(each)}(${inner(each)})`;
  const seen = new Set();
  const thin = (parent, path) => {
    for (const each of [...parent.children]) {
      const kind = path + whole(each);
      if (seen.has(kind)) each.remove();
      else thin(each, path + own.get(each) + ">");
      seen.add(kind);
    }
  };
  thin(document.body, "");
}"""


def faults_of(page, part="html"):
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.evaluate("document.getAnimations().forEach((fade) => fade.cancel())")  # halfway is pale
    page.evaluate(SHORTEN)
    page.evaluate(AXE)
    faults = violations(page, part, {"rules": {"color-contrast": {"enabled": False}}})
    page.evaluate(ONE_OF_EACH)
    return faults + violations(page, part, {"runOnly": ["color-contrast"]})


def violations(page, part, options):
    run = "([part, options]) => axe.run(part, {resultTypes: ['violations'], ...options})"
    return [
        f"{fault['id']}: {node['html'][:120]} ({node['failureSummary']})"
        for fault in page.evaluate(run, [part, options])["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing_on_a_page_of_each_kind(visit, name, view):
    assert faults_of(visit(f"{name}.html", shared=True, **VIEWS[view])) == []


@pytest.mark.parametrize("name", OTHERS)
def test_axe_finds_nothing_in_the_other_articles(visit, name):
    assert faults_of(visit(f"{name}.html", shared=True), "article") == []


def test_axe_would_find_something(visit):
    page = visit("book/intro.html", shared=True)
    page.evaluate("document.querySelector('article').innerHTML += '<button></button>'"
                  "+ '<p>dark</p><p style=\"color: #bbb\">pale</p>'"
                  "+ '<style>.dim { color: #bcb } #dim { color: #cbb } i i { color: #bcc }</style>'"
                  "+ '<p>dark</p><p class=dim>pale</p><b>dark</b><b id=dim>pale</b>'"
                  "+ '<p><i>dark</i></p><p><i>dark<i>pale</i></i></p>'"
                  "+ '<pre><span class=odd style=\"color: #ccc\">code</span></pre>'")  # fmt: skip
    found = "\n".join(faults_of(page))
    assert "button-name" in found
    assert "color-contrast: <p style" in found
    assert 'color-contrast: <p class="dim"' in found
    assert 'color-contrast: <b id="dim"' in found
    assert "color-contrast: <i>" in found
    assert 'color-contrast: <span class="odd"' in found


# A first visit

CHAPTERS = [page for page in PAGES if page.startswith("notebooks/") and "solutions" not in page]
COMPRESSED = (".woff2", ".png")
SHIFTS = """window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


def first_visit(visit, name):
    """Bytes that a phone fetches, as a server compresses them; those of scripts; layout shift."""
    answers = []

    def watch(page):
        page.on("response", lambda answer: answers.append(answer))
        page.add_init_script(SHIFTS)

    page = visit(f"{name}.html", before=watch, viewport=PHONE)
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300)))")
    shift = page.evaluate("window.shift")
    inline = page.evaluate(
        "[...document.querySelectorAll('script:not([src])')].map(each => each.text).join('')"
    )
    total, scripts = 0, len(gzip.compress(inline.encode()))
    for answer in answers:
        body = answer.body()
        size = len(body) if answer.url.endswith(COMPRESSED) else len(gzip.compress(body))
        total += size
        scripts += size if ".js" in answer.url else 0
    return total, scripts, shift


@pytest.mark.parametrize("name", ["book/intro", *CHAPTERS])
def test_a_first_visit_is_light_and_nothing_jumps(visit, name):
    total, scripts, shift = first_visit(visit, name)
    assert total <= 300_000
    assert scripts <= 60_000
    assert shift < 0.02
