"""What other sites need of a page: description, picture and address; and the map of the site."""

import functools
import html
import tomllib
from pathlib import Path

from editions import EDITIONS


@functools.cache
def read(book):
    """What `sharing.toml` says of each page, and of all answers."""
    return tomllib.loads(Path(book, "sharing.toml").read_text(encoding="utf-8"))


def picture_of(page):
    return f"_static/share/{page.rpartition('/')[2]}.png"


def describe(page, sharing):
    """A sentence for people; None for pages that the book did not write, such as the search."""
    if page.startswith("notebooks/solutions/"):
        chapter = page.rpartition("/")[2].partition("_")[0].lstrip("0")
        return sharing["answers"].format(chapter)
    return sharing["pages"].get(page, {}).get("description")


def add_tags(app, page, template, context, doctree):
    """Put the tags that search engines and messengers read into a page's head."""
    sharing = read(Path(app.srcdir, "book"))
    description = describe(page, sharing)
    if description is None:
        return
    shown = page if "figure" in sharing["pages"].get(page, {}) else "book/intro"
    tags = {
        "og:type": "article" if page.startswith("notebooks/") else "website",
        "og:site_name": app.config.project,
        "og:title": context["title"],
        "og:description": description,
    }
    site = app.config.html_baseurl.rstrip("/")
    if site:  # a copy that is not published has no address to give
        tags |= {
            "og:url": f"{site}/{page}.html",
            "og:image": f"{site}/{picture_of(shown)}",
            "og:image:width": "1200",
            "og:image:height": "630",
            "og:image:alt": sharing["picture"].format(context["title"]),
        }
    lines = [f'<meta name="description" content="{html.escape(description)}">',
             '<meta name="twitter:card" content="summary_large_image">']  # fmt: skip
    lines += [
        f'<meta property="{name}" content="{html.escape(text)}">' for name, text in tags.items()
    ]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def write_sitemap(app, exception):
    """`sitemap.xml` of all pages that the table of contents names, if the site has an address."""
    site = app.config.html_baseurl.rstrip("/")
    if exception or app.builder.name != "html" or not site:
        return
    places = "".join(
        f"<url><loc>{site}/{page}.html</loc></url>\n" for page in sorted(app.env.found_docs)
    )
    text = '<?xml version="1.0" encoding="utf-8"?>\n'
    text += f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n'
    Path(app.outdir, "sitemap.xml").write_text(text, encoding="utf-8")
    if app.config.edition == "en":
        lines = "".join(
            f"Sitemap: {site}/{folder}sitemap.xml\n" for _, _, folder in EDITIONS.values()
        )
        Path(app.outdir, "robots.txt").write_text(lines, encoding="utf-8")
