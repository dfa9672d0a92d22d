"""Every page leads to itself in the other language: a link for people, and tags for search engines.

The English site stands at the root, an edition in a folder below it that has its name.
"""

import html
import re
from pathlib import Path

EDITIONS = {"en": ("EN", "en", ""), "zh": ("中文", "zh-CN", "zh/")}  # short name, code, folder

# What screen readers and tooltips say, and no catalogue of the theme or of Sphinx translates.
SPOKEN = {
    "zh": {
        "Front page": "首页",
        "Main": "主导航",
        "Page": "本页",
        "Toggle primary sidebar": "展开或收起左侧栏",
        "Toggle secondary sidebar": "展开或收起右侧栏",
        "Show or hide the pages below": "展开或收起下级页面",
        "Color mode": "颜色模式",
        "System Settings": "跟随系统",
        "Source repositories": "源代码仓库",
        "Launch interactive content": "打开可运行的版本",
        "Launch on Colab": "在 Colab 上打开",
        "Link to this heading": "本节的链接",
        "Link to this image": "本图的链接",
        "Link to this table": "本表的链接",
        "Link to this definition": "本条的链接",
        "Link to this term": "本词条的链接",
        "Link to this code": "这段代码的链接",
    }
}


def setup(app):
    app.add_config_value("edition", "en", "html")
    app.connect("html-page-context", add_links)
    app.connect("build-finished", speak, priority=950)  # after `lighten.py`


def speak(app, exception):
    """Say in the edition's language what the theme says in English."""
    words = SPOKEN.get(app.config.edition, {})
    if exception or app.builder.name != "html" or not words:
        return
    said = re.compile(rf'\b(title|aria-label)="({"|".join(map(re.escape, words))})"')
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        text = said.sub(lambda found: f'{found[1]}="{words[found[2]]}"', text)
        path.write_text(text, encoding="utf-8")


def add_links(app, page, template, context, doctree):
    """Give the template the other edition, and name all editions in the page's head."""
    if page not in app.env.found_docs:
        return
    here = app.config.edition
    (other,) = [each for each in EDITIONS if each != here]
    name, code, folder = EDITIONS[other]
    up = "../" * (page.count("/") + EDITIONS[here][2].count("/"))
    context["other_edition"] = {"name": name, "code": code, "url": f"{up}{folder}{page}.html"}
    base = app.config.html_baseurl.rstrip("/").removesuffix(f"/{EDITIONS[here][2].rstrip('/')}")
    places = {
        code: f"{base or up.rstrip('/') or '.'}/{folder}{page}.html"
        for _, code, folder in EDITIONS.values()
    }
    places["x-default"] = places["en"]
    context["metatags"] = context.get("metatags", "") + "".join(
        f'<link rel="alternate" hreflang="{code}" href="{html.escape(place)}">\n'
        for code, place in places.items()
    )
