"""The pages of names: what they print is what runs, and no public name is missing."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch

import rope_lib
import rope_lib.hf
import rope_lib.kernels
from built_site import PAGES, parsed

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
ENTRANCE = (BOOK / "api.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", ENTRANCE, re.DOTALL)
MODULES = {path: re.findall(r"automodule:: (\S+)", path.read_text("utf-8"))
           for path in sorted((BOOK / "api").glob("*.md"))}  # fmt: skip
# What nobody imports from: parts of other modules, and what these share.
INNER = re.compile(
    r"rope_lib(\.__main__|\.arithmetic|\.checks|\.hf|\.course)?$"
    r"|rope_lib\.(eager|course\.elements|kernels\.\w|models\.probing)"
)
OF_MODELS = {
    f"rope_lib.models.{name}"
    for name in ("checkpoints", "compare", "conventions", "explain", "family", "grids", "identify",
                 "reader", "scores", "sharing")
}  # fmt: skip


def all_modules():
    for path in (ROOT / "rope_lib").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_code_of_the_entrance_prints_what_stands_below_it():
    torch.manual_seed(0)
    assert len(BLOCKS) == 8
    names = {}
    for code, expected in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == expected


def test_the_quick_start_is_ten_lines():
    code = BLOCKS[0][0]
    assert len([line for line in code.splitlines() if line]) <= 10
    assert max(map(len, "".join(code for code, _ in BLOCKS).splitlines())) <= 80


def test_every_page_of_names_is_in_the_table_of_contents_and_on_the_entrance():
    pages = {f"book/api/{path.stem}" for path in MODULES}
    assert pages == {page for page in PAGES if page.startswith("book/api/")}
    assert pages == {
        f"book/{link}" for link in re.findall(r"\| \[\S.*\]\((api/\w+)\.md\)", ENTRANCE)
    }


def test_every_public_module_is_on_one_page():
    listed = [module for modules in MODULES.values() for module in modules]
    assert len(listed) == len(set(listed))
    public = {name for name in all_modules() if not INNER.match(name)}
    public = {name for name in public if not name.startswith("rope_lib.models")} | OF_MODELS
    assert set(listed) == public


def home(value):
    """The name by which a page documents a function or a class."""
    if value.__module__.startswith("rope_lib.kernels."):
        return f"rope_lib.kernels.{value.__name__}"
    return f"{value.__module__}.{value.__name__}"


FRONT = {home(getattr(rope_lib, name)): name for name in rope_lib.__all__}
WINGS = [home(getattr(wing, name)) for wing in (rope_lib.hf, rope_lib.kernels)
         for name in wing.__all__ if name != "BACKENDS"]  # fmt: skip


@pytest.mark.parametrize("name", [*FRONT, *WINGS])
def test_every_public_name_is_in_a_table_of_the_entrance(name):
    rows = [line for line in ENTRANCE.splitlines() if f"`~{name}`" in line]
    assert len(rows) == 1
    assert ("★" in rows[0]) == (name in FRONT)
    assert rows[0].count("|") == 4


def test_every_public_name_is_documented_where_the_table_says(site):
    for row in re.findall(r"^\| (\{py:.*)\|$", ENTRANCE, re.MULTILINE):
        page = re.search(r"\]\((api/\w+)\.md\)", row)[1]
        ids = {tag["id"] for tag in parsed(site / f"book/{page}.html").find_all(id=True)}
        assert set(re.findall(r"rope_lib[.\w]+(?=[`>])", row)) <= ids, row


def test_what_the_page_of_conventions_says_of_two_models_is_so():
    from rope_lib.models.conventions import MODELS

    text = (BOOK / "api/conventions.md").read_text("utf-8")
    said = re.findall(r'MODELS\["(\w+)"\]\.family\.pairing`` is ``"(\w+)"', text)
    assert len(said) == 2
    assert all(MODELS[model_type].family.pairing == pairing for model_type, pairing in said)
