"""Take from the written pages what a reader would wait for in vain.

* All style sheets become one, without the rules that no page of the site can use.
* Only the search page loads the search.
* Pictures are fetched when they come into view, at a size that is known before.
* The theme's script does not measure every box of the page; `scrollable.js` does when one is near.
* The two fonts that every formula needs, and that of the icons, are asked for at once.
"""

import functools
import hashlib
import re
from pathlib import Path
from posixpath import dirname, normpath, relpath

import tinycss2

SHEET = re.compile(r'<link (?=[^>]*rel="stylesheet")[^>]*href="([^"?]+)[^>]*>\n?')
SEARCH = re.compile(
    r'<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>\s*'
)
NAMED = re.compile(r'\b(?:class|id)="[^"]+"|<script\b.*?</script>', re.DOTALL)
PICTURE = re.compile(r'<img (?=[^>]*src="[^"]*_images/([^"]+\.svg)")')
SIZE = re.compile(r'<svg[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
URL = re.compile(r"""url\(["']?(?!data:|#)([^"')]+)["']?\)""")
IMPORT = re.compile(r'@import "([^"]+)";')
MEASURED = re.compile(r'\["pre",[^\]]*\]')  # in the theme's script: what it measures at once
FONTS = ("icons/solid.woff2", "katex/fonts/KaTeX_Main-Regular.woff2",
         "katex/fonts/KaTeX_Math-Italic.woff2")  # fmt: skip
# The arrow beside a page that has pages below it, for those who do not see it.
UNNAMED, NAME = '<summary><span class="toctree-toggle"', "Show or hide the pages below"


def lighten(app, exception):
    """At the end of a build for the web; a printed page loads everything."""
    if exception or app.builder.name != "html":
        return
    out = Path(app.outdir)
    theme = out / "_static/scripts/pydata-sphinx-theme.js"
    theme.write_text(MEASURED.sub('["none"]', theme.read_text(encoding="utf-8")), encoding="utf-8")
    paths = [path for path in out.rglob("*.html") if out / "_static" not in path.parents]
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    words = known_words(out, pages.values())
    for path, text in pages.items():
        folder = path.parent.relative_to(out).as_posix()
        sheets = tuple(normpath(f"{folder}/{name}") for name in SHEET.findall(text))
        if not sheets:
            continue
        sheet = relpath(bundle(out, sheets, words), folder)
        text = with_one_sheet(text, sheet, relpath("_static", folder))
        if path.name != "search.html":
            text = SEARCH.sub("", text)
        text = text.replace(' aria-label="Toggle hidden content"', "")  # the text says more
        text = text.replace(UNNAMED, UNNAMED.replace(">", f' aria-label="{NAME}">', 1))
        path.write_text(PICTURE.sub(lambda found: lazy(out, found[1]), text), encoding="utf-8")


def known_words(out, pages):
    """All that may be a class or an id: of an element, or set by a script."""
    named = [name for text in pages for name in NAMED.findall(text)]
    scripts = [path.read_text(encoding="utf-8") for path in out.rglob("*.js")]
    return frozenset(re.findall(r"[\w-]+", " ".join(named + scripts)))


def lazy(out, name):
    size = SIZE.search((out / "_images" / name).read_text(encoding="utf-8"))
    width, height = (round(float(points) * 4 / 3) for points in size.groups())  # to pixels
    return f'<img loading="lazy" width="{width}" height="{height}" '


def with_one_sheet(text, sheet, static):
    links = "".join(
        f'<link rel="preload" href="{static}/{font}" as="font" type="font/woff2" crossorigin>\n'
        for font in FONTS
    )
    first = iter([f'{links}<link rel="stylesheet" href="{sheet}">\n'])
    return SHEET.sub(lambda found: next(first, ""), text)


# ---------------------------------------------------------------- one style sheet


@functools.cache
def bundle(out, sheets, words):
    """Write the sheets as one and return its name; the name changes with the content."""
    content = f"/* Of {' '.join(sheets)} */"
    content += "".join(used_of_sheet(out, name, words) for name in sheets)
    name = f"_static/site.{hashlib.sha256(content.encode()).hexdigest()[:8]}.css"
    (out / name).write_text(content, encoding="utf-8")
    return name


@functools.cache
def used_of_sheet(out, name, words):
    return used(tinycss2.parse_stylesheet(read_sheet(out, name), True, True), words)


def read_sheet(out, name):
    """A sheet as it has to be written in `_static`, with what it imports."""

    def place(found):
        return normpath(f"{dirname(name)}/{found[1]}")

    text = (out / name).read_text(encoding="utf-8").replace('@charset "UTF-8";', "")
    text = URL.sub(lambda found: f"url({relpath(place(found), '_static')})", text)
    return IMPORT.sub(lambda found: read_sheet(out, place(found)), text)


def used(rules, words):
    """The rules that may apply to a page whose classes and ids are among these words."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = tinycss2.serialize(rule.prelude)
            alive = [one for one in split(selectors) if may_match(one, words)]
            if alive:
                kept.append(f"{','.join(alive)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = used(tinycss2.parse_rule_list(rule.content, True, True), words)
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        else:
            kept.append(tinycss2.serialize([rule]))
    return "".join(kept)


def split(selectors):
    """At the commas that stand in no bracket."""
    return [one.strip() for one in re.split(r",(?![^(]*\))", selectors)]


def may_match(selector, words):
    """False only if it asks for a class or an id that the site does not know."""
    asked = re.sub(r":(?:not|is|where|has)\([^)]*\)|\[[^\]]*\]|\\.", " ", selector)
    return all(name in words for name in re.findall(r"[.#](-?[A-Za-z_][\w-]*)", asked))
