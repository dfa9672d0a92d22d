"""``tools/translate.py``: what is cut, kept, found stale, compared and written."""

import json
import re

import nbformat
import polib
import pytest

import stamp
import translate
from built_site import ADDRESS
from edition import catalogue, checks, tree
from edition.units import Unit, sections_of, translated, units_of

ROOT = translate.ROOT


def same(context, source):
    return source


@pytest.mark.parametrize("source", translate.files(), ids=str)
def test_a_file_whose_texts_stay_is_the_same_file(source):
    assert translated(ROOT / source, same) == (ROOT / source).read_text(encoding="utf-8")


def test_a_page_is_cut_at_headings_and_entries_but_not_in_code():
    page = "# A\n\none\n\n```sh\n# no heading\n```\n\n## B `c`\n\ntwo\n\n"
    page += "```{glossary}\nx\n  1\n\ny\n  2\n```\n"
    sections = sections_of(page)
    assert [name for name, _ in sections] == ["a", "b-c", "term x", "term y"]
    assert "".join(text for _, text in sections) == page


@pytest.fixture
def notebook(tmp_path):
    """A notebook with a text, a figure with its words, and a table."""
    figure = nbformat.v4.new_output(
        "display_data", {"image/svg+xml": "<svg><text x='1'>loss</text></svg>"}
    )
    table = nbformat.v4.new_output(
        "execute_result",
        {"text/html": "<table><tr><th>Model</th><td><code>rope</code></td></tr></table>"},
        execution_count=2,
    )
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nThree words here.", id="first"),
        nbformat.v4.new_code_cell("draw()", outputs=[figure], id="draw",
                                  metadata={"mystnb": {"image": {"alt": "A line."}}}),
        nbformat.v4.new_code_cell("table()", outputs=[table], id="table"),
    ]  # fmt: skip
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_what_a_reader_sees_of_a_notebook_is_a_unit(notebook):
    assert units_of(notebook) == [
        Unit("first", "# Title\n\nThree words here."),
        Unit("draw alt", "A line."),
        Unit("words", "loss"),
        Unit("words", "Model"),
    ]


def test_code_and_outputs_stay_and_words_of_outputs_only_if_wanted(notebook):
    def shout(context, source):
        return source.upper()

    before = nbformat.read(notebook, 4)
    for outputs in (True, False):
        after = nbformat.reads(translated(notebook, shout, outputs=outputs), 4)
        assert [cell.source for cell in after.cells[1:]] == ["draw()", "table()"]
        assert after.cells[0].source == "# TITLE\n\nTHREE WORDS HERE."
        same_outputs = [cell.get("outputs") for cell in after.cells] == [
            cell.get("outputs") for cell in before.cells
        ]
        assert same_outputs == (not outputs)
    assert "<text x='1'>LOSS</text>" in translated(notebook, shout)
    assert "<code>rope</code>" in translated(notebook, shout)


def test_a_changed_text_is_stale_until_it_is_translated_anew(notebook):
    units = units_of(notebook)
    made = catalogue.update(polib.POFile(), units)
    assert len(catalogue.state(made, units).missing) == 4
    for entry in made:
        entry.msgstr = "译文"
    assert not catalogue.state(made, units)
    changed = [Unit("first", "# Title\n\nFour words are here."), *units[1:]]
    assert catalogue.state(made, changed).stale == ["first"]
    again = catalogue.update(made, changed)
    assert catalogue.state(again, changed).stale == ["first"]
    assert again[0].previous_msgid == units[0].source
    assert Unit("first", changed[0].source) not in catalogue.translations(again)


def test_a_text_that_is_gone_is_named(notebook):
    units = units_of(notebook)
    made = catalogue.update(polib.POFile(), units)
    assert catalogue.state(made, units[1:]).unused == ["first"]
    assert catalogue.state(made, units[:-1]).unused == ["Model"]


def test_a_catalogue_survives_its_file(tmp_path):
    unit = Unit("a", 'two lines\nwith "quotes" and \\theta')
    path = tmp_path / "a.po"
    made = catalogue.update(polib.POFile(), [unit])
    made[0].msgstr = "两行\n“引号”和 \\theta"
    made.save(str(path))
    assert catalogue.translations(catalogue.read(path)) == {unit: made[0].msgstr}


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("Loss 1.5 at 8,192 tokens", "在 8,192 个 token 处损失为 1.5", []),
        ("1.5 million texts", "150 万篇文本", []),
        ("Loss 1.5", "损失 1.6", ["number missing: 1.5"]),
        ("the angle $m\\theta$", "角度 $m \\theta$", []),
        ("the angle $m\\theta$", "角度 $n\\theta$", ["formula missing: $m\\theta$"]),
        ("see [this](a.md#b)", "见[这里](a.md#c)", ["link missing: a.md#b"]),
        ("call `rotate`", "调用 `turn`", ["code missing: rotate"]),
        ("## Head\n\ntext", "正文", ["heading missing: ##"]),
        ("by {cite:t}`su2021`", "苏剑林等人", ["role missing"]),
        ("```python\nx = 1\n```", "```python\nx = 2\n```", ["block of code missing"]),
        ("the trained length", "训练长度", []),
        ("the trained length", "长度", ["term missing: trained length"]),
    ],
)
def test_a_loss_is_named(source, target, found):
    named = checks.differences(source, target, translate.terms("zh"))
    lost = [name.replace("$", "") for name in named if " added: " not in name]
    assert len(lost) == len(found), named
    for name, start in zip(lost, found, strict=True):
        assert name.startswith(start.replace("$", ""))
    assert found or not named


def test_a_translated_heading_keeps_its_anchor(notebook):
    words = {Unit("first", "# Title\n\nThree words here."): "# 标题\n\n这里有三个词。"}
    assert tree.original_headings(units_of(notebook), words) == {"标题": "Title"}


def test_every_text_is_translated_and_nothing_is_lost():
    assert translate.status("zh") == []


def test_the_package_holds_what_the_catalogue_of_moving_figures_says():
    stored = catalogue.read(translate.catalogue_of(translate.ELEMENTS, "zh"))
    path = ROOT / translate.ELEMENT_FOLDER / "zh.json"
    assert path.read_text(encoding="utf-8") == translate.spoken(stored)


def test_chinese_notebooks_have_the_code_and_the_outputs_of_the_english_ones(tmp_path):
    translate.write("zh", tmp_path / "zh", outputs=False)
    for source in translate.files():
        if source.suffix == ".ipynb":
            ours = json.loads((ROOT / source).read_text(encoding="utf-8"))["cells"]
            theirs = json.loads((tmp_path / "zh" / source).read_text(encoding="utf-8"))["cells"]
            pairs = zip(ours, theirs, strict=True)
            for a, b in pairs:
                assert a["id"] == b["id"]
                if a["cell_type"] == "code":
                    assert (a["source"], a["outputs"]) == (b["source"], b["outputs"])


def test_the_command_says_what_is_left(capsys, monkeypatch):
    monkeypatch.setattr(translate, "status", lambda language: ["book/intro.md: missing: top"])
    monkeypatch.setattr("sys.argv", ["translate.py", "status"])
    assert translate.main() == 1
    assert "book/intro.md: missing: top" in capsys.readouterr().out


def test_a_published_page_is_translated_with_its_address(tmp_path):
    stamp.write_copy(ROOT, tmp_path / "copy", ADDRESS)
    translate.write("zh", tmp_path / "zh", outputs=True, root=tmp_path / "copy")
    for page in ("book/run.md", "book/intro.md"):
        text = (tmp_path / "zh" / page).read_text(encoding="utf-8")
        assert ADDRESS.url in text
        assert "$" not in re.sub(r"\$[^$\n]+\$", "", text)
        assert "For a bibliography" not in text
        assert "notebook that you download" not in text
    assert f"git clone {ADDRESS.url}" in (tmp_path / "zh/book/run.md").read_text(encoding="utf-8")
