"""The repository's address is written once; every copy agrees and follows when it changes."""

import json
import re
import shutil
from pathlib import Path

import pytest

import address

ROOT = Path(__file__).resolve().parent.parent
NEW = "https://github.com/some-body/turned-book"
COPIES = re.compile(
    r"(?:git clone |git\+|repository-code: \"?)(https://github\.com/[\w.-]+/[\w.-]+)"
)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """A copy of the project, without its tests and what was built."""
    names = [".[!g]*", ".git", "_build", "build", "*.egg-info", "tests", "__pycache__"]
    left_out = shutil.ignore_patterns(*names)
    return shutil.copytree(ROOT, tmp_path / "tree", ignore=left_out)


def holders(tree: Path, url: str) -> set[Path]:
    """Every file under `tree` that holds the address, or its site's, in any form."""
    needles = [each.encode() for each in (url, address.pages_url(url))]
    files = (path for path in tree.rglob("*") if path.is_file())
    return {path for path in files if any(needle in path.read_bytes() for needle in needles)}


def test_every_copy_agrees_with_the_configuration():
    wanted = address.repository_url()
    copies = {path: COPIES.findall(text_of(path)) for path in address.stamped_files()}
    wrong = {
        str(p.relative_to(ROOT)): found for p, found in copies.items() if set(found) - {wanted}
    }
    assert not wrong, f"these differ from {wanted}: {wrong}; run `make address URL={wanted}`"
    assert copies[ROOT / "README.md"], "README.md has no clone line"
    assert copies[ROOT / "CITATION.cff"], "CITATION.cff has no repository-code"


def test_every_notebook_begins_with_the_stamped_cell():
    notebooks = [p for p in address.stamped_files() if p.suffix == ".ipynb"]
    assert notebooks
    for path in notebooks:
        first = json.loads(text_of(path))["cells"][0]
        assert "".join(first["source"]) == address.setup_cell_source(address.repository_url()), path


def test_setting_the_address_changes_every_copy_and_comes_back(tree):
    old = address.repository_url(tree)
    before = {path: text_of(path) for path in address.stamped_files(tree)}
    held = holders(tree, old)

    assert set(address.set_address(NEW + ".git/", tree)) == held
    assert address.repository_url(tree) == NEW
    assert holders(tree, old) == set(), "the old address is left in these"
    assert holders(tree, NEW) == held
    assert address.set_address(NEW, tree) == [], "setting it twice changes nothing more"

    for path in held:  # the placeholder itself is refused, so the way back is by hand
        path.write_text(address.stamp_text(text_of(path), NEW, old), encoding="utf-8")
    assert {path: text_of(path) for path in before} == before


def test_a_set_up_cell_that_went_astray_is_stamped_again(tree):
    url = address.repository_url(tree)
    path = next(tree.rglob("*.ipynb"))
    text = text_of(path)
    path.write_text(text.replace(url, "https://github.com/else/where", 1), encoding="utf-8")
    assert address.stamp_notebook(text_of(path), url, path.name) == text


def test_longer_names_are_left_alone():
    old = "https://github.com/a/book"
    text = f"{old} {old}.git {old}/issues {old}-two {old}2 https://a.github.io/book/x."
    assert address.stamp_text(text, old, "https://github.com/b/new") == (
        "https://github.com/b/new https://github.com/b/new.git https://github.com/b/new/issues "
        f"{old}-two {old}2 https://b.github.io/new/x."
    )


@pytest.mark.parametrize(
    "url", ["", "you/name", "http://github.com/you/name", "https://github.com/you", NEW + "/tree/x",
            "https://github.com/under_score/name", "https://example.org/you/name"],
)  # fmt: skip
def test_a_bad_address_is_refused_and_nothing_changes(tree, url):
    before = {path: text_of(path) for path in address.stamped_files(tree)}
    with pytest.raises(ValueError, match=r"https://github\.com/owner/name"):
        address.set_address(url, tree)
    assert {path: text_of(path) for path in before} == before


def test_check_names_both_addresses(tree):
    address.set_address(NEW, tree)
    address.check("Some-Body/turned-book", tree)
    with pytest.raises(ValueError, match=r"names .*some-body/turned-book, but .*/fork/turned-book"):
        address.check("fork/turned-book", tree)
