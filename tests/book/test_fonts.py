"""Whatever the fonts, nothing runs over an edge: the figures that move, and pages of each kind.

The whole file runs once for each set of fonts. A set is a fontconfig file that puts one family in
the place of all others. DejaVu comes with matplotlib; the other families are looked for on this
machine, and a set is left out where they are missing, or where a browser asks no fontconfig.
"""

from pathlib import Path

import matplotlib
import pytest

from rope_lib.course import interactive
from test_elements import FIGURES, choose_decay
from test_site import ROOM

SETS = {
    "own": None,  # whatever this machine has
    "dejavu": "DejaVu Sans",
    "wide": "DejaVu Sans Mono",  # no letter is narrow
    "narrow": "Roboto Condensed",
    "liberation": "Liberation Sans",
    "cjk": "Noto Sans CJK SC",  # its lines are high
}
CONFIGURATION = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>/usr/local/share/fonts</dir>
  <dir prefix="xdg">fonts</dir>
  <dir>{bundled}</dir>
  <cachedir>{folder}</cachedir>
  <match target="pattern">
    <edit name="family" mode="prepend" binding="strong"><string>{family}</string></edit>
  </match>
</fontconfig>
"""
PAGES = ["book/intro", "book/claims", "book/api", "book/api/kernels", "notebooks/06_test_decay",
         "search"]  # fmt: skip
WIDTHS = (1280, 768, 390, 320)


@pytest.fixture(scope="module", params=SETS)
def family(request):
    return SETS[request.param]


@pytest.fixture(scope="module")
def fonts(family, tmp_path_factory):
    if family is None:
        return {}
    folder = tmp_path_factory.getbasetemp()
    file = folder / f"{family}.conf"
    bundled = Path(matplotlib.get_data_path(), "fonts")
    file.write_text(CONFIGURATION.format(bundled=bundled, folder=folder / "fonts", family=family))
    return {"FONTCONFIG_FILE": str(file)}


@pytest.fixture(scope="module", autouse=True)
def worn(browser, family, no_browser):
    """The browser really draws with the family of the set."""
    page = browser.new_page()
    page.set_content("<p>Abc</p>")
    client = page.context.new_cdp_session(page)
    client.send("DOM.enable")
    client.send("CSS.enable")
    body = client.send("DOM.getDocument", {"depth": -1})["root"]["nodeId"]
    node = client.send("DOM.querySelector", {"nodeId": body, "selector": "p"})["nodeId"]
    (used,) = client.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    page.close()
    if family not in (None, used["familyName"]):
        no_browser(f"the font {family} is not installed (drawn with {used['familyName']})")


# Boxes that are narrower than what they hold, unless they scroll, and words of a picture that leave
# it or lie on each other. A word is as high as its letters, whatever room the font asks around it.
FAULTS = """() => {
  const faults = [];
  const say = (fault, element) =>
    faults.push(`${innerWidth} px: ${fault}: ${element.outerHTML.slice(0, 90)}`);
  const frame = (text) => {
    const { left, right, top, bottom } = text.getBoundingClientRect();
    const half = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a / 2;
    return { left, right, top: (top + bottom) / 2 - half, bottom: (top + bottom) / 2 + half };
  };
  const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 &&
    a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const apart = (a, b) => a.left >= b.right - 1 || b.left >= a.right - 1 ||
    a.top >= b.bottom - 1 || b.top >= a.bottom - 1;
  const lookAtPicture = (svg) => {
    const texts = [...svg.querySelectorAll("text")].map((text) => [text, frame(text)]);
    texts.forEach(([text, box], i) => {
      if (!inside(box, svg.getBoundingClientRect())) say("outside the picture", text);
      if (texts.slice(0, i).some(([, other]) => !apart(box, other))) say("on another word", text);
    });
  };
  const look = (root) => {
    for (const element of root.children) {
      if (element.matches(".katex")) continue;
      if (element.matches("svg")) { lookAtPicture(element); continue; }
      // In running text a formula ends with two empty pixels, a heading with a link that is unseen.
      const slack = element.closest("article") ? 3 : 1;
      const over = element.scrollWidth > element.clientWidth + slack && element.clientWidth > 1;
      // The theme gives these two negative margins.
      if (over && !element.matches(".sidebar-primary__section, .sidebar-primary-item") &&
          !/auto|scroll/.test(getComputedStyle(element).overflowX)) say("too narrow", element);
      if (element.shadowRoot) look(element.shadowRoot);
      look(element);
    }
  };
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`${innerWidth} px: page`);
  look(document.body);
  return faults;
}"""


def faults_of(page, widths=WIDTHS):
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        found += page.evaluate(FAULTS)
    return found


# Every slider stands at its largest value, every menu at its longest words.
LARGEST = """controls => controls.forEach((each) => {
  const options = [...(each.options ?? [])].map((option) => option.text.length);
  if (options.length) each.selectedIndex = options.indexOf(Math.max(...options));
  else each.value = each.max;
  each.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
})"""
MORE = [
    choose_decay("even"),  # its lines end close to each other
    interactive.clock(shifts=1_000_000),
    interactive.hands(32),
    interactive.scalings(256, 10_000_000, 1_000_000),
    interactive.shift({word: (-10, i - 10) for i, word in enumerate(["I", "really", "喜欢"])}),
    interactive.word_order({word: (-10, i - 10) for i, word in enumerate(["I", "like", "喜欢"])}),
]


def test_the_figures_that_move(show):
    page = show(*(make() for make, _ in FIGURES.values()), *MORE)
    assert faults_of(page) == []
    page.locator("[data-config] [name]").evaluate_all(LARGEST)
    assert faults_of(page, (1280, 960, 600, 390, 360, 320)) == []


def test_the_still_pictures(show):
    figures = [make() for make, _ in FIGURES.values()] + MORE
    page = show(body="".join(figure.picture for figure in figures), width=1280)
    assert page.evaluate(FAULTS) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_each_kind(visit, name):
    page = visit(f"{name}.html", reduced_motion="reduce")
    page.add_style_tag(content="* { content-visibility: visible !important }")
    assert faults_of(page) == []
    assert page.evaluate(ROOM) >= 0  # on the narrowest screen; chapter 6 has the longest exercises
