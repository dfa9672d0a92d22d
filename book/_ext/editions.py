"""Every page leads to itself in the other language: a link for people, and tags for search engines.

The English site stands at the root, an edition in a folder below it that has its name.
"""

import html

EDITIONS = {"en": ("EN", "en", ""), "zh": ("中文", "zh-CN", "zh/")}  # short name, code, folder


def setup(app):
    app.add_config_value("edition", "en", "html")
    app.connect("html-page-context", add_links)


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
