"""Pack the built site into one zip file that opens from a disk, search included.

    make offline        writes _build/rope-book.zip

The same site gives the same bytes: files stand in order, with one date.
"""

import html
import json
import re
import sys
import zipfile
from pathlib import Path

from bs4 import BeautifulSoup

FOLDER = "rope-book"
DATE = (2020, 1, 1, 0, 0, 0)
LEFT_OUT = {".buildinfo", ".buildinfo.bak", "objects.inv"}  # for builders, not for readers
FIRST = """\
Open index.html in this folder with a browser. Nothing else is needed: no network, no server.
"""
SEARCH = '<script src="_static/searchtools.js"></script>'
# A page that is opened from a disk may not read its neighbours, where the search finds excerpts.
WORDS = """\
const WORDS = {words};
window.fetch = async (address) => {{
  const page = Object.keys(WORDS).find((name) => String(address).endsWith(name));
  return {{ text: async () => `<div role="main">${{WORDS[page] ?? ""}}</div>` }};
}};
"""


def words_of(page: Path) -> str:
    """The text of a page, as HTML without tags."""
    main = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find("article")
    for each in main.select("script, style, svg, .headerlink, .katex-html") if main else ():
        each.decompose()
    return html.escape(main.get_text(" ")) if main else ""


def search_script(site: Path, pages: list[Path]) -> bytes:
    """Answers the search's questions for pages, without a server."""
    words = {page.relative_to(site).as_posix(): words_of(page) for page in pages}
    return WORDS.format(words=json.dumps(words, ensure_ascii=False)).encode()


def pages_of(folder: Path, files: list[Path]) -> list[Path]:
    """The pages of the edition in this folder, without those of an edition further below."""
    others = [path.parent for path in files if path.name == "search.html" and path.parent != folder]
    inner = [other for other in others if other.is_relative_to(folder)]
    return [
        path
        for path in files
        if path.suffix == ".html" and "_static" not in path.parts and path.is_relative_to(folder)
        and not any(path.is_relative_to(other) for other in inner)
    ]  # fmt: skip


def pack(site: Path, target: Path) -> int:
    """Write the zip file, whole or not at all; return how many files it holds.

    Raises:
        SystemExit: there is no site at ``site``.
    """
    if not (site / "index.html").is_file():
        raise SystemExit(f"offline: {site} has no index.html; run `make book` first")
    files = sorted(path for path in site.rglob("*") if path.is_file())
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(zipfile.ZipInfo(f"{FOLDER}/READ ME.txt", DATE), FIRST)
        kept = [path for path in files if path.name not in LEFT_OUT]
        contents = {path.relative_to(site).as_posix(): path.read_bytes() for path in kept}
        for name in contents:
            if name.endswith(".html"):  # a browser refuses to fetch ahead from a disk, and says so
                contents[name] = re.sub(rb'<link rel="preload"[^>]*>\n?', b"", contents[name])
        for folder in [path.parent for path in kept if path.name == "search.html"]:
            below = folder.relative_to(site)
            contents[(below / "_static/offline.js").as_posix()] = search_script(
                folder, pages_of(folder, kept)
            )
            name = (below / "search.html").as_posix()
            with_words = f'<script src="_static/offline.js"></script>\n{SEARCH}'
            contents[name] = contents[name].decode().replace(SEARCH, with_words, 1).encode()
        for name, content in contents.items():
            info = zipfile.ZipInfo(f"{FOLDER}/{name}", DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, content)
    part.replace(target)
    return len(kept)


if __name__ == "__main__":
    site, target = Path(sys.argv[1]), Path(sys.argv[2])
    count = pack(site, target)
    print(f"{target}: {count} files, {target.stat().st_size / 2**20:.1f} MiB")
