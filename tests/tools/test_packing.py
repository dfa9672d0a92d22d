"""The book as one file: a zip that opens from a disk, and a PDF."""

import os
import zipfile

import pytest

import offline
import pdf


@pytest.fixture
def site(tmp_path):
    made = tmp_path / "html"
    for name in ("index.html", "book/run.html", "searchindex.js", ".buildinfo"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


def test_the_zip_holds_the_site_and_is_the_same_every_time(site, tmp_path):
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    assert offline.pack(site, first) == 3
    os.utime(site / "index.html", (1, 1))
    offline.pack(site, second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert archive.read("rope-book/book/run.html") == b"book/run.html"
    inside = {"index.html", "book/run.html", "searchindex.js", "READ ME.txt"}
    assert names == {f"rope-book/{name}" for name in inside}
    assert not list(tmp_path.glob("*.part"))


def test_without_a_site_nothing_is_packed(tmp_path):
    with pytest.raises(SystemExit, match="run `make book` first"):
        offline.pack(tmp_path, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_the_pdf_has_tags_an_outline_and_what_was_folded(no_browser, tmp_path):
    if pdf.find_browser() is None:
        no_browser("no Chromium on the PATH or in CHROMIUM")
    folded = "<p>line</p>" * 200
    sizes = []
    for inside in ("", f"<details><summary>Hint</summary>{folded}</details>"):
        page, target = tmp_path / "page.html", tmp_path / "page.pdf"
        page.write_text(f"<!doctype html><html lang=en><title>T</title><h1>One</h1>{inside}")
        pdf.print_page(page, target)
        content = target.read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/StructTreeRoot" in content
        assert b"/Outlines" in content
        sizes.append(content.count(b"/Type /Page\n"))
    assert sizes[0] == 1 < sizes[1]
    assert not list(tmp_path.glob("*.part.pdf"))


def test_without_a_browser_nothing_is_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    with pytest.raises(SystemExit, match="no Chromium or Chrome"):
        pdf.print_page(tmp_path / "page.html", tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())
